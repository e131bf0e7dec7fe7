package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/testrepo"
)

// output is what the program writes, for several goroutines.
type output struct {
	mu      sync.Mutex
	b       bytes.Buffer
	changed chan struct{}
}

func newOutput() *output { return &output{changed: make(chan struct{})} }

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	close(o.changed)
	o.changed = make(chan struct{})
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// await waits for a line that re matches, and returns its first group.
func (o *output) await(ctx context.Context, re *regexp.Regexp) (string, error) {
	for {
		o.mu.Lock()
		found, changed := re.FindSubmatch(o.b.Bytes()), o.changed
		o.mu.Unlock()
		if found != nil {
			return string(found[1]), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("%v did not come: %w; but: %s", re, ctx.Err(), o)
		}
	}
}

// write writes a configuration file, and returns its name.
func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "config.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// alone keeps the test from the configuration and the directories of whoever runs it.
func alone(t *testing.T) {
	t.Setenv(config.FileVariable, "")
	for _, name := range []string{"XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "HOME"} {
		t.Setenv(name, t.TempDir())
	}
}

func TestCommandLine(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n", dir+"/new/cache", dir+"/new/state"))
	bad := write(t, "cache_dir = 5\nnonsense = 1\n[serve]\nlisten = \"x\"\n")
	under := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n", file+"/cache", dir))
	keys := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[[repo]]\nname = \"x\"\nupstreams = [\"http://127.0.0.1:1\"]\ngpg_keys = [%q, %q]\n", dir, dir, file, file+".none"))
	bucket := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\nbucket = \"s3://packages\"\nbucket_credentials = %q\n", dir, dir, file))
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stdout []string
		stderr []string
	}{
		{"version", []string{"--version"}, 0, []string{"imserve "}, nil},
		{"help", []string{"--help"}, 0, []string{"check", "--cache-dir directory", "--log-level"}, nil},
		{"an unknown flag", []string{"--nonsense"}, 2, nil, []string{"imserve: unknown flag: --nonsense"}},
		{"an unknown command", []string{"nonsense"}, 2, nil, []string{`unknown command "nonsense"`}},
		{"an argument to check", []string{"check", "x"}, 2, nil, []string{"imserve: "}},
		{"an unknown level", []string{"--log-level", "loud"}, 2, nil, []string{"--log-level"}},
		{"check", []string{"check", "--config", good}, 0, []string{"new/cache", "# config.toml:1", "[serve]"}, nil},
		{"check with flags", []string{"check", "--config", good, "--listen", "127.0.0.1:99", "--cache-dir", dir}, 0, []string{`"127.0.0.1:99"  # --listen flag`}, nil},
		{"check, as JSON", []string{"check", "--config", good, "--json"}, 0, []string{`"cache_dir": "` + dir + `/new/cache"`, `"generation_keep": "7d"`, `"serve": {`}, nil},
		{"check, no such file", []string{"check", "--config", dir + "/none"}, 2, nil, []string{"--config", "none"}},
		{"check, all that is wrong", []string{"check", "--config", bad}, 2, nil, []string{"cache_dir", "nonsense", "listen"}},
		{"check, a directory that can't be made", []string{"check", "--config", under}, 2, nil, []string{"cache_dir: ", "file/cache: not a directory; make it"}},
		{"check, a file for a directory", []string{"check", "--config", good, "--cache-dir", file}, 2, nil, []string{"cache_dir: ", "file is no directory; make it"}},
		{"check, keys that are none", []string{"check", "--config", keys}, 2, nil, []string{"repo x: gpg_keys: " + file + ": no public key", "repo x: gpg_keys: open " + file + ".none", "put the repository's public key there"}},
		{"check, credentials that are none", []string{"check", "--config", bucket}, 2, nil, []string{"bucket_credentials: " + file + " has no aws_access_key_id"}},
		{"run, credentials that are none", []string{"--config", bucket, "--listen", "127.0.0.1:0"}, 2, nil, []string{"bucket_credentials: " + file + " has no aws_access_key_id"}},
		{"run, keys that are none", []string{"--config", keys, "--listen", "127.0.0.1:0"}, 2, nil, []string{"repo x: gpg_keys: " + file + ": no public key", file + ".none"}},
		{"run, all that is wrong", []string{"--config", bad}, 2, nil, []string{"cache_dir", "nonsense", "listen"}},
		{"run, a directory that can't be made", []string{"--config", under, "--listen", "127.0.0.1:0"}, 1, nil, []string{"imserve: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr := newOutput(), newOutput()
			if code := run(t.Context(), nil, tt.args, stdout, stderr); code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("standard output lacks %q: %s", want, stdout)
				}
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("standard error lacks %q: %s", want, stderr)
				}
			}
			if tt.stderr == nil && stderr.String() != "" {
				t.Errorf("standard error: %s", stderr)
			}
		})
	}
	if _, err := os.Stat(dir + "/new"); err == nil {
		t.Error("check made a directory")
	}
}

