// Package upstream asks a repository's mirrors: on demand, while a client waits
// (Mirrors.Fetch), ahead of any client, by grab (Mirrors.Grab), and for what is
// only relayed (Mirrors.Relay).
//
// A mirror that fails is skipped, in the middle of a body too, and rests for a
// while. There is no limit on how long a body may take, only on how long it may
// stand still.
//
// Siblings, other caches of the same site, and the bucket that these share are asked
// before any mirror, for what they have stored.
//
// Mirrors are those that the configuration names and those of lists, metalinks
// or plain ones, which are fetched in the background when somebody first asks
// for a file of their root, and kept on the disk. A metalink also says which
// repomd.xml is right: no other is taken.
//
// Read mirrors.go and host.go first (who may be asked), then inquiry.go and
// fetch.go (how they are asked for a file), repomd.go (what is taken for a
// repomd.xml), near.go with siblings.go and bucket.go (who is asked before them), and
// lists.go, list.go and saved.go.
package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

// Options configure a Client. Durations that are zero are the defaults, which
// leave a client that gives up after 30 s of silence time for a second mirror.
type Options struct {
	UserAgent string
	Via       string         // our name in the Via field of what we fetch for clients, so that a mirror that leads back to us shows; "" sends none
	Connect   time.Duration  // to connect, and again for TLS; 5 s
	Header    time.Duration  // to an answer's header; 10 s
	Idle      time.Duration  // without a byte of a body; 10 s
	Sibling   time.Duration  // to connect to a sibling, and again to its answer's header; 2 s
	Continue  time.Duration  // for an answer to Expect: 100-continue, before the body is sent all the same; 3 s
	PerHost   int            // files that the agent downloads from one server at a time; 16
	Rate      RateLimiter    // of the agent's downloads, all together; nil is none
	Lists     string         // the directory that lists are kept in, made where it is missing; "" keeps none
	Refused   *cache.Refused // counts answers that are not taken, by reasons; nil counts nothing
	Now       func() time.Time
	Random    func() float64 // in [0, 1), for the length of pauses, from any goroutine; math/rand's where it is nil
	Log       *slog.Logger

	// Parent is the proxy that a request goes by, nil for none, where a repository
	// names none of its own; http.ProxyFromEnvironment where it is nil.
	Parent func(*http.Request) (*url.URL, error)
	// MayReach, if it is set, is asked of each address before it is dialled, for
	// the host and port that led there: once a name has been looked up, and again
	// after each redirect. What it refuses is a *DeniedError. Where a proxy dials,
	// it is asked of the addresses that the name has here, if it has any.
	MayReach func(host string, addr netip.Addr) bool
}

// RateLimiter makes a reader wait until n bytes may pass. golang.org/x/time/rate
// has one.
type RateLimiter interface {
	WaitN(ctx context.Context, n int) error
}

// Client holds the connections to all mirrors, and what is known of them. It is
// safe for concurrent use.
type Client struct {
	o      Options
	claims claims

	ctx     context.Context // of probes and of lists that are fetched
	cancel  context.CancelFunc
	fetches chan struct{} // a token for each list that is being fetched
	near    *http.Client  // to siblings

	mu     sync.Mutex
	closed bool
	under  sync.WaitGroup // what goes on in the background
	hosts  map[string]*host
	routes map[string]*route // by the proxy's URL
	saved  map[string][]*snapshot
}

// route is a way to the mirrors: straight, or by a proxy.
type route struct {
	fetch *http.Client // for what is stored: watched, redirects followed
	relay transport
}

// transport is what carries requests, http.Transport or several of them.
type transport interface {
	http.RoundTripper
	CloseIdleConnections()
}

