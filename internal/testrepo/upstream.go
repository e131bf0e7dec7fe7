package testrepo

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Upstream is an http.Handler that serves the files below a directory as a good
// mirror does (strong ETag, Last-Modified, ranges, conditional requests), keeps
// a record of all it was asked, and misbehaves where On tells it to. The
// directory is looked at for each request: what Build or Put changes there is
// what the next request gets. All methods may be called from any goroutine.
//
// Paths are those of the URL, decoded, with a leading slash. A pattern is a
// path in which `*` stands for any run of characters, slashes included.
type Upstream struct {
	dir   string
	etags etags

	mu       sync.Mutex
	requests []*Request
	rules    []*rule
	latency  time.Duration
	limiter  *rate.Limiter // nil: no limit
	stalled  int           // requests that a fault holds up now
	release  chan struct{} // closed to let those go
	changed  chan struct{} // closed at each change of requests and stalled
}

// NewUpstream is an upstream over the files below dir, without faults.
func NewUpstream(dir string) *Upstream {
	return &Upstream{dir: dir, release: make(chan struct{}), changed: make(chan struct{})}
}

// SetRate limits the bytes of bodies, all connections taken together, to
// bytesPerSecond; 0 is no limit. What is being sent keeps to the old limit.
func (u *Upstream) SetRate(bytesPerSecond int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.limiter = newLimiter(bytesPerSecond)
}

// newLimiter paces in steps of 10 ms, so that a reader sees a stream, not bursts.
func newLimiter(bytesPerSecond int) *rate.Limiter {
	if bytesPerSecond <= 0 {
		return nil
	}
	return rate.NewLimiter(rate.Limit(bytesPerSecond), max(bytesPerSecond/100, 1))
}

// SetLatency makes each request wait for d before it is looked at.
func (u *Upstream) SetLatency(d time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.latency = d
}

// On makes the requests for the paths that match pattern ("*": for all) meet
// these faults. Of all faults that were ever told, a request meets the first
// one that is for its path and method and that has Times left:
//
//	up.On("/r/a.rpm", testrepo.Status(503).Times(2), testrepo.Cut(1000).Times(1))
//
// answers 503 twice, breaks off the third answer, and is honest from then on.
func (u *Upstream) On(pattern string, faults ...Fault) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, f := range faults {
		u.rules = append(u.rules, &rule{pattern: pattern, Fault: f})
	}
}

// Heal takes all faults back and lets go what they hold up. Rate and latency stay.
func (u *Upstream) Heal() {
	u.mu.Lock()
	u.rules = nil
	u.mu.Unlock()
	u.Release()
}

// Release lets the requests go on that Stall, Trickle and Hang hold up now.
func (u *Upstream) Release() {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.release)
	u.release = make(chan struct{})
}

// Put replaces or makes the file of a path by one of these bytes, at once as a
// rename does. Its modification time is a later second than the one before.
func (u *Upstream) Put(path string, body []byte) error {
	name, err := u.file(path)
	if err != nil {
		return err
	}
	mtime := time.Now().Truncate(time.Second)
	if info, err := os.Stat(name); err == nil && !mtime.After(info.ModTime()) {
		mtime = info.ModTime().Truncate(time.Second).Add(time.Second)
	}
	return putFile(name, body, mtime)
}

// ServeHTTP answers a request: honestly, or as On says.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rec, p, latency := u.arrived(r)
	b := &response{ResponseWriter: w, request: r, upstream: u, record: rec, plan: p}
	defer func() {
		b.letGo()
		b.broken = b.broken || b.sent < b.promised
		u.left(rec, !b.broken)
		if b.broken && !b.dropped {
			if b.wroteHeader {
				b.flush()
			}
			// Returning would end the answer as if it were whole.
			panic(http.ErrAbortHandler)
		}
	}()
	if err := pause(r.Context(), latency+p.delay); err != nil {
		b.broken = true
		return
	}
	u.answer(b, r, p)
}

// arrived records a request and decides how it is answered.
func (u *Upstream) arrived(r *http.Request) (*Request, *plan, time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	rec := &Request{
		Method: r.Method, Path: r.URL.Path, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone(),
	}
	u.requests = append(u.requests, rec)
	u.announce()
	p := &plan{truncate: -1, limiter: u.limiter}
	for _, rule := range u.rules {
		if rule.meets(rec) {
			for _, change := range rule.changes {
				change(p)
			}
			break
		}
	}
	return rec, p, u.latency
}

// left records that the answer to a request is over.
func (u *Upstream) left(rec *Request, whole bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	rec.Done, rec.Whole = true, whole
	u.announce()
}

// announce wakes those who wait for a change. The caller holds u.mu.
func (u *Upstream) announce() {
	close(u.changed)
	u.changed = make(chan struct{})
}

// answer answers one request by its plan.
func (u *Upstream) answer(b *response, r *http.Request, p *plan) {
	switch {
	case p.refuse:
		b.drop(false)
	case p.hang:
		if err := b.stall(); err != nil {
			b.broken = true
			return
		}
		p.hang = false
		u.answer(b, r, p)
	case p.status != 0:
		http.Error(b, http.StatusText(p.status), p.status)
	case p.redirect != "":
		target := p.redirect
		if strings.HasSuffix(target, "/") {
			target += strings.TrimPrefix(r.URL.EscapedPath(), "/")
		}
		http.Redirect(b, r, target, http.StatusFound)
	case p.page != "":
		b.Header().Set("Content-Type", "text/html; charset=utf-8")
		b.Header().Set("Content-Length", fmt.Sprint(len(p.page)))
		b.writeString(p.page)
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		b.Header().Set("Allow", "GET, HEAD")
		http.Error(b, "Method Not Allowed", http.StatusMethodNotAllowed)
	default:
		u.serveFile(b, r, p)
	}
}

// hold counts a request as one that is held up, until done is called. release is
// closed when it is to go on: by Release or Heal.
func (u *Upstream) hold() (release <-chan struct{}, done func()) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stalled++
	u.announce()
	return u.release, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.stalled--
		u.announce()
	}
}

// stall holds a request up until Release, Heal, or its client's leaving.
func (u *Upstream) stall(ctx context.Context) error {
	release, done := u.hold()
	defer done()
	select {
	case <-release:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// pause waits for d.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errBroken is what is left to write after a fault broke the answer off.
var errBroken = errors.New("a fault broke the answer off")
