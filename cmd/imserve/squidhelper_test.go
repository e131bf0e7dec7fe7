package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// lateQuestions are asked once the helper has said something.
type lateQuestions struct {
	io.Reader
	t     *testing.T
	after string
	said  *output
}

func (q *lateQuestions) Read(b []byte) (int, error) {
	if _, err := q.said.await(q.t.Context(), regexp.MustCompile("("+q.after+")")); err != nil {
		return 0, err
	}
	return q.Reader.Read(b)
}

// runSquidHelper runs imserve squid-helper with questions, once it has said after,
// and returns what it said.
func runSquidHelper(t *testing.T, questions, after string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	out, errs := newOutput(), newOutput()
	in := &lateQuestions{strings.NewReader(questions), t, after, errs}
	p := &program{stdout: out, stderr: errs}
	c := p.command()
	c.SetArgs(append([]string{"squid-helper"}, args...))
	c.SetIn(in)
	c.SetOut(out)
	c.SetErr(errs)
	err = c.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// TestSquidHelper holds that the helper answers for the mirror of its configuration
// to the end of the questions, that a configuration which can't be used ends no squid, and that
// it needs no home.
func TestSquidHelper(t *testing.T) {
	alone(t)
	up := upstream(t)
	m := startMirror(t, up, "listen = \"127.0.0.1:0\"", 1)
	t.Setenv("HOME", "")
	address := up.URL + "/r/a-1-1.noarch.rpm"
	questions := address + "\n7 http://example.org/ 10.0.0.7/- - GET\n"
	addr := m.addrs[0]
	inaccessible := filepath.Join(t.TempDir(), "none.toml")
	secret := write(t, m.text(up, "listen = \":443\"\ntls_cert = \"/c\"\ntls_key = \"/k\""))
	gone := write(t, m.text(up, "listen = \"127.0.0.1:1\""))
	bad := write(t, "nonsense = 1\n")
	for _, tt := range []struct {
		name string
		args []string
		want string
		said string // before it is asked
	}{
		{"imserve is ready", []string{"--config", m.file, "--mirror", "http://" + addr}, "OK rewrite-url=\"http://" + addr + "/r/a-1-1.noarch.rpm\"\n7 ERR\n", "imserve is ready"},
		{"imserve is away", []string{"--config", gone}, "ERR\n7 ERR\n", "imserve is away"},
		{"store ids", []string{"--config", gone, "--store-id"}, "OK store-id=\"http://imserve.squid.internal/r/a-1-1.noarch.rpm\"\n7 ERR\n", ""},
		{"no such configuration", []string{"--config", inaccessible}, "ERR\n7 ERR\n", "all URLs are left as they are"},
		{"a wrong configuration", []string{"--config", bad}, "ERR\n7 ERR\n", "nonsense"},
		{"no address without TLS", []string{"--config", secret}, "ERR\n7 ERR\n", "or name it by --mirror"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stdout, stderr, err := runSquidHelper(t, questions, tt.said, tt.args...)
			if err != nil || stdout != tt.want {
				t.Errorf("%v, %q, want %q; it logged %s", err, stdout, tt.want, stderr)
			}
		})
	}
	for _, mirror := range []string{"https://m.test:3180", "m.test:3180", "http://", "http://m.test/x", "http://a@m.test", "http://m.test?x", "http://m.test:x"} {
		_, _, err := runSquidHelper(t, questions, "", "--mirror", mirror)
		if f, ok := err.(*failure); !ok || f.code != exitUsage || !strings.Contains(f.Error(), "--mirror "+mirror) {
			t.Errorf("--mirror %s: %v", mirror, err)
		}
	}
	if u, err := parseMirror("http://m.test/"); err != nil || u.String() != "http://m.test:80" {
		t.Errorf("%v, %v", u, err)
	}
}

// TestSquidHelperIsTold holds that the helper ends when it is told to, whether or not
// squid has closed its end.
func TestSquidHelperIsTold(t *testing.T) {
	alone(t)
	in, squid, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer squid.Close()
	ctx, cancel := context.WithCancel(t.Context())
	out := newOutput()
	p := &program{stdout: out, stderr: io.Discard}
	c := p.command()
	c.SetArgs([]string{"squid-helper", "--store-id", "--config", write(t, fmt.Sprintf("cache_dir = %q\n", t.TempDir()))})
	c.SetIn(in)
	ended := make(chan error, 1)
	go func() { ended <- c.ExecuteContext(ctx) }()
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
