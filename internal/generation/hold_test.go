package generation_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
)

// get is what a client gets of a file of the root.
func (b *bench) get(location string) []byte {
	b.Helper()
	k, err := b.root.Key(location)
	if err != nil {
		b.Fatal(err)
	}
	o, err := b.cache.Get(context.Background(), k)
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	var got bytes.Buffer
	if _, err := o.SendTo(context.Background(), &got, 0, -1); err != nil {
		b.Fatal(err)
	}
	return got.Bytes()
}

func (b *bench) hold() error {
	return b.store.Hold(context.Background(), b.cache, b.root, b.mirrors)
}

// TestHold: while a root is held neither a client's request nor a run goes past
// its generation, and upstream isn't even asked; released, both do.
func TestHold(t *testing.T) {
	for _, by := range []string{"a run", "a client"} {
		t.Run("brought by "+by, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
			if err := b.hold(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nothing to hold: %v", err)
			}
			if by == "a run" {
				b.flip(b.mustStage())
			}
			held := b.get("repodata/repomd.xml")
			if err := b.hold(); err != nil {
				t.Fatal(err)
			}
			if list, err := b.store.Held(); err != nil || len(list) != 1 || list[0] != b.root.String() {
				t.Errorf("held: %v, %v", list, err)
			}
			b.setNow(b.now().Add(48 * time.Hour))
			next := spec("a", "2")
			b.publish(testrepo.BuildOptions{}, next)
			b.up.Forget()
			if !bytes.Equal(b.get("repodata/repomd.xml"), held) {
				t.Error("a client got past the generation that is held")
			}
			s := b.mustStage()
			if s.Changed || !s.Held {
				t.Errorf("staged: %+v", s)
			}
			if lines := b.up.Lines("", "*"); len(lines) != 0 {
				t.Errorf("upstream was asked %q", lines)
			}
			if b.store = b.open(); !bytes.Equal(b.get("repodata/repomd.xml"), held) {
				t.Error("a restart forgets")
			}

			if _, _, err := b.cache.Purge(b.root.String() + "/repodata"); err != nil {
				t.Fatal(err)
			}
			b.flip(b.mustStage())
			if !bytes.Equal(b.get("repodata/repomd.xml"), held) {
				t.Error("purged, it does not come back as it was")
			}

			if was, err := b.store.Release(b.root); !was || err != nil {
				t.Errorf("release: %v, %v", was, err)
			}
			if was, err := b.store.Release(b.root); was || err != nil {
				t.Errorf("release again: %v, %v", was, err)
			}
			b.setNow(b.now().Add(time.Hour))
			if s := b.mustStage(); !s.Changed || s.Held {
				t.Errorf("released, and staged: %+v", s)
			}
		})
	}
}

// TestHoldUnderARun: what a run staged before the root was held does not become
// current.
func TestHoldUnderARun(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	b.flip(b.mustStage())
	b.setNow(b.now().Add(48 * time.Hour))
	b.publish(testrepo.BuildOptions{}, spec("a", "2"))
	s := b.mustStage()
	if err := b.hold(); err != nil {
		t.Fatal(err)
	}
	if err := b.store.Flip(s.Generation); !errors.Is(err, generation.ErrHeld) {
		t.Errorf("flip: %v", err)
	}
	if w, _ := b.lookup(spec("a", "1")); !w.Known() {
		t.Error("what is held is not promised")
	}
	if w, _ := b.store.Lookup(cache.Key{Repo: "r", Path: "updates/41/repodata/repomd.xml"}); !w.Known() {
		t.Error("repomd.xml is not promised to stay")
	}
}

// TestMend: where a damaged metadata file was put aside and fetched again, the
// generation gets the right bytes too.
func TestMend(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	s := b.mustStage()
	b.flip(s)
	d, _ := s.Repomd.Find("primary")
	k, err := b.root.Key(d.Location)
	if err != nil {
		t.Fatal(err)
	}
	stored, own := filepath.Join(b.dir, k.String()), filepath.Join(b.dir, ".im/gen", s.Digest, filepath.Base(d.Location))
	right, err := os.ReadFile(stored)
	if err != nil {
		t.Fatal(err)
	}
	// They are one file; a disk that fails spoils both.
	if err := os.WriteFile(own, []byte("rot"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(stored), os.WriteFile(stored, right, 0o644), b.store.Mend(k)); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(own); err != nil || !bytes.Equal(got, right) {
		t.Errorf("the generation has %d bytes, %v", len(got), err)
	}
	if stats, err := b.mustStage().Packages(func(*repodata.Package) error { return nil }); err != nil || stats.Packages != 1 {
		t.Errorf("%+v, %v", stats, err)
	}
	if err := b.store.Mend(cache.Key{Repo: "r", Path: "updates/41/Packages/a.rpm"}); err != nil {
		t.Errorf("a package: %v", err)
	}
}

// TestContents reads what a generation has beside packages.
func TestContents(t *testing.T) {
	for _, c := range []testrepo.Compression{testrepo.Gzip, testrepo.XZ, testrepo.Zstd, testrepo.Plain} {
		t.Run(string(c), func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{Compression: c, Extra: []testrepo.Metadata{
				{Type: "updateinfo", Name: "updateinfo.xml", Text: `<updates><update type="security"><id>A</id></update></updates>`},
				{Type: "group", Name: "comps.xml", Text: `<comps><group><id>g</id></group></comps>`},
				{Type: "modules", Name: "modules.yaml", Text: "document: modulemd\ndata: {name: m, stream: s}\n"},
			}}, spec("a", "1"))
			s := b.mustStage()
			var found []string
			if _, err := s.Advisories(func(a *repodata.Advisory) error { found = append(found, a.ID); return nil }); err != nil {
				t.Error(err)
			}
			if err := s.Groups(func(g *repodata.Group) error { found = append(found, g.ID); return nil }); err != nil {
				t.Error(err)
			}
			m, err := s.Modules()
			if err != nil || m == nil || len(m.Builds) != 1 || !slices.Equal(found, []string{"A", "g"}) {
				t.Errorf("%q, %+v, %v", found, m, err)
			}
		})
	}
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	s := b.mustStage()
	if m, err := s.Modules(); m != nil || err != nil {
		t.Errorf("modules of a repository without: %v, %v", m, err)
	}
	if err := s.Groups(nil); err != nil {
		t.Error(err)
	}
	if stats, err := s.Advisories(nil); err != nil || stats.Packages != 0 {
		t.Error(stats, err)
	}
}
