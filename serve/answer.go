package serve

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// answer is the ResponseWriter of one request, for one goroutine. It notes what
// the access log and the statistics need, and holds the header back until the
// first byte is there: a download that fails before that gets an honest error.
//
// It has ReadFrom, which reaches the connection's, so that files go out with
// sendfile.
type answer struct {
	w      http.ResponseWriter
	r      *http.Request
	client client
	// What makes a client that stands still let go.
	control  *http.ResponseController
	patience time.Duration
	body     *body // nil where the request has none

	now func() time.Time

	elsewhere   bool // it asks for another host than this one
	astray      bool // it came by an intercepted connection that is not to the host it asks
	tunnelled   bool // the connection is a tunnel's, and no answer's any more
	intercepted bool // the connection is an intercepted one now
	sibling     bool // it asks for what is stored alone
	last        bool // no other request is read from the connection

	code   int          // the status code; 0 as long as nothing is decided
	status cache.Status // for the Cache-Status field
	key    cache.Key    // of a file that is ours to cache; the zero Key for all else

	begun bool      // the header has gone
	first time.Time // when it went
	sent  int64     // bytes of the body
	lost  error     // why a write failed: the client is gone
	cut   bool      // the answer was broken off
}

// newAnswer is the answer to r. A request that has a body is the answer's own
// from then on: net/http knows its bodies by their type.
func newAnswer(w http.ResponseWriter, r *http.Request, patience time.Duration, now func() time.Time) *answer {
	a := &answer{w: w, r: r, control: http.NewResponseController(w), patience: patience, now: now, cut: true}
	if r.Body != nil && r.Body != http.NoBody {
		a.body = &body{
			ReadCloser: r.Body, control: a.control, patience: patience,
			unasked: strings.EqualFold(r.Header.Get("Expect"), "100-continue"),
		}
		a.r = r.WithContext(r.Context())
		a.r.Body = a.body
	}
	a.hurry()
	return a
}

// decide says how the answer will begin.
func (a *answer) decide(code int, s cache.Status) { a.code, a.status = code, s }

// begin sends the header.
func (a *answer) begin() {
	if a.begun {
		return
	}
	a.begun, a.first = true, a.now()
	if a.code == 0 {
		a.code = http.StatusOK
	}
	// Behind those of the caches that a relayed answer came through (RFC 9211, 2).
	a.w.Header().Add("Cache-Status", a.status.String())
	if a.last {
		a.w.Header().Set("Connection", "close")
	}
	if a.body != nil {
		a.body.giveUp()
	}
	a.hurry() // also for a header that nothing follows
	a.w.WriteHeader(a.code)
}

// reset forgets what was set of a header that has not gone.
func (a *answer) reset() { clear(a.w.Header()) }

// Header implements http.ResponseWriter.
func (a *answer) Header() http.Header { return a.w.Header() }

// WriteHeader implements http.ResponseWriter. The header goes with the first
// byte, or when the request has been handled.
func (a *answer) WriteHeader(code int) { a.code = code }

// Write implements http.ResponseWriter.
func (a *answer) Write(p []byte) (int, error) {
	a.begin()
	a.hurry()
	n, err := a.w.Write(p)
	a.note(int64(n), err)
	return n, err
}

// ReadFrom implements io.ReaderFrom. src reaches the connection as it is, with
// nothing around it: sendfile knows files alone.
func (a *answer) ReadFrom(src io.Reader) (int64, error) {
	a.begin()
	n, err := a.sendFrom(src)
	a.note(n, err)
	return n, err
}

// note accounts n bytes sent.
func (a *answer) note(n int64, err error) {
	a.sent += n
	var disk *fs.PathError
	if err != nil && !errors.As(err, &disk) {
		a.lost = err
	}
}

// Flush sends what is buffered on its way to the client.
func (a *answer) Flush() {
	a.begin()
	// A writer that can't flush has nothing that it holds back for good.
	_ = a.control.Flush()
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.w }

// gone reports whether there is nobody left to answer.
func (a *answer) gone() bool { return a.lost != nil || a.r.Context().Err() != nil }

// abort breaks the connection off, so that nobody takes what was sent for a
// whole answer. It does not return.
func (a *answer) abort() {
	a.cut = true
	if c, ok := a.r.Context().Value(connKey{}).(lingerer); ok && !a.r.ProtoAtLeast(1, 1) {
		// To a client of HTTP/1.0 an orderly end of the connection, of TLS too, is
		// the end of the body.
		_ = c.SetLinger(0)
		_ = c.Close()
	}
	panic(http.ErrAbortHandler)
}

// lingerer is a connection that can be broken off.
type lingerer interface {
	SetLinger(seconds int) error
	Close() error
}

// connKey is under which a request's context has its connection, the one below
// TLS where that is spoken.
type connKey struct{}
