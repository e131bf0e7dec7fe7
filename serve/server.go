// Package serve is the mirror as HTTP has it: a file that is ours to cache is
// answered from the cache, which downloads what is missing; all else of a
// repository is relayed and never stored.
//
// What it promises: each answer says in Cache-Status how it came about; no
// answer that is cut short looks whole; an address that is none of the clients'
// learns nothing; nothing on the way of a request waits for the disk but for
// the file itself.
//
// Read server.go and route.go first (what a request can be), then mirror.go with
// conditional.go and ranges.go (files that are cached), relay.go (all else),
// errors.go (what a client is told), clients.go (who may ask), and status.go,
// accesslog.go and stats.go (what the administrator sees).
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

// Options are what a Server needs. Config, Cache and Mirrors are.
type Options struct {
	Config *config.Config
	Cache  *cache.Cache
	// Mirrors is where the files of a repo come from; nil if there is no such repo.
	Mirrors func(repo string) *upstream.Mirrors
	// Metadata is asked for a root's repomd.xml, in place of the cache; nil treats
	// it as any file.
	Metadata *generation.Refresher
	// Ledger is told what was served; nil keeps no account.
	Ledger *cache.Ledger
	// AccessLog gets a line per answer, whole lines in each Write; nil discards.
	AccessLog io.Writer
	Version   string // of the program
	Hostname  string // this machine's, by which clients may name it
	Via       string // this server's in the Via field, as its fetches have it too; "" makes one
	// Grace is how long answers may take to end once the server stops; 30 s where it is 0.
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
)

// Server answers requests. It is an http.Handler, safe for concurrent use.
type Server struct {
	o       Options
	via     string // by which we know our own requests, those that fetch too
	started time.Time

	access   *accessLog // nil where there is none
	refusals *refusals
	suspects *suspects
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
		o:       o,
		via:     o.Via,
		started: o.Now(),
		refusals: &refusals{
			log: o.Log, now: o.Now, clients: o.Config.Serve.Clients,
		},
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
	if err := h.Shutdown(grace); errors.Is(err, context.DeadlineExceeded) {
		s.o.Log.Warn("answers were broken off: their clients take longer than the time to stop")
		return h.Close()
	} else if err != nil {
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
	a := &answer{w: w, r: r, client: clientOf(r, s.o.Config.Serve.TrustedProxies), cut: true}
	// Also for an answer that was broken off, which leaves by a panic.
	defer func() { s.account(a, start) }()
	s.route(a)
	a.begin()
	a.cut = false
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
		Status: status.String(), Outcome: a.outcome(), Internal: isInternal(r.URL.Path),
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
