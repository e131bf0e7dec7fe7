package generation_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// TestSuite: the first InRelease is there at once and its indices on demand, later
// ones with the indices that clients have asked for; and what these list is
// promised as soon as a package is asked for.
func TestSuite(t *testing.T) {
	for _, s := range []testrepo.Suite{
		{Name: "stable", ByHash: true, Inline: inRelease}, {Name: "stable", Inline: inRelease},
		{Name: "stable"}, {Name: "stable/updates", Inline: inRelease}, {Inline: inRelease, ByHash: true}, {Inline: inRelease}, {},
	} {
		t.Run(fmt.Sprintf("%q by hash %v inline %v", s.Name, s.ByHash, s.Inline != nil), func(t *testing.T) {
			a := newArchive(t, s)
			list := debs("1")
			flat := s.Name == ""
			pkg := "debian/" + list[0].Filename(flat)
			a.issue(list)
			if err := a.update(client); err != nil {
				t.Fatal(err)
			}
			for _, line := range a.up.Lines("", "*") {
				if strings.Contains(line, ".gz") {
					t.Errorf("fetched though nobody asked: %s", line)
				}
			}
			if w, _ := a.promised(list[0]); w.Known() {
				t.Error("promised before anything was read")
			}
			a.wants(pkg, "fwd=uri-miss; stored")
			if w, held := a.promised(list[0]); !held || w.Size != int64(len(a.has[pkg])) {
				t.Errorf("promised %+v, %v", w, held)
			}
			a.up.Forget()
			a.pass(time.Hour)
			a.wants(pkg, "hit")
			if err := a.update("another"); err != nil {
				t.Error(err)
			}
			for _, line := range a.up.Lines("", "*") {
				if !strings.Contains(line, "Release") {
					t.Errorf("asked for again: %s", line)
				}
			}

			a.issue(debs("2"))
			a.up.Forget()
			if err := a.update(client); err != nil {
				t.Fatal(err)
			}
			if lines := a.up.Lines("", "*Packages*"); !s.ByHash && len(lines) == 0 {
				t.Error("the new index was not fetched")
			}
			next := debs("2")[0]
			if w, held := a.promised(next); !held || !w.Known() {
				t.Errorf("of a package that is new: %+v, %v", w, held)
			}
			if w, held := a.promised(list[0]); !held || w.Known() {
				t.Errorf("of one of the generation before: %+v, %v", w, held)
			}
			if p := a.fresh.Problems(); len(p) != 0 {
				t.Errorf("problems: %v", p)
			}

			// Another process, or a restart.
			again, err := generation.Open(generation.Options{Dir: a.dir, Keep: time.Hour * 24})
			if err != nil {
				t.Fatal(err)
			}
			if w, _ := again.Lookup(cache.Key{Repo: "r", Path: "debian/" + next.Filename(flat)}); !w.Known() {
				t.Error("a restart forgets what is promised")
			}

			// Out of reach: all of it is served, and by every name.
			a.up.Stop()
			if err := a.update("late"); err != nil {
				t.Errorf("out of reach: %v", err)
			}
			if !flat && s.Inline != nil {
				a.wants(a.root+"/main/binary-amd64/Packages.xz", "hit")
			}
		})
	}
}

// TestSuiteOtherBytes: a package with other bytes than its metadata lists is neither
// stored nor handed out.
func TestSuiteOtherBytes(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	list := debs("1")
	a.issue(list)
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	pkg := "debian/" + list[0].Filename(false)
	a.up.On("*.deb", testrepo.Corrupt(100))
	if _, _, err := a.get(pkg, client); !errors.Is(err, cache.ErrWrongContent) {
		t.Errorf("altered: %v", err)
	}
	a.up.Heal()
	a.pass(time.Hour)
	a.wants(pkg, "fwd=uri-miss; stored")
}

