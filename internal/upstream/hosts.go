package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strings"
	"sync"

	"intelligentmirror/internal/cache"
)

// Hosts is whatever host a client names, of which the configuration says
// nothing. It is a cache.Source for files whose path begins with the host, and
// relays and dials for all else. It is safe for concurrent use.
type Hosts struct {
	c     *Client
	relay transport

	mu    sync.Mutex
	known map[string]*Mirrors
}

// maxKnown is of how many hosts it is remembered how well they are.
const maxKnown = 1024

// Hosts returns the hosts that c may reach. What is known of c's servers is forgotten
// where clients have named too many, so that c is best of no other use.
func (c *Client) Hosts() *Hosts {
	// How long an answer may take to begin is for the client to say, who asks for
	// something of which we know nothing.
	return &Hosts{c: c, relay: c.transport(c.o.Parent, 0), known: map[string]*Mirrors{}}
}

// Close closes the connections that are idle.
func (h *Hosts) Close() { h.relay.CloseIdleConnections() }

// At is a host, with a port if it is not http's, as the mirrors of a repository
// that has it alone.
func (h *Hosts) At(host string) *Mirrors {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.known[host]
	if m == nil {
		if len(h.known) >= maxKnown {
			clear(h.known)
			h.c.forgetHosts()
		}
		m = h.c.Mirrors(host, []string{"http://" + host})
		m.heed = true
		h.known[host] = m
	}
	return m
}

// Fetch implements cache.Source: the path of r's key is a host and the path there.
func (h *Hosts) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	host, path, ok := strings.Cut(r.Key.Path, "/")
	if !ok {
		return fmt.Errorf("%s names no file of a host: %w", r.Key, fs.ErrNotExist)
	}
	r.Key.Path = path
	return h.At(host).Fetch(ctx, r, p)
}

// Relay sends r, whose URL is whole, and returns the response as it is;
// redirects are the client's to follow. Errors: *cache.UnreachableError, in
// which there may be a *DeniedError; any other is of a request that can't be sent.
func (h *Hosts) Relay(ctx context.Context, r *http.Request) (*http.Response, error) {
	r = r.WithContext(ctx)
	// As http.NewRequest has it: for what is older, Expect is not waited for.
	r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
	resp, err := h.relay.RoundTrip(r)
	switch {
	case err == nil:
		return resp, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, &cache.UnreachableError{Err: err, TimedOut: timedOut(err)}
}

// Tunnel connects to host, which has a port. Errors are Relay's.
func (h *Hosts) Tunnel(ctx context.Context, host string) (*net.TCPConn, error) {
	c, err := h.c.connect(ctx, host)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &cache.UnreachableError{Err: err, TimedOut: timedOut(err)}
	}
	t, ok := c.(*net.TCPConn)
	if !ok {
		return nil, errors.Join(fmt.Errorf("%s: no TCP", host), c.Close())
	}
	return t, nil
}
