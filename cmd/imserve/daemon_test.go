package main

import (
	"bytes"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
	"intelligentmirror/internal/testrepo"
	imsync "intelligentmirror/sync"
)

// mirror is the program under way in this process.
type mirror struct {
	t       *testing.T
	dir     string
	file    string // the configuration
	signals chan os.Signal
	stderr  *output
	addrs   []string
	stop    context.CancelFunc
	code    chan int
}

// startMirror runs the program with a configuration of one repository, r, and what
// serve adds to [serve]; it listens on n addresses.
func startMirror(t *testing.T, up *testrepo.Server, serve string, n int) *mirror {
	t.Helper()
	alone(t)
	dir := t.TempDir()
	m := &mirror{t: t, dir: dir, file: filepath.Join(dir, "config.toml"), signals: make(chan os.Signal, 8), stderr: newOutput(), code: make(chan int, 1)}
	m.configure(m.text(up, serve))
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	go func() { m.code <- run(ctx, m.signals, []string{"--config", m.file}, io.Discard, m.stderr) }()
	t.Cleanup(func() {
		stop()
		if c := <-m.code; c != 0 {
			t.Errorf("exit code %d", c)
		}
		m.code <- 0
		if t.Failed() {
			t.Logf("standard error:\n%s", m.stderr)
		}
	})
	m.addrs = m.listening(n)
	return m
}

// text is the configuration of m.
func (m *mirror) text(up *testrepo.Server, serve string) string {
	return fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[[repo]]\nname = \"r\"\nupstreams = [\"%s/r\"]\n[serve]\n%s\n", m.dir+"/cache", m.dir+"/state", up.URL, serve)
}

func (m *mirror) configure(text string) {
	m.t.Helper()
	if err := os.WriteFile(m.file, []byte(text), 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// says waits until the log has a line that re matches, and returns its first group.
func (m *mirror) says(re string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), 2*time.Minute)
	defer cancel()
	text, err := m.stderr.await(ctx, regexp.MustCompile(re))
	if err != nil {
		m.t.Fatal(err)
	}
	return text
}

// listening waits until the program listens on n addresses, in all that it ever
// has, and returns them in its order.
func (m *mirror) listening(n int) []string {
	m.t.Helper()
	m.says(strings.Repeat(`(?:(?s:.*)msg=listening addr=\S+)`, n) + `()\n`)
	var list []string
	for _, found := range listening.FindAllStringSubmatch(m.stderr.String(), -1) {
		list = append(list, found[1])
	}
	return list
}

// reload sends SIGHUP, and waits until the log has the result n times.
func (m *mirror) reload(result string, n int) {
	m.t.Helper()
	m.signals <- syscall.SIGHUP
	m.says(strings.Repeat(`(?:(?s:.*)msg="the configuration `+result+`)`, n) + `()`)
}

const (
	wasRead = "was read again"
	stays   = "stays as it was"
)

// until waits for what comes soon after an answer, in the background.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for !is() {
		if ctx.Err() != nil {
			t.Fatal("in vain: " + what)
		}
		runtime.Gosched()
	}
}

