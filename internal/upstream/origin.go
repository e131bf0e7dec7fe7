package upstream

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

// Origin is another imserve, whose cache is copied. It is safe for concurrent use.
type Origin struct {
	c     *Client
	base  string
	pages *http.Client
	route *route // to its files

	mu    sync.Mutex
	files map[string]cache.Source
}

// pageIdle is how long a page may stand still: a server that lists a million files
// reads a disk that others use too.
const pageIdle = 2 * time.Minute

// Origin is the imserve at base, a URL without the last slash. No proxy is asked on
// the way, since a request that came by one is no administrator's.
func (c *Client) Origin(base string) *Origin {
	t := c.transport(nil, 0)
	files := c.route(nil)
	fetch := *files.fetch
	fetch.CheckRedirect = sameHost
	return &Origin{
		c: c, base: base, files: map[string]cache.Source{},
		pages: &http.Client{Transport: &watchdog{next: t, idle: pageIdle}, CheckRedirect: sameHost},
		route: &route{fetch: &fetch, relay: files.relay},
	}
}

// sameHost is redirect for a server that was named as the one to be asked: what it has
// lies there, whatever its port, and one that means no good leads this machine to no
// other, where it may be believed for its address.
func sameHost(req *http.Request, via []*http.Request) error {
	was, now := via[0].URL, req.URL
	if now.Hostname() != was.Hostname() || now.Scheme != was.Scheme && now.Scheme != "https" {
		return fmt.Errorf("it redirects to %s, where it is not followed: name that one instead if it is the imserve that is meant", now.Redacted())
	}
	return redirect(req, via)
}

// Files is the files that the other cache has in a directory at its top: a
// repository's, or its own. What it knows of them comes with them.
func (o *Origin) Files(dir string) cache.Source {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.files[dir] == nil {
		base := o.base + "/-/stored/" + url.PathEscape(dir)
		m := o.c.Repo(Repo{Name: dir, Upstreams: []string{base}, Copies: true})
		m.route = o.route
		o.files[dir] = m.Grab()
	}
	return o.files[dir]
}

// Page asks for one of the server's own pages, "/-/manifest?digests", with these
// header fields. The caller closes the body. An answer that is neither 200 nor 304
// is an error that says what to do, and so is one that nobody asked for.
func (o *Origin) Page(ctx context.Context, page string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.base+page, nil)
	if err != nil {
		return nil, err
	}
	o.c.introduce(req)
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := o.pages.Do(req)
	if err != nil {
		return nil, &cache.UnreachableError{Err: err, TimedOut: timedOut(err)}
	}
	if err = o.refused(page, req, resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// refused is why resp is no answer to a request for a page.
func (o *Origin) refused(page string, req *http.Request, resp *http.Response) error {
	err := fmt.Errorf("GET %s%s: %s", o.base, page, resp.Status)
	switch resp.StatusCode {
	case http.StatusOK:
		if encoded(resp.Header) {
			return fmt.Errorf("%w, encoded as %q, which nobody asked for: is there a proxy in between?", err, resp.Header.Get("Content-Encoding"))
		}
		return nil
	case http.StatusNotModified:
		if req.Header.Get("If-None-Match") == "" {
			return fmt.Errorf("%w, though nothing was here to be compared: is it an imserve?", err)
		}
		return nil
	case http.StatusForbidden:
		return fmt.Errorf("%w: this machine's address has to stand in serve.admins there", err)
	case http.StatusNotFound:
		return fmt.Errorf("%w: is it an imserve, and one that can be copied?", err)
	}
	return err
}

// Close closes the connections for pages.
func (o *Origin) Close() { o.pages.CloseIdleConnections() }

// head is what an answer's header says of a file that is kept of it: of a mirror what
// it says of its own, of a cache that is copied what that was told.
func (m *Mirrors) head(a *http.Response) cache.Head {
	h := cache.Head{URL: a.Request.URL.String(), ETag: a.Header.Get("ETag"), LastModified: a.Header.Get("Last-Modified")}
	if !m.repo.Copies {
		return h
	}
	var kept cache.Head
	if text := a.Header.Get(cache.HeadField); text == "" || json.NewDecoder(strings.NewReader(text)).Decode(&kept) != nil {
		return h
	}
	return kept
}
