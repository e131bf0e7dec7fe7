package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// errBroken ends an answer whose download failed after it had begun.
var errBroken = errors.New("the download failed")

// verifiedFirst is the size, in bytes, below which a file whose digest is known,
// or which has to pass a Check, is verified before its first byte leaves.
const verifiedFirst = 1 << 20

// Object is a file to be sent to one client: a stored one, or one that is
// arriving. It is for one goroutine. Close releases it.
type Object struct {
	// Status says where it comes from.
	Status Status

	file  *os.File
	facts Facts // of a stored file
	inode inode // of a stored file, as its facts were read
	size  int64 // bytes, -1 unknown yet

	fill  *fill // nil for a stored file
	epoch int
	head  Head
	left  func() // tells that this reader does not want the fill's file any more; nil for a stored file
}

// Size is the file's length in bytes, -1 while nobody knows it.
func (o *Object) Size() int64 { return o.size }

// Tag is the strong entity tag, "" while the file is arriving and no digest is
// promised.
func (o *Object) Tag() string {
	if o.fill == nil {
		return o.facts.Tag()
	}
	if w := o.head.Want; w.Known() && w.Digest.Type() == "sha256" {
		return (&Facts{SHA256: w.Digest}).Tag()
	}
	return ""
}

// ModTime is upstream's modification time, zero where it gave none.
func (o *Object) ModTime() time.Time {
	if o.fill == nil {
		return o.facts.ModTime
	}
	t, _ := o.head.modTime()
	return t
}

// Validated is when upstream last confirmed the bytes; the zero time for those
// that are arriving.
func (o *Object) Validated() time.Time {
	if o.fill == nil {
		return o.facts.Validated
	}
	return time.Time{}
}

// Facts is what is known of a stored file; ok is false for one that is arriving.
func (o *Object) Facts() (f Facts, ok bool) { return o.facts, o.fill == nil }

// Close releases the descriptor.
func (o *Object) Close() error {
	if o.left != nil {
		o.left()
		o.left = nil
	}
	return o.file.Close()
}

// SendTo sends n bytes from offset off on, all that follow where n is negative,
// as they arrive, and returns how many it sent. Where w has ReadFrom, as an
// http.ResponseWriter has, they go out with sendfile. The last byte of a file
// whose digest is promised, or which has to pass a Check, is sent after it has
// been verified. An error other
// than w's or ctx's means that the file did not become whole: the caller has to
// break the connection, so that nobody takes what was sent for all of it.
func (o *Object) SendTo(ctx context.Context, w io.Writer, off, n int64) (int64, error) {
	if o.fill == nil {
		if n < 0 || n > o.size-off {
			n = max(o.size-off, 0)
		}
		return o.copy(w, off, n)
	}
	var sent int64
	for n < 0 || sent < n {
		at := off + sent
		now, err := o.fill.await(ctx, func(p progress) bool { return p.done || p.readable() > at || p.epoch != o.epoch })
		if err != nil {
			return sent, err
		}
		if now.epoch != o.epoch || now.done && !now.brought() {
			// The inode that this reader has was given up, for another or for good.
			return sent, fmt.Errorf("%s after %d bytes: %w", o.fill.key, at, errors.Join(errBroken, now.err))
		}
		ready := now.readable() - at
		if ready <= 0 {
			// Done, and no byte is left.
			return sent, nil
		}
		if n >= 0 {
			ready = min(ready, n-sent)
		}
		m, err := o.copy(w, at, ready)
		sent += m
		if err != nil {
			return sent, err
		}
		if o.size < 0 {
			flush(w)
		}
	}
	return sent, nil
}

// readable is how many of the file's bytes may be handed out. What waits for a
// verdict keeps its last byte back, or all that there is of a small file.
func (p progress) readable() int64 {
	w := p.head.Want
	if !w.Known() {
		w = p.head.Stated
	}
	if p.done || !w.Known() && !p.checks {
		return p.size
	}
	length := p.head.Length
	if w.Known() {
		length = w.Size
	}
	switch {
	case length < 0 && p.size <= verifiedFirst, length >= 0 && length < verifiedFirst:
		return 0
	case length < 0:
		// Any byte may be the last.
		return p.size - 1
	}
	return min(p.size, length-1)
}

// servable reports whether a client can be given an answer: what it is has been
// decided, and bytes of it may leave or it is all over.
func (p progress) servable() bool { return p.done || p.file != nil && p.readable() > 0 }

// copy sends n bytes that are there.
func (o *Object) copy(w io.Writer, off, n int64) (int64, error) {
	if n == 0 {
		return 0, nil
	}
	if _, err := o.file.Seek(off, io.SeekStart); err != nil {
		return 0, err
	}
	m, err := io.CopyN(w, o.file, n)
	if err == io.EOF {
		return m, fmt.Errorf("%s: %d bytes short: %w", o.file.Name(), n-m, errBroken)
	}
	return m, err
}

// flush sends what a writer has buffered, where it can: a body of unknown
// length goes through a buffer.
func flush(w io.Writer) {
	if f, ok := w.(interface{ Flush() }); ok {
		f.Flush()
	}
}
