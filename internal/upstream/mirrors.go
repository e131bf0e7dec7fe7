package upstream

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

// Mirrors is the list of places that one repository's files come from, best
// first. It is a cache.Source, safe for concurrent use.
type Mirrors struct {
	c    *Client
	name string
	list []*mirror
	// heed says that what is not shareable is not stored: nobody has configured
	// this host, so that nobody knows that it has packages alone.
	heed bool
}

// Mirrors returns the mirrors of the repository name; bases are URLs without
// the last slash.
func (c *Client) Mirrors(name string, bases []string) *Mirrors {
	m := &Mirrors{c: c, name: name}
	for _, b := range bases {
		m.list = append(m.list, &mirror{base: strings.TrimRight(b, "/")})
	}
	return m
}

// mirror is one of them, with its health.
type mirror struct {
	base string

	mu       sync.Mutex
	failures int // since the last success
	until    time.Time
	cheap    bool // the last failure cost hardly any time
}

const (
	cheapFailure = 250 * time.Millisecond
	minRest      = time.Second
	maxRest      = 5 * time.Minute
	maxCheapRest = 10 * time.Second
	restFactor   = 10 // at most a tenth of the time is lost to a mirror that is down
)

// failed notes a failure that took cost, and how long the mirror rests for it.
func (m *mirror) failed(now time.Time, cost time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cheap = cost < cheapFailure
	rest := max(restFactor*cost, minRest) << min(m.failures, 8)
	most := maxRest
	if m.cheap {
		most = maxCheapRest
	}
	m.failures++
	m.until = now.Add(min(rest, most))
}

// worked notes an answer.
func (m *mirror) worked() {
	m.mu.Lock()
	m.failures, m.until, m.cheap = 0, time.Time{}, false
	m.mu.Unlock()
}

// resting reports whether the mirror is to be left alone, and whether asking it
// all the same would cost hardly any time.
func (m *mirror) resting(now time.Time) (resting, cheap bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Before(m.until), m.cheap
}

// candidates is the mirrors to ask, in order: those that are well, or else those
// that fail quickly, so that one that comes back is noticed at once.
func (m *Mirrors) candidates() []*mirror {
	now := m.c.o.Now()
	var well, quick []*mirror
	for _, x := range m.list {
		switch resting, cheap := x.resting(now); {
		case !resting:
			well = append(well, x)
		case cheap:
			quick = append(quick, x)
		}
	}
	return append(well, quick...)
}

// everyone is candidates and, behind them, those that rest: where no client
// waits, a mirror that may be down is better than none.
func (m *Mirrors) everyone() []*mirror {
	list := m.candidates()
	for _, x := range m.list {
		if !slices.Contains(list, x) {
			list = append(list, x)
		}
	}
	return list
}

// url is where a mirror has the file k.
func (m *mirror) url(k cache.Key) string { return m.base + "/" + k.EscapedPath() }

// Relay sends a request that is none of the cache's business to the first
// mirror that answers, and returns its response as it is. Of r its method,
// header, body with its length, trailers and Close count; target is what stands behind
// the mirror's base: a path, still escaped, without its first slash, and perhaps
// a query. A request with a body is tried once.
func (m *Mirrors) Relay(ctx context.Context, r *http.Request, target string) (*http.Response, error) {
	err := fmt.Errorf("all mirrors of %s rest after failures", m.name)
	late := false
	for _, x := range m.candidates() {
		req, rerr := http.NewRequestWithContext(ctx, r.Method, x.base+"/"+target, r.Body)
		if rerr != nil {
			return nil, rerr
		}
		// The trailers are filled in while the body is read.
		req.ContentLength, req.Trailer, req.Close = r.ContentLength, r.Trailer, r.Close
		req.Header = r.Header.Clone()
		start := time.Now()
		var resp *http.Response
		if resp, err = m.c.relay.RoundTrip(req); err == nil {
			x.worked()
			return resp, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		x.failed(m.c.o.Now(), time.Since(start))
		late = late || timedOut(err)
		if r.Body != nil && r.Body != http.NoBody {
			break
		}
	}
	return nil, &cache.UnreachableError{Err: err, TimedOut: late}
}
