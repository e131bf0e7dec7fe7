package upstream

import (
	"errors"
	"io"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

const (
	// pieceSize is how much of a body is written at once, and where such a write
	// ends. The kernel keeps in one piece of memory what is written at once and lies
	// at a multiple of its length, and sendfile's work goes by such pieces: a file
	// that was written as it came takes half as much processor time again for each
	// hit (docs/BENCHMARKS.md).
	pieceSize = 256 << 10
	// pieceWait is how long bytes wait for the rest of their piece.
	pieceWait = 20 * time.Millisecond
)

// take writes body to the end of p. The first bytes are written as they come, since
// clients wait for them.
func take(body io.Reader, p *cache.Partial) error {
	off, head := p.Resume()
	size := int64(pieceSize)
	if head.Length >= 0 && head.Length < size {
		size = head.Length + 1 // one more than there should be shows that it is wrong
	}
	in := int(off % size)
	return (&taker{to: p, buf: make([]byte, size), filled: in, written: in}).takeAll(body)
}

// taker is the piece that is being filled. takeAll alone changes filled, and what
// lies behind that in buf is takeAll's; all else is whose the lock is.
type taker struct {
	mu              sync.Mutex
	to              io.Writer
	buf             []byte
	filled, written int
	begun           bool        // something has been written
	late            *time.Timer // writes what waits
	err             error       // of a write, perhaps of late's
}

// takeAll writes body to its end.
func (t *taker) takeAll(body io.Reader) error {
	defer t.stop()
	for {
		n, err := body.Read(t.buf[t.filled:])
		if err := t.add(n, err != nil); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add says that n more bytes have been read, the last ones perhaps, and writes what
// waits if its time has come.
func (t *taker) add(n int, last bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	waited := t.written < t.filled
	t.filled += n
	switch {
	case !t.begun || last || t.filled == len(t.buf):
		if t.late != nil {
			t.late.Stop()
		}
		t.write()
	case t.late == nil:
		t.late = time.AfterFunc(pieceWait, t.overdue)
	case !waited:
		t.late.Reset(pieceWait)
	}
	if t.filled == len(t.buf) {
		t.filled, t.written = 0, 0
	}
	return t.err
}

func (t *taker) overdue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write()
}

// write writes what has not been written. The lock is held.
func (t *taker) write() {
	if t.err != nil || t.written == t.filled {
		return
	}
	n, err := t.to.Write(t.buf[t.written:t.filled])
	t.written, t.err, t.begun = t.written+n, err, true
}

// stop is the end of it: nothing is written afterwards.
func (t *taker) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.late != nil {
		t.late.Stop()
	}
	t.written = t.filled
}
