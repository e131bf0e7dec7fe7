package serve

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// target is what a request asks a repository, or another host, for.
type target struct {
	repo string
	rest string // the path there, still escaped, without its first slash; of strangers it begins with the host
	// named is the URL that a request for another host has, where that host is
	// the one to be asked; nil leaves it to the repository's upstreams.
	named *url.URL
}

// unasked says that nobody could be asked for t.
func (t target) unasked() string {
	if t.named != nil {
		return t.named.Host + " can't be asked"
	}
	return "no upstream of " + t.repo + " can be asked"
}

// String is what t is called in logs and answers.
func (t target) String() string {
	if t.named != nil {
		return t.named.Redacted()
	}
	return t.repo + "/" + t.rest
}

// route decides what a request is.
func (s *Server) route(a *answer) {
	r := a.r
	if !s.mayAsk(a.client) {
		if a.client.addr.IsValid() {
			s.refusals.client(a.client.addr, &s.o.Config.Serve)
		}
		a.text(http.StatusForbidden, cache.Status{}, "Forbidden")
		return
	}
	switch {
	case s.hasSeen(r.Header):
		a.text(http.StatusLoopDetected, cache.Status{}, "This request has come through this mirror before.",
			"An upstream of a repository, or another proxy, leads back to this mirror: correct its configuration.")
		return
	case a.astray:
		a.text(http.StatusMisdirectedRequest, cache.Status{}, "This connection leads to one host, and this request to another.", "Open another connection.")
		return
	case r.Method == http.MethodConnect:
		s.connect(a)
		return
	case r.RequestURI == "*":
		a.Header().Set("Allow", "GET, HEAD, OPTIONS, CONNECT")
		a.decide(http.StatusNoContent, cache.Status{})
		return
	case a.elsewhere:
		s.forward(a)
		return
	}
	asked := r.URL.EscapedPath()
	if asked == "" {
		asked = "/" // of an absolute-form URL
	}
	path, ok := cleanPath(asked)
	if !ok {
		a.text(http.StatusBadRequest, cache.Status{}, "The path of this URL leads out of itself.", "Leave out what is written as %2F.. in it.")
		return
	}
	switch {
	case isInternal(path):
		s.internal(a, path)
		return
	case path == "/":
		s.index(a)
		return
	case path == "/robots.txt":
		s.robots(a)
		return
	}
	t := target{}
	if t.repo, t.rest, ok = s.o.Config.Resolve("", path); !ok || s.o.Mirrors(t.repo) == nil {
		if s.meantElsewhere(a, path) {
			s.forward(a)
			return
		}
		a.text(http.StatusNotFound, cache.Status{}, "Not found: no repository of this mirror has this path.", s.repos())
		return
	}
	if t.rest == "" && !strings.HasSuffix(path, "/") {
		// So that relative links of an index lead to the right place.
		// One slash at its beginning: two would name a host.
		path = "/" + strings.TrimLeft(path, "/") + "/"
		a.Header().Set("Location", path)
		a.text(http.StatusMovedPermanently, cache.Status{}, "It is at "+path)
		return
	}
	if r.URL.RawQuery == "" {
		if k, err := cache.NewKey(t.repo, t.rest); err == nil {
			if class := s.o.Config.Serve.Classify("/" + k.String()); class != config.Other {
				s.file(a, t, k, class)
				return
			}
		}
	}
	if wantsListing(r) && s.listing(a, t) {
		return
	}
	s.relay(a, t, cache.Status{Fwd: "bypass"})
}

// mayAsk reports whether c is one of the clients, or of the administrators, who
// have to be able to look.
func (s *Server) mayAsk(c client) bool {
	return s.o.Config.Serve.Clients.Contains(c.addr) || isAdmin(c, s.o.Config.Serve.Admins)
}

// isOwn reports whether the host of an absolute-form URL is this server, as a
// client writes it that has the mirror for a proxy by mistake.
func (s *Server) isOwn(r *http.Request) bool {
	local, err := netip.ParseAddrPort(localAddr(r))
	if err != nil || !strings.EqualFold(r.URL.Scheme, "http") {
		return false
	}
	port := r.URL.Port()
	if port == "" {
		port = "80"
	}
	if _, ours, err := net.SplitHostPort(local.String()); err != nil || ours != port {
		return false
	}
	host := r.URL.Hostname()
	if a, err := netip.ParseAddr(host); err == nil {
		return plain(a) == plain(local.Addr())
	}
	return strings.EqualFold(host, "localhost") && plain(local.Addr()).IsLoopback() ||
		host != "" && strings.EqualFold(host, s.o.Hostname)
}

// localAddr is the address of our end of the connection, "" if nobody knows.
func localAddr(r *http.Request) string {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		return a.String()
	}
	return ""
}

// isInternal reports whether path, of a URL, is a page of the server's own.
func isInternal(path string) bool { return path == "/-" || strings.HasPrefix(path, "/-/") }

// cleanPath resolves the dot segments of an escaped path as RFC 3986, 5.2.4,
// has it, escaped dots included, and leaves all else as it is. ok is false for a
// path that is none, or that would have more dot segments once its slashes are
// unescaped, as some servers do.
func cleanPath(path string) (clean string, ok bool) {
	if !strings.HasPrefix(path, "/") {
		return "", false
	}
	var kept []string
	segments := strings.Split(path[1:], "/")
	for i, segment := range segments {
		last := i == len(segments)-1
		switch unescapeDots(segment) {
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
			fallthrough
		case ".":
			if last {
				kept = append(kept, "")
			}
		default:
			kept = append(kept, segment)
		}
	}
	clean = "/" + strings.Join(kept, "/")
	plain, err := url.PathUnescape(clean)
	if err != nil {
		return "", false
	}
	for segment := range strings.SplitSeq(plain, "/") {
		if segment == ".." {
			return "", false
		}
	}
	return clean, true
}

// unescapeDots is a segment with its dots written as dots.
func unescapeDots(segment string) string {
	if !strings.Contains(segment, "%") {
		return segment
	}
	return strings.ReplaceAll(strings.ReplaceAll(segment, "%2e", "."), "%2E", ".")
}

// index greets who looks at the mirror's address with a browser.
func (s *Server) index(a *answer) {
	if !a.readOnly() {
		return
	}
	a.text(http.StatusOK, cache.Status{}, "This is an IntelligentMirror.", s.repos(), s.howToUse())
}

// repos names the repositories that there are.
func (s *Server) repos() string {
	var b strings.Builder
	b.WriteString("Repositories:")
	for _, r := range s.o.Config.Repos {
		b.WriteString(" /" + r.Name + "/")
	}
	return b.String()
}

// howToUse says what to write into a client's configuration.
func (s *Server) howToUse() string {
	example := "fedora"
	if len(s.o.Config.Repos) > 0 {
		example = s.o.Config.Repos[0].Name
	}
	return "In a client's repository configuration put this mirror's address and a repository's name in place of the upstream's: baseurl=http://HOST:PORT/" +
		example + "/..., without proxy= and metalink=." + s.howToProxy()
}

// howToProxy is the other way, where there is one.
func (s *Server) howToProxy() string {
	if !s.o.Config.Serve.Proxy {
		return ""
	}
	return " Or leave baseurl= as it is, with http://, and add proxy=http://HOST:PORT."
}
