package serve

import (
	"errors"
	"fmt"
	"net/http"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/cache"
)

// errStopping is why a server that drains is not ready, and breaks tunnels off in the end.
var errStopping = errors.New("the server is stopping")

// unready is why a load balancer should send its requests elsewhere, nil if it
// should not: nothing that is missing can be stored, or the server drains.
func (s *Server) unready() error {
	if s.stopping.Load() {
		return errStopping
	}
	if err := unix.Access(s.o.Config.CacheDir, unix.W_OK|unix.X_OK); err != nil {
		return fmt.Errorf("the cache directory can't be written: %w", err)
	}
	return nil
}

// ready tells a load balancer whether the server is ready.
func (s *Server) ready(a *answer) {
	switch err := s.unready(); {
	case errors.Is(err, errStopping):
		a.text(http.StatusServiceUnavailable, cache.Status{}, "not ready: this mirror is stopping")
	case err != nil:
		s.o.Log.Warn("not ready", "cache_dir", s.o.Config.CacheDir, "error", err)
		a.text(http.StatusServiceUnavailable, cache.Status{}, "not ready: the cache directory can't be written", "See the server's log.")
	default:
		a.text(http.StatusOK, cache.Status{}, "ready")
	}
}
