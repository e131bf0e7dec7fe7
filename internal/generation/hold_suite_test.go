package generation_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// named is the one root that the tree has under the archive's name.
func (a *archive) named() generation.Root {
	a.Helper()
	roots, err := a.store.Named("r/" + a.root)
	if err != nil || len(roots) != 1 || roots[0].Kind != generation.Debian {
		a.Fatalf("%v, %v", roots, err)
	}
	return roots[0]
}

// entry is the entry file that upstream has.
func (a *archive) entry() string {
	if a.suite.Inline != nil {
		return a.root + "/InRelease"
	}
	return a.root + "/Release"
}

// TestHoldSuite: while a suite or a flat repository is held, its clients get the
// generation that it has, whoever asks, and upstream isn't asked for another.
func TestHoldSuite(t *testing.T) {
	for _, s := range []testrepo.Suite{
		{Name: "stable", ByHash: true, Inline: inRelease}, {Name: "stable", Inline: inRelease}, {Name: "stable"},
		{Inline: inRelease, ByHash: true}, {Inline: inRelease}, {},
	} {
		t.Run(fmt.Sprintf("%q by hash %v inline %v", s.Name, s.ByHash, s.Inline != nil), func(t *testing.T) {
			s.Detached = detached
			a := newArchive(t, s)
			hold := func() error { return a.store.Hold(t.Context(), a.cache, a.rootOf(), a.mirrors.Grab()) }
			if err := hold(); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("nothing to hold: %v", err)
			}
			list := debs("1")
			a.issue(list)
			if err := a.update(client); err != nil {
				t.Fatal(err)
			}
			a.wants("debian/"+list[0].Filename(s.Name == ""), "fwd=uri-miss; stored")
			if s.Inline == nil {
				if _, _, err := a.get(a.root+"/Release.gpg", client); err != nil {
					t.Fatal(err)
				}
			}
			if err := hold(); err != nil {
				t.Fatal(err)
			}
			if err := hold(); err != nil {
				t.Errorf("again: %v", err)
			}
			root := a.named()
			if list, err := a.store.Held(); err != nil || len(list) != 1 || list[0] != root.String() {
				t.Errorf("held: %v, %v", list, err)
			}
			first := maps.Clone(a.has)
			names := []string{a.entry()}
			if s.Inline == nil {
				names = append(names, a.root+"/Release.gpg")
			}

			a.issue(debs("2"))
			a.pass(48 * time.Hour)
			a.up.Forget()
			same := func(when string) {
				t.Helper()
				for _, name := range names {
					if got, how, err := a.get(name, when); err != nil || got != string(first[name]) || how != "hit" {
						t.Errorf("%s: %s: %d bytes, %q, %v", when, name, len(got), how, err)
					}
				}
				if err := a.update(when); err != nil {
					t.Errorf("%s: %v", when, err)
				}
				if w, _ := a.promised(list[0]); !w.Known() {
					t.Errorf("%s: nothing is promised of a package", when)
				}
			}
			same("another client")
			staged, err := a.store.Stage(t.Context(), a.cache, root, a.mirrors.Grab())
			if err != nil || staged.Changed || !staged.Held {
				t.Errorf("a run: %+v, %v", staged, err)
			}
			if lines := a.up.Lines("", "*"); len(lines) != 0 {
				t.Errorf("upstream was asked %q", lines)
			}
			if s.Inline != nil {
				// Nobody had asked for these: upstream's are of another publication by now.
				for _, name := range []string{a.root + "/Release", a.root + "/Release.gpg"} {
					if got, _, err := a.get(name, "an old apt"); !errors.Is(err, fs.ErrNotExist) {
						t.Errorf("%s: %d bytes, %v", name, len(got), err)
					}
				}
			}
			again, err := generation.Open(generation.Options{Dir: a.dir, Keep: time.Hour})
			if err != nil {
				t.Fatal(err)
			}
			if w, _ := again.Lookup(cache.Key{Repo: "r", Path: a.entry()}); w.Size != int64(len(first[a.entry()])) {
				t.Errorf("a restart forgets: %+v is promised", w)
			}
			a.pass(30 * 24 * time.Hour)
			if gone, err := a.store.Expire(false); err != nil || len(gone) != 0 {
				t.Errorf("expired: %v, %v", gone, err)
			}
			same("a month later")

			if was, err := a.store.Release(root); !was || err != nil {
				t.Errorf("release: %v, %v", was, err)
			}
			a.pass(time.Hour)
			if got, _, err := a.get(a.entry(), client); err != nil || got != string(a.has[a.entry()]) {
				t.Errorf("released: %d bytes, %v", len(got), err)
			}
			if err := a.update(client); err != nil {
				t.Errorf("released: %v", err)
			}
		})
	}
}

