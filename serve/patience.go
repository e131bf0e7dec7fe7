package serve

import (
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// defaultPatience is how long a client may stand still in the middle of an answer
// or of its request's body. It is far more than a line's hiccup, and less than
// what thousands of sleeping laptops would hold on to.
const defaultPatience = 3 * time.Minute

// step is how many bytes of a file go out under one deadline: a client that takes
// fewer in that time stands still. Larger ones would cut slow lines, smaller ones
// cost system calls.
const step = 256 << 10

// hurry gives the next write its time. What can't have a deadline, as in tests,
// has none.
func (a *answer) hurry() {
	_ = a.control.SetWriteDeadline(time.Now().Add(a.patience))
}

// sendFrom sends src in steps. Each is what the connection knows to send without
// copying: a part of a file, as an io.LimitedReader.
func (a *answer) sendFrom(src io.Reader) (sent int64, err error) {
	whole, limited := src.(*io.LimitedReader)
	if !limited {
		whole = &io.LimitedReader{R: src, N: 1<<63 - 1}
	}
	part := io.LimitedReader{R: whole.R}
	for whole.N > 0 {
		part.N = min(whole.N, step)
		want := part.N
		a.hurry()
		n, err := io.Copy(a.w, &part)
		whole.N -= n
		sent += n
		if err != nil || n < want {
			return sent, err
		}
	}
	return sent, nil
}

// body is the body of a request, each read of which has its time.
type body struct {
	io.ReadCloser
	control  *http.ResponseController
	patience time.Duration
	begun    atomic.Bool // somebody reads it: a transport, beside whoever answers
	lent     atomic.Bool // a transport has it, and reads it when it comes to that
	// unasked says that the client waits for a word before it sends it.
	unasked bool
}

func (b *body) Read(p []byte) (int, error) {
	b.begun.Store(true)
	b.hurry()
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		// From here on net/http waits for the client to leave, for as long as the
		// answer takes.
		b.rest()
	}
	return n, err
}

// giveUp takes the body off the connection, if nobody has read it. net/http does
// that before the answer's header goes, and waits without limit. One that is not
// sent before somebody asks for it never comes, and ends the connection.
func (b *body) giveUp() {
	if b.begun.Load() || b.lent.Load() || b.unasked {
		return
	}
	b.hurry()
	_ = b.ReadCloser.Close() // what did not come shows to net/http, which ends the connection
	b.rest()
}

func (b *body) hurry() { _ = b.control.SetReadDeadline(time.Now().Add(b.patience)) }

func (b *body) rest() { _ = b.control.SetReadDeadline(time.Time{}) }
