package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/popularity"
)

// TestCounts holds that what imsync has counted is to be had as it is, by
// administrators alone, and that its absence is explained.
func TestCounts(t *testing.T) {
	m := newMirror(t, setup{})
	if r := m.get(popularity.CountsPage); r.StatusCode != http.StatusNotFound || !strings.Contains(string(r.body), "sync.group_key") {
		t.Errorf("without counts: %s %s", r.Status, r.body)
	}
	text := strings.Repeat("counts ", 100_000)
	if err := os.WriteFile(filepath.Join(m.server.o.Config.StateDir, popularity.CountsFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := m.get(popularity.CountsPage); r.StatusCode != http.StatusOK || string(r.body) != text || r.Header.Get("Content-Type") != "application/gzip" {
		t.Errorf("%s, %d bytes, %v", r.Status, len(r.body), r.Header)
	}
	if r := m.get(popularity.CountsPage, "X-Forwarded-For", "192.0.2.7"); r.StatusCode != http.StatusForbidden {
		t.Errorf("for a client: %s", r.Status)
	}
}
