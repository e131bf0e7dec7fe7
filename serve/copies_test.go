package serve

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/manifest"
)

// TestManifestSince holds that a manifest comes with its tag, that who has it is told
// so, and that who has an older one gets what has changed since.
func TestManifestSince(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	adopted := filepath.Join(m.dir, "r/adopted.rpm")
	if err := os.WriteFile(adopted, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	first := m.get("/-/manifest?digests")
	tag := strings.Trim(first.Trailer.Get("ETag"), `"`)
	sum := sha256.Sum256(first.body)
	if tag != hex.EncodeToString(sum[:]) {
		t.Fatalf("tag %q, it should be %x", tag, sum)
	}
	if text := sha256.Sum256([]byte("text")); !strings.Contains(string(first.body), hex.EncodeToString(text[:])) {
		t.Errorf("a digest that nobody had computed is not there:\n%s", first.body)
	}
	if r := m.get("/-/manifest?digests&since="+tag, "If-None-Match", `"`+tag+`"`); r.StatusCode != http.StatusNotModified || len(r.body) != 0 || r.Header.Get("ETag") != `"`+tag+`"` {
		t.Errorf("unchanged: %s %q", r.Status, r.body)
	}
	if err := os.Remove(adopted); err != nil {
		t.Fatal(err)
	}
	changed := m.get("/-/manifest?digests&since="+tag, "If-None-Match", `"`+tag+`"`)
	if changed.StatusCode != 200 || changed.Header.Get(manifest.Since) != tag || string(changed.body) != `{"path":"r/adopted.rpm","deleted":true}`+"\n" {
		t.Errorf("changed: %s %q %s", changed.Status, changed.Header.Get(manifest.Since), changed.body)
	}
	var now bytes.Buffer
	if got, err := manifest.Apply(&now, bytes.NewReader(first.body), bytes.NewReader(changed.body)); err != nil || `"`+got+`"` != changed.Header.Get("ETag") {
		t.Errorf("the changes make %s, %v; the tag is %s", got, err, changed.Header.Get("ETag"))
	}
	// Who names a cursor that nobody knows, or only a condition, gets all of it.
	for _, r := range []reply{m.get("/-/manifest?since=" + strings.Repeat("0", 64)), m.get("/-/manifest", "If-None-Match", `"`+tag+`"`)} {
		if r.StatusCode != 200 || r.Header.Get(manifest.Since) != "" || !bytes.Equal(r.body, now.Bytes()) || r.Trailer.Get("ETag") == "" {
			t.Errorf("all: %s %v %s", r.Status, r.Trailer, r.body)
		}
	}
}

// TestStored holds that what is stored is to be had as it is, with what is known of
// it, by administrators alone; that upstream is not asked, and nothing is accounted.
func TestStored(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(3000, 1)
	m.put(pkg, body)
	m.prime(pkg)
	m.clock.Add(int64(365 * 24 * time.Hour)) // long stale
	m.up.Forget()
	r := m.get("/-/stored/r/" + pkg)
	var head cache.Head
	if err := json.Unmarshal([]byte(r.Header.Get(cache.HeadField)), &head); err != nil {
		t.Fatalf("%v in %q", err, r.Header.Get(cache.HeadField))
	}
	if r.StatusCode != 200 || !bytes.Equal(r.body, body) || head.URL != m.up.URL+"/r/"+pkg || head.ETag == "" || head.Validated.IsZero() || head.ModTime.IsZero() {
		t.Errorf("%s, %d bytes, %+v", r.Status, len(r.body), head)
	}
	if r := m.get("/-/stored/r/"+pkg, "Range", "bytes=2990-"); r.StatusCode != 206 || !bytes.Equal(r.body, body[2990:]) {
		t.Errorf("a range: %s", r.Status)
	}
	for _, path := range []string{
		"r/nothing.rpm", "r/", "", "r", "q/x", ".im/cache.db", ".im/partial/x", ".im/gen/x/y", "../" + pkg, "%2e%2e/x", "r/%2e%2e/%2e%2e/x",
		".im/gen/" + strings.Repeat("a", 64) + "/catalog", "-/x",
	} {
		if r := m.get("/-/stored/" + path); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, r.Status)
		}
	}
	if r := m.get("/-/stored/r/"+pkg, "X-Forwarded-For", "10.1.2.3"); r.StatusCode != http.StatusForbidden {
		t.Errorf("not an administrator: %s", r.Status)
	}
	if lines := m.up.Lines("", "*"); len(lines) != 0 {
		t.Errorf("upstream was asked %q", lines)
	}
}

// TestGenerationsPage holds that the list of generations has a tag, and is not sent twice.
func TestGenerationsPage(t *testing.T) {
	m := newMirror(t, setup{})
	r := m.get("/-/generations")
	if r.StatusCode != 200 || r.Header.Get("ETag") == "" {
		t.Fatalf("%s %v", r.Status, r.Header)
	}
	if again := m.get("/-/generations", "If-None-Match", r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
		t.Error(again.Status)
	}
	if r := m.get("/-/generations", "Via", "1.1 squid"); r.StatusCode != http.StatusForbidden {
		t.Errorf("by way of a proxy: %s", r.Status)
	}
}