// TestSuiteHalfSynced: while a mirror lacks an index that clients have asked for,
// all keep the generation before; with a name by its digest its plain one does not
// matter.
func TestSuiteHalfSynced(t *testing.T) {
	for _, byHash := range []bool{false, true} {
		a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, ByHash: byHash})
		a.issue(debs("1"))
		if err := a.update(client); err != nil {
			t.Fatal(err)
		}
		entry := a.root + "/InRelease"
		a.wants(entry, "fwd=stale; fwd-status=304")
		old := a.has[entry]
		a.settle()
		next := a.build(debs("2"))
		put := func(match string) {
			for name, b := range next {
				if strings.Contains(name, match) {
					a.put(name, b)
				}
			}
		}
		put(".deb")
		put("InRelease")
		body, how, err := a.get(entry, client)
		if err != nil || body != string(old) || how != "hit; detail=metadata-incomplete" {
			t.Errorf("by hash %v: half synced: the old one: %v, %q, %v", byHash, body == string(old), how, err)
		}
		if err := a.update("another"); err != nil {
			t.Errorf("by hash %v: %v", byHash, err)
		}
		a.settle()
		a.pass(2 * time.Minute)
		if byHash {
			put("by-hash") // the plain names are still those of before
		} else {
			put("Packages")
		}
		a.has = next
		a.wants(entry, "fwd=stale; fwd-status=200; stored")
		if err := a.update(client); err != nil {
			t.Errorf("by hash %v: %v", byHash, err)
		}
		plain := a.root + "/main/binary-amd64/Packages.xz"
		a.wants(plain, "hit")
	}
}

// TestSuiteSessions: a client that began with one InRelease gets its indices, also
// where the next ones have taken their names; and never another's.
func TestSuiteSessions(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	a.issue(debs("1"))
	if err := a.update("early"); err != nil {
		t.Fatal(err)
	}
	first := a.has
	a.issue(debs("2"))
	if err := a.update("late"); err != nil {
		t.Fatal(err)
	}
	index := a.root + "/main/binary-amd64/Packages.xz"
	for who, want := range map[string][]byte{"early": first[index], "late": a.has[index], "never": a.has[index]} {
		if got, _, err := a.get(index, who); err != nil || got != string(want) {
			t.Errorf("%s gets %d bytes, want %d, %v", who, len(got), len(want), err)
		}
	}
	// Nobody has asked for this one: the early client's is not to be had any more.
	other := a.root + "/main/binary-amd64/Packages.gz"
	if got, _, err := a.get(other, "early"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the early client gets %d bytes of another generation (its own: %v), %v", len(got), got == string(first[other]), err)
	}
	if got, _, err := a.get(other, "late"); err != nil || got != string(a.has[other]) {
		t.Errorf("the late client gets %d bytes, %v", len(got), err)
	}
	a.pass(time.Hour)
	if got, _, err := a.get(index, "early"); err != nil || got != string(a.has[index]) {
		t.Errorf("an hour later the early client gets %d bytes, %v", len(got), err)
	}
}

// TestByHashOfBefore: a kept generation's indices are served by their digests.
func TestByHashOfBefore(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, ByHash: true})
	a.issue(debs("1"))
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	first := a.has
	a.issue(debs("2"))
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	a.up.Forget()
	n := 0
	for name, b := range first {
		if k := (cache.Key{Repo: "r", Path: name}); !strings.Contains(name, "by-hash") || !a.cache.Has(k) {
			continue
		}
		n++
		if got, how, err := a.get(name, client); err != nil || got != string(b) || how != "hit" {
			t.Errorf("%s: %d bytes, %q, %v", name, len(got), how, err)
		}
	}
	if lines := a.up.Lines("", "*"); n == 0 || len(lines) != 0 {
		t.Errorf("%d files; upstream was asked %q", n, lines)
	}
}

// TestSuiteSigned: with keys nothing becomes current that is not signed by them.
func TestSuiteSigned(t *testing.T) {
	good := []byte("Label: good\n")
	sign := func(text []byte) ([]byte, error) { return append(bytes.Clone(good), text...), nil }
	for _, s := range []testrepo.Suite{{Name: "stable", Inline: sign, Detached: detached}, {Name: "stable", Detached: detached}} {
		a := newArchive(t, s)
		a.signing = &generation.Signing{
			Required: true,
			Inline: func(doc []byte) error {
				if !bytes.HasPrefix(doc, good) {
					return errForged
				}
				return nil
			},
			Check: func(signed, signature []byte) error {
				if good, err := detached(signed); !bytes.Equal(signature, good) {
					return errForged
				} else {
					return err
				}
			},
		}
		forge := func() {
			if s.Inline != nil {
				a.suite.Inline = inRelease
			} else {
				a.suite.Detached = inRelease
			}
		}
		forge()
		a.issue(debs("1"))
		if err := a.update(client); !errors.Is(err, cache.ErrWrongContent) {
			t.Errorf("the first is forged: %v", err)
		}
		a.suite.Inline, a.suite.Detached = s.Inline, s.Detached
		a.issue(debs("2"))
		a.pass(2 * time.Minute)
		if err := a.update(client); err != nil {
			t.Fatal(err)
		}
		if s.Inline == nil {
			a.wants(a.root+"/Release.gpg", "hit")
		}
		entry := a.root + "/Release"
		if s.Inline != nil {
			entry = a.root + "/InRelease"
		}
		held := string(a.has[entry])
		forge()
		a.issue(debs("3"))
		if got, how, err := a.get(entry, client); err != nil || got != held || how != "hit; detail=upstream-failed" {
			t.Errorf("the next is forged: the old one %v, %q, %v", got == held, how, err)
		}
		if p := a.fresh.Problems(); len(p) != 1 || !errors.Is(p[0].Err, errForged) {
			t.Errorf("problems: %v", p)
		}
	}
}