// TestHoldSuiteGrows: a client that asks for one more index of a suite that is held
// gets that of the held generation, as long as upstream has it, and the suite stays
// held for all.
func TestHoldSuiteGrows(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, ByHash: true})
	list := debs("1")
	a.issue(list)
	if _, _, err := a.get(a.entry(), client); err != nil {
		t.Fatal(err)
	}
	if err := a.store.Hold(t.Context(), a.cache, a.rootOf(), a.mirrors.Grab()); err != nil {
		t.Fatal(err)
	}
	first := a.has
	next := a.build(debs("2"))
	for name, b := range next {
		a.put(name, b) // beside those of before, by their digests
	}
	if err := a.update(client); err != nil {
		t.Error(err)
	}
	pkg := "debian/" + list[0].Filename(false)
	if got, _, err := a.get(pkg, client); err != nil || got != string(first[pkg]) {
		t.Errorf("a package: %d bytes, %v", len(got), err)
	}
	if w, held := a.promised(list[0]); !held || !w.Known() {
		t.Errorf("promised %+v, %v", w, held)
	}
	a.up.Forget()
	for range 2 {
		if s, err := a.store.Stage(t.Context(), a.cache, a.named(), a.mirrors.Grab()); err != nil || s.Changed || !s.Held {
			t.Fatalf("a run: %+v, %v", s, err)
		}
	}
	for _, line := range a.up.Lines("", "*") {
		if strings.Contains(line, "Release") {
			t.Errorf("upstream was asked %s", line)
		}
	}
}

// TestHoldSuiteBeside: a Release that clients ask for beside the InRelease of a suite
// is held with it.
func TestHoldSuiteBeside(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, Detached: detached})
	a.issue(debs("1"))
	names := []string{a.root + "/InRelease", a.root + "/Release", a.root + "/Release.gpg"}
	for _, name := range names {
		if _, _, err := a.get(name, client); err != nil {
			t.Fatal(err)
		}
	}
	a.settle()
	if err := a.store.Hold(t.Context(), a.cache, a.rootOf(), a.mirrors.Grab()); err != nil {
		t.Fatal(err)
	}
	first := a.has
	a.issue(debs("2"))
	a.pass(time.Hour)
	for _, who := range []string{client, "another"} {
		for _, name := range names {
			if got, _, err := a.get(name, who); err != nil || got != string(first[name]) {
				t.Errorf("%s gets %d bytes of %s, %v", who, len(got), name, err)
			}
		}
	}
}

// TestNamed: a root is named as its directory is, whatever its packages are.
func TestNamed(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Inline: inRelease})
	for name, kinds := range map[string]string{"r/debian": "", "r/debian/dists/sid": "debian", "r": ""} {
		roots, err := a.store.Named(name)
		if err != nil || len(roots) != 1 || string(roots[0].Kind) != kinds || roots[0].String() != name {
			t.Errorf("%s: %+v, %v", name, roots, err)
		}
	}
	a.issue(debs("1"))
	if _, _, err := a.get(a.root+"/InRelease", client); err != nil {
		t.Fatal(err)
	}
	a.named()
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	b.flip(b.mustStage())
	if roots, err := b.store.Named(b.root.String()); err != nil || len(roots) != 1 || roots[0] != b.root {
		t.Errorf("%+v, %v", roots, err)
	}
	if _, err := a.store.Named(""); err == nil {
		t.Error("a root without a name")
	}
}

// rootOf is the archive's suite.
func (a *archive) rootOf() generation.Root {
	a.Helper()
	r, ok := generation.RootOf(cache.Key{Repo: "r", Path: a.root + "/InRelease"})
	if !ok {
		a.Fatal(a.root)
	}
	return r
}
