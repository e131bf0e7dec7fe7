package serve

import (
	"net/http"
	"strconv"
	"testing"
	"time"
)

// TestRetryAfter holds that an answer to the moment says when the next may be
// another, and that other answers don't.
func TestRetryAfter(t *testing.T) {
	m := newMirror(t, setup{})
	if r := m.get("os/none.rpm"); r.StatusCode != 404 || r.Header.Get("Retry-After") != "" {
		t.Errorf("%s %q", r.Status, r.Header.Get("Retry-After"))
	}
	m.up.Stop()
	for _, path := range []string{"os/other.rpm", "os/notes"} {
		r := m.get(path)
		seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
		rest := m.server.o.Mirrors("r").Health().Rest
		if r.StatusCode != 502 || err != nil || seconds < 1 || time.Duration(seconds)*time.Second < rest {
			t.Errorf("%s: %s, Retry-After %q, the mirror rests for %s", path, r.Status, r.Header.Get("Retry-After"), rest)
		}
	}
	// A mirror that fails at once is asked at once when no other is well.
	m.pass(time.Hour)
	if rest := m.server.o.Mirrors("r").Health().Rest; rest != 0 {
		t.Errorf("it rests for %s", rest)
	}
	for code, want := range map[int]bool{200: false, 404: false, 501: false, http.StatusBadGateway: true, 503: true, 504: true} {
		if mayBeBetterSoon(code) != want {
			t.Error(code)
		}
	}
}

// TestAbsent holds what a client is told of a file that is not there, and that
// offline it is told the same.
func TestAbsent(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(repomd, []byte("<repomd/>"))
	m.prime(repomd)
	const asc = repomd + ".asc"
	for i, want := range []string{"imserve; fwd=uri-miss; fwd-status=404", "imserve; hit; detail=absent", "imserve; hit; detail=absent"} {
		if r := m.get(asc); r.StatusCode != 404 || r.status() != want {
			t.Errorf("%d: %s, %s; want %s", i, r.Status, r.status(), want)
		}
	}
	m.pass(time.Hour)
	m.up.Stop()
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		r := m.do(m.request(method, asc))
		if r.StatusCode != 404 || r.status() != "imserve; hit; detail=upstream-unreachable" || r.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %s, %s", method, r.Status, r.status())
		}
	}
	if r := m.get(repomd + ".key"); r.StatusCode != 502 {
		t.Errorf("never asked for: %s", r.Status)
	}
	if err := m.up.Restart(); err != nil {
		t.Fatal(err)
	}
	m.put(asc, []byte("-----BEGIN PGP SIGNATURE-----"))
	m.pass(time.Hour)
	if r := m.get(asc); r.StatusCode != 200 {
		t.Errorf("once it is there: %s", r.Status)
	}
}