// TestReleaseAlone: where there is no InRelease, Release and what signs it belong
// together, and an InRelease is taken once there is one.
func TestReleaseAlone(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Detached: detached})
	pair := func(who string) {
		t.Helper()
		if _, _, err := a.get(a.root+"/InRelease", who); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an InRelease: %v", err)
		}
		text, _, err := a.get(a.root+"/Release", who)
		if err != nil {
			t.Fatal(err)
		}
		want, _ := detached([]byte(text))
		if got, _, err := a.get(a.root+"/Release.gpg", who); err != nil || got != string(want) {
			t.Errorf("%s: the signature %.20q, %v; of another Release", who, got, err)
		}
	}
	a.issue(debs("1"))
	pair("one")
	before := a.has
	held := a.root + "/Release"
	a.settle()
	next := a.build(debs("2"))
	a.put(held, next[held])
	pair("two") // the new Release, and the old signature: not whole
	if got, _, err := a.get(held, "two"); err != nil || got != string(before[held]) {
		t.Errorf("Release without its signature: %v", err)
	}
	for name, b := range next {
		a.put(name, b)
	}
	a.settle()
	a.pass(2 * time.Minute)
	if got, _, err := a.get(held, "three"); err != nil || got != string(next[held]) {
		t.Errorf("whole: %v", err)
	}
	old, _ := detached(before[held])
	if got, how, err := a.get(a.root+"/Release.gpg", "two"); err != nil || got != string(old) || how != "hit; detail=generation" {
		t.Errorf("who began with the old Release: %.20q, %q, %v", got, how, err)
	}
	pair("three")

	// The archive begins to have an InRelease.
	a.suite.Inline = inRelease
	a.issue(debs("3"))
	if got, _, err := a.get(a.root+"/InRelease", "four"); err != nil || got != string(a.has[a.root+"/InRelease"]) {
		t.Errorf("the InRelease that there is by now: %d bytes, %v", len(got), err)
	}
	if got, _, err := a.get(held, "four"); err != nil || got != string(a.has[held]) {
		t.Errorf("the Release beside it: %d bytes, %v", len(got), err)
	}
}

