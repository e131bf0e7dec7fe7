package cache

import (
	"os"
	"path"
	"strings"
	"testing"
)

// TestTooDeep: a file that somebody has put so deep that no call takes its path is no key,
// and stops neither the account of the cache nor what goes by it.
func TestTooDeep(t *testing.T) {
	s := newShelf(t, 2*block)
	s.put("r/a.rpm", 4)
	deep := strings.Repeat("r/"+strings.Repeat("d", 250)+"/", 17) + "b.rpm"
	if _, err := NewKey("r", deep); err == nil {
		t.Error("the path is a key")
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	if err := root.MkdirAll(path.Dir(deep), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := root.WriteFile(deep, make([]byte, block), 0o644); err != nil {
		t.Fatal(err)
	}
	e, err := s.open().Evict(t.Context(), false)
	if err != nil || len(e.Files) != 1 {
		t.Errorf("%+v, %v: want a.rpm gone", e, err)
	}
}
