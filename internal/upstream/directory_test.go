package upstream

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// TestDirectory: a tree on this machine is a source like a mirror, verified alike.
func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	body := []byte("\xed\xab\xee\xdb and the rest of a package")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, name := range []string{"a.rpm", "++/b.rpm"} {
		name = filepath.Join(dir, "tree", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, body, 0o644), os.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "outside"), body, 0o644), os.Symlink("../outside", filepath.Join(dir, "tree", "out.rpm"))); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "tree"))
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	c, err := cache.Open(cache.Options{
		Dir: t.TempDir(), Policy: func(cache.Key) cache.Policy { return cache.Policy{MaxAge: time.Hour, Format: cache.FormatOf("a.rpm")} },
		Source: func(string) cache.Source { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	right := promise(string(body)).want
	wrong := cache.Want{Digest: cache.SHA256(make([]byte, 32)), Size: int64(len(body))}
	bring := func(name string, w cache.Want) (cache.Outcome, error) {
		return c.Bring(t.Context(), cache.Key{Repo: "r", Path: name}, w, Directory(root))
	}
	for _, name := range []string{"a.rpm", "++/b.rpm"} {
		out, err := bring(name, right)
		if err != nil || out.Facts.Met != right.Digest || !out.Facts.ModTime.Equal(at) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if out, err := c.Stage(t.Context(), cache.Key{Repo: "r", Path: "a.rpm"}, cache.Want{}, Directory(root), nil); err != nil || !out.NotModified {
		t.Errorf("asked whether it is the same: %+v, %v", out, err)
	}
	if _, err := bring("++/b.rpm", wrong); !errors.Is(err, cache.ErrWrongContent) {
		t.Errorf("other bytes than promised: %v", err)
	}
	if _, err := bring("nowhere.rpm", right); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not there: %v", err)
	}
	if _, err := bring("out.rpm", right); err == nil {
		t.Error("a link leads out of the tree")
	}
}
