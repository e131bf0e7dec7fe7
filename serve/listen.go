package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Limits of a connection. There is none on how long an answer takes: a slow
// client is no error.
const (
	headerTimeout = 10 * time.Second // to send a request's header
	idleTimeout   = 2 * time.Minute  // between two requests
	maxHeader     = 64 << 10         // bytes
)

// listenerSide is the part of the server that net/http is.
func (s *Server) listenerSide() *http.Server {
	h := &http.Server{
		Handler:           s,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          libraryLog(s.o.Log),
		// A handler of the library's own would answer without Cache-Status.
		DisableGeneralOptionsHandler: true,
		// A connection is a client's: what breaks an answer off breaks it.
		Protocols: new(http.Protocols),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			c, in := lowest(c)
			if in != nil {
				ctx = context.WithValue(ctx, insideKey{}, in)
			}
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(c net.Conn, state http.ConnState) {
			if h, ok := c.(*hitConn); ok {
				h.changed(state)
			}
			switch state {
			case http.StateNew:
				s.metrics.connections.Inc()
			case http.StateActive:
				if _, in := lowest(c); in != nil {
					in.asked.Store(true)
				}
			case http.StateClosed, http.StateHijacked:
				s.metrics.connections.Dec()
				if _, in := lowest(c); in != nil && !in.asked.Load() && !s.stopping.Load() {
					s.metrics.handshakes.WithLabelValues(handshakeUnused).Inc()
					s.refusals.unused(in)
				}
			}
		},
	}
	h.Protocols.SetHTTP1(true)
	return h
}

// Serve answers what comes to the listeners until ctx ends. Then no connection
// is accepted any more, answers and tunnels that are under way get Options.Grace to end, and
// what is left is broken off. The error is nil for an orderly stop. Serve is
// called once.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	for _, l := range listeners {
		s.Add(l)
	}
	go s.accept(s.insides)
	select {
	case err := <-s.failed:
		return errors.Join(err, s.http.Close())
	case <-ctx.Done():
	}
	s.stopping.Store(true)
	s.o.Log.Info("stopping: answers that are under way may end", "at_most", s.o.Grace.String())
	grace, cancel := context.WithTimeout(context.Background(), s.o.Grace)
	defer cancel()
	err := s.http.Shutdown(grace)
	if errors.Is(err, context.DeadlineExceeded) {
		s.o.Log.Warn("answers were broken off: their clients take longer than the time to stop")
		err = s.http.Close()
	}
	if errors.Is(err, net.ErrClosed) {
		err = nil // a listener that was closed before, as an address that is no more is
	}
	if s.hitConns.drain(grace) {
		s.o.Log.Warn("answers were broken off: their clients take longer than the time to stop")
	}
	if s.tunnels.drain(grace) {
		s.o.Log.Warn("tunnels were broken off: their clients take longer than the time to stop")
	}
	if err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	return nil
}

// Add answers what comes to l too, while Serve runs, until l is closed; the
// connections that came by way of it stay.
func (s *Server) Add(l net.Listener) {
	s.o.Log.Info("listening", "addr", l.Addr().String())
	go s.accept(hitListener{l, s})
}

// accept answers what comes to l until that is closed.
func (s *Server) accept(l net.Listener) {
	err := s.http.Serve(l)
	if errors.Is(err, http.ErrServerClosed) || errors.Is(err, net.ErrClosed) {
		return
	}
	select {
	case s.failed <- fmt.Errorf("serve %s: %w", l.Addr(), err):
	default: // one is enough to end the server
	}
}
