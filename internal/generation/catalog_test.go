package generation

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
		"no piece ends by itself": colliding, "a suite": newSid().packages[:5000],
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
	s := newSid()
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
	s.push()
	after := read()
	had := map[unique.Handle[string]]bool{}
	for _, p := range before.pieces {
		had[p] = true
	}
	fresh := 0
	for _, p := range after.pieces {
		if !had[p] {
			fresh++
		}
	}
	// A package that is replaced changes the piece that it leaves and the one that it
	// comes to, and each may be cut in two.
	if most := 4 * sidChanges; fresh == 0 || fresh > most || len(after.pieces) < 5*most {
		t.Errorf("%d of %d pieces are new, %d at the most", fresh, len(after.pieces), most)
	}
}
