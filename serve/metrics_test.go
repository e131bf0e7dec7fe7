package serve

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// sample is the value of a line of the metrics, "" if there is none.
func sample(text, series string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, series+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// awaitSample reads the metrics until a series has the value: an answer is
// accounted when it has ended, which its client need not wait for.
func (m *mirror) awaitSample(series, want string) string {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), hung)
	defer cancel()
	for {
		r := m.get("/-/metrics")
		if r.StatusCode != http.StatusOK {
			m.t.Fatal(r.Status)
		}
		if sample(string(r.body), series) == want {
			return string(r.body)
		}
		if ctx.Err() != nil {
			m.t.Fatalf("%s is not %s in\n%s", series, want, r.body)
		}
		runtime.Gosched()
	}
}

func TestMetrics(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.put("os/notes", []byte("text"))
	m.prime(pkg)
	m.get("os/notes")
	m.get("os/none.rpm")
	for _, name := range []string{"a", "b", "c"} {
		m.get("/" + name + "/x") // labels are not a client's to choose
	}
	text := m.awaitSample(`imserve_duration_seconds_count{outcome="not_found"}`, "4")
	for series, want := range map[string]string{
		`imserve_first_byte_seconds_count{outcome="miss"}`: "1",
		`imserve_sent_bytes_total{outcome="miss"}`:         "3000",
		`imserve_sent_bytes_total{outcome="relayed"}`:      "4",
		`imserve_upstream_bytes_total`:                     "3000",
		`imserve_downloads_in_progress`:                    "0",
		`imserve_followers`:                                "0",
		`imserve_downloads_abandoned_total`:                "0",
		`imserve_requests_in_progress`:                     "1", // the one that asks
		`imserve_ledger_dropped_total`:                     "0",
		`imserve_access_log_dropped_total`:                 "0",
		`imserve_mirrors{repo="r"}`:                        "1",
		`imserve_mirrors_resting{repo="r"}`:                "0",
		`imserve_ready`:                                    "1",
		`imserve_build_info{version="1.2.3"}`:              "1",
	} {
		if got := sample(text, series); got != want {
			t.Errorf("%s is %q, want %q", series, got, want)
		}
	}
	for _, series := range []string{"imserve_disk_size_bytes", "imserve_disk_free_bytes", "imserve_connections", "process_open_fds"} {
		if got := sample(text, series); got == "" || got == "0" || got == "NaN" {
			t.Errorf("%s is %q", series, got)
		}
	}
	outcomeNames := regexp.MustCompile(`outcome="([^"]*)"`)
	seen := map[string]bool{}
	for _, match := range outcomeNames.FindAllStringSubmatch(text, -1) {
		seen[match[1]] = true
	}
	if len(seen) != int(outcomes) {
		t.Errorf("the outcomes are %v", seen)
	}
	m.up.Stop()
	m.get("os/other.rpm")
	m.awaitSample(`imserve_mirrors_resting{repo="r"}`, "1")
}

// TestMetricsOfDownloads holds what is told of a download under way and of those
// who share it.
func TestMetricsOfDownloads(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(100_000, 1))
	m.up.On("*", testrepo.Stall(50_000))
	first, err := m.http.Do(m.request(http.MethodGet, pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer first.Body.Close()
	m.stalled()
	second, err := m.http.Do(m.request(http.MethodGet, pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer second.Body.Close()
	text := m.awaitSample("imserve_followers", "1")
	if got := sample(text, "imserve_downloads_in_progress"); got != "1" {
		t.Errorf("%s downloads under way", got)
	}
	m.up.Release()
	m.awaitSample("imserve_downloads_in_progress", "0")
	second.Body.Close()
	m.awaitSample("imserve_followers", "0")
}

// TestMetricsOfRefusals holds that what mirrors sent and was not taken is told by
// its reason, and that each reason is there from the start.
func TestMetricsOfRefusals(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	for r := cache.NoReason + 1; r < cache.Reasons; r++ {
		m.awaitSample(fmt.Sprintf("imserve_refused_total{reason=%q}", r), "0")
	}
	m.up.On("*", testrepo.Portal().Times(1), testrepo.Gzipped())
	for range 2 {
		m.get(pkg)
	}
	m.awaitSample(`imserve_refused_total{reason="format"}`, "1")
	m.awaitSample(`imserve_refused_total{reason="encoding"}`, "1")
	if got := sample(string(m.get("/-/metrics").body), `imserve_refused_total{reason="digest"}`); got != "0" {
		t.Errorf("digest: %q", got)
	}
}

// TestMetricsOfOthers holds that what the program adds is shown, and that
// nobody but administrators sees any of it.
func TestMetricsOfOthers(t *testing.T) {
	m := newMirror(t, setup{})
	other := prometheus.NewGauge(prometheus.GaugeOpts{Name: "imsync_test", Help: "A test."})
	other.Set(7)
	o := m.server.o
	o.AccessLog, o.Metrics = nil, []prometheus.Collector{other}
	m.server.current.Store(New(o))
	m.awaitSample("imsync_test", "7")
	if r := m.get("/-/metrics", "X-Forwarded-For", "10.1.2.3"); r.StatusCode != http.StatusForbidden {
		t.Error(r.Status)
	}
	if r := m.do(m.request(http.MethodHead, "/-/metrics")); r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
}

// TestPromtool holds that Prometheus's own tool finds nothing to complain of.
func TestPromtool(t *testing.T) {
	tool := testrepo.Program(t, "promtool")
	m := newMirror(t, setup{})
	m.get("os/none.rpm")
	cmd := exec.Command(tool, "check", "metrics")
	cmd.Stdin = strings.NewReader(string(m.get("/-/metrics").body))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}
