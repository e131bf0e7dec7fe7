package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

// host is a server. Its health is one, whichever repositories and roots come
// from it, and so is the number of downloads from it.
type host struct {
	slots  chan struct{} // a token for each of the agent's downloads under way
	guests chan struct{} // the same for clients

	mu       sync.Mutex
	failures int // since the last success, each after a rest
	until    time.Time
	cheap    bool // the last failure cost hardly any time
	probing  bool
}

// perHost is how many files the agent downloads from one server at a time, if nobody
// says otherwise: as many as sync.parallel is by default. Most packages are small, so that with a mirror some
// ten milliseconds away few at a time would wait for answers, and not for bytes.
const perHost = 16

// perHostForClients is how many it downloads from one for clients: no more than a
// mirror takes from a site without taking it for an attack. A client that has to wait
// for its turn gets nothing, so that it is not few.
const perHostForClients = 128

func newHost(atOnce int) *host {
	return &host{slots: make(chan struct{}, atOnce), guests: make(chan struct{}, perHostForClients)}
}

// host is the server of a mirror's base.
func (c *Client) host(base string) *host {
	name := base
	if u, err := url.Parse(base); err == nil {
		name = canonicalHost(u.Host)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hosts[name]
	if h == nil {
		h = newHost(c.o.PerHost)
		c.hosts[name] = h
	}
	return h
}

// forgetHosts forgets how well all servers are. Mirrors that are there go on with what
// they know of theirs.
func (c *Client) forgetHosts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.hosts)
}

// canonicalHost is a URL's host in lower case, without the ports that http and
// https have anyway and without a root's dot: the two are one server.
func canonicalHost(name string) string {
	name = strings.ToLower(name)
	for _, port := range [...]string{":80", ":443"} {
		if h, ok := strings.CutSuffix(name, port); ok {
			name = h
			break
		}
	}
	return strings.TrimSuffix(name, ".")
}

const (
	cheapFailure = 250 * time.Millisecond
	minRest      = time.Second
	maxRest      = 5 * time.Minute
	maxCheapRest = 10 * time.Second
	restFactor   = 10 // at most a tenth of the time is lost to a mirror that is down
)

// failed notes a failure that took cost, and how long the host rests for it: twice as
// long for each time that it has failed before, and rested. What many requests meet at
// once is one failure, and so is what those meet that ask a host in its rest.
func (h *host) failed(now time.Time, cost time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cheap = cost < cheapFailure
	if h.failures > 0 && now.Add(-cost).Before(h.until) {
		h.failures--
	}
	rest := max(restFactor*cost, minRest) << min(h.failures, 8)
	most := maxRest
	if h.cheap {
		most = maxCheapRest
	}
	h.failures++
	h.until = now.Add(min(rest, most))
}

// worked notes an answer.
func (h *host) worked() {
	h.mu.Lock()
	h.failures, h.until, h.cheap = 0, time.Time{}, false
	h.mu.Unlock()
}

// health is how a host is.
type health int

const (
	well    health = iota // as far as anyone knows
	quick                 // it rests, but asking it all the same would cost hardly any time
	due                   // it has rested, but whether it is back nobody knows, and finding out may cost a wait
	resting               // to be left alone
)

func (h *host) health(now time.Time) health {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch over := !now.Before(h.until); {
	case over && (h.failures == 0 || h.cheap):
		return well
	case h.cheap:
		return quick
	case over:
		return due
	}
	return resting
}

// probe asks the mirror x for the file k, in the background, where x is due: so
// that it comes back, or goes on resting, at the cost of no client's request.
// answers asks it, and reports whether it is well.
func (m *Mirrors) probe(x *mirror, k cache.Key, answers func(ctx context.Context, address string) bool) {
	h := x.host
	h.mu.Lock()
	busy := h.probing
	h.probing = true
	h.mu.Unlock()
	if busy {
		return
	}
	started := m.c.background(func(ctx context.Context) {
		start := m.c.o.Now()
		back := answers(ctx, x.url(k))
		switch cost := m.c.o.Now().Sub(start); {
		case back:
			m.c.o.Log.Info("a mirror is back", "url", x.base)
			h.worked()
		case ctx.Err() == nil:
			h.failed(m.c.o.Now(), max(cost, cheapFailure)) // asking it again is not known to be cheap
		}
		h.mu.Lock()
		h.probing = false
		h.mu.Unlock()
	})
	if !started {
		h.mu.Lock()
		h.probing = false
		h.mu.Unlock()
	}
}

// answers reports whether a server answers a question for a file, whatever it says of it.
func (m *Mirrors) answers(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return false
	}
	m.c.introduce(req)
	resp, err := m.route.fetch.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode < http.StatusInternalServerError
}

// take waits until the agent may have one more download from the host.
func (h *host) take(ctx context.Context) error {
	select {
	case h.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// errCrowded is of a host from which as much is downloaded as may be.
var errCrowded = fmt.Errorf("%d downloads from it are under way: %w", perHostForClients, errNotNow)

// admit waits for at most a while until one more client's download from the host
// may begin. The error is errCrowded, or ctx's.
func (h *host) admit(ctx context.Context, most time.Duration) error {
	select {
	case h.guests <- struct{}{}:
		return nil
	default:
	}
	wait := time.NewTimer(most)
	defer wait.Stop()
	select {
	case h.guests <- struct{}{}:
		return nil
	case <-wait.C:
		return errCrowded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// dismiss ends what admit began.
func (h *host) dismiss() { <-h.guests }

// tryTake is take without the waiting.
func (h *host) tryTake() bool {
	select {
	case h.slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (h *host) giveBack() { <-h.slots }
