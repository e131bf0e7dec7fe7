package testrepo

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Request is one request that an Upstream got, and what became of it.
type Request struct {
	Method string
	Path   string // decoded
	URI    string // as it was sent
	Host   string
	Header http.Header
	Status int   // 0: no answer was sent, or not yet
	Sent   int64 // bytes of the body
	Done   bool  // the answer is over
	// Whole is that it was sent to its end: no fault broke it off, and no client
	// that left in a way that a server notices.
	Whole bool
}

// String is the request in one line, for tables of what was expected: method,
// path, the Range if there was one, "if" if it was conditional, and the status
// ("-" for none): "GET /r/a.rpm bytes=100- 206".
func (r Request) String() string {
	f := []string{r.Method, r.Path}
	if v := r.Header.Get("Range"); v != "" {
		f = append(f, v)
	}
	if r.Conditional() {
		f = append(f, "if")
	}
	if r.Status == 0 {
		return strings.Join(append(f, "-"), " ")
	}
	return strings.Join(append(f, fmt.Sprint(r.Status)), " ")
}

// Conditional reports whether the request asked for the file only if it changed.
func (r Request) Conditional() bool {
	return r.Header.Get("If-None-Match") != "" || r.Header.Get("If-Modified-Since") != ""
}

// Requests are all requests in the order of their arrival, also those that are
// still being answered.
func (u *Upstream) Requests() []Request {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make([]Request, len(u.requests))
	for i, r := range u.requests {
		out[i] = *r
	}
	return out
}

// Lines are the requests that match, each as its String, in the order of their
// arrival.
func (u *Upstream) Lines(method, pattern string) []string {
	var out []string
	for _, r := range u.Requests() {
		if r.matches(method, pattern) {
			out = append(out, r.String())
		}
	}
	return out
}

// Count is the number of requests of a method ("" is any) for the paths that
// match pattern. A client that reuses a connection may ask again by itself when
// the connection is closed before an answer: Refuse can count two for one.
func (u *Upstream) Count(method, pattern string) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.count(method, pattern)
}

func (u *Upstream) count(method, pattern string) int {
	n := 0
	for _, r := range u.requests {
		if r.matches(method, pattern) {
			n++
		}
	}
	return n
}

// Sent is the number of bytes of bodies that were sent for the paths that match
// pattern.
func (u *Upstream) Sent(pattern string) int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	var n int64
	for _, r := range u.requests {
		if r.matches("", pattern) {
			n += r.Sent
		}
	}
	return n
}

// Forget empties the record of requests.
func (u *Upstream) Forget() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.requests = nil
	u.announce()
}

// AwaitRequests waits until Count(method, pattern) is n at least.
func (u *Upstream) AwaitRequests(ctx context.Context, method, pattern string, n int) error {
	err := u.await(ctx, func() bool { return u.count(method, pattern) >= n })
	if err != nil {
		return fmt.Errorf("wait for %d requests %s %s, %d came: %w", n, method, pattern, u.Count(method, pattern), err)
	}
	return nil
}

// AwaitStalled waits until n requests at least are held up by Stall, Trickle or Hang.
func (u *Upstream) AwaitStalled(ctx context.Context, n int) error {
	if err := u.await(ctx, func() bool { return u.stalled >= n }); err != nil {
		return fmt.Errorf("wait for %d stalled requests: %w", n, err)
	}
	return nil
}

// AwaitIdle waits until every request that came has been answered.
func (u *Upstream) AwaitIdle(ctx context.Context) error {
	err := u.await(ctx, func() bool {
		for _, r := range u.requests {
			if !r.Done {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("wait for the end of all requests: %w", err)
	}
	return nil
}

// await waits until ok, which is called with u.mu held.
func (u *Upstream) await(ctx context.Context, ok func() bool) error {
	for {
		u.mu.Lock()
		done, changed := ok(), u.changed
		u.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (r *Request) matches(method, pattern string) bool {
	return (method == "" || method == r.Method) && match(pattern, r.Path)
}

// match reports whether s is what pattern says: `*` is any run of characters.
func match(pattern, s string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, head)
	if !ok {
		return false
	}
	for {
		var part string
		part, rest, star = strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(s, part)
		}
		// The first place that fits leaves the most for the parts behind it.
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
}
