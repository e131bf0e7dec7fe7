package generation_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// bench is a cache with generations in front of an upstream with one repository.
type bench struct {
	*testing.T
	up      *testrepo.Server
	dir     string // of the cache
	files   string // what upstream has
	store   *generation.Store
	cache   *cache.Cache
	mirrors *upstream.Mirrors
	root    generation.Root
	clock   *atomic.Pointer[time.Time] // what is told by goroutines of the store, too
}

func spec(name, version string, requires ...string) testrepo.Spec {
	return testrepo.Spec{Name: name, Version: version, Release: "1", Size: 2000, Requires: requires}
}

func newBench(t *testing.T, o testrepo.BuildOptions, specs ...testrepo.Spec) *bench {
	t.Helper()
	files := t.TempDir()
	b := &bench{T: t, files: files, dir: t.TempDir(), up: testrepo.Start(t, files), clock: new(atomic.Pointer[time.Time])}
	b.setNow(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC))
	b.publish(o, specs...)
	b.mirrors = patient(t, upstream.Options{Now: b.now}).Mirrors("r", []string{b.up.URL})
	var err error
	if b.root, err = generation.ParseRoot("r/updates/41"); err != nil {
		t.Fatal(err)
	}
	b.store = b.open()
	b.cache, err = cache.Open(cache.Options{
		Dir: b.dir, Catalog: b.store, Now: b.now,
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path), Anchor: strings.HasSuffix(k.Path, "repomd.xml")}
		},
		Source: func(string) cache.Source { return b.mirrors },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.cache.Close() })
	return b
}

// now is the time for all that is tried here.
func (b *bench) now() time.Time { return *b.clock.Load() }

func (b *bench) setNow(t time.Time) { b.clock.Store(&t) }

