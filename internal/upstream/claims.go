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
	index atomic.Pointer[Claims]
}

// claimant is a repository with lists.
type claimant struct {
	repo  Repo
	lists *lists
}

// Claims says by host which of its files are a repository's, the longest path
// first. It does not change once it is made.
type Claims map[string][]Claim

// Claim says that what is below a path of a host is below Rest in a repository.
// Both are escaped, without slashes at their ends.
type Claim struct {
	Path string `json:"path"`
	Repo string `json:"repo"`
	Rest string `json:"rest"`
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
	index := Claims{}
	for _, r := range c.repos {
		known := map[string]bool{}
		r.lists.bases(func(root, base string) {
			u, err := url.Parse(base)
			if err != nil {
				return
			}
			host := canonicalHost(u.Host)
			add := func(path, rest string) { index[host] = append(index[host], Claim{path, r.repo.Name, rest}) }
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
		slices.SortStableFunc(list, func(a, b Claim) int { return len(b.Path) - len(a.Path) })
	}
	c.index.Store(&index)
}

// Claims is what the lists say that somebody has had a use for.
func (c *Client) Claims() Claims {
	if index := c.claims.index.Load(); index != nil {
		return *index
	}
	return nil
}

// Find says which repository a URL belongs to because one of its lists names
// the host, and what its path is there: a root's files at the address that the
// list has for the root, and on each such host what is below the paths that
// mirrors commonly have the repository at. host may have a port; path is
// escaped, as it was sent, and so is rest, which has no leading slash. With the path
// "" it says whether the host has any of a repository's files, and rest is "".
func (c Claims) Find(host, path string) (repo, rest string, ok bool) {
	for _, x := range c[canonicalHost(host)] {
		if path == "" {
			return x.Repo, "", true
		}
		below, ok := strings.CutPrefix(path, x.Path)
		if !ok || below != "" && below[0] != '/' {
			continue
		}
		if below = strings.TrimLeft(below, "/"); x.Rest != "" && below != "" {
			return x.Repo, x.Rest + "/" + below, true
		}
		return x.Repo, x.Rest + below, true
	}
	return "", "", false
}
