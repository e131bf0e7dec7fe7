package serve

import (
	"net/http"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// asks reports whether a request's Cache-Control has a directive. Those that name
// ages are not heeded, this mirror's administrator says how old a copy may be, but for
// asksStale's, where upstream is not to be asked at all.
func asks(h http.Header, directive string) bool {
	for _, list := range h["Cache-Control"] {
		for d := range strings.SplitSeq(list, ",") {
			name, _, _ := strings.Cut(d, "=")
			if strings.EqualFold(strings.Trim(name, " \t"), directive) {
				return true
			}
		}
	}
	return false
}

// asksStale reports whether a request accepts a copy of any age (RFC 9111, 5.2.1.2).
func asksStale(h http.Header) bool {
	for _, list := range h["Cache-Control"] {
		for d := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.Trim(d, " \t"), "max-stale") {
				return true
			}
		}
	}
	return false
}

// stored answers a request that upstream is not to be asked for, as siblings in a
// hierarchy of caches make it: with the stored copy, if that is fresh or they say that
// they will see to that.
func (s *Server) stored(a *answer, t target, k cache.Key, class config.Class) {
	a.sibling = true
	o, fresh, err := s.o.Cache.Stored(k)
	if err != nil || !fresh && !asksStale(a.r.Header) {
		if err == nil {
			o.Close()
		}
		a.storedOnly()
		return
	}
	defer o.Close()
	o.Status = cache.Status{Hit: true}
	if err := s.give(a, o, class); err != nil {
		s.broken(a, t, err)
	}
}

// storedOnly refuses a request that would have to be forwarded and says that it
// is not to be (RFC 9111, 5.2.1.7), and reports whether it is one.
func (a *answer) storedOnly() bool {
	if !asks(a.r.Header, "only-if-cached") {
		return false
	}
	a.text(http.StatusGatewayTimeout, cache.Status{Detail: "only-if-cached"},
		"No fresh copy of this is stored here, and only-if-cached says not to ask for one.", "Ask without it.")
	return true
}