// open opens the generations anew, as a restart does.
func (b *bench) open() *generation.Store {
	b.Helper()
	s, err := generation.Open(generation.Options{Dir: b.dir, Keep: 7 * 24 * time.Hour, Now: b.now})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

// publish makes the specs what upstream has.
func (b *bench) publish(o testrepo.BuildOptions, specs ...testrepo.Spec) {
	b.Helper()
	o.Time = b.now()
	if err := testrepo.Build(filepath.Join(b.files, "updates", "41"), specs, o); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) stage() (generation.Staged, error) {
	return b.store.Stage(context.Background(), b.cache, b.root, b.mirrors.Grab())
}

func (b *bench) mustStage() generation.Staged {
	b.Helper()
	s, err := b.stage()
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func (b *bench) flip(s generation.Staged) {
	b.Helper()
	if err := b.store.Flip(s.Generation); err != nil {
		b.Fatal(err)
	}
}

// tree is the names of the files below the cache directory's repo, in the order of their paths.
func (b *bench) tree() []string {
	b.Helper()
	var names []string
	err := filepath.WalkDir(filepath.Join(b.dir, "r"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, filepath.Base(p))
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // before the first flip it is not there
		b.Fatal(err)
	}
	return names
}

// same checks that a metadata file in the tree is upstream's.
func (b *bench) same(name string) {
	b.Helper()
	want, err := os.ReadFile(filepath.Join(b.files, "updates/41/repodata", name))
	if err != nil {
		b.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(b.dir, "r/updates/41/repodata", name))
	if err != nil || !bytes.Equal(got, want) {
		b.Errorf("%s in the tree: %d bytes, %v; upstream has %d", name, len(got), err, len(want))
	}
}

func (b *bench) lookup(s testrepo.Spec) (cache.Want, bool) {
	b.Helper()
	k, err := b.root.Key(s.Location())
	if err != nil {
		b.Fatal(err)
	}
	return b.store.Lookup(k)
}

func TestStageAndFlip(t *testing.T) {
	for name, o := range map[string]testrepo.BuildOptions{
		"gzip": {}, "simple names": {SimpleNames: true}, "zstd": {Compression: testrepo.Zstd}, "xz": {Compression: testrepo.XZ},
	} {
		t.Run(name, func(t *testing.T) {
			one, two := spec("kernel", "6.8"), spec("kernel", "6.9")
			b := newBench(t, o, one)
			first := b.mustStage()
			if !first.Changed || len(b.tree()) != 0 {
				t.Fatalf("staged: changed %v, tree %v", first.Changed, b.tree())
			}
			if _, held := b.lookup(one); held {
				t.Error("a generation that is not current promises something")
			}
			b.flip(first)
			b.same("repomd.xml")
			for _, d := range first.Repomd.Data {
				if d.Type == "primary" || d.Type == "filelists" {
					b.same(filepath.Base(d.Location))
				}
			}
			w, held := b.lookup(one)
			if !held || w.Size == 0 || w.Digest == "" {
				t.Errorf("lookup: %+v, %v", w, held)
			}
			if _, held := b.lookup(two); held {
				t.Error("an unlisted package is held")
			}

			b.up.Forget()
			again := b.mustStage()
			if lines := b.up.Lines("", "*"); again.Changed || len(lines) != 1 || !strings.HasSuffix(lines[0], "repomd.xml if 304") {
				t.Errorf("nothing changed: %v, %q", again.Changed, lines)
			}

			// Overnight the kernel is replaced, upstream drops the old one.
			b.setNow(b.now().Add(24 * time.Hour))
			b.publish(o, two)
			before := b.tree()
			second := b.mustStage()
			if !second.Changed || !slices.Equal(before, b.tree()) {
				t.Errorf("changed %v; the tree went from %v to %v before the flip", second.Changed, before, b.tree())
			}
			b.flip(second)
			b.same("repomd.xml")
			if w, held := b.lookup(two); !held || !w.Known() {
				t.Errorf("new package: %+v, %v", w, held)
			}
			if w, held := b.lookup(one); !held || w.Known() {
				t.Errorf("package of the kept generation: %+v, %v", w, held)
			}

			// After generation_keep nobody holds the old metadata any more.
			b.setNow(b.now().Add(8 * 24 * time.Hour))
			b.publish(o, two, spec("vlc", "3"))
			b.flip(b.mustStage())
			b.older(48 * time.Hour) // directories have the machine's times, and stay for a day
			if _, held := b.open().Lookup(mustKey(t, b.root, one)); held {
				t.Error("an expired generation is still kept")
			}
			gone, err := b.store.Expire(false)
			if err != nil || len(gone) != 1 || gone[0].Path != ".im/gen/"+first.Digest || gone[0].Bytes == 0 {
				t.Fatalf("%v, %v", gone, err)
			}
			if _, err := os.Stat(filepath.Join(b.dir, ".im/gen", first.Digest)); !os.IsNotExist(err) {
				t.Errorf("the expired generation is still there: %v", err)
			}
			if _, err := os.Stat(filepath.Join(b.dir, ".im/gen", second.Digest)); err != nil {
				t.Errorf("the kept generation is gone: %v", err)
			}
		})
	}
}

// TestExpireWithoutAnother: a generation's time is over though none has become
// current since.
func TestExpireWithoutAnother(t *testing.T) {
	one, two := spec("kernel", "6.8"), spec("kernel", "6.9")
	b := newBench(t, testrepo.BuildOptions{}, one)
	// Directories have the machine's times, and stay for a day.
	b.setNow(time.Now().Add(48 * time.Hour))
	first := b.mustStage()
	b.flip(first)
	b.publish(testrepo.BuildOptions{}, two)
	b.flip(b.mustStage())
	for _, tt := range []struct {
		name     string
		pass     time.Duration
		rehearse bool
		gone     int
		held     bool
	}{
		{"not yet", 0, false, 0, true},
		{"a rehearsal", 7 * 24 * time.Hour, true, 1, true},
		{"its time is over", 0, false, 1, false},
		{"and again", 0, false, 0, false},
	} {
		b.setNow(b.now().Add(tt.pass))
		gone, err := b.store.Expire(tt.rehearse)
		if err != nil || len(gone) != tt.gone {
			t.Errorf("%s: %v, %v", tt.name, gone, err)
		}
		if _, held := b.open().Lookup(mustKey(t, b.root, one)); held != tt.held {
			t.Errorf("%s: held %v", tt.name, held)
		}
		if _, err := os.Stat(filepath.Join(b.dir, ".im/gen", first.Digest)); (err == nil) != tt.held {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func mustKey(t *testing.T, r generation.Root, s testrepo.Spec) cache.Key {
	t.Helper()
	k, err := r.Key(s.Location())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// TestFailedStage: metadata that is not what repomd.xml promises changes
// nothing, and the next try fetches what is missing alone.
func TestFailedStage(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"), spec("b", "1", "a"))
	b.up.On("*-filelists.xml.gz", testrepo.Corrupt(20))
	if _, err := b.stage(); err == nil {
		t.Fatal("corrupt metadata was taken")
	}
	if len(b.tree()) != 0 {
		t.Errorf("tree: %v", b.tree())
	}
	b.up.Heal()
	b.up.Forget()
	b.setNow(b.now().Add(time.Hour))
	s := b.mustStage()
	for _, line := range b.up.Lines("", "*") {
		if strings.Contains(line, "primary") {
			t.Errorf("fetched again: %s", line)
		}
	}
	n := 0
	stats, err := s.Packages(func(*repodata.Package) error { n++; return nil })
	if err != nil || n != 2 || stats.Skipped != 0 {
		t.Errorf("%d packages, %+v, %v", n, stats, err)
	}
}

// TestOnDemandReplacedIt: a client's request has brought a newer repomd.xml; the
// catalog of the one before promises nothing any more, but still lists.
func TestOnDemandReplacedIt(t *testing.T) {
	one := spec("a", "1")
	b := newBench(t, testrepo.BuildOptions{}, one)
	b.flip(b.mustStage())
	b.setNow(b.now().Add(24 * time.Hour))
	two := spec("a", "1")
	two.BuildTime = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC) // the same name, other bytes
	b.publish(testrepo.BuildOptions{}, two)
	b.get("repodata/repomd.xml")
	b.same("repomd.xml")
	if w, held := b.lookup(one); w.Known() || !held {
		t.Errorf("a catalog that is not current promises %+v (held %v)", w, held)
	}
	s := b.mustStage()
	if !s.Changed {
		t.Error("a repomd.xml that no generation is of counts as unchanged")
	}
	b.flip(s)
	if w, _ := b.lookup(two); !w.Known() {
		t.Error("nothing is promised after the flip")
	}
}

func TestParseRoot(t *testing.T) {
	for name, want := range map[string]generation.Root{
		"fedora/updates/41/Everything/x86_64":   {Repo: "fedora", Path: "updates/41/Everything/x86_64"},
		"/fedora/updates/41/Everything/x86_64/": {Repo: "fedora", Path: "updates/41/Everything/x86_64"},
		"local":                                 {Repo: "local"},
	} {
		if got, err := generation.ParseRoot(name); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{
		"", "/", "r/a\x00b", "r/a%2fb", ".im", ".im/gen", "./r", "../r", "..", "-/r", "r/..", "r/../.im", "r/a/../b", "r/./a", "r//a", "r/a//b",
		"r/\xff", "r/" + strings.Repeat("a", 256),
	} {
		if got, err := generation.ParseRoot(name); err == nil {
			t.Errorf("%q is taken for %+v", name, got)
		}
	}
}
