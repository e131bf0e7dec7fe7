package serve

import (
	"net/http"
	"testing"
)

// TestSiblingsCountForNobody holds that what siblings ask the store for is neither a
// hit nor a miss, and is not accounted: the client has asked elsewhere.
func TestSiblingsCountForNobody(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg) // it is at hand now
	for _, c := range []struct {
		name, path, directives string
		code                   int
	}{
		{"what is at hand", pkg, "only-if-cached, max-stale", http.StatusOK},
		{"in other letters", pkg, "Only-If-Cached", http.StatusOK},
		{"what is not stored", "os/none.rpm", "only-if-cached, max-stale", http.StatusGatewayTimeout},
	} {
		if r := m.get(c.path, "Cache-Control", c.directives); r.StatusCode != c.code {
			t.Errorf("%s: %s", c.name, r.Status)
		}
	}
	m.close()
	counts, sum := m.server.stats.outcomes()
	total := m.totals()
	if counts["sibling"] != 3 || counts["hit"] != total.Hits-counts["collapsed"] || sum != total.Requests+3 || total.Served != total.Requests*3000 {
		t.Errorf("%d answers, %v; accounted %+v", sum, counts, total)
	}
}