// TestCheckLoads holds that what check prints is a configuration that says the same.
func TestCheckLoads(t *testing.T) {
	alone(t)
	first, second, stderr := newOutput(), newOutput(), newOutput()
	if code := run(t.Context(), nil, []string{"check", "--cache-dir", t.TempDir()}, first, stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	if code := run(t.Context(), nil, []string{"check", "--config", write(t, first.String())}, second, stderr); code != 0 {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	comments := regexp.MustCompile(`(?m)\s*# .*$`)
	if a, b := comments.ReplaceAllString(first.String(), ""), comments.ReplaceAllString(second.String(), ""); a != b {
		t.Errorf("first\n%s\nthen\n%s", a, b)
	}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)\n`)

// TestRun drives the program as its user does: it starts, serves, logs, and
// stops when it is told to; what it has stored is there when it starts again.
func TestRun(t *testing.T) {
	alone(t)
	up := testrepo.Start(t, t.TempDir())
	body := append([]byte("\xed\xab\xee\xdb"), bytes.Repeat([]byte("x"), 5000)...)
	if err := up.Put("/r/a-1-1.noarch.rpm", body); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[[repo]]\nname = \"r\"\nupstreams = [\"%s/r\"]\n[serve]\nlisten = \"127.0.0.1:0\"\n",
		dir+"/cache", dir+"/state", up.URL))
	for _, wantStatus := range []string{"imserve; fwd=uri-miss; stored", "imserve; hit"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		stop, stopped := context.WithCancel(ctx)
		stdout, stderr := newOutput(), newOutput()
		code := make(chan int, 1)
		go func() { code <- run(stop, nil, []string{"--config", file}, stdout, stderr) }()
		addr, err := stderr.await(ctx, listening)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get("http://" + addr + "/r/a-1-1.noarch.rpm")
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) || resp.Header.Get("Cache-Status") != wantStatus {
			t.Errorf("%d bytes, %v, Cache-Status %q, want %q", len(got), err, resp.Header.Get("Cache-Status"), wantStatus)
		}
		stopped()
		if c := <-code; c != 0 {
			t.Errorf("exit code %d: %s", c, stderr)
		}
		if stdout.String() != "" {
			t.Errorf("standard output: %s", stdout)
		}
	}
	log, err := os.ReadFile(dir + "/state/access.log")
	if err != nil || strings.Count(string(log), `"GET /r/a-1-1.noarch.rpm HTTP/1.1" 200 5004 `) != 2 {
		t.Errorf("access log %q, %v", log, err)
	}
	fi, err := os.Stat(dir + "/state/access.log")
	if err != nil || fi.Mode().Perm()&0o007 != 0 {
		t.Errorf("everybody may read the access log: %v, %v", fi.Mode(), err)
	}
}

// TestAccessLogToStandardOutput holds that "-" is standard output.
func TestAccessLogToStandardOutput(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	file := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[serve]\nlisten = \"127.0.0.1:0\"\naccess_log = \"-\"\n", dir+"/cache", dir+"/state"))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	stop, stopped := context.WithCancel(ctx)
	stdout, stderr := newOutput(), newOutput()
	code := make(chan int, 1)
	go func() { code <- run(stop, nil, []string{"--config", file}, stdout, stderr) }()
	addr, err := stderr.await(ctx, listening)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get("http://" + addr + "/-/healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, err := stdout.await(ctx, regexp.MustCompile(`"GET /-/healthz HTTP/1.1" (200) 3 `)); err != nil {
		t.Error(err)
	}
	stopped()
	if c := <-code; c != 0 {
		t.Errorf("exit code %d: %s", c, stderr)
	}
}

// TestAccessLogIsTruncated holds that a log which is rotated by copying and
// truncating goes on at its beginning.
func TestAccessLogIsTruncated(t *testing.T) {
	name := filepath.Join(t.TempDir(), "new", "access.log")
	log, err := openAccessLog(name, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	fmt.Fprintln(log, "one")
	if err := os.Truncate(name, 0); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(log, "two")
	if got, err := os.ReadFile(name); err != nil || string(got) != "two\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestPortIsTaken(t *testing.T) {
	alone(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stderr := newOutput()
	if code := run(t.Context(), nil, []string{"--cache-dir", t.TempDir(), "--listen", l.Addr().String(),
		"--config", write(t, fmt.Sprintf("state_dir = %q\n", t.TempDir()))}, newOutput(), stderr); code != 1 {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(stderr.String(), "is imserve running already?") {
		t.Errorf("standard error: %s", stderr)
	}
}
