package popularity

import (
	"bytes"
	"io"
)

const (
	// window is how many bytes at its beginning, and right before the offset,
	// a log is known again by: some twenty lines with their times.
	window = 4096
	// maxLine is the longest line that is parsed, in bytes. Servers cut the
	// request line at 8 KiB, and a line has three fields of that size.
	maxLine = 64 << 10

	bufferSize = 256 << 10
)

// lineReader cuts a stream into lines and knows, after each, what a log is
// known again by: the offset and the bytes right before it. A last line without
// a newline is not returned: it waits for its end.
type lineReader struct {
	src        io.Reader
	buf        []byte
	start, end int   // what of buf is still to be cut into lines
	off        int64 // of the end of the last line that was returned
	skipping   bool  // in a line that is too long: all of buf is of it
	skipped    int64 // bytes of it so far
	longStart  []byte
	tailBefore []byte // the tail before it
	err        error
}

// newLineReader reads on at offset off, before which stands history, at most
// window bytes of it.
func newLineReader(src io.Reader, off int64, history []byte) *lineReader {
	l := &lineReader{src: src, buf: make([]byte, bufferSize), off: off}
	l.start = copy(l.buf, history)
	l.end = l.start
	return l
}

// next returns the next complete line without its newline; it is valid until
// the next call. Of a line over maxLine, long is true and only the beginning is
// returned. At the end of the stream, err is what src.Read returned.
func (l *lineReader) next() (line []byte, long bool, err error) {
	from := l.start
	for {
		if i := bytes.IndexByte(l.buf[from:l.end], '\n'); i >= 0 {
			stop := from + i
			line, l.start, from = l.buf[l.start:stop], stop+1, 0
			l.off += int64(len(line)) + 1
			if l.skipping {
				l.skipping = false
				l.off += l.skipped
				return l.longStart, true, nil
			}
			if len(line) > maxLine {
				return line[:maxExample+1], true, nil
			}
			return line, false, nil
		}
		if !l.skipping && l.end-l.start > maxLine {
			l.tailBefore = append(l.tailBefore[:0], l.tail()...)
			l.longStart = append(l.longStart[:0], l.buf[l.start:l.start+maxExample+1]...)
			l.skipping, l.skipped = true, 0
		}
		if l.skipping {
			l.skipped += int64(l.end - l.start)
			l.start = l.end
		}
		if l.err != nil {
			return nil, false, l.err
		}
		if l.end == len(l.buf) {
			keep := max(0, l.start-window)
			l.end = copy(l.buf, l.buf[keep:l.end])
			l.start -= keep
		}
		from = l.end
		n, err := l.src.Read(l.buf[l.end:])
		l.end += n
		l.err = err
	}
}

// tail is what stands before the offset, at most window bytes of it.
func (l *lineReader) tail() []byte {
	if l.skipping {
		return l.tailBefore
	}
	return l.buf[max(0, l.start-window):l.start]
}
