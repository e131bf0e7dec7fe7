package systest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"intelligentmirror/internal/testrepo"
)

// The addresses of squid's site. All are this machine's, so that who asked is told
// by the address alone.
const (
	squidClient = "127.0.0.9" // a client's own
	squidAsks   = "127.0.0.3" // that squid asks from, and the only proxy that is trusted
	squidHost   = "127.0.0.2" // where squid listens
)

// squidServe is what imserve's configuration has behind squid. The default would
// trust the clients too, who have addresses of loopback here.
const squidServe = "[serve]\ntrusted_proxies = [\"" + squidAsks + "\"]"

// squid is squid under way, with one of contrib's configurations.
type squid struct {
	*process
	at  *site
	dir string // of its own, where its user may write
	url string // where it is a proxy
}

// squidConf is what a site's squid.conf has around the file of contrib, with
// squid's directory, where it listens, that file and the address that it asks from.
const squidConf = `acl Safe_ports port 80 443 1025-65535
http_access deny !Safe_ports
include %[1]s/%[3]s
http_access allow all
http_port %[2]s
tcp_outgoing_address %[4]s
cache_log %[1]s/cache.log
access_log stdio:%[1]s/access.log
pid_filename %[1]s/squid.pid
coredump_dir %[1]s
shutdown_lifetime 0 seconds
visible_hostname squid.test
`

// squid starts squid with a file of contrib/squid as it is, but for where imserve
// is: its program, its configuration and its port.
func (s *site) squid(server *server, file string) *squid {
	s.t.Helper()
	// The directory of a test is for root alone, and squid gives root up.
	dir, err := os.MkdirTemp("", "squid-")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		s.t.Fatal(err)
	}
	for from, to := range map[string]string{s.config: "config.toml", filepath.Join("../../contrib/squid", file): file} {
		b, err := os.ReadFile(from)
		if err != nil {
			s.t.Fatal(err)
		}
		s.write(filepath.Join(dir, to), squidReplacer(server, dir).Replace(string(b)))
	}
	addr := freeAddress(s.t, squidHost)
	s.write(filepath.Join(dir, "squid.conf"), fmt.Sprintf(squidConf, dir, addr, file, squidAsks))
	q := &squid{at: s, dir: dir, url: "http://" + addr}
	line := q.line("-N")
	q.process = launch(s.t, "squid", exec.Command(line[0], line[1:]...))
	// Killed, it would leave its shared memory behind.
	s.t.Cleanup(func() { q.stop() })
	s.t.Cleanup(func() {
		if s.t.Failed() {
			s.t.Logf("squid's log:\n%s", q.log())
		}
	})
	q.notes("Accepting HTTP Socket connections", 1)
	return q
}

// line is the command line of this squid with the arguments. Its shared memory has
// the name of its service: of two that make it at once under one name, one ends.
func (q *squid) line(args ...string) []string {
	service := strings.TrimPrefix(filepath.Base(q.dir), "squid-")
	return append([]string{testrepo.Program(q.at.t, "squid"), "-n", service, "-f", filepath.Join(q.dir, "squid.conf")}, args...)
}

// squidReplacer puts the test's imserve in the place of that which contrib's files
// are for, in these and in the configuration that squid's helper reads.
func squidReplacer(server *server, dir string) *strings.Replacer {
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(server.url, "http://"))
	return strings.NewReplacer(
		"/usr/bin/imserve squid-helper", filepath.Join(programs, "imserve")+" squid-helper --config "+dir+"/config.toml",
		"127.0.0.1 parent 3180", "127.0.0.1 parent "+port,
		`127\.0\.0\.1:3180`, `127\.0\.0\.1:`+port,
		`"127.0.0.1:0"`, `"127.0.0.1:`+port+`"`,
	)
}

// log is what squid and its helpers have logged so far.
func (q *squid) log() string {
	b, err := os.ReadFile(filepath.Join(q.dir, "cache.log"))
	if err != nil {
		return ""
	}
	return string(b)
}

// notes waits until squid's log has text n times.
func (q *squid) notes(text string, n int) {
	q.at.t.Helper()
	q.at.await(fmt.Sprintf("%q in squid's log", text), func() bool {
		return strings.Count(q.log(), text) >= n || !q.running()
	})
	if !q.running() {
		q.at.t.Fatalf("squid has ended:\n%s", q.log())
	}
}

// helpers is the processes of the helper that this squid, or one before it, has started.
func (q *squid) helpers() []string {
	q.at.t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		q.at.t.Fatal(err)
	}
	var pids []string
	for _, name := range names {
		b, err := os.ReadFile(name) // one that has ended has none
		if args := strings.Split(string(b), "\x00"); err == nil && slices.Contains(args, q.dir+"/config.toml") {
			pids = append(pids, filepath.Base(filepath.Dir(name)))
		}
	}
	return pids
}

// reconfigure has squid read its configuration again, and waits until it has.
func (q *squid) reconfigure() {
	q.at.t.Helper()
	n := strings.Count(q.log(), "Accepting HTTP Socket connections")
	line := q.line("-k", "reconfigure")
	q.at.command(line[0], line[1:]...)
	q.notes("Accepting HTTP Socket connections", n+1)
}

// curl asks for URLs by way of squid, from the client's own address, and returns
// the status of each.
func (q *squid) curl(args ...string) []string {
	q.at.t.Helper()
	line := []string{"--silent", "--show-error", "--max-time", "120", "--interface", squidClient, "--proxy", q.url, "--noproxy", "", "--write-out", "%{http_code}\n"}
	for _, a := range args {
		if strings.HasPrefix(a, "http") {
			line = append(line, "--output", "/dev/null")
		}
		line = append(line, a)
	}
	return strings.Fields(q.at.command(testrepo.Program(q.at.t, "curl"), line...))
}

// isAllOf reports whether each of list is s.
func isAllOf(list []string, n int, s string) bool {
	return len(list) == n && !slices.ContainsFunc(list, func(x string) bool { return x != s })
}
