package upstream

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"intelligentmirror/internal/cache"
)

// claims is which URLs are a repository's files, because a list names their
// host. It is safe for concurrent use.
type claims struct {
	mu    sync.Mutex
	repos []claimant
	index atomic.Pointer[map[string][]claim] // by host, the longest path first
}

// claimant is a repository with lists.
type claimant struct {
	repo  Repo
	lists *lists
}

// claim says that what is below a path of a host is below rest in a repository.
type claim struct {
	path, repo, rest string // escaped, without slashes at their ends
}

// add adds a repository, and what its saved lists name.
func (c *claims) add(r Repo, ls *lists) {
	c.mu.Lock()
	// Configured anew, it has other lists.
	c.repos = slices.DeleteFunc(c.repos, func(x claimant) bool { return x.repo.Name == r.Name })
	c.repos = append(c.repos, claimant{r, ls})
	c.mu.Unlock()
	c.rebuild()
}

// rebuild takes in what has changed in the lists.
func (c *claims) rebuild() {
	c.mu.Lock()
	defer c.mu.Unlock()
	index := map[string][]claim{}
	for _, r := range c.repos {
		known := map[string]bool{}
		r.lists.bases(func(root, base string) {
			u, err := url.Parse(base)
			if err != nil {
				return
			}
			host := canonicalHost(u.Host)
			add := func(path, rest string) { index[host] = append(index[host], claim{path, r.repo.Name, rest}) }
			add(strings.TrimRight(u.EscapedPath(), "/"), cache.Key{Path: root}.EscapedPath())
			if !known[host] {
				known[host] = true
				for _, p := range r.repo.Paths {
					add(p, "")
				}
			}
		})
	}
	for _, list := range index {
		slices.SortStableFunc(list, func(a, b claim) int { return len(b.path) - len(a.path) })
	}
	c.index.Store(&index)
}

// Claims says which repository a URL belongs to because one of its lists names
// the host, and what its path is there: a root's files at the address that the
// list has for the root, and on each such host what is below the paths that
// mirrors commonly have the repository at. host may have a port; path is
// escaped, as it was sent, and so is rest, which has no leading slash. It
// answers from memory, by the lists that somebody has had a use for. With the path
// "" it says whether the host has any of a repository's files, and rest is "".
func (c *Client) Claims(host, path string) (repo, rest string, ok bool) {
	index := c.claims.index.Load()
	if index == nil {
		return "", "", false
	}
	for _, x := range (*index)[canonicalHost(host)] {
		if path == "" {
			return x.repo, "", true
		}
		below, ok := strings.CutPrefix(path, x.path)
		if !ok || below != "" && below[0] != '/' {
			continue
		}
		if below = strings.TrimLeft(below, "/"); x.rest != "" && below != "" {
			return x.repo, x.rest + "/" + below, true
		}
		return x.repo, x.rest + below, true
	}
	return "", "", false
}
