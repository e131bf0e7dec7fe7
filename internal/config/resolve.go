package config

import (
	"net/url"
	"slices"
	"strings"
)

// prefixes are the beginnings of URLs by which repositories are known.
type prefixes struct {
	local []prefix            // of paths on this mirror, or in another mirror's own log
	hosts map[string][]prefix // by host
	wild  []prefix            // of hosts that are patterns

	upstreams map[string]bool     // hosts that files are fetched from
	lists     map[string][]string // hosts of metalinks and lists of mirrors: the repositories', in c's order
}

// prefix is the path that a repository's URLs begin with, without a slash at
// its end; "" is all of a host.
type prefix struct {
	repo string
	path string
	host string // in prefixes.wild: labels, of which some are "*"
}

// newPrefixes gathers the prefixes of c's repositories. Each list has its
// longest path first, and of equal ones the repository that comes first in c:
// the administrator's before the built-in.
func newPrefixes(c *Config) *prefixes {
	p := &prefixes{hosts: make(map[string][]prefix), upstreams: make(map[string]bool), lists: make(map[string][]string)}
	for i := range c.Repos {
		r := &c.Repos[i]
		p.local = append(p.local, prefix{repo: r.Name, path: "/" + r.Name})
		for _, path := range r.AliasPaths {
			p.local = append(p.local, prefix{repo: r.Name, path: path})
		}
		known := make(map[string]bool)
		for _, upstream := range r.Upstreams {
			known[p.addURL(r.Name, upstream)] = true
		}
		for host := range known {
			p.upstreams[host] = true
			for _, path := range r.AliasPaths {
				p.hosts[host] = append(p.hosts[host], prefix{repo: r.Name, path: path})
			}
		}
		for _, alias := range r.Aliases {
			p.addURL(r.Name, alias)
		}
		for _, t := range [...]Template{r.Metalink, r.Mirrorlist} {
			t.hosts(func(host string) {
				host = canonicalHost(host)
				if !slices.Contains(p.lists[host], r.Name) {
					p.lists[host] = append(p.lists[host], r.Name)
				}
			})
		}
	}
	longest := func(a, b prefix) int { return len(b.path) - len(a.path) }
	slices.SortStableFunc(p.local, longest)
	slices.SortStableFunc(p.wild, longest)
	for _, list := range p.hosts {
		slices.SortStableFunc(list, longest)
	}
	return p
}

// addURL adds the prefix that a URL is, and returns its host.
func (p *prefixes) addURL(repo, address string) (host string) {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	host = canonicalHost(u.Host)
	one := prefix{repo: repo, path: strings.TrimRight(u.EscapedPath(), "/"), host: host}
	if strings.Contains(host, "*") {
		p.wild = append(p.wild, one)
	} else {
		p.hosts[host] = append(p.hosts[host], one)
	}
	return host
}

// canonicalHost is a URL's host in lower case, without the ports that http and
// https have anyway and without a root's dot.
func canonicalHost(host string) string {
	host = strings.ToLower(host)
	for _, port := range [...]string{":80", ":443"} {
		if h, ok := strings.CutSuffix(host, port); ok {
			host = h
			break
		}
	}
	return strings.TrimSuffix(host, ".")
}

// Resolve says which repository a URL belongs to, and what its path is there.
//
// With host "" the path is one on this mirror, or comes from another mirror's
// own log: it begins with a repository's name ("/fedora/updates/..." is fedora,
// "updates/...") or with one of the alias paths ("/pub/fedora/linux/updates/..."
// is the same). With a host, which may have a port, only prefixes on that host
// count: upstreams, aliases, and the alias paths of the repositories that have
// an upstream there; http and https are one. The longest prefix wins.
//
// path is escaped, as it was sent, and so is rest, which has no leading slash
// and is "" for the repository's top.
func (c *Config) Resolve(host, path string) (repo, rest string, ok bool) {
	if c.prefixes == nil || !strings.HasPrefix(path, "/") {
		return "", "", false
	}
	path = path[len(path)-len(strings.TrimLeft(path, "/"))-1:] // one slash of several
	if host == "" {
		return split(c.prefixes.local, path, nil)
	}
	host = canonicalHost(host)
	repo, rest, ok = split(c.prefixes.hosts[host], path, nil)
	if r, s, found := split(c.prefixes.wild, path, func(p prefix) bool { return matchHost(p.host, host) }); found {
		// A longer prefix leaves a shorter rest.
		if !ok || len(s) < len(rest) {
			return r, s, true
		}
	}
	return repo, rest, ok
}

// split takes the first of the prefixes that path begins with off it; where is
// nil or says which prefixes count.
func split(list []prefix, path string, where func(prefix) bool) (repo, rest string, ok bool) {
	for _, p := range list {
		below, ok := strings.CutPrefix(path, p.path)
		if !ok || below != "" && below[0] != '/' || where != nil && !where(p) {
			continue
		}
		return p.repo, strings.TrimLeft(below, "/"), true
	}
	return "", "", false
}

// matchHost matches a host with a pattern, of whose labels "*" is any.
func matchHost(pattern, host string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		h, restH, moreH := strings.Cut(host, ".")
		if p != h && (p != "*" || h == "") || moreP != moreH {
			return false
		}
		if !moreP {
			return true
		}
		pattern, host = restP, restH
	}
}
