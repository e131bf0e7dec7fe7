package serve

import (
	"net/http"
	"strconv"
	"time"
)

// retryAfter is when a client may try again for which nothing better is known.
const retryAfter = 10 * time.Second

// mayBeBetterSoon reports whether an answer with this status code is one to the
// moment, and not to the request.
func mayBeBetterSoon(code int) bool {
	return code == http.StatusBadGateway || code == http.StatusServiceUnavailable || code == http.StatusGatewayTimeout
}

// retry says in Retry-After when a mirror of repo is asked again, if that is
// known: until then the answer is the same.
func (s *Server) retry(a *answer, repo string) {
	m := s.o.Mirrors(repo)
	if m == nil {
		return
	}
	if rest := m.Health().Rest; rest > 0 {
		seconds := (rest + time.Second - 1) / time.Second
		a.Header().Set("Retry-After", strconv.FormatInt(int64(seconds), 10))
	}
}
