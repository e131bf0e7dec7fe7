package announce

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/godbus/dbus/v5"
)

// What Avahi calls its things on the system's bus, and the numbers that it gives to
// their states.
const (
	avahi          = "org.freedesktop.Avahi"
	avahiServer    = avahi + ".Server"
	avahiGroup     = avahi + ".EntryGroup"
	avahiCollision = avahi + ".CollisionError"
	busDaemon      = "org.freedesktop.DBus"

	serverRunning    = 2
	groupEstablished = 2
	groupCollision   = 3
	groupFailure     = 4

	everywhere = -1 // an interface's index, a protocol
)

// callWithin is how long Avahi may take for an answer.
const callWithin = 30 * time.Second

// mostNames is how many names are tried where all are taken.
const mostNames = 20

// errNothing ends a session when there is nothing to announce any more.
var errNothing = errors.New("nothing is to be announced")

// session is one connection to Avahi.
type session struct {
	a    *Announcer
	ctx  context.Context
	conn *dbus.Conn
	name string          // that services are announced under; "": not chosen yet
	path dbus.ObjectPath // of the group of services; "": there is none
}

// session announces what is wanted until ctx ends, nothing is wanted, which is
// errNothing, or the connection does.
func (a *Announcer) session(ctx context.Context) error {
	conn, err := dbus.ConnectSystemBus()
	if err != nil {
		return fmt.Errorf("reach the system's D-Bus: %w", err)
	}
	// With the connection Avahi withdraws what came by it.
	defer conn.Close()
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	for _, match := range [][]dbus.MatchOption{
		{dbus.WithMatchInterface(busDaemon), dbus.WithMatchMember("NameOwnerChanged"), dbus.WithMatchArg(0, avahi)},
		{dbus.WithMatchInterface(avahiServer), dbus.WithMatchMember("StateChanged")},
		{dbus.WithMatchInterface(avahiGroup), dbus.WithMatchMember("StateChanged")},
	} {
		if err := conn.AddMatchSignalContext(ctx, match...); err != nil {
			return fmt.Errorf("listen to Avahi: %w", err)
		}
	}
	s := &session{a: a, ctx: ctx, conn: conn}
	for {
		wanted, changed := a.now()
		if len(wanted) == 0 {
			a.log.Info("this machine is not announced by mDNS any more")
			return errNothing
		}
		if err := s.publish(wanted); err != nil {
			return err
		}
		if err := s.wait(signals, changed); err != nil {
			return err
		}
	}
}

// call has Avahi do something.
func (s *session) call(path dbus.ObjectPath, method string, results []any, args ...any) error {
	ctx, cancel := context.WithTimeout(s.ctx, callWithin)
	defer cancel()
	if err := s.conn.Object(avahi, path).CallWithContext(ctx, method, 0, args...).Store(results...); err != nil {
		return fmt.Errorf("have Avahi do %s: %w", method, err)
	}
	return nil
}

// publish has the services announced in the place of those of before. While Avahi is
// not ready nothing is: it says when it is.
func (s *session) publish(services []Service) error {
	var state int32
	if err := s.call("/", avahiServer+".GetState", []any{&state}); err != nil {
		return err
	}
	if state != serverRunning {
		return nil
	}
	if s.path == "" {
		if err := s.call("/", avahiServer+".EntryGroupNew", []any{&s.path}); err != nil {
			return err
		}
	}
	if s.name == "" {
		var host string
		if err := s.call("/", avahiServer+".GetHostName", []any{&host}); err != nil {
			return err
		}
		s.name = "IntelligentMirror on " + host
	}
	for range mostNames {
		err := s.add(services)
		if err == nil {
			return s.call(s.path, avahiGroup+".Commit", nil)
		}
		var refused dbus.Error
		if !errors.As(err, &refused) || refused.Name != avahiCollision {
			return err
		}
		if err := s.rename(); err != nil {
			return err
		}
	}
	return fmt.Errorf("all names up to %q are taken", s.name)
}

// add puts the services into the group.
func (s *session) add(services []Service) error {
	if err := s.call(s.path, avahiGroup+".Reset", nil); err != nil {
		return err
	}
	for _, x := range services {
		text := make([][]byte, len(x.Text))
		for i, t := range x.Text {
			text[i] = []byte(t)
		}
		at := int32(everywhere)
		if x.Interface > 0 {
			at = int32(x.Interface)
		}
		if err := s.call(s.path, avahiGroup+".AddService", nil,
			at, int32(everywhere), uint32(0), s.name, x.Type, "", "", x.Port, text); err != nil {
			return err
		}
	}
	return nil
}

// rename takes the next name that Avahi proposes.
func (s *session) rename() error {
	return s.call("/", avahiServer+".GetAlternativeServiceName", []any{&s.name}, s.name)
}

// wait returns when the services are to be announced anew, or with what ends the
// session.
func (s *session) wait(signals <-chan *dbus.Signal, changed <-chan struct{}) error {
	for {
		select {
		case <-s.ctx.Done():
			return s.ctx.Err()
		case <-changed:
			return nil
		case signal, ok := <-signals:
			if !ok {
				return errors.New("the system's D-Bus has ended the connection")
			}
			anew, err := s.heed(signal)
			if anew || err != nil {
				return err
			}
		}
	}
}

// heed is what a signal means: that the services have to be announced anew, or that
// they can't be.
func (s *session) heed(signal *dbus.Signal) (anew bool, err error) {
	switch signal.Name {
	case busDaemon + ".NameOwnerChanged":
		var name, before, after string
		if dbus.Store(signal.Body, &name, &before, &after) != nil || name != avahi {
			return false, nil
		}
		s.path, s.name = "", "" // it was the old one's
		if after == "" {
			s.a.log.Warn("Avahi has ended: this machine is not announced by mDNS until it is back")
		}
		return after != "", nil
	case avahiServer + ".StateChanged":
		var state int32
		var why string
		// The machine's own name may be another now.
		return dbus.Store(signal.Body, &state, &why) == nil && state == serverRunning, nil
	case avahiGroup + ".StateChanged":
		var state int32
		var why string
		if dbus.Store(signal.Body, &state, &why) != nil || signal.Path != s.path {
			return false, nil
		}
		switch state {
		case groupEstablished:
			s.a.log.Info("this machine is announced by mDNS", "name", s.name)
		case groupCollision:
			return true, s.rename()
		case groupFailure:
			return false, fmt.Errorf("announce as %q: %s", s.name, why)
		}
	}
	return false, nil
}
