package testrepo

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// response is the ResponseWriter of one answer: it counts and paces what is
// sent, and does what the plan says about framing and stops. It has no ReadFrom,
// so that every byte comes by Write. For one goroutine.
type response struct {
	http.ResponseWriter
	request  *http.Request
	upstream *Upstream
	record   *Request
	plan     *plan

	wroteHeader bool
	promised    int64 // Content-Length of a body, if there is one
	sent        int64
	broken      bool // no more can be sent
	dropped     bool // the connection is no longer the server's

	released <-chan struct{} // by which Trickle ends; nil where nothing trickles
	freed    func()          // to be called when it has
}

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// WriteHeader sends the header, with the lies that the plan has for it.
func (r *response) WriteHeader(status int) {
	if r.wroteHeader {
		return
	}
	r.wroteHeader = true
	h, p := r.Header(), r.plan
	length, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64)
	if err != nil {
		length = -1
	}
	if p.wrongRange && status == http.StatusOK && r.request.Header.Get("Range") != "" && length > 0 {
		status = http.StatusPartialContent
		whole := strconv.FormatInt(length, 10)
		h.Set("Content-Range", "bytes 0-"+strconv.FormatInt(length-1, 10)+"/"+whole)
	}
	switch {
	case p.framing != withLength:
		h.Del("Content-Length")
		if p.framing == closeDelimited {
			h.Set("Transfer-Encoding", "identity")
		}
	case p.truncate >= 0 && length > p.truncate:
		h.Set("Content-Length", strconv.FormatInt(p.truncate, 10))
	case p.overstate > 0 && length >= 0:
		h.Set("Content-Length", strconv.FormatInt(length+p.overstate, 10))
	}
	if n, err := strconv.ParseInt(h.Get("Content-Length"), 10, 64); err == nil && r.request.Method != http.MethodHead {
		r.promised = n
	}
	r.upstream.mu.Lock()
	r.record.Status = status
	r.upstream.mu.Unlock()
	r.ResponseWriter.WriteHeader(status)
	if p.framing != withLength {
		r.flush() // a short body that is written at once would get a length after all
	}
}

// Write sends p at the pace of the plan, up to the stops.
func (r *response) Write(b []byte) (int, error) {
	if r.broken {
		return 0, errBroken
	}
	if !r.wroteHeader {
		r.WriteHeader(http.StatusOK)
	}
	if r.request.Method == http.MethodHead {
		return r.ResponseWriter.Write(b)
	}
	written := 0
	for written < len(b) {
		n, err := r.step(b[written:])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// step sends the first part of b, up to the next stop, or passes a stop.
func (r *response) step(b []byte) (int, error) {
	for len(r.plan.stops) > 0 && r.plan.stops[0].at <= r.sent {
		do := r.plan.stops[0].do
		r.plan.stops = r.plan.stops[1:]
		r.flush()
		if err := do(r); err != nil {
			r.broken = true
			return 0, err
		}
	}
	n := int64(len(b))
	if len(r.plan.stops) > 0 {
		n = min(n, r.plan.stops[0].at-r.sent)
	}
	if t := r.plan.truncate; t >= 0 {
		if r.sent >= t {
			return len(b), nil // swallowed: nobody is to notice
		}
		n = min(n, t-r.sent)
	}
	alone, err := r.drops()
	if err != nil {
		r.broken = true
		return 0, err
	}
	if alone {
		n = 1
	}
	l := r.plan.limiter
	if l != nil {
		n = min(n, int64(l.Burst()))
		if err := l.WaitN(r.request.Context(), int(n)); err != nil {
			r.broken = true
			return 0, err
		}
	}
	// Counted first: whoever has the bytes finds them in the record.
	r.count(n)
	k, err := r.ResponseWriter.Write(b[:n])
	if err != nil {
		r.count(int64(k) - n)
		r.broken = true
		return k, err
	}
	if l != nil || alone {
		r.flush()
	}
	return k, nil
}

// trickleEvery is how often Trickle sends a byte.
const trickleEvery = time.Second

// trickle is Trickle's beginning.
func (r *response) trickle() error {
	r.released, r.freed = r.upstream.hold()
	return nil
}

// drops waits for the moment at which the next byte may be sent, and reports whether
// it comes alone: not where nothing trickles, or does so any more.
func (r *response) drops() (bool, error) {
	if r.released == nil {
		return false, nil
	}
	tick := time.NewTimer(trickleEvery)
	defer tick.Stop()
	select {
	case <-r.released:
		r.letGo()
		return false, nil
	case <-tick.C:
		return true, nil
	case <-r.request.Context().Done():
		return false, context.Cause(r.request.Context())
	}
}

// letGo is Trickle's end.
func (r *response) letGo() {
	if r.released != nil {
		r.released = nil
		r.freed()
	}
}

// count adds n bytes to what was sent.
func (r *response) count(n int64) {
	r.sent += n
	r.upstream.mu.Lock()
	defer r.upstream.mu.Unlock()
	r.record.Sent = r.sent
}

func (r *response) writeString(s string) {
	// An error is the client's leaving, which the record shows.
	_, _ = io.WriteString(r, s)
}

func (r *response) flush() {
	// An error is the client's leaving, which the next write meets.
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// stall waits for Release or for the client's leaving.
func (r *response) stall() error { return r.upstream.stall(r.request.Context()) }

// drop takes the connection from the server and closes it, with a reset or
// without.
func (r *response) drop(reset bool) {
	r.broken, r.dropped = true, true
	conn, _, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // HTTP/2, where this resets the stream
	}
	if reset {
		inner := conn
		if t, ok := conn.(*tls.Conn); ok {
			inner = t.NetConn()
		}
		if t, ok := inner.(*net.TCPConn); ok {
			// An error means that the connection is gone already.
			_ = t.SetLinger(0)
		}
	}
	_ = conn.Close()
}
