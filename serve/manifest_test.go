package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/manifest"
)

// TestManifest holds that the manifest has all that is stored, and nothing else.
func TestManifest(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(3000, 1)
	m.put(pkg, body)
	m.prime(pkg)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, name := range []string{"r/os/<adopted>&.rpm", "q/x.rpm", "q/\xff.rpm", "beside", ".im/partial/left"} {
		file := filepath.Join(m.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("text"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("x.rpm", filepath.Join(m.dir, "q/link.rpm")); err != nil {
		t.Fatal(err)
	}
	r := m.get("/-/manifest")
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "application/x-ndjson" || r.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %v", r.Status, r.Header)
	}
	var got []manifest.Line
	for line := range bytes.Lines(r.body) {
		var l manifest.Line
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		got = append(got, l)
	}
	sum := sha256.Sum256(body)
	want := []manifest.Line{
		{Path: "q/x.rpm", Size: 4, ModTime: at},
		{Path: "r/os/<adopted>&.rpm", Size: 4, ModTime: at},
		{Path: "r/" + pkg, Size: 3000, SHA256: hex.EncodeToString(sum[:])},
	}
	for i := range got {
		if i == len(want)-1 {
			if got[i].ModTime.IsZero() {
				t.Error("no time")
			}
			got[i].ModTime = time.Time{}
		}
	}
	slices.SortFunc(got, func(a, b manifest.Line) int { return strings.Compare(a.Path, b.Path) })
	slices.SortFunc(want, func(a, b manifest.Line) int { return strings.Compare(a.Path, b.Path) })
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if !strings.Contains(string(r.body), "<adopted>&") {
		t.Error("a path is not written as it is")
	}
	if r := m.get("/-/manifest", "X-Forwarded-For", "10.1.2.3"); r.StatusCode != http.StatusForbidden || strings.Contains(string(r.body), "rpm") {
		t.Errorf("not an administrator: %s", r.Status)
	}
	if r := m.do(m.request(http.MethodHead, "/-/manifest")); r.StatusCode != 200 || len(r.body) != 0 {
		t.Error(r.Status)
	}
}

// TestManifestIsWhole holds that a manifest which can't be whole does not look so.
func TestManifestIsWhole(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	if err := m.cache.Close(); err != nil { // a disk that can't be read any more
		t.Fatal(err)
	}
	if r := m.try(m.request(http.MethodGet, "/-/manifest")); r.err == nil {
		t.Errorf("%s %s", r.Status, r.body)
	}
	if !strings.Contains(m.log.String(), "the manifest was broken off") {
		t.Error("the log does not say so")
	}
}
