package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"time"

	"github.com/cavaliergopher/grab/v3"

	"intelligentmirror/internal/cache"
)

// pollEvery is how often followers are told how far grab has come.
const pollEvery = 50 * time.Millisecond

// copySize is how many bytes grab reads at a time, at the most.
const copySize = 64 << 10

// Grab is the mirrors as the agent asks them: files whose digest is promised are
// downloaded with grab, which resumes what a killed run has left. Files without
// a promise come as Fetch brings them, since grab's resume is blind.
func (m *Mirrors) Grab() cache.Source { return grabber{m} }

type grabber struct{ m *Mirrors }

// Fetch implements cache.Source.
func (g grabber) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	if !r.Want.Known() || r.Want.Size == 0 {
		return g.m.each(ctx, r, p, way{try: g.m.tryOn(g.m.c.o.Now()), agent: true})
	}
	return g.m.each(ctx, r, p, way{try: g.try, agent: true})
}

// try asks one mirror once. grab keeps no state beside the file; what it needs
// to be told is all here, what has to be refused before it copies is errand's. It is
// given no checksum, for which it would read the file again: the bytes are hashed as
// they pass.
func (g grabber) try(ctx context.Context, x *mirror, r cache.Request, p *cache.Partial) error {
	url := x.url(r.Key)
	off, _ := p.Resume()
	if off == 0 {
		// A new inode, if there were wrong bytes: grab would write over them.
		if err := p.Begin(cache.Head{Length: r.Want.Size, URL: url}); err != nil {
			return err
		}
	} else if err := p.Continue(-1); err != nil {
		return err
	}
	digest, err := p.Beside()
	if err != nil {
		return err
	}
	req, err := grab.NewRequest(p.Path(), url)
	if err != nil {
		return err
	}
	req = req.WithContext(ctx)
	req.Size = r.Want.Size
	req.NoResume = off == 0 // spares the HEAD request
	req.NoCreateDirectories = true
	req.IgnoreRemoteTime = true
	req.BufferSize = int(min(copySize, r.Want.Size-off+1)) // one more than may come, for bounded to see
	if g.m.c.o.Rate != nil {
		req.RateLimiter = g.m.c.o.Rate
	}
	req.HTTPRequest.Header.Set("Accept", "*/*")
	req.HTTPRequest.Header.Set("Accept-Encoding", "identity")

	client := *g.m.route.fetch
	client.Transport = errand{next: client.Transport, off: off, size: r.Want.Size, digest: digest}
	c := grab.NewClient()
	c.HTTPClient = &client
	c.UserAgent = g.m.c.o.UserAgent
	resp := c.Do(req)
	if a := resp.HTTPResponse; a != nil && (a.StatusCode == http.StatusOK || a.StatusCode == http.StatusPartialContent) {
		// At once: who goes on with the file after a kill needs to know whose it is.
		p.Describe(g.m.head(a))
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !resp.IsComplete() {
		select {
		case <-tick.C:
			p.Poll()
		case <-resp.Done:
		}
	}
	if err := p.Measure(); err != nil {
		return err
	}
	if err := resp.Err(); err != nil {
		return g.verdict(err, url, off, p)
	}
	err = p.Complete()
	if off > 0 && errors.Is(err, cache.ErrWrongContent) && !promised(err) {
		// The first part may have been another version's.
		p.Reject()
		return fmt.Errorf("%s: %w: %w", url, errStale, err)
	}
	return err
}

// verdict turns grab's error into the Source's.
func (g grabber) verdict(err error, url string, off int64, p *cache.Partial) error {
	var status grab.StatusCodeError
	var disk *fs.PathError
	switch {
	case errors.As(err, &disk):
		// grab's only files are ours. What it says of them is no mirror's fault,
		// and not that upstream has none.
		return fmt.Errorf("%w: %v", cache.ErrUnstorable, err)
	case errors.As(err, &status) && (status == http.StatusNotFound || status == http.StatusGone):
		return fmt.Errorf("%s: %d: %w", url, int(status), fs.ErrNotExist)
	case errors.Is(err, grab.ErrBadLength), errors.Is(err, errGuard),
		errors.As(err, &status) && status == http.StatusRequestedRangeNotSatisfiable:
		p.Reject()
		if off > 0 {
			return fmt.Errorf("%s: %w: %w", url, err, errStale)
		}
		return fmt.Errorf("%s: %w: %w", url, err, cache.WrongLength.Wrong())
	}
	if errors.As(err, &status) && later(int(status)) {
		return fmt.Errorf("%s: %w: %w", url, err, errNotNow)
	}
	return fmt.Errorf("%s: %w", url, err)
}