// TestReleaseBeside: beside an InRelease a Release is of the same publication.
func TestReleaseBeside(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease, Detached: detached})
	text, entry := a.root+"/Release", a.root+"/InRelease"
	a.issue(debs("1"))
	// Who asks for it first of all gets it too.
	for _, name := range []string{text, a.root + "/Release.gpg", entry} {
		if got, _, err := a.get(name, client); err != nil || got != string(a.has[name]) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	before := a.has
	a.settle()
	next := a.build(debs("2"))
	a.put(entry, next[entry])
	for _, name := range []string{entry, text, a.root + "/Release.gpg"} {
		if got, _, err := a.get(name, client); err != nil || got != string(before[name]) {
			t.Errorf("half synced: %s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, b := range next {
		a.put(name, b)
	}
	a.settle()
	a.pass(2 * time.Minute)
	for _, name := range []string{text, a.root + "/Release.gpg", entry} {
		if got, _, err := a.get(name, client); err != nil || got != string(next[name]) {
			t.Errorf("synced: %s: %d bytes, %v", name, len(got), err)
		}
	}
}

// TestSuiteGoneUpstream: a request never deletes an InRelease.
func TestSuiteGoneUpstream(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	a.issue(debs("1"))
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	a.settle()
	a.drop(a.root + "/InRelease")
	a.wants(a.root+"/InRelease", "hit; detail=gone-upstream")
	a.settle()
	a.wants(a.root+"/InRelease", "hit; detail=gone-upstream")
}

// TestSuitesOfOneArchive: two suites, and two names of one, have their packages in
// one pool.
func TestSuitesOfOneArchive(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "bookworm", Inline: inRelease})
	a.issue(debs("1"))
	for name, b := range a.has {
		a.put(strings.Replace(name, "dists/bookworm", "dists/stable", 1), b)
	}
	for _, suite := range []string{"bookworm", "stable"} {
		a.root = "debian/dists/" + suite
		if err := a.update(client); err != nil {
			t.Fatal(err)
		}
		a.wants("debian/"+debs("1")[1].Filename(false), map[string]string{"bookworm": "fwd=uri-miss; stored", "stable": "hit"}[suite])
		index := cache.Key{Repo: "r", Path: a.root + "/main/binary-amd64/Packages.xz"}
		if w, _ := a.store.Lookup(index); !w.Known() {
			t.Errorf("nothing is promised of %s", index)
		}
	}
	// A third promises other bytes of one file: nobody knows which are right.
	other := debs("1")
	other[0].Seed = 1
	files, err := testrepo.BuildSuite(other, testrepo.Suite{Name: "backports", Inline: inRelease, Time: a.suite.Time})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if strings.HasPrefix(name, "dists") {
			a.put("debian/"+name, b)
		}
	}
	a.root = "debian/dists/backports"
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	a.fresh.Learn(t.Context(), cache.Key{Repo: "r", Path: "debian/pool/nothing.deb"})
	if w, held := a.promised(other[0]); w.Known() || !held {
		t.Errorf("of a file that two suites list with two digests: %+v, %v", w, held)
	}
	if w, _ := a.promised(other[1]); !w.Known() {
		t.Error("nothing is promised of what they agree on")
	}
}

// TestListedInSuites: what a strange host's package is, and by which file that
// host shows to be a copy.
func TestListedInSuites(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	list := debs("1")
	a.issue(list)
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	location := list[0].Filename(false)
	a.fresh.Learn(t.Context(), cache.Key{Repo: "r", Path: "debian/" + location})
	f, ok := a.store.Listed("/mirrors/debian/" + location)
	if !ok || f.Key.Path != "debian/"+location || f.Above != "/mirrors/debian" || f.Entry != "dists/stable/InRelease" || len(f.Generations) != 1 {
		t.Errorf("%+v, %v", f, ok)
	}
	if f, ok := a.store.Listed("/mirrors/debian/" + path.Base(location)); ok {
		t.Errorf("a mere name: %+v", f)
	}
}

// TestMendSuite: a generation's index that a disk has spoilt is put right.
func TestMendSuite(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", Inline: inRelease})
	a.issue(debs("1"))
	for range 2 {
		if err := a.update(client); err != nil {
			t.Fatal(err)
		}
	}
	a.settle()
	name := a.root + "/main/binary-amd64/Packages.xz"
	right := a.has[name]
	own, err := filepath.Glob(fmt.Sprintf("%s/.im/gen/*/%x", a.dir, sha256.Sum256(right)))
	if err != nil || len(own) != 1 {
		t.Fatal(own, err)
	}
	stored := filepath.Join(a.dir, "r", name)
	if err := os.WriteFile(own[0], []byte("rot"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(stored), os.WriteFile(stored, right, 0o644), a.store.Mend(cache.Key{Repo: "r", Path: name})); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(own[0]); err != nil || !bytes.Equal(got, right) {
		t.Errorf("the generation has %d bytes, %v", len(got), err)
	}
}

// TestSuiteOf holds which files are a suite's entry.
func TestSuiteOf(t *testing.T) {
	for name, want := range map[string]string{
		"dists/bookworm/InRelease": "dists/bookworm", "dists/bookworm/Release": "dists/bookworm", "dists/buster/updates/InRelease": "dists/buster/updates",
		"InRelease": "", "debs/Release": "debs", "binary-amd64/Release": "binary-amd64",
	} {
		if r, ok := generation.RootOf(cache.Key{Repo: "r", Path: name}); !ok || r != (generation.Root{Repo: "r", Path: want, Kind: generation.Debian}) {
			t.Errorf("%s: %+v, %v", name, r, ok)
		}
	}
	for _, name := range []string{"dists/bookworm/Release.gpg", "dists/bookworm/main/binary-amd64/Release", "dists/bookworm/main/source/Release", "xInRelease"} {
		if r, ok := generation.RootOf(cache.Key{Repo: "r", Path: name}); ok {
			t.Errorf("%s is taken for %+v's", name, r)
		}
	}
}
