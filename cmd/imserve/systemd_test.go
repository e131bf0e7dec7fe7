package main

import (
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestSupervisor holds what a service manager is told, and in which order.
func TestSupervisor(t *testing.T) {
	up := upstream(t)
	socket := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "20000")
	if err := c.SetReadDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Fatal(err)
	}
	// Read all the time: the kernel holds ten messages, and signs of life come every 10 ms.
	states := make(chan string, 1<<16)
	go func() {
		defer close(states)
		b := make([]byte, 4096)
		for {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			states <- string(b[:n])
		}
	}()
	alive := 0
	// next is the next state but for signs of life, which come whenever they come.
	next := func() string {
		t.Helper()
		for state := range states {
			if state != stateAlive {
				return state
			}
			alive++
		}
		t.Fatal("no more was said")
		return ""
	}
	m := startMirror(t, up, `listen = "127.0.0.1:0"`, 1)
	if got := next(); got != stateReady {
		t.Errorf("%q", got)
	}
	m.signals <- syscall.SIGHUP
	if got := next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=\d+$`).MatchString(got) {
		t.Errorf("%q", got)
	}
	if got := next(); got != stateReady {
		t.Errorf("%q", got)
	}
	for alive < 3 {
		if state := <-states; state != stateAlive {
			t.Fatalf("%q", state)
		}
		alive++
	}
	m.stop()
	if got := next(); got != stateStopping {
		t.Errorf("%q", got)
	}
}

func TestNewSupervisor(t *testing.T) {
	for _, tt := range []struct {
		name string
		env  map[string]string
		want supervisor
		fail bool
	}{
		{"nobody", nil, supervisor{}, false},
		{"all of it", map[string]string{"NOTIFY_SOCKET": "@abstract", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "42", "LISTEN_PID": "42", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:other"},
			supervisor{"@abstract", 3 * time.Second, []inherited{{3, "http"}, {4, "other"}}}, false},
		{"sockets without names", map[string]string{"LISTEN_PID": "42", "LISTEN_FDS": "2"}, supervisor{sockets: []inherited{{3, ""}, {4, ""}}}, false},
		{"sockets of another process", map[string]string{"LISTEN_PID": "41", "LISTEN_FDS": "2"}, supervisor{}, false},
		{"the watchdog of another process", map[string]string{"WATCHDOG_USEC": "1", "WATCHDOG_PID": "41"}, supervisor{}, false},
		{"no number of sockets", map[string]string{"LISTEN_PID": "42", "LISTEN_FDS": "-1"}, supervisor{}, true},
		{"no time", map[string]string{"WATCHDOG_USEC": "soon"}, supervisor{}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := newSupervisor(func(name string) string { return tt.env[name] }, 42)
			if (err != nil) != tt.fail {
				t.Fatal(err)
			}
			if err == nil && (got.socket != tt.want.socket || got.watchdog != tt.want.watchdog || !slices.Equal(got.sockets, tt.want.sockets)) {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
		})
	}
}
