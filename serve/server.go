// Package serve is the mirror as HTTP has it: a file that is ours to cache is
// answered from the cache, which downloads what is missing; all else of a
// repository is relayed and never stored. The same holds for what is asked of
// other hosts, as of a proxy.
//
// What it promises: each answer says in Cache-Status how it came about; no
// answer that is cut short looks whole; an address that is none of the clients'
// learns nothing; nothing on the way of a request waits for the disk but for
// the file itself.
//
// Read server.go and route.go first (what a request can be), then mirror.go with
// conditional.go, ranges.go and directives.go (files that are cached), relay.go
// and invalidate.go (all else), errors.go and retry.go (what a client is told),
// listing.go (what a browser is shown), clients.go and refusals.go (who may ask,
// and for what), proxy.go and shared.go (requests for other hosts), tunnel.go,
// intercept.go with handshake.go (CONNECT), learn.go (lists of mirrors on their
// way), listen.go, certificate.go, patience.go and hitconn.go with hitanswer.go
// (the connections), setup.go with setup_sources.go (how clients are pointed here), page.go,
// status.go, report.go, problems.go, bucket.go, chart.go and live.go (the status page), actions.go
// with token.go (its buttons, and who may use them), and metrics.go, manifest.go, copies.go, claims.go, ready.go, accesslog.go and stats.go (what
// the administrator and other machines see). squidline.go, squidhelper.go and squidwatch.go
// are a program of their own, which squid starts.
package serve

import (
	"context"
	"crypto/rand"
	"io"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"intelligentmirror/internal/authority"
	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/upstream"
)

// Options are what a Server needs. Config, Cache, Mirrors and Hosts are.
type Options struct {
	Config *config.Config
	Cache  *cache.Cache
	// Mirrors is where the files of a repo come from; nil if there is no such repo.
	Mirrors func(repo string) *upstream.Mirrors
	// Metadata is asked for a root's repomd.xml, in place of the cache; nil treats
	// it as any file.
	Metadata *generation.Refresher
	// Hosts is the hosts that clients name, in so far as they may be reached; the
	// cache's source for the repository "proxy".
	Hosts *upstream.Hosts
	// Claims says which repository a URL on another host belongs to, beyond what
	// the configuration says (Config.Resolve has its meaning): what metalinks and
	// mirror lists have named since. With the path "" it is asked whether the host
	// is a repository's at all, and rest does not matter. It is called on each such
	// request and must not wait; nil claims nothing more.
	Claims func(host, path string) (repo, rest string, ok bool)
	// Learnt is what Claims knows beyond the configuration, for /-/claims; nil is nothing.
	Learnt func() upstream.Claims
	// Listed finds what verified metadata lists by the path, decoded, that another
	// host has for it: generation.Store.Listed. nil finds nothing.
	Listed func(path string) (generation.Listed, bool)
	// Authority vouches for the hosts of repositories where clients trust it; nil
	// leaves all tunnels alone.
	Authority *authority.Authority
	// Token makes an administrator of who gives it; nil leaves it to addresses.
	Token *Token
	// Ledger is told what was served; nil keeps no account.
	Ledger *cache.Ledger
	// Refused is what mirrors had that was not taken; nil is not told.
	Refused *cache.Refused
	// AccessLog gets a line per answer, whole lines in each Write; nil discards.
	AccessLog io.Writer
	Version   string // of the program
	Hostname  string // this machine's, by which clients may name it
	Via       string // this server's in the Via field, as its fetches have it too; "" makes one
	// Grace is how long answers, and tunnels, may take to end once the server
	// stops; 30 s where it is 0.
	Grace time.Duration
	// Patience is how long a client may stand still in an answer or in its
	// request's body; 3 min where it is 0.
	Patience time.Duration
	// Runs tells of imsync's runs, nil where there were none, and when cfg, which is in
	// effect now, has the next; it ends with ctx. Where it is nil the status says nothing
	// of them.
	Runs func(ctx context.Context, cfg *config.Config) (*Runs, error)
	// Bucket tells how it stands with the bucket, from memory; nil where there is none.
	Bucket func() BucketState
	// Actions is what the status page has buttons for.
	Actions Actions
	// Metrics are shown at /-/metrics with the server's own.
	Metrics []prometheus.Collector
	Now     func() time.Time // nil is time.Now
	Log     *slog.Logger     // nil discards
}

const (
	defaultGrace = 30 * time.Second
	tunnelIdle   = 10 * time.Minute // without a byte in either direction
)

// Server answers requests. It is an http.Handler, safe for concurrent use.
//
// A Server is one configuration at work. Reconfigure makes another, which has
// all but the configuration in common with it: a request is answered to its end
// by the one that was current when it came.
type Server struct {
	o       Options
	via     string // by which we know our own requests, those that fetch too
	started time.Time

	access   *accessLog // nil where there is none
	refusals *refusals
	suspects *suspects
	places   *places
	tunnels  *tunnels
	insides  *insides
	missed   *missed
	stats    *stats
	viewers  *atomic.Int64 // of the status page, who follow it

	favourites *favourites
	metrics    *metrics
	stopping   *atomic.Bool
	current    *atomic.Pointer[Server]
	hits       *hitFiles
	hitConns   *hitConns

	http   *http.Server
	failed chan error // of a listener
}

