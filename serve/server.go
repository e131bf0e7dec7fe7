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
// conditional.go and ranges.go (files that are cached), relay.go (all else),
// errors.go (what a client is told), clients.go and refusals.go (who may ask, and
// for what), proxy.go and shared.go (requests for other hosts), tunnel.go
// (CONNECT), and status.go, accesslog.go and stats.go (what the administrator sees).
package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

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
	// Hosts is the hosts that clients name, in so far as they may be reached; the
	// cache's source for the repository "proxy".
	Hosts *upstream.Hosts
	// Claims says which repository a URL on another host belongs to, beyond what
	// the configuration says (Config.Resolve has its meaning): what metalinks and
	// mirror lists have named since. With the path "" it is asked whether the host
	// is a repository's at all, and rest does not matter. It is called on each such
	// request and must not wait; nil claims nothing more.
	Claims func(host, path string) (repo, rest string, ok bool)
	// Listed finds what verified metadata lists by the path, decoded, that another
	// host has for it: generation.Store.Listed. nil finds nothing.
	Listed func(path string) (generation.Listed, bool)
	// Ledger is told what was served; nil keeps no account.
	Ledger *cache.Ledger
	// AccessLog gets a line per answer, whole lines in each Write; nil discards.
	AccessLog io.Writer
	Version   string // of the program
	Hostname  string // this machine's, by which clients may name it
	Via       string // this server's in the Via field, as its fetches have it too; "" makes one
	// Grace is how long answers, and tunnels, may take to end once the server
	// stops; 30 s where it is 0.
	Grace time.Duration
	Now   func() time.Time // nil is time.Now
	Log   *slog.Logger     // nil discards
}

// Limits of a connection. There is none on how long an answer takes: a slow
// client is no error.
const (
	headerTimeout = 10 * time.Second // to send a request's header
	idleTimeout   = 2 * time.Minute  // between two requests
	maxHeader     = 64 << 10         // bytes
	defaultGrace  = 30 * time.Second
	tunnelIdle    = 10 * time.Minute // without a byte in either direction
)

// Server answers requests. It is an http.Handler, safe for concurrent use.
type Server struct {
	o       Options
	via     string // by which we know our own requests, those that fetch too
	started time.Time

	access   *accessLog // nil where there is none
	refusals *refusals
	suspects *suspects
	places   places
	tunnels  *tunnels
	missed   missed
	stats    stats
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
	s := &Server{
		o:        o,
		via:      o.Via,
		started:  o.Now(),
		refusals: newRefusals(o.Log, &o.Config.Serve, o.Now),
		tunnels:  newTunnels(),
		suspects: &suspects{now: o.Now},
	}
	if o.AccessLog != nil {
		s.access = newAccessLog(o.AccessLog, o.Log)
	}
	return s
}

// Pseudonym is a new name for a server in the Via field. It is random: two
// servers of one machine behind each other are no loop.
func Pseudonym() string { return "imserve-" + rand.Text()[:12] }

// Serve answers what comes to l until ctx ends. Then no connection is accepted
// any more, answers that are under way get Options.Grace to end, and what is
// left is broken off. The error is nil for an orderly stop.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn),
		// A handler of the library's own would answer without Cache-Status.
		DisableGeneralOptionsHandler: true,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
	}
	s.o.Log.Info("listening", "addr", l.Addr().String())
	failed := make(chan error, 1)
	go func() { failed <- h.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	case <-ctx.Done():
	}
	s.o.Log.Info("stopping: answers that are under way may end", "at_most", s.o.Grace.String())
	grace, cancel := context.WithTimeout(context.Background(), s.o.Grace)
	defer cancel()
	err := h.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.o.Log.Warn("answers were broken off: their clients take longer than the time to stop")
		err = h.Close()
	}
	if s.tunnels.drain(grace) {
		s.o.Log.Warn("tunnels were broken off: their clients take longer than the time to stop")
	}
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// Close writes what is left of the access log.
func (s *Server) Close() {
	if s.access != nil {
		s.access.close()
	}
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := s.o.Now()
	a := &answer{
		w: w, r: r, client: clientOf(r, s.o.Config.Serve.TrustedProxies), cut: true,
		elsewhere: r.Method == http.MethodConnect || r.URL.IsAbs() && !s.isOwn(r),
		last:      ambiguous(r),
	}
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
	if s.access != nil {
		s.access.add(e)
	}
	s.stats.add(e)
	if s.o.Ledger == nil || a.key.Path == "" || !a.begun {
		return
	}
	switch a.code {
	case http.StatusOK, http.StatusPartialContent, http.StatusNotModified:
		// Of a download that others asked for too, only the first pays.
		free := status.Hit || status.Collapsed || status.FwdStatus == http.StatusNotModified
		s.o.Ledger.Served(a.key, a.sent, free)
	}
}
