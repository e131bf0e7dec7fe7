package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
)

// Repo says where the files of one repository come from.
type Repo struct {
	Name      string
	Upstreams []string // URLs without the last slash, best first; at least one
	// Metalink and Mirrorlist find the list of a file's root; where both know the
	// root the metalink counts. Nil knows none.
	Metalink, Mirrorlist Find
	// ListsFirst says that the mirrors of the lists are asked before Upstreams.
	ListsFirst bool
	// Paths are the paths that mirrors commonly have the repository at, each with
	// its slash first: they are claimed on the hosts that the lists name.
	Paths []string
	// Proxy is what all is reached by; nil is as the environment says.
	Proxy *url.URL
	// First are URLs of the site's own that are asked before all others: caches that
	// have the repository too.
	First []string
	// Copies says that Upstreams are another cache of the site's, which tells with each
	// file what it knows of it (cache.HeadField).
	Copies bool
	// Siblings are other caches of the site that have the repository: its URL there,
	// without the last slash. They are asked first, for what they have stored.
	Siblings []string
	// Bucket is the object store that is asked behind the siblings; nil is none.
	Bucket Bucket
	// Mutable says, by its path below the repository, that a file may change under its
	// name, so that siblings and the bucket are asked for it only where its digest is
	// promised; nil says so of all.
	Mutable func(path string) bool
	// Vet is asked before an entry file (repomd.xml, InRelease) is taken; nil is not.
	Vet Vetter
}

// Find is the root of a file, by its path below the repository, and the address
// of the root's list. It is called for each request to upstream.
type Find func(path string) (root, address string, ok bool)

// Vetter says which entry file may follow the one that is held. It is safe for
// concurrent use.
type Vetter interface {
	// Vet returns an error that says why body must not become k's; current says that
	// the metalink names it as the current one. The error wraps ErrLags where the
	// mirror is behind, ErrPassedOver where another one is looked for, ErrExpired
	// where that is all that is wrong.
	Vet(k cache.Key, body []byte, current bool) error
	// Confirm says that a mirror still has the one that is held of k. The error,
	// which wraps ErrExpired or ErrPassedOver, says that others should be asked for
	// another one.
	Confirm(k cache.Key) error
}

// Mirrors is the places that one repository's files come from. It is a
// cache.Source, safe for concurrent use.
type Mirrors struct {
	c     *Client
	repo  Repo
	route *route
	first []*mirror // of Repo.First
	list  []*mirror // of Repo.Upstreams
	named []*mirror // both, in this order
	lists *lists    // nil: there are none
	near  []*neighbour
	// heed says that what is not shareable is not stored: nobody has configured
	// this host, so that nobody knows that it has packages alone.
	heed bool
}

// Mirrors returns the mirrors of the repository name that has no lists; bases
// are URLs without the last slash.
func (c *Client) Mirrors(name string, bases []string) *Mirrors {
	return c.Repo(Repo{Name: name, Upstreams: bases})
}

// Repo returns the mirrors of a repository. What is on the disk of its lists is
// read; no request is made before a file is asked for.
func (c *Client) Repo(r Repo) *Mirrors {
	m := &Mirrors{c: c, repo: r, route: c.route(r.Proxy)}
	for _, b := range r.First {
		m.first = append(m.first, c.mirror(b, ""))
	}
	for _, b := range r.Upstreams {
		m.list = append(m.list, c.mirror(b, ""))
	}
	m.named = slices.Concat(m.first, m.list)
	for _, b := range r.Siblings {
		m.near = append(m.near, m.sibling(b))
	}
	if r.Bucket != nil {
		m.near = append(m.near, m.bucket(r.Bucket))
	}
	if r.Metalink != nil || r.Mirrorlist != nil {
		m.lists = newLists(m)
		c.claims.add(r, m.lists)
	}
	return m
}

// mirror is a place that has the files of a repository, or of one root of it.
type mirror struct {
	base string // URL of the root, or of the repository's top
	root string // escaped, with a slash behind it; "" where base is the repository's
	// listed says that a list named it, and not the configuration.
	listed bool
	*host
}

