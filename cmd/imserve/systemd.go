package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// supervisor is the service manager that started the program, as systemd makes
// itself known (sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3)). Each
// part of it may be missing.
type supervisor struct {
	socket   string        // where it listens; "" is nowhere
	watchdog time.Duration // within which it wants a sign of life; 0 is not at all
	sockets  []inherited
}

// inherited is a socket that was handed over.
type inherited struct {
	fd   int
	name string
}

// firstSocket is the first descriptor that is handed over.
const firstSocket = 3

// newSupervisor reads what the environment of this process, pid, says.
func newSupervisor(getenv func(string) string, pid int) (supervisor, error) {
	s := supervisor{socket: getenv("NOTIFY_SOCKET")}
	mine := func(variable string) bool {
		text := getenv(variable)
		return text == "" || text == strconv.Itoa(pid)
	}
	if text := getenv("WATCHDOG_USEC"); text != "" && mine("WATCHDOG_PID") {
		usec, err := strconv.ParseInt(text, 10, 64)
		if err != nil || usec <= 0 {
			return s, fmt.Errorf("$WATCHDOG_USEC is %q: no number of microseconds", text)
		}
		s.watchdog = time.Duration(usec) * time.Microsecond
	}
	if text := getenv("LISTEN_FDS"); text != "" && getenv("LISTEN_PID") == strconv.Itoa(pid) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return s, fmt.Errorf("$LISTEN_FDS is %q: no number of sockets", text)
		}
		names := strings.Split(getenv("LISTEN_FDNAMES"), ":")
		for i := range n {
			in := inherited{fd: firstSocket + i}
			if i < len(names) {
				in.name = names[i]
			}
			s.sockets = append(s.sockets, in)
		}
	}
	return s, nil
}

// listener takes over the socket.
func (in inherited) listener() (net.Listener, error) {
	f := os.NewFile(uintptr(in.fd), "inherited socket "+in.name)
	// The listener has a copy, which no child inherits.
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("the socket that was handed over as descriptor %d: %w", in.fd, err)
	}
	if _, ok := l.(*net.TCPListener); !ok {
		return nil, errors.Join(fmt.Errorf("the socket that was handed over as descriptor %d is none of TCP: correct ListenStream=", in.fd), l.Close())
	}
	return l, nil
}

// What the supervisor is told.
const (
	stateReady     = "READY=1"
	stateReloading = "RELOADING=1"
	stateStopping  = "STOPPING=1"
	stateAlive     = "WATCHDOG=1"
)

// tell sends a state to the supervisor.
func (s supervisor) tell(state string) error {
	if s.socket == "" {
		return nil
	}
	if state == stateReloading {
		// Type=notify-reload wants to know that this is about its own signal.
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			return fmt.Errorf("tell the service manager %s: %w", state, err)
		}
		state += "\nMONOTONIC_USEC=" + strconv.FormatInt(now.Nano()/int64(time.Microsecond), 10)
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: s.socket, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	defer c.Close()
	if _, err := c.Write([]byte(state)); err != nil {
		return fmt.Errorf("tell the service manager %s: %w", state, err)
	}
	return nil
}
