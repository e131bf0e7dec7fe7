package serve

import "net/http"

// invalidate has what is stored of a URL validated before it is served again, once
// a request has been passed on that may have changed what is there, and has not
// failed (RFC 9111, 4.4). Requests to a repository's own upstreams come here too,
// of which nothing is stored.
func (s *Server) invalidate(t target, method string, code int) {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return
	}
	if t.named == nil || code < 200 || code > 399 {
		return
	}
	if _, k, _, ok := s.keyOf(t.named); ok {
		if err := s.o.Cache.Invalidate(k); err != nil {
			s.o.Log.Warn("a stored copy that may be out of date can't be marked", "file", k.String(), "error", err)
		}
	}
}