// status asks for a path with a client of its own, and returns the status code.
func status(t *testing.T, client *http.Client, url string) int {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

func upstream(t *testing.T) *testrepo.Server {
	t.Helper()
	up := testrepo.Start(t, t.TempDir())
	if err := up.Put("/r/a-1-1.noarch.rpm", append([]byte("\xed\xab\xee\xdb"), bytes.Repeat([]byte("x"), 50_000)...)); err != nil {
		t.Fatal(err)
	}
	return up
}

// TestReload holds what SIGHUP changes and what it can't, and that a connection
// and an answer under way outlive it.
func TestReload(t *testing.T) {
	up := upstream(t)
	m := startMirror(t, up, `listen = "127.0.0.1:0"`, 1)
	base := "http://" + m.addrs[0]
	up.On("*", testrepo.Trickle(20_000))
	resp, err := http.Get(base + "/r/a-1-1.noarch.rpm")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := status(t, http.DefaultClient, base+"/q/none.rpm"); got != 404 {
		t.Fatalf("%d for a repository that there is not", got)
	}

	// Another repository in place of the first, another address beside the first.
	text := strings.Replace(m.text(up, "listen = [\"127.0.0.1:0\", \"[::1]:0\"]\nadmins = [\"192.0.2.1\"]"), `name = "r"`, `name = "q"`, 1)
	m.configure(text)
	m.reload(wasRead, 1)
	addrs := m.listening(2)
	if got := status(t, http.DefaultClient, base+"/r/a-1-1.noarch.rpm"); got != 404 {
		t.Errorf("%d for the repository that is no more", got)
	}
	if got := status(t, http.DefaultClient, "http://"+addrs[1]+"/-/status.json"); got != 403 {
		t.Errorf("%d for an administrator that is no more", got)
	}
	if err := up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	up.Heal()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 50_004 {
		t.Errorf("the answer that was under way: %d bytes, %v", n, err)
	}
	if got := status(t, http.DefaultClient, base+"/q/a-1-1.noarch.rpm"); got != 200 {
		t.Errorf("%d for the new repository", got)
	}

	// The first address alone again: who came by the second stays.
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	defer client.CloseIdleConnections()
	if got := status(t, client, "http://"+addrs[1]+"/-/healthz"); got != 200 {
		t.Error(got)
	}
	m.configure(strings.Replace(text, `, "[::1]:0"`, "", 1))
	m.reload(wasRead, 2)
	if got := status(t, client, "http://"+addrs[1]+"/-/healthz"); got != 200 {
		t.Error(got)
	}
	if c, err := net.Dial("tcp", addrs[1]); err == nil {
		c.Close()
		t.Error("an address that is no more is listened on")
	}
	if len(m.listening(2)) != 2 {
		t.Error("an address that stays was opened twice")
	}
}

// TestReloadRefused holds that a configuration that can't be used changes
// nothing, and that it is said why.
func TestReloadRefused(t *testing.T) {
	up := upstream(t)
	m := startMirror(t, up, `listen = "127.0.0.1:0"`, 1)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	good := m.text(up, `listen = "127.0.0.1:0"`)
	for i, tt := range []struct{ name, text, why string }{
		{"nonsense", good + "nonsense = 1\n", `config.toml:8: serve.nonsense: unknown key`},
		{"a port that is taken", strings.Replace(m.text(up, fmt.Sprintf("listen = [\"127.0.0.1:0\", %q]", taken.Addr())), `name = "r"`, `name = "q"`, 1), "address already in use"},
		{"a certificate that is not there", good + "tls_cert = \"/none\"\ntls_key = \"/none\"\n", "serve.tls_cert and serve.tls_key can't be used: open /none"},
		{"a log that can't be opened", good + fmt.Sprintf("access_log = %q\n", m.file+"/log"), "access_log: mkdir"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m.configure(tt.text)
			m.reload(stays, i+1)
			if !strings.Contains(m.stderr.String(), tt.why) {
				t.Errorf("it is not said why: %s", m.stderr)
			}
			if got := status(t, http.DefaultClient, "http://"+m.addrs[0]+"/r/a-1-1.noarch.rpm"); got != 200 {
				t.Error(got)
			}
		})
	}
	m.configure(good)
	m.reload(wasRead, 1)
}

// TestReloadStays holds that what can't change under way is named, and all else
// of the same file is applied.
func TestReloadStays(t *testing.T) {
	up := upstream(t)
	m := startMirror(t, up, `listen = "127.0.0.1:0"`, 1)
	text := strings.Replace(m.text(up, `listen = "127.0.0.1:0"`), `name = "r"`, `name = "q"`, 1)
	text = strings.ReplaceAll(text, m.dir, m.dir+"/other")
	m.configure("cache_size = \"5GiB\"\nmin_free = \"2GiB\"\ngeneration_keep = \"1d\"\n" + text)
	m.reload(wasRead, 1)
	for _, key := range []string{"cache_dir", "state_dir", "cache_size", "min_free", "generation_keep"} {
		if !strings.Contains(m.stderr.String(), `level=WARN msg="`+key+` can't change while imserve runs: restart it"`) {
			t.Errorf("nothing is said of %s", key)
		}
	}
	if got := status(t, http.DefaultClient, "http://"+m.addrs[0]+"/q/a-1-1.noarch.rpm"); got != 200 {
		t.Errorf("%d for the new repository", got)
	}
	if _, err := os.Stat(m.dir + "/other"); err == nil {
		t.Error("the other directory was made")
	}
	until(t, "the file is stored where the cache is", func() bool {
		_, err := os.Stat(m.dir + "/cache/q/a-1-1.noarch.rpm")
		return err == nil
	})
}

