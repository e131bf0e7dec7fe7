package sync

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestStoredOnce: a file with several names takes its bytes once, and what is the cache's
// own is none of them.
func TestStoredOnce(t *testing.T) {
	dir := t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	err := errors.Join(os.MkdirAll(file("r/a"), 0o755), os.MkdirAll(file(".im/gen"), 0o755),
		os.WriteFile(file("r/a/one"), make([]byte, 1000), 0o644), os.WriteFile(file("r/two"), make([]byte, 10), 0o644),
		os.Link(file("r/a/one"), file("r/again")), os.Link(file("r/two"), file(".im/gen/two")))
	if err != nil {
		t.Fatal(err)
	}
	if files, bytes, err := stored(t.Context(), dir); files != 3 || bytes != 1010 || err != nil {
		t.Errorf("%d files, %d bytes, %v", files, bytes, err)
	}
}
