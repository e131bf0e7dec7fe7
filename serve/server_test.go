package serve

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/testrepo"
)

// TestStop holds that an answer which is under way when the server stops ends,
// and that nobody else is let in.
func TestStop(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(100_000, 1)
	m.put(pkg, body)
	m.up.On("*", testrepo.Stall(50_000))
	resp, err := m.http.Do(m.request(http.MethodGet, pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 40_000); err != nil {
		t.Fatal(err)
	}
	m.stop()
	// The listener is closed before anything is waited for.
	for {
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			break
		}
		c.Close()
	}
	select {
	case err := <-m.served:
		t.Fatalf("stopped with an answer under way: %v", err)
	default:
	}
	m.release()
	rest, err := io.ReadAll(resp.Body)
	if err != nil || len(rest) != 60_000 {
		t.Errorf("%d more bytes, %v", len(rest), err)
	}
	if err := <-m.served; err != nil {
		t.Errorf("serve: %v", err)
	}
	m.served <- nil
}

// TestStopAtLast holds that a client which does not take its answer can't hold
// the server up for ever, and is not told that it has all of it.
func TestStopAtLast(t *testing.T) {
	m := newMirror(t, setup{grace: time.Millisecond})
	m.put(pkg, rpm(100_000, 1))
	m.up.On("*", testrepo.Stall(50_000))
	resp, err := m.http.Do(m.request(http.MethodGet, pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	m.close()
	if _, err := io.ReadAll(resp.Body); err == nil {
		t.Error("a part of the file looks whole")
	}
	if !strings.Contains(m.log.String(), "answers were broken off") {
		t.Error("the log does not say so")
	}
}

func TestHealth(t *testing.T) {
	m := newMirror(t, setup{})
	if r := m.get("/-/healthz"); r.StatusCode != 200 || string(r.body) != "ok\n" || r.status() != "imserve" {
		t.Errorf("%s %q", r.Status, r.body)
	}
	if r := m.get("/-/readyz"); r.StatusCode != 200 || string(r.body) != "ready\n" {
		t.Errorf("%s %q", r.Status, r.body)
	}
	if r := m.do(m.request(http.MethodPost, "/-/healthz")); r.StatusCode != 405 {
		t.Error(r.Status)
	}
	if err := os.Rename(m.dir, m.dir+".gone"); err != nil {
		t.Fatal(err)
	}
	r := m.get("/-/readyz")
	if err := os.Rename(m.dir+".gone", m.dir); err != nil {
		t.Fatal(err)
	}
	if r.StatusCode != 503 || strings.Contains(string(r.body), m.dir) {
		t.Errorf("without a cache directory: %s %q", r.Status, r.body)
	}
}

func TestStatus(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.put("os/notes", []byte("text"))
	m.prime(pkg)
	m.get(pkg)
	m.get("os/notes")
	m.get("os/none.rpm")
	m.send("GET /nothing/<script>alert(1)</script> HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	m.pass(5 * time.Second)
	// Answers are accounted when they have ended, which their clients need not wait for.
	var got report
	for got.SinceStart.Outcomes["not_found"] < 2 {
		r := m.get("/-/status.json")
		if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s %v", r.Status, r.Header)
		}
		d := json.NewDecoder(strings.NewReader(string(r.body)))
		d.DisallowUnknownFields()
		got = report{}
		var raw struct {
			report
			Recent []struct {
				recent
				Outcome string `json:"outcome"`
			} `json:"recent"`
		}
		if err := d.Decode(&raw); err != nil {
			t.Fatalf("%v in %s", err, r.body)
		}
		got = raw.report
		if len(raw.Recent) > 0 && !strings.HasPrefix(raw.Recent[0].Target, "/") {
			t.Errorf("recent %+v", raw.Recent[0])
		}
	}
	if got.Version != "1.2.3" || got.UptimeSeconds != 5 || got.Today == nil || got.Last30Days == nil {
		t.Fatalf("%+v", got)
	}
	if got.Today.Upstream != 3000 || got.Today.Served < 6000 || *got.Today != *got.Last30Days {
		t.Errorf("today %+v, 30 days %+v", got.Today, got.Last30Days)
	}
	for name, least := range map[string]int64{"hit": 2, "miss": 1, "relayed": 1, "not_found": 2} {
		if got.SinceStart.Outcomes[name] < least {
			t.Errorf("%s: %d, want %d at least", name, got.SinceStart.Outcomes[name], least)
		}
	}
	page := m.get("/-/")
	text := string(page.body)
	if page.StatusCode != 200 || page.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s %v", page.Status, page.Header)
	}
	for _, want := range []string{"imserve 1.2.3", "not found", "/r/" + pkg, "2.9 KiB", "&lt;script&gt;"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if strings.Contains(text, "<script>") {
		t.Error("a client's text is the page's")
	}
	if r := m.get("/-"); r.StatusCode != 301 || r.Header.Get("Location") != "/-/" {
		t.Errorf("%s %q", r.Status, r.Header.Get("Location"))
	}
	if r := m.get("/-/nothing"); r.StatusCode != 404 {
		t.Error(r.Status)
	}
}

func TestRecent(t *testing.T) {
	var s stats
	for i := range recentEvents + 5 {
		s.add(&event{Code: i})
		s.add(&event{Code: -1, Internal: true})
	}
	list := s.last()
	if len(list) != recentEvents || list[0].Code != recentEvents+4 || list[recentEvents-1].Code != 5 {
		t.Errorf("%d events, the first %d, the last %d", len(list), list[0].Code, list[len(list)-1].Code)
	}
}

func TestByteText(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", -1536: "−1.5 KiB", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 20 << 30: "20.0 GiB", 1<<63 - 1: "8.0 EiB",
	} {
		if got := byteText(n); got != want {
			t.Errorf("byteText(%d) = %q, want %q", n, got, want)
		}
	}
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1\u202f000", 1234567: "1\u202f234\u202f567"} {
		if got := countText(n); got != want {
			t.Errorf("countText(%d) = %q, want %q", n, got, want)
		}
	}
}

