// Package announce tells the local network by mDNS (RFC 6762, 6763) what this machine
// serves, by way of Avahi, the daemon that answers for the machine's name there already.
//
// What it promises: what is to be announced is announced while Avahi runs, again when
// Avahi comes back, under another name where the name is taken; and it is withdrawn, with
// a goodbye to the network, when it is not to be announced any more, and also when this
// process ends in whatever way, since Avahi sees its connection end. Where Avahi is not
// there, that is logged, and nothing else is the worse for it.
//
// To read it: announce.go (what is wanted, and trying again), session.go (one
// connection to Avahi).
package announce

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Service is what is announced under one type.
type Service struct {
	Type      string   // "_http._tcp"
	Port      uint16   // of TCP
	Interface int      // the index of the one network interface where it is to be had; 0: all
	Text      []string // "path=/", see RFC 6763, 6
}

func (s *Service) equal(o *Service) bool {
	return s.Type == o.Type && s.Port == o.Port && s.Interface == o.Interface && slices.Equal(s.Text, o.Text)
}

// Announcer announces services. Its methods may be called concurrently.
type Announcer struct {
	log *slog.Logger

	mu      sync.Mutex
	wanted  []Service
	changed chan struct{} // closed when wanted changes
}

// New returns an Announcer that announces nothing yet.
func New(log *slog.Logger) *Announcer {
	return &Announcer{log: log, changed: make(chan struct{})}
}

// Use has Run announce these services from now on, and no others. It does not wait.
func (a *Announcer) Use(services []Service) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.EqualFunc(a.wanted, services, func(x, y Service) bool { return x.equal(&y) }) {
		return
	}
	a.wanted = services
	close(a.changed)
	a.changed = make(chan struct{})
}

// now is what is to be announced, and a channel that is closed when that changes.
func (a *Announcer) now() ([]Service, <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wanted, a.changed
}

// again is how long it takes until Avahi is asked again that could not be asked.
const again = 30 * time.Second

// Run announces until ctx ends, and withdraws everything before it returns.
func (a *Announcer) Run(ctx context.Context) {
	said := "" // the error that was logged last: an Avahi that is never there is told of once
	for ctx.Err() == nil {
		wanted, changed := a.now()
		var later <-chan time.Time
		if len(wanted) > 0 {
			err := a.session(ctx)
			if ctx.Err() != nil {
				return
			}
			if errors.Is(err, errNothing) {
				said = ""
				continue
			}
			if said != err.Error() {
				said = err.Error()
				a.log.Warn("this machine can't be announced by mDNS; it is tried again", "error", err)
			}
			later = time.After(again)
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-later:
		}
	}
}
