package serve

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strconv"
	"strings"
	"sync"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// relay passes the request for t on to its repository's upstream, or to the host
// that it names, and the answer back as it is, while it arrives. Nothing of it is
// stored.
func (s *Server) relay(a *answer, t target, status cache.Status) { s.relayVetted(a, t, status, nil) }

// relayVetted is relay for an answer that vet looks at before anything of it is sent, and
// whose body it may replace; the error is why the client gets none of it. nil looks at nothing.
func (s *Server) relayVetted(a *answer, t target, status cache.Status, vet func(*http.Response) error) {
	a.status = status
	if !a.hop() || a.storedOnly() {
		return
	}
	r := a.r
	h := r.Header.Clone()
	endToEnd(h)
	// Whom we know to ask us is nobody's business upstream.
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded"} {
		h.Del(name)
	}
	h.Add("Via", viaField(r.ProtoMajor, r.ProtoMinor, s.via))
	if !r.ProtoAtLeast(1, 1) {
		h.Del("Expect") // which HTTP/1.0 has not got: the body comes by itself (RFC 9110, 10.1.1)
	}
	if len(h["User-Agent"]) == 0 {
		h.Set("User-Agent", "") // or the library's own would be added
	}
	req := &http.Request{Method: r.Method, Header: h}
	if r.ContentLength != 0 {
		req.Body, req.ContentLength, req.Trailer = asked{r.Body}, r.ContentLength, r.Trailer
		// What is answered without asking for the body ends the connection: else the
		// transport would take the body all the same, to use the connection again.
		req.Close = strings.EqualFold(h.Get("Expect"), "100-continue")
		// Either side may say something before the other is done. A connection that
		// can't do that (a test's) does one after the other.
		_ = http.NewResponseController(a.w).EnableFullDuplex()
		a.body.lent.Store(true)
	}
	early := &interim{a: a}
	resp, err := s.pass(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{Got1xxResponse: early.pass}), t, req, r.URL.RawQuery)
	early.end()
	if err != nil {
		if a.body != nil {
			a.body.lent.Store(false)
		}
		s.relayFailed(a, t, err)
		return
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusSwitchingProtocols {
		a.text(http.StatusBadGateway, status, "Upstream goes over to another protocol, which nobody asked for.", "Ask again without this mirror.")
		return
	}
	if vet != nil {
		if err := vet(resp); err != nil {
			s.fail(a, t, err)
			return
		}
	}
	s.invalidate(t, r.Method, resp.StatusCode)
	out := a.Header()
	endToEnd(resp.Header)
	for name, values := range resp.Header {
		out[name] = values
	}
	if _, ok := out["Content-Type"]; !ok {
		out["Content-Type"] = nil // as it is: nothing is guessed
	}
	out.Add("Via", viaField(resp.ProtoMajor, resp.ProtoMinor, s.via))
	announced := make(map[string]bool)
	for name := range resp.Trailer {
		announced[name] = true
		out.Add("Trailer", name)
	}
	a.decide(resp.StatusCode, status)
	a.Flush()
	body := io.Reader(resp.Body)
	list := s.lesson(r, t, resp)
	if list != nil {
		body = io.TeeReader(body, list)
	}
	if err := a.pump(body); err != nil {
		if !a.gone() {
			s.o.Log.Info("a relayed answer was broken off", "file", t.String(), "error", err)
		}
		a.abort()
	}
	if list != nil {
		list.learn()
	}
	for name, values := range resp.Trailer {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		out[name] = values
	}
}

// pass sends req to whom t is to be asked of; query is what the client's URL had.
func (s *Server) pass(ctx context.Context, t target, req *http.Request, query string) (*http.Response, error) {
	if t.named != nil {
		req.URL = t.named
		return s.o.Hosts.Relay(ctx, req)
	}
	where := t.rest
	if query != "" {
		where += "?" + query
	}
	return s.o.Mirrors(t.repo).Relay(ctx, req, where)
}

// asked is a request's body. What is wrong with it is no fault of the host's that
// it is sent to.
type asked struct{ io.ReadCloser }

// bodyError is why a request's body can't be read.
type bodyError struct{ error }

func (b asked) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = bodyError{err}
	}
	return n, err
}