// TestFullDisk holds that a disk without room turns a miss into a pass-through.
func TestFullDisk(t *testing.T) {
	m := newMirror(t, setup{minFree: 1 << 62})
	body := rpm(5000, 1)
	m.put(pkg, body)
	r := m.get(pkg)
	if r.StatusCode != 200 || string(r.body) != string(body) || r.status() != "imserve; fwd=bypass; detail=unstorable" {
		t.Errorf("%s, %d bytes, Cache-Status %q", r.Status, len(r.body), r.status())
	}
	if len(m.files()) != 0 {
		t.Errorf("stored: %q", m.files())
	}
}

// TestUnwritable holds the same for a directory that may not be written.
func TestUnwritable(t *testing.T) {
	if unix.Geteuid() == 0 {
		t.Log("root may write anywhere: a file in the directory's place stands in for the permission")
	}
	m := newMirror(t, setup{})
	body := rpm(5000, 1)
	m.put(pkg, body)
	if err := os.WriteFile(m.dir+"/r", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if r := m.get(pkg); r.StatusCode != 200 || string(r.body) != string(body) || !strings.HasPrefix(r.status(), "imserve; fwd=") {
			t.Errorf("%s, %d bytes, Cache-Status %q", r.Status, len(r.body), r.status())
		}
	}
}

// TestDrains holds that a server which stops says so to whoever can still ask.
func TestDrains(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(100_000, 1))
	m.up.On("*", testrepo.Stall(50_000))
	resp, err := m.http.Do(m.request(http.MethodGet, pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	m.stop()
	ready := func() int {
		r := m.request(http.MethodGet, "/-/readyz")
		r.RemoteAddr, r.RequestURI, r.URL.Scheme, r.URL.Host = "127.0.0.1:1", r.URL.Path, "", ""
		w := httptest.NewRecorder()
		m.server.ServeHTTP(w, r)
		return w.Code
	}
	for ready() == http.StatusOK && t.Context().Err() == nil {
		runtime.Gosched()
	}
	if code := ready(); code != http.StatusServiceUnavailable {
		t.Error(code)
	}
	m.release()
	if n, err := io.Copy(io.Discard, resp.Body); err != nil || n != 100_000 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
