package serve

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"

	"intelligentmirror/internal/cache"
)

// relay passes the request for t on to its repository's upstream, and the answer
// back as it is, while it arrives. Nothing of it is stored.
func (s *Server) relay(a *answer, t target, status cache.Status) {
	r := a.r
	a.status = status
	h := r.Header.Clone()
	endToEnd(h)
	// Whom we know to ask us is nobody's business upstream.
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Forwarded"} {
		h.Del(name)
	}
	h.Add("Via", viaField(r.ProtoMajor, r.ProtoMinor, s.via))
	if len(h["User-Agent"]) == 0 {
		h.Set("User-Agent", "") // or the library's own would be added
	}
	where := t.rest
	if r.URL.RawQuery != "" {
		where += "?" + r.URL.RawQuery
	}
	req := &http.Request{Method: r.Method, Header: h}
	if r.ContentLength != 0 {
		req.Body, req.ContentLength, req.Trailer = r.Body, r.ContentLength, r.Trailer
	}
	resp, err := s.o.Mirrors(t.repo).Relay(r.Context(), req, where)
	if err != nil {
		s.relayFailed(a, t, err)
		return
	}
	defer resp.Body.Close()
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
	if err := a.pump(resp.Body); err != nil {
		if !a.gone() {
			s.o.Log.Info("a relayed answer was broken off", "repo", t.repo, "path", t.rest, "error", err)
		}
		a.abort()
	}
	for name, values := range resp.Trailer {
		if !announced[name] {
			name = http.TrailerPrefix + name
		}
		out[name] = values
	}
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
	switch {
	case a.gone():
		a.abort()
	case errors.As(err, &unreachable):
		code := http.StatusBadGateway
		if unreachable.TimedOut {
			code = http.StatusGatewayTimeout
		}
		s.retry(a, t.repo)
		a.text(code, a.status, "No route to host: no upstream of "+t.repo+" can be asked ("+unreachable.Err.Error()+").",
			"Try again in a minute; if it stays so, see whether this mirror can reach its upstreams.")
	default:
		a.text(http.StatusBadRequest, a.status, "This request can't be passed on ("+err.Error()+").", "Correct its URL or method.")
	}
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