// New returns a Client.
func New(o Options) *Client {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&o.Connect, 5*time.Second)
	def(&o.Header, 10*time.Second)
	def(&o.Idle, 10*time.Second)
	def(&o.Sibling, 2*time.Second)
	def(&o.Continue, 3*time.Second)
	if o.PerHost == 0 {
		o.PerHost = perHost
	}
	if o.Parent == nil {
		o.Parent = http.ProxyFromEnvironment
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c := &Client{
		o: o, fetches: make(chan struct{}, listsAtOnce),
		hosts: map[string]*host{}, routes: map[string]*route{},
	}
	c.near = c.neighbourhood()
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// route is the way by a proxy, or as the environment says where it is nil.
func (c *Client) route(proxy *url.URL) *route {
	name, by := "", c.o.Parent
	if proxy != nil {
		name, by = proxy.String(), http.ProxyURL(proxy)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.routes[name]; r != nil {
		return r
	}
	t := c.transport(by, c.o.Header)
	r := &route{relay: t, fetch: &http.Client{Transport: &watchdog{next: t, idle: c.o.Idle}, CheckRedirect: redirect}}
	c.routes[name] = r
	return r
}

// transport carries requests by the proxies that by names, with so much time for
// an answer to begin; 0 is no limit.
func (c *Client) transport(by func(*http.Request) (*url.URL, error), header time.Duration) transport {
	t := &http.Transport{
		Proxy:                 by,
		DialContext:           c.dial,
		TLSHandshakeTimeout:   c.o.Connect,
		ResponseHeaderTimeout: header,
		ExpectContinueTimeout: c.o.Continue,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   16,
		ForceAttemptHTTP2:     true,
		// What is stored is stored as it is, for clients that may not unpack it.
		DisableCompression: true,
		ReadBufferSize:     64 << 10,
	}
	if c.o.MayReach == nil {
		return KeepAlive(t)
	}
	direct, parent := t, t.Clone()
	direct.Proxy, parent.DialContext = nil, c.dialer().DialContext
	return &guarded{c: c, by: by, direct: KeepAlive(direct), parent: KeepAlive(parent)}
}

// background runs fn beside the requests until Close; false says that it is
// closed, and fn does not run.
func (c *Client) background(fn func(ctx context.Context)) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.under.Go(func() { fn(c.ctx) })
	return true
}

// Close ends what goes on in the background and closes the connections that are
// idle. Files that are still being fetched are not its business.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.under.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range c.routes {
		r.relay.CloseIdleConnections()
	}
	c.near.CloseIdleConnections()
}

// introduce puts into a request of our own what we say of ourselves, and that
// the body is wanted as it is.
func (c *Client) introduce(req *http.Request) {
	req.Header.Set("User-Agent", c.o.UserAgent)
	if c.o.Via != "" {
		req.Header.Set("Via", "1.1 "+c.o.Via)
	}
	req.Header.Set("Accept", "*/*")
	req.Header.Set("Accept-Encoding", "identity")
}

// maxRedirects is how many redirects are followed.
const maxRedirects = 10

// conditionsKey is under which a request's context holds what redirect needs.
type conditionsKey struct{}

// redirect puts the conditions that the new address may be asked into the
// request: validators are the mirror's that gave them.
func redirect(req *http.Request, via []*http.Request) error {
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	if set, ok := req.Context().Value(conditionsKey{}).(func(*http.Request)); ok {
		set(req)
	}
	req.Header.Del("Referer")
	return nil
}

// errStalled ends a body that stands still.
var errStalled = errors.New("no byte for too long")

// watchdog breaks off bodies that make no progress.
type watchdog struct {
	next transport
	idle time.Duration
}

func (w *watchdog) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := w.next.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = watch(ctx, cancel, resp.Body, w.idle)
	return resp, nil
}

// CloseIdleConnections closes the connections that are idle.
func (w *watchdog) CloseIdleConnections() { w.next.CloseIdleConnections() }

// watch is a body that is broken off where it makes no progress for so long, by
// cancel, which ends ctx, the context that it was asked for with.
func watch(ctx context.Context, cancel context.CancelCauseFunc, body io.ReadCloser, idle time.Duration) io.ReadCloser {
	b := &watched{body: body, ctx: ctx, cancel: cancel, idle: idle}
	b.timer = time.AfterFunc(idle, func() { cancel(errStalled) })
	b.timer.Stop() // until the first Read
	return b
}

// watched is a body under a watchdog.
type watched struct {
	body   io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	idle   time.Duration
	timer  *time.Timer
	once   sync.Once
}

func (b *watched) Read(p []byte) (int, error) {
	// The time between two reads is the reader's, not the mirror's.
	b.timer.Reset(b.idle)
	n, err := b.body.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF && context.Cause(b.ctx) == errStalled {
		err = fmt.Errorf("%w: %s", errStalled, b.idle)
	}
	return n, err
}

func (b *watched) Close() error {
	b.once.Do(func() {
		b.timer.Stop()
		b.cancel(nil)
	})
	return b.body.Close()
}

// timedOut reports whether err is of a mirror that was silent for too long.
func timedOut(err error) bool {
	var t interface{ Timeout() bool }
	return errors.Is(err, errStalled) || errors.As(err, &t) && t.Timeout()
}