// interim passes on the answers before the answer (RFC 9110, 15.2), which come
// while the transport waits for that. 100 (Continue) passes by itself: it has the
// transport read the body, and the first Read of that has the client send it.
type interim struct {
	a *answer

	mu   sync.Mutex
	over bool // the answer itself has begun
}

// pass is called by the transport.
func (i *interim) pass(code int, h textproto.MIMEHeader) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.over || code == http.StatusContinue || !i.a.r.ProtoAtLeast(1, 1) {
		return nil
	}
	out := i.a.Header()
	for name, values := range h {
		out[name] = values
	}
	endToEnd(out)
	i.a.w.WriteHeader(code)
	clear(out)
	return nil
}

// end lets no more pass.
func (i *interim) end() {
	i.mu.Lock()
	i.over = true
	i.mu.Unlock()
}

// pump sends a body on as it arrives.
func (a *answer) pump(body io.Reader) error {
	if a.r.Method == http.MethodHead {
		return nil
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := body.Read(buf)
		if n > 0 {
			if _, err := a.Write(buf[:n]); err != nil {
				return err
			}
			a.Flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// relayFailed answers a request that could not be passed on.
func (s *Server) relayFailed(a *answer, t target, err error) {
	var unreachable *cache.UnreachableError
	var denied *upstream.DeniedError
	var body bodyError
	switch {
	case a.gone():
		a.abort()
	case errors.As(err, &body):
		a.text(http.StatusBadRequest, a.status, "The body of this request can't be read ("+body.Error()+").", "Send it anew.")
	case errors.As(err, &denied):
		s.deny(a, denied)
	case errors.As(err, &unreachable):
		code := http.StatusBadGateway
		if unreachable.TimedOut {
			code = http.StatusGatewayTimeout
		}
		s.retry(a, t.repo)
		a.text(code, a.status, "No route to host: "+t.unasked()+" ("+unreachable.Err.Error()+").",
			"Try again in a minute; if it stays so, see whether this mirror can reach its upstreams.")
	default:
		a.text(http.StatusBadRequest, a.status, "This request can't be passed on ("+err.Error()+").", "Correct its URL or method.")
	}
}

// hop counts Max-Forwards down (RFC 9110, 7.6.2). It answers a request that may
// go no further, and reports whether there is one left to answer.
func (a *answer) hop() bool {
	if a.r.Method != http.MethodOptions && a.r.Method != http.MethodTrace {
		return true
	}
	n, err := strconv.ParseUint(a.r.Header.Get("Max-Forwards"), 10, 32)
	switch {
	case err != nil:
	case n == 0 && a.r.Method == http.MethodTrace:
		a.text(http.StatusMethodNotAllowed, cache.Status{}, "This mirror does not send requests back.", "Raise Max-Forwards.")
		return false
	case n == 0:
		a.Header().Set("Allow", "GET, HEAD, OPTIONS, CONNECT")
		a.decide(http.StatusNoContent, cache.Status{})
		return false
	default:
		a.r.Header.Set("Max-Forwards", strconv.FormatUint(n-1, 10))
	}
	return true
}

// hopByHop are the fields of a connection, not of a message (RFC 9110, 7.6.1).
var hopByHop = []string{
	"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// endToEnd removes the fields that are of one connection: those of the list, and
// those that Connection names.
func endToEnd(h http.Header) {
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			h.Del(textproto.TrimString(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
}

// viaField is our element of Via for a message that came in HTTP major.minor.
func viaField(major, minor int, name string) string {
	version := strconv.Itoa(major)
	if major < 2 {
		version += "." + strconv.Itoa(minor)
	}
	return version + " " + name
}

// forwards puts our name into the answer with a file that a proxy's client gets,
// which we forward wherever it was on its way (RFC 9110, 7.6.3). Which version of
// HTTP it came in nobody remembers.
func (s *Server) forwards(a *answer) {
	if a.elsewhere {
		a.Header().Set("Via", viaField(1, 1, s.via))
	}
}

// hasSeen reports whether a request has come through this server before.
func (s *Server) hasSeen(h http.Header) bool {
	for _, list := range h["Via"] {
		for hop := range strings.SplitSeq(list, ",") {
			if f := strings.Fields(hop); len(f) > 1 && f[1] == s.via {
				return true
			}
		}
	}
	return false
}
