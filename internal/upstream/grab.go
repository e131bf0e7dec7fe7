package upstream

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/cavaliergopher/grab/v3"

	"intelligentmirror/internal/cache"
)

// pollEvery is how often followers are told how far grab has come.
const pollEvery = 50 * time.Millisecond

// Grab is the mirrors as the agent asks them: files whose digest is promised are
// downloaded with grab, which resumes what a killed run has left. Files without
// a promise come as Fetch brings them, since grab's resume is blind.
func (m *Mirrors) Grab() cache.Source { return grabber{m} }

type grabber struct{ m *Mirrors }

// Fetch implements cache.Source.
func (g grabber) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	if !r.Want.Known() || r.Want.Size == 0 {
		return g.m.Fetch(ctx, r, p)
	}
	return g.m.each(ctx, r, p, g.try)
}

// errGuard refuses an answer that grab would append to, or write over, what is there.
var errGuard = errors.New("not the part of the file that was asked for")

// try asks one mirror once. grab keeps no state beside the file and looks at
// neither Content-Range nor a changed validator; what it needs to be told, and
// what has to be refused before it copies, is all here.
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
	sum, err := hex.DecodeString(r.Want.Digest.Hex())
	if err != nil {
		return err
	}
	req, err := grab.NewRequest(p.Path(), url)
	if err != nil {
		return err
	}
	req = req.WithContext(ctx)
	req.Size = r.Want.Size
	// Not deleted on a mismatch: the name is under a lock, and the Partial's to give up.
	req.SetChecksum(r.Want.Digest.New(), sum, false)
	req.NoResume = off == 0 // spares the HEAD request
	req.NoCreateDirectories = true
	req.IgnoreRemoteTime = true
	req.BufferSize = 64 << 10
	if g.m.c.o.Rate != nil {
		req.RateLimiter = g.m.c.o.Rate
	}
	req.HTTPRequest.Header.Set("Accept", "*/*")
	req.HTTPRequest.Header.Set("Accept-Encoding", "identity")
	var answer atomic.Pointer[http.Response]
	req.BeforeCopy = func(resp *grab.Response) error {
		if err := guard(resp, off, r.Want.Size); err != nil {
			return err
		}
		answer.Store(resp.HTTPResponse)
		return nil
	}

	c := grab.NewClient()
	c.HTTPClient = g.m.c.fetch
	c.UserAgent = g.m.c.o.UserAgent
	resp := c.Do(req)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	described := false
	describe := func() {
		if a := answer.Load(); a != nil && !described {
			described = true
			p.Describe(cache.Head{URL: a.Request.URL.String(), ETag: a.Header.Get("ETag"), LastModified: a.Header.Get("Last-Modified")})
		}
	}
	for !resp.IsComplete() {
		select {
		case <-tick.C:
			describe()
			p.Poll()
		case <-resp.Done:
		}
	}
	describe()
	if err := p.Measure(); err != nil {
		return err
	}
	return g.verdict(resp.Err(), url, off, p)
}

// guard refuses what grab does not look at: any success is taken for the part
// that was asked for, and a whole body is appended to what is there.
func guard(resp *grab.Response, off, size int64) error {
	h := resp.HTTPResponse
	if e := h.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return fmt.Errorf("encoded as %s: %w", e, errGuard)
	}
	if off == 0 {
		if h.StatusCode != http.StatusOK || resp.DidResume {
			return fmt.Errorf("%s to a request for the whole file: %w", h.Status, errGuard)
		}
		return nil
	}
	from, total, ok := contentRange(h.Header.Get("Content-Range"))
	if !resp.DidResume || h.StatusCode != http.StatusPartialContent || !ok || from != off || total >= 0 && total != size {
		return fmt.Errorf("%s, Content-Range %q, to a request for byte %d on of %d: %w", h.Status, h.Header.Get("Content-Range"), off, size, errGuard)
	}
	return nil
}

// verdict turns grab's error into the Source's.
func (g grabber) verdict(err error, url string, off int64, p *cache.Partial) error {
	var status grab.StatusCodeError
	switch {
	case err == nil:
		return p.Vouch()
	case errors.As(err, &status) && (status == http.StatusNotFound || status == http.StatusGone):
		return fmt.Errorf("%s: %d: %w", url, int(status), fs.ErrNotExist)
	case errors.Is(err, grab.ErrBadChecksum), errors.Is(err, grab.ErrBadLength), errors.Is(err, errGuard),
		errors.As(err, &status) && status == http.StatusRequestedRangeNotSatisfiable:
		p.Reject()
		if off > 0 {
			return fmt.Errorf("%s: %w: %w", url, err, errStale)
		}
		return fmt.Errorf("%s: %w: %w", url, err, cache.ErrWrongContent)
	}
	return fmt.Errorf("%s: %w", url, err)
}
