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
	// blockSize is how much of a log is parsed in one go, in bytes: enough for
	// some thousand lines, and little enough to stay in a processor's cache.
	blockSize = 256 << 10
)

// block is some complete lines of a log, or the end of one line that is too
// long. buf is what stands before them, at most window bytes, and then they:
// what a log is known again by is at hand right behind each line.
type block struct {
	buf   []byte
	start int   // of the lines in buf
	off   int64 // of the first line's beginning in the log
	// long is the beginning of the line that is too long; then there is no
	// other line in the block, and off is that of the line's end.
	long []byte

	parsed    []parsed      // what was found in the lines, in their order
	strangers []stranger    // of parsed
	memory    *memory       // in which all others were found
	arena     []byte        // strings of strangers that stand in no line as they are
	done      chan struct{} // receives when the block is parsed
}

// tail is what stands before the byte at of buf, at most window bytes of it.
func (b *block) tail(at int) []byte { return b.buf[max(0, at-window):at] }

// blockReader cuts a stream into blocks. A last line without a newline is in
// none of them: it waits for its end.
type blockReader struct {
	src  io.Reader
	off  int64  // of the first byte that is in no block yet
	rest []byte // what stands before off, at most window bytes, and what was read behind it
	have int    // how much of rest stands before off
	err  error  // of src
}

// newBlockReader reads on at offset off, before which stands history, at most
// window bytes of it.
func newBlockReader(src io.Reader, off int64, history []byte) *blockReader {
	return &blockReader{src: src, off: off, rest: bytes.Clone(history), have: len(history)}
}

// next fills b with the next lines. At the end of the stream it returns what
// src.Read returned, and b is as it was.
func (r *blockReader) next(b *block) error {
	if cap(b.buf) < window+blockSize+maxLine {
		b.buf = make([]byte, 0, window+blockSize+maxLine)
	}
	b.long, b.start = nil, r.have
	b.buf = append(b.buf[:0], r.rest...)
	for {
		if end := bytes.LastIndexByte(b.buf[b.start:], '\n'); end >= 0 && (len(b.buf) >= b.start+blockSize || r.err != nil) {
			end += b.start + 1
			b.off = r.off
			r.keep(b.buf, end)
			b.buf = b.buf[:end]
			return nil
		}
		if r.err != nil {
			r.rest = append(r.rest[:0], b.buf...)
			return r.err
		}
		if len(b.buf) > b.start+blockSize {
			return r.skip(b) // no newline in all of it
		}
		n, err := r.src.Read(b.buf[len(b.buf) : b.start+blockSize+maxLine])
		b.buf = b.buf[:len(b.buf)+n]
		r.err = err
	}
}

// keep takes what is behind end, and what stands before it, over to the next
// block.
func (r *blockReader) keep(buf []byte, end int) {
	r.off += int64(end - r.have)
	from := max(0, end-window)
	r.have = end - from
	r.rest = append(r.rest[:0], buf[from:]...)
}

// skip reads on to the end of the line with which b begins. Nothing is kept of
// it but its beginning, and what a block keeps of what stands before the next.
func (r *blockReader) skip(b *block) error {
	b.long = bytes.Clone(b.buf[b.start : b.start+maxExample+1])
	off := r.off // of the first byte of b.buf[b.start:]
	for {
		if i := bytes.IndexByte(b.buf[b.start:], '\n'); i >= 0 {
			end := b.start + i + 1
			r.off, r.have = off, b.start
			r.keep(b.buf, end)
			b.off = r.off
			b.buf, b.start = b.buf[:end], end
			return nil
		}
		if r.err != nil {
			// Not complete: the whole of it is read again when it is.
			return r.err
		}
		// Drop all but a window of it.
		off += int64(len(b.buf) - b.start)
		b.buf = b.buf[:copy(b.buf, b.tail(len(b.buf)))]
		b.start = len(b.buf)
		n, err := r.src.Read(b.buf[len(b.buf) : window+blockSize])
		b.buf = b.buf[:len(b.buf)+n]
		r.err = err
	}
}
