package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"intelligentmirror/internal/repodata"
)

const (
	// listMaxAge is after how long a list is looked at again.
	listMaxAge = time.Hour
	// listRetry is how long a list that could not be had is left alone, twice as
	// long after each failure, up to listMaxAge.
	listRetry = 30 * time.Second
	// listTime is how long fetching a list may take in all: it is short.
	listTime = 30 * time.Second
	// listWait is how long a client's request waits for a list that is to say
	// whether what has come is right.
	listWait = 10 * time.Second
	// listTrust is for how long a metalink that can't be read again decides which
	// repomd.xml is right: its server may be out of reach for a day, and the
	// distribution still publish.
	listTrust = 24 * time.Hour
)

// list is the list of one root. A nil *list is of a root that has none.
type list struct {
	lists    *lists
	root     string
	address  string
	metalink bool

	now atomic.Pointer[snapshot] // what it says; nil: not known yet

	mu       sync.Mutex
	under    chan struct{} // closed at the end of the fetch that is under way; nil: none is
	next     time.Time     // not fetched before
	failures int           // since the last success
}

// mirrors is whom the list names, best first.
func (l *list) mirrors() []*mirror {
	if l == nil {
		return nil
	}
	if s := l.now.Load(); s != nil {
		return s.mirrors
	}
	return nil
}

// digests is what the list says of repomd.xml; nil if it says nothing, or did so
// too long ago, or when the clock was wrong by as much.
func (l *list) digests() *snapshot {
	if l == nil {
		return nil
	}
	s := l.now.Load()
	if s == nil || s.Current == nil || l.lists.m.c.o.Now().Sub(s.Fetched).Abs() >= listTrust {
		return nil
	}
	return s
}

// touch begins to fetch the list where it is missing or old.
func (l *list) touch() {
	now := l.lists.m.c.o.Now()
	if s := l.now.Load(); s == nil || now.Sub(s.Fetched) >= listMaxAge || now.Before(s.Fetched) {
		l.start(now.Add(1 - listMaxAge))
	}
}

// start begins to fetch the list, unless it could not be had a moment ago. What
// another process has fetched since a time is as good. The channel is closed at
// the end; nil says that nothing is under way.
func (l *list) start(since time.Time) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.under != nil {
		return l.under
	}
	if l.failures > 0 && l.lists.m.c.o.Now().Before(l.next) {
		return nil
	}
	done := make(chan struct{})
	if !l.lists.m.c.background(func(ctx context.Context) {
		err := l.fetch(ctx, since)
		l.ended(ctx, err)
		close(done)
	}) {
		return nil
	}
	l.under = done
	return done
}

// ended notes the end of a fetch.
func (l *list) ended(ctx context.Context, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.under = nil
	if err == nil {
		l.failures = 0
		return
	}
	if ctx.Err() != nil {
		return
	}
	c := l.lists.m.c
	rest := min(listRetry<<min(l.failures, 8), listMaxAge)
	l.failures++
	l.next = c.o.Now().Add(rest)
	had := "none"
	if s := l.now.Load(); s != nil {
		had = s.Fetched.Format(time.RFC3339)
	}
	c.o.Log.Warn("a list of mirrors can't be had", "repo", l.lists.m.repo.Name, "root", l.root, "error", err,
		"used meanwhile", had, "next try in", rest)
}

func (l *list) busy() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.under != nil
}

// await waits for a list that is not known yet, as long as it is being fetched
// and for d at the most.
func (l *list) await(ctx context.Context, d time.Duration) {
	if l == nil || d <= 0 || l.now.Load() != nil {
		return
	}
	l.mu.Lock()
	under := l.under
	l.mu.Unlock()
	wait(ctx, under, d)
}

// reread asks for the list again, unless that has been done since a time, and
// returns what it now says of repomd.xml.
func (l *list) reread(ctx context.Context, since time.Time) *snapshot {
	if s := l.now.Load(); s != nil && s.Fetched.Before(since) {
		wait(ctx, l.start(since), listWait)
	}
	return l.digests()
}

// wait waits until done is closed, for d at the most; a nil done is none.
func wait(ctx context.Context, done <-chan struct{}, d time.Duration) {
	if done == nil {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// install makes s what the list says.
func (l *list) install(s *snapshot) {
	c := l.lists.m.c
	s.mirrors = nil
	for _, base := range s.Bases[:min(len(s.Bases), maxMirrors)] {
		x := c.mirror(base, l.root)
		x.listed = true
		s.mirrors = append(s.mirrors, x)
	}
	l.now.Store(s)
}

// fetch brings the list up to date: from the disk, where another process has
// put it since a time, or with one conditional request.
func (l *list) fetch(ctx context.Context, since time.Time) error {
	c := l.lists.m.c
	select {
	case c.fetches <- struct{}{}:
		defer func() { <-c.fetches }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s := c.readSaved(l.lists.m.repo.Name, l.root)
	if s != nil && s.URL == l.address && !s.Fetched.Before(since) && !s.Fetched.After(c.o.Now()) {
		l.install(s)
		c.claims.rebuild()
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	s, err := l.ask(ctx, l.now.Load())
	if err != nil {
		return fmt.Errorf("fetch %s: %w", l.address, err)
	}
	l.install(s)
	c.claims.rebuild()
	c.save(s)
	return nil
}

// ask asks the list's server, with a condition where had is known.
func (l *list) ask(ctx context.Context, had *snapshot) (*snapshot, error) {
	m := l.lists.m
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, l.address, nil)
	if err != nil {
		return nil, err
	}
	m.c.introduce(req)
	if had != nil && had.ETag != "" {
		req.Header.Set("If-None-Match", had.ETag)
	}
	if had != nil && had.LastModified != "" {
		req.Header.Set("If-Modified-Since", had.LastModified)
	}
	client := *m.route.fetch
	client.CheckRedirect = noDowngrade
	asked := m.c.o.Now()
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusNotModified && had != nil:
		s := *had
		s.Fetched = asked
		return &s, nil
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %w", resp.Status, errAnswer)
	case encoded(resp.Header):
		return nil, fmt.Errorf("encoded as %s, which nobody asked for: %w", resp.Header.Get("Content-Encoding"), errAnswer)
	}
	s := &snapshot{
		Repo: m.repo.Name, Root: l.root, URL: l.address, Fetched: asked,
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
	}
	if err := l.parse(resp.Body, s); err != nil {
		return nil, err
	}
	return s, nil
}

// parse reads the list's document into s.
func (l *list) parse(body io.Reader, s *snapshot) error {
	if !l.metalink {
		urls, err := repodata.ParseMirrorlist(body)
		if err != nil {
			return err
		}
		if s.Bases = order(urls); len(s.Bases) == 0 {
			return fmt.Errorf("it names no mirror with https or http: %w", errAnswer)
		}
		return nil
	}
	doc, err := repodata.ParseMetalink(body)
	if err != nil {
		return err
	}
	s.describe(doc)
	if len(s.Bases) == 0 && s.Current == nil {
		return fmt.Errorf("it names no mirror with https or http, and no digest: %w", errAnswer)
	}
	return nil
}

// noDowngrade follows redirects, but none from https to http: what a metalink
// says is believed.
func noDowngrade(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if via[len(via)-1].URL.Scheme == "https" && req.URL.Scheme != "https" {
		return fmt.Errorf("a redirect from https to %s", req.URL)
	}
	req.Header.Del("Referer")
	return nil
}
