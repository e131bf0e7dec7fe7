package serve

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// firstFreePort is where the ports end that other protocols have for their own.
const firstFreePort = 1024

// forward answers a request for another host, as its client sends it to a proxy.
// What is a repository's file is answered as if it had been asked for here;
// another host's package is stored below that host's name; all else goes to the
// host that is named, and nothing of it is kept.
func (s *Server) forward(a *answer) {
	r := a.r
	scheme := strings.ToLower(r.URL.Scheme)
	host, port, ok := hostPort(r.URL.Host, usualPort(scheme))
	named := hostText(host, port, scheme)
	switch {
	case !s.o.Config.Serve.Proxy:
		a.text(http.StatusForbidden, cache.Status{}, "This mirror is no forward proxy.", s.howToUse())
		return
	case scheme != "http" && scheme != "https":
		a.text(http.StatusNotImplemented, cache.Status{}, "This mirror forwards http and https, nothing else.", s.howToUse())
		return
	case !ok || r.URL.User != nil:
		a.text(http.StatusBadRequest, cache.Status{}, "This URL has no host that can be asked.", "Write it as http://HOST/PATH, without a user in it.")
		return
	case !s.mayForward(named, port):
		s.refuse(a, named, "its port is another protocol's", portsLine(&s.o.Config.Serve, port))
		return
	}
	u := *r.URL
	u.Scheme, u.Host = scheme, named
	if r.Method == http.MethodOptions && u.Path == "" && u.RawQuery == "" {
		u.Opaque = "*" // the server as such is meant (RFC 9112, 3.2.4)
	}
	if t, k, class, ok := s.fileOf(r, &u); ok {
		s.file(a, t, k, class)
		return
	}
	s.relay(a, target{named: &u}, cache.Status{Fwd: "bypass"})
}

// meantElsewhere reports whether a request for a path that is none of ours comes
// from a proxy that takes us for a repository's server, and makes it the request
// that it should have sent. squid 5 does so once for each idle connection to its
// parent that it still has after squid -k reconfigure: it has forgotten whose
// the connection is.
func (s *Server) meantElsewhere(a *answer, path string) bool {
	if len(a.r.Header["Via"]) == 0 || !s.o.Config.Serve.Proxy {
		return false
	}
	host, port, ok := hostPort(a.r.Host, "80")
	if !ok {
		return false
	}
	named := hostText(host, port, "http")
	if _, _, ok = s.claim(named, path); !ok {
		return false
	}
	u := *a.r.URL
	u.Scheme, u.Host = "http", named
	a.r = a.r.WithContext(a.r.Context())
	a.r.URL, a.elsewhere = &u, true
	return true
}

// fileOf is the file that a request for the URL u is answered with from the
// cache; ok is false where it is to be relayed.
func (s *Server) fileOf(r *http.Request, u *url.URL) (t target, k cache.Key, class config.Class, ok bool) {
	// Who shows credentials may be given what others are not.
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header["Authorization"] != nil {
		return t, k, class, false
	}
	if t, k, class, ok = s.keyOf(u); !ok || t.repo != cache.Strangers {
		return t, k, class, ok
	}
	if r.Header["Cookie"] != nil || asks(r.Header, "no-store") {
		return t, k, class, false
	}
	if own, ok := s.shared(r.Context(), u.Host, strings.TrimPrefix(k.Path, u.Host), class); ok {
		return target{repo: own.Repo, rest: own.EscapedPath()}, own, class, true
	}
	return t, k, class, true
}

// keyOf is where the file of a URL is stored; ok is false for what never is.
func (s *Server) keyOf(u *url.URL) (t target, k cache.Key, class config.Class, ok bool) {
	path, clean := cleanPath(u.EscapedPath())
	if !clean || u.RawQuery != "" || u.ForceQuery {
		return t, k, class, false
	}
	var err error
	if t.repo, t.rest, ok = s.claim(u.Host, path); !ok {
		// Two slashes are not one to everybody.
		if strings.Contains(path, "//") || u.Scheme != "http" {
			return t, k, class, false
		}
		t = target{repo: cache.Strangers, rest: u.Host + path, named: u}
	}
	if k, err = cache.NewKey(t.repo, t.rest); err == nil {
		class = s.o.Config.Serve.Classify("/" + k.String())
	}
	return t, k, class, class != config.Other
}

// claim says whose a URL on another host is: by the configuration, or by what
// has been learnt since.
func (s *Server) claim(host, path string) (repo, rest string, ok bool) {
	if repo, rest, ok = s.o.Config.Resolve(host, path); !ok && s.o.Claims != nil {
		repo, rest, ok = s.o.Claims(host, path)
	}
	return repo, rest, ok && s.o.Mirrors(repo) != nil
}

// reposAt is the repositories that are known to be on a host, with its port.
func (s *Server) reposAt(host string) []string {
	if names := s.o.Config.ReposAt(host); len(names) > 0 || s.o.Claims == nil {
		return names
	}
	if repo, _, ok := s.o.Claims(host, ""); ok {
		return []string{repo}
	}
	return nil
}

// mayForward reports whether requests may go to a port: those below 1024 are, but
// for the web's own, of protocols that take a request's lines for theirs.
func (s *Server) mayForward(host string, port int) bool {
	return port == 80 || port == 443 || port >= firstFreePort ||
		slices.Contains(s.o.Config.Serve.ConnectPorts, port) || len(s.reposAt(host)) > 0
}

// usualPort is the port of a scheme's URLs that name none.
func usualPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// hostPort takes a URL's host apart, in lower case and without a root's dot;
// port is what it has where it names none. ok is false for what can't be a host.
func hostPort(authority, port string) (host string, number int, ok bool) {
	u := url.URL{Host: authority}
	host = strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if p := u.Port(); p != "" {
		port = p
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if a, err := netip.ParseAddr(host); err == nil {
		host, ok = a.String(), a.Zone() == ""
	} else {
		ok = host != "" && len(host) <= 253 && strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") == "" &&
			!strings.Contains("."+host+".", "..")
	}
	return host, int(n), ok && err == nil && n > 0
}

// hostText is a host as it stands in a URL of the scheme, without its usual port.
func hostText(host string, port int, scheme string) string {
	number := strconv.Itoa(port)
	text := net.JoinHostPort(host, number)
	if number == usualPort(scheme) {
		return strings.TrimSuffix(text, ":"+number)
	}
	return text
}