// TestAccessLogIsRotated holds that a log which is moved away is opened again, by
// either signal.
func TestAccessLogIsRotated(t *testing.T) {
	up := upstream(t)
	m := startMirror(t, up, `listen = "127.0.0.1:0"`, 1)
	name := m.dir + "/state/access.log"
	url := "http://" + m.addrs[0]
	awaitLine := func(file, text string) {
		t.Helper()
		until(t, file+" has "+text, func() bool {
			b, err := os.ReadFile(file)
			return err == nil && strings.Contains(string(b), text)
		})
	}
	status(t, http.DefaultClient, url+"/-/healthz?one")
	awaitLine(name, "one")
	for i, s := range []os.Signal{syscall.SIGUSR1, syscall.SIGHUP} {
		if err := os.Rename(name, fmt.Sprintf("%s.%d", name, i)); err != nil {
			t.Fatal(err)
		}
		m.signals <- s
		m.says(`msg="the (access log was opened|configuration was read) again"` + strings.Repeat(`(?s:.*)again`, i))
		status(t, http.DefaultClient, fmt.Sprintf("%s/-/healthz?after-%d", url, i))
		awaitLine(name, fmt.Sprintf("after-%d", i))
	}
}

// TestMetrics holds what the program adds to the server's metrics: what became of
// its configuration, and what imsync did.
func TestMetrics(t *testing.T) {
	up := upstream(t)
	m := startMirror(t, up, `listen = "127.0.0.1:0"`, 1)
	metrics := func() string {
		t.Helper()
		resp, err := http.Get("http://" + m.addrs[0] + "/-/metrics")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s, %v", resp.Status, err)
		}
		return string(b)
	}
	if text := metrics(); strings.Contains(text, "imsync_") || !strings.Contains(text, `imserve_config_reloads_total{result="applied"} 0`) {
		t.Errorf("before anything: %s", text)
	}
	m.reload(wasRead, 1)
	m.configure("nonsense")
	m.reload(stays, 1)
	m.configure(m.text(up, ""))
	cfg, err := config.Load(config.Options{Path: m.file})
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	s, err := site.Open(cfg, site.Options{Program: "imsync", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	agent, err := imsync.New(imsync.Options{Site: s, Log: log})
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	if _, err := agent.Once(t.Context()); err != nil {
		t.Fatal(err)
	}
	// As a site's that has guessed, which takes a month.
	db, err := sql.Open("sqlite3", "file:"+filepath.Join(cfg.StateDir, "imsync.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`UPDATE run SET report = json_set(report, '$.sources', json('[{"source": "sibling", "used": 2, "wasted_bytes": 70}]'))`); err != nil {
		t.Fatal(err)
	}
	text := metrics()
	for _, want := range []string{
		`imserve_config_reloads_total{result="applied"} 1`, `imserve_config_reloads_total{result="refused"} 1`,
		`imsync_prefetched_packages{outcome="used",source="sibling"} 2`, `imsync_prefetched_bytes{outcome="wasted",source="sibling"} 70`,
		"imsync_last_run_completed 1", "imsync_last_run_failures 0", "imsync_last_run_fetched_packages 0", "imsync_last_run_timestamp_seconds ", "imsync_last_completed_run_timestamp_seconds ",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s in\n%s", want, text)
		}
	}
	if _, err := db.Exec(`UPDATE run SET report = json_set(report, '$.stopped', 'sync.window (01:00-06:00) is over')`); err != nil {
		t.Fatal(err)
	}
	if text := metrics(); !strings.Contains(text, "\nimsync_last_run_completed 0") {
		t.Errorf("a run that its window has ended counts as completed:\n%s", text)
	}
}