func (c *Client) mirror(base, root string) *mirror {
	base = strings.TrimRight(base, "/")
	if root != "" {
		root = cache.Key{Path: root}.EscapedPath() + "/"
	}
	return &mirror{base: base, root: root, host: c.host(base)}
}

// url is where a mirror has the file k.
func (m *mirror) url(k cache.Key) string {
	return m.base + "/" + strings.TrimPrefix(k.EscapedPath(), m.root)
}

// places is everyone who may have the file k, in the order of preference.
func (m *Mirrors) places(k cache.Key) []*mirror {
	if m.lists == nil {
		return m.named
	}
	var listed []*mirror
	for _, x := range m.lists.of(k.Path).mirrors() {
		// One place has one word in whether a file is gone.
		if !slices.ContainsFunc(m.list, func(y *mirror) bool { return samePlace(x.url(k), y.url(k)) }) {
			listed = append(listed, x)
		}
	}
	if m.repo.ListsFirst {
		return slices.Concat(m.first, listed, m.list)
	}
	return slices.Concat(m.first, m.list, listed)
}

// Meet begins to fetch the list of the root that the file at path is of, where it
// is missing or old, as a request for the file would. It does not wait.
func (m *Mirrors) Meet(path string) {
	if m.lists != nil {
		m.lists.of(path)
	}
}

// samePlace reports whether two addresses differ by http and https alone.
func samePlace(a, b string) bool {
	_, a, _ = strings.Cut(a, "://")
	_, b, _ = strings.Cut(b, "://")
	return a == b
}

// candidates is those of the places who are asked while a client waits, in
// order: who is well, who fails quickly, so that one that comes back is noticed
// at once, and who may be back.
func (m *Mirrors) candidates(places []*mirror) []*mirror {
	now := m.c.o.Now()
	var by [resting][]*mirror
	for _, x := range places {
		if h := x.health(now); h < resting {
			by[h] = append(by[h], x)
		}
	}
	return slices.Concat(by[:]...)
}

// everyone is candidates and, behind them, those that rest: where no client
// waits, a mirror that may be down is better than none.
func (m *Mirrors) everyone(places []*mirror) []*mirror {
	list := m.candidates(places)
	for _, x := range places {
		if !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	return list
}

// wake probes those of the candidates that may be back, if others can be asked
// for the file k meanwhile.
func (m *Mirrors) wake(candidates []*mirror, k cache.Key) {
	now := m.c.o.Now()
	if len(candidates) == 0 || candidates[0].health(now) != well {
		return
	}
	for _, x := range candidates {
		if x.health(now) == due {
			m.probe(x, k, m.answers)
		}
	}
}

// Relay sends a request that is none of the cache's business to the first of
// the configured mirrors that answers, and returns its response as it is. Of r
// its method, header, body with its length, trailers and Close count; target is
// what stands behind the mirror's base: a path, still escaped, without its first
// slash, and perhaps a query. A request with a body is tried once.
func (m *Mirrors) Relay(ctx context.Context, r *http.Request, target string) (*http.Response, error) {
	err := fmt.Errorf("all mirrors of %s rest after failures", m.repo.Name)
	late := false
	for _, x := range m.candidates(m.named) {
		req, rerr := http.NewRequestWithContext(ctx, r.Method, x.base+"/"+target, r.Body)
		if rerr != nil {
			return nil, rerr
		}
		// The trailers are filled in while the body is read.
		req.ContentLength, req.Trailer, req.Close = r.ContentLength, r.Trailer, r.Close
		req.Header = r.Header.Clone()
		start := m.c.o.Now()
		var resp *http.Response
		if resp, err = m.route.relay.RoundTrip(req); err == nil {
			x.worked()
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		x.failed(m.c.o.Now(), m.c.o.Now().Sub(start))
		late = late || timedOut(err)
		if r.Body != nil && r.Body != http.NoBody {
			break
		}
	}
	return nil, &cache.UnreachableError{Err: err, TimedOut: late}
}
