package generation

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unique"

	"intelligentmirror/internal/cache"
)

// TestCatalogFinds: a catalog finds each of its lines by its path, and nothing else,
// wherever its pieces begin.
func TestCatalogFinds(t *testing.T) {
	colliding := make([]item, 0, 500) // in pieces as long as may be
	for i := 0; len(colliding) < cap(colliding); i++ {
		if p := fmt.Sprintf("p/%07d.deb", i); !begins([]byte(p)) {
			colliding = append(colliding, item{p, cache.Want{Digest: cache.Digest(fmt.Sprintf("sha256:%064x", i)), Size: int64(i)}})
		}
	}
	for name, items := range map[string][]item{
		"none": nil, "one": colliding[:1], "one piece": colliding[:mostLines], "one more": colliding[:mostLines+1],
		"no piece ends by itself": colliding, "a suite": newSid(5000).packages,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := writeCatalog(dir, append([]item(nil), items...)); err != nil {
				t.Fatal(err)
			}
			c, err := readCatalog(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, it := range items {
				if w, ok := c.find(it.path); !ok || w != it.want {
					t.Fatalf("%s: %+v, %v, want %+v", it.path, w, ok, it.want)
				}
				for _, no := range []string{it.path + "x", it.path[:len(it.path)-1], it.path + "\t", strings.Replace(it.path, "p", "o", 1)} {
					if w, ok := c.find(no); ok {
						t.Fatalf("%q: %+v", no, w)
					}
				}
				if got, ok := c.endOf("/mirror/" + it.path); !ok || got != it {
					t.Fatalf("by its name: %+v, %v, want %+v", got, ok, it)
				}
			}
			for _, no := range []string{"", "\t", "a", "zzz"} {
				if w, ok := c.find(no); ok {
					t.Errorf("%q: %+v", no, w)
				}
			}
			var text strings.Builder
			text.WriteString(catalogMagic)
			c.each(func(at place, line string) {
				text.WriteString(line)
				if it, ok := c.item(at); !ok || !strings.HasPrefix(line, it.path+"\t") {
					t.Errorf("the line at %d is %+v, want %q", at, it, line)
				}
			})
			if b, err := os.ReadFile(filepath.Join(dir, catalogName)); err != nil || string(b) != text.String() {
				t.Errorf("%d bytes of the file's %d, %v", text.Len(), len(b), err)
			}
		})
	}
}

// TestCatalogsShare: of the catalogs of a suite's pushes only what has changed is in
// memory again.
func TestCatalogsShare(t *testing.T) {
	const packages, changes = sidPackages / 4, sidChanges / 4
	s := newSid(packages)
	read := func() *catalog {
		dir := t.TempDir()
		if err := writeCatalog(dir, append([]item(nil), s.packages...)); err != nil {
			t.Fatal(err)
		}
		c, err := readCatalog(dir)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := read()
	s.push(changes)
	after := read()
	had := map[unique.Handle[string]]bool{}
	for _, p := range before.text() {
		had[p] = true
	}
	fresh := 0
	for _, p := range after.text() {
		if !had[p] {
			fresh++
		}
	}
	// A package that is replaced changes the piece that it leaves and the one that it
	// comes to, and each may be cut in two.
	if most := 4 * changes; fresh == 0 || fresh > most || len(after.text()) < 5*most {
		t.Errorf("%d of %d pieces are new, %d at the most", fresh, len(after.text()), most)
	}
}

// TestLazyCatalogs: a store that reads catalogs when they are needed answers as one
// that has read them; one that can't be read is told of then, and lists nothing.
func TestLazyCatalogs(t *testing.T) {
	dir := t.TempDir()
	gen := filepath.Join(dir, ".im", "gen")
	root := Root{Repo: "r", Path: "x"}
	entry := []byte("entry")
	items := []item{{"Packages/a.rpm", cache.Want{Digest: "sha256:aa", Size: 1}}, {"repodata/repomd.xml", cache.Want{Digest: "sha256:bb", Size: 2}}}
	for _, d := range []string{filepath.Join(dir, "r", "x", "repodata"), filepath.Join(gen, digestOf(entry))} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "r", "x", repomdPath), entry, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := writeCatalog(filepath.Join(gen, digestOf(entry)), items); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	at := time.Now()
	open := func(lazy bool) *Store {
		s, err := Open(Options{Dir: dir, Keep: time.Hour, Lazy: lazy, Now: func() time.Time { return at }, Log: slog.New(slog.NewTextHandler(&said, nil))})
		if err != nil {
			t.Fatal(err)
		}
		s.loadedAt.Store(at.UnixNano()) // no look of its own, beside the test's, meets what comes
		return s
	}
	if err := writeFile(open(false).rootPath(root), fmt.Appendf(nil, `{"root": %q, "kept": [{"digest": %q}]}`, root, digestOf(entry))); err != nil {
		t.Fatal(err)
	}
	eager, lazy, late := open(false), open(true), open(true)
	for _, path := range []string{"x/Packages/a.rpm", "x/Packages/b.rpm", "x/repodata/repomd.xml"} {
		want, held := eager.Lookup(cache.Key{Repo: "r", Path: path})
		got, listed := lazy.Lookup(cache.Key{Repo: "r", Path: path})
		if is := path == "x/Packages/a.rpm"; got != want || listed != held || held != is || want.Known() != is {
			t.Errorf("%s: %+v, %v when it is read late, %+v, %v when it is read first", path, got, listed, want, held)
		}
	}
	if said.Len() > 0 {
		t.Errorf("said %s", &said)
	}
	if err := os.WriteFile(filepath.Join(gen, digestOf(entry), catalogName), []byte("noise"), 0o644); err != nil {
		t.Fatal(err)
	}
	if w, held := late.Lookup(cache.Key{Repo: "r", Path: "x/Packages/a.rpm"}); held || w.Known() {
		t.Errorf("what can't be read lists %+v", w)
	}
	if !strings.Contains(said.String(), "is no catalog") {
		t.Errorf("said %q", &said)
	}
}
