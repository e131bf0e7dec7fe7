package systest

import (
	"bufio"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// gauge is the value of a metric, which is named with its labels.
func (s *server) gauge(name string) float64 {
	s.t.Helper()
	for lines := bufio.NewScanner(strings.NewReader(s.page("metrics"))); lines.Scan(); {
		if text, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil {
				s.t.Fatalf("metric %s: %v", name, err)
			}
			return v
		}
	}
	s.t.Fatalf("no metric %s", name)
	return 0
}

// TestAria2 holds that a client that fetches one file in eight pieces at once,
// while it is still coming from upstream, gets the right bytes, and that upstream
// is asked for it once, as a whole.
func TestAria2(t *testing.T) {
	const (
		size    = 16 << 20
		pieces  = 8
		arrived = 1 << 20
	)
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]")
	server := s.serve()
	for _, d := range s.doors(server) {
		spec := testrepo.Spec{Name: d.name, Version: "1", Release: "1", Size: size}
		s.publish([]testrepo.Spec{spec})
		path, want := upstreamRoot+"/"+spec.Location(), files(t, s.repo)[spec.Location()]
		s.up.On(path, testrepo.Trickle(arrived).Only(http.MethodGet).Times(1))
		proxy := ""
		if d.name == "proxy" {
			proxy = server.url
		}
		aria2 := func(into string) *process {
			return s.client("aria2c", "--no-conf", "--quiet", "--file-allocation=none", "-x8", "-s8", "-k1M", "--timeout=120",
				"--http-proxy="+proxy, "--checksum=sha-256="+want, "--dir="+s.dir+"/"+into, d.root+"/"+spec.Location())
		}
		first := aria2(d.name)
		s.awaitStalled()
		// The request for the metric is one too.
		s.await("requests for all pieces", func() bool { return server.gauge("imserve_requests_in_progress") > pieces })
		s.up.Release()
		if code := first.wait(); code != 0 {
			t.Errorf("%s: aria2c ended with %d: %s", d.name, code, first.stdout.String())
		}
		s.awaitFile("/" + rootName + "/" + spec.Location())
		if code := aria2(d.name + "-warm").wait(); code != 0 {
			t.Errorf("%s, warm: aria2c ended with %d", d.name, code)
		}
		for _, dir := range []string{d.name, d.name + "-warm"} {
			b, err := os.ReadFile(filepath.Join(s.dir, dir, spec.Filename()))
			if err != nil || digest(b) != want {
				t.Errorf("%s: %d bytes that are not upstream's, %v", dir, len(b), err)
			}
		}
		if lines := s.up.Lines("", path); len(lines) != 1 || s.up.Sent(path) != fileSize(t, filepath.Join(s.repo, spec.Location())) {
			t.Errorf("%s: upstream was asked %q and sent %d bytes", d.name, lines, s.up.Sent(path))
		}
	}
	server.stop()
	parts := map[string]int{}
	for _, l := range s.accessLog() {
		if l.status == "206" {
			parts[l.outcome]++
		}
	}
	if parts["imserve; fwd=uri-miss; stored; collapsed"] < 2*(pieces-1) || parts["imserve; hit"] < 2*(pieces-1) {
		t.Errorf("the pieces: %v", parts)
	}
}

// fileSize is a file's length in bytes.
func fileSize(t testing.TB, name string) int64 {
	t.Helper()
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return fi.Size()
}