// New returns a Server. Close ends its access log.
func New(o Options) *Server {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Via == "" {
		o.Via = Pseudonym()
	}
	if o.Grace == 0 {
		o.Grace = defaultGrace
	}
	if o.Patience == 0 {
		o.Patience = defaultPatience
	}
	s := &Server{
		o:        o,
		via:      o.Via,
		started:  o.Now(),
		refusals: newRefusals(o.Log, o.Now),
		places:   &places{},
		tunnels:  newTunnels(),
		insides:  newInsides(),
		missed:   &missed{},
		suspects: &suspects{now: o.Now},
		stats:    &stats{},
		viewers:  &atomic.Int64{},

		favourites: &favourites{},
		stopping:   &atomic.Bool{},
		current:    &atomic.Pointer[Server]{},
		hits:       newHitFiles(),
		hitConns:   &hitConns{},
		failed:     make(chan error, 1),
	}
	s.current.Store(s)
	s.metrics = newMetrics(s, o.Metrics)
	s.http = s.listenerSide()
	if o.AccessLog != nil {
		s.access = newAccessLog(o.AccessLog, o.Log)
	}
	return s
}

// Pseudonym is a new name for a server in the Via field. It is random: two
// servers of one machine behind each other are no loop.
func Pseudonym() string { return "imserve-" + rand.Text()[:12] }

// Reconfigure makes cfg, its mirrors, its CA and its token (as in Options) the
// configuration of the requests that come from now on. Its CacheDir is not looked
// at: the cache stays.
func (s *Server) Reconfigure(cfg *config.Config, mirrors func(repo string) *upstream.Mirrors, ca *authority.Authority, token *Token) {
	next := *s.current.Load()
	next.o.Config, next.o.Mirrors, next.o.Authority, next.o.Token = cfg, mirrors, ca, token
	next.hits = newHitFiles()
	s.current.Store(&next)
}

// Alive goes through the locks that answers take, and returns: a server that
// stands still keeps it for ever.
func (s *Server) Alive() {
	s.o.Cache.Activity()
	s.stats.last()
	s.suspects.has(cache.Key{})
	if s.access != nil {
		s.access.waiting()
	}
}

// Close writes what is left of the access log.
func (s *Server) Close() {
	if s.access != nil {
		s.access.close()
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s = s.current.Load()
	s.metrics.underWay.Inc()
	defer s.metrics.underWay.Dec()
	start := s.o.Now()
	within := insideOf(r)
	astray := false
	if within != nil {
		r, astray = within.request(r)
	}
	a := newAnswer(w, r, s.o.Patience, s.o.Now)
	a.astray = astray
	a.client = clientOf(r, s.o.Config.Serve.TrustedProxies)
	a.elsewhere = r.Method == http.MethodConnect || within != nil || r.URL.IsAbs() && !s.isOwn(r)
	// A proxy before one of HTTP/1.0 may not know what it keeps alive (RFC 9112, 9.3),
	// and what is intercepted no more ends soon.
	a.last = ambiguous(r) || a.elsewhere && !r.ProtoAtLeast(1, 1) || within != nil && s.o.Authority == nil
	if r.Method == http.MethodConnect {
		s.tunnels.enter()
		defer s.tunnels.leave() // once it has been accounted
	}
	// Also for an answer that was broken off, which leaves by a panic.
	defer func() { s.account(a, start) }()
	s.route(a)
	a.begin()
	a.cut = false
}

// ambiguous reports whether a proxy before us may take the end of the request's
// body for another than we do: a request in chunks may have had a Content-Length
// too, which the library drops without a word, and one of HTTP/1.0 chunks. Nothing
// behind such a body is read as a request (RFC 9112, 6.1).
func ambiguous(r *http.Request) bool {
	return len(r.TransferEncoding) > 0 || !r.ProtoAtLeast(1, 1) && r.ContentLength != 0
}

// account notes an answer that has ended.
func (s *Server) account(a *answer, start time.Time) {
	r := a.r
	if !a.begun {
		a.code = statusGone
	}
	status := a.status
	if a.cut {
		status.Detail = "aborted"
	}
	e := &event{
		At: start, Took: s.o.Now().Sub(start),
		Client: a.client.String(), Method: r.Method, Target: r.RequestURI, Proto: r.Proto,
		Code: a.code, Sent: a.sent, Referer: r.Referer(), Agent: r.UserAgent(),
		Status: status.String(), Outcome: a.outcome(), Internal: !a.elsewhere && isInternal(r.URL.Path),
	}
	s.record(e, a.begun, a.first.Sub(start))
	if s.o.Ledger == nil || a.key.Path == "" || !a.begun || a.sibling {
		return
	}
	switch a.code {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
		// Of a download that others asked for too, only the first pays.
		free := status.Hit || status.Collapsed || status.FwdStatus == http.StatusNotModified
		s.o.Ledger.Served(a.key, a.sent, free)
	}
}

// record tells everybody but the ledger of an answer; first is how long its header
// took, if it has begun.
func (s *Server) record(e *event, begun bool, first time.Duration) {
	if s.access != nil {
		s.access.add(e)
	}
	s.stats.add(e)
	s.metrics.note(e, begun, first)
}
