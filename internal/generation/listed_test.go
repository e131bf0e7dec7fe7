package generation_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// second is one more root of the bench's repo, at path, with these packages.
func (b *bench) second(path string, specs ...testrepo.Spec) generation.Staged {
	b.Helper()
	if err := testrepo.Build(filepath.Join(b.files, path), specs, testrepo.BuildOptions{Time: b.now()}); err != nil {
		b.Fatal(err)
	}
	first := b.root
	defer func() { b.root = first }()
	var err error
	if b.root, err = generation.ParseRoot("r/" + path); err != nil {
		b.Fatal(err)
	}
	s := b.mustStage()
	b.flip(s)
	return s
}

// TestListed holds which path of a strange host is taken for which file.
func TestListed(t *testing.T) {
	vlc, plus := spec("vlc", "3.0"), spec("libstdc++", "14~rc1^git")
	b := newBench(t, testrepo.BuildOptions{}, vlc, plus)
	staged := b.mustStage()
	if _, ok := b.store.Listed("/x/" + vlc.Location()); ok {
		t.Error("a generation that is not current lists something")
	}
	b.flip(staged)
	for _, tt := range []struct {
		name, path, above, location string
	}{
		{"a mirror's path", "/pub/linux/updates/41/" + vlc.Location(), "/pub/linux/updates/41", vlc.Location()},
		{"at the top", "/" + vlc.Location(), "", vlc.Location()},
		{"a name with signs", "/m/" + plus.Location(), "/m", plus.Location()},
		{"metadata", "/m/" + staged.Repomd.Data[0].Location, "/m", staged.Repomd.Data[0].Location},
		{"a part of the location", "/m/" + filepath.Base(vlc.Location()), "", ""},
		{"another directory", "/m/Packages/x/" + filepath.Base(vlc.Location()), "", ""},
		{"a directory that ends as it does", "/m/xPackages/v/" + filepath.Base(vlc.Location()), "", ""},
		{"a name that ends as it does", "/m/Packages/v/x" + filepath.Base(vlc.Location()), "", ""},
		{"repomd.xml itself", "/m/repodata/repomd.xml", "", ""},
		{"a directory", "/m/Packages/v/", "", ""},
		{"nothing", "", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := b.store.Listed(tt.path)
			if ok != (tt.location != "") || got.Above != tt.above || got.Location != tt.location {
				t.Fatalf("%+v, %v", got, ok)
			}
			if !ok {
				return
			}
			if got.Key.Repo != "r" || got.Key.Path != "updates/41/"+tt.location {
				t.Errorf("key %s", got.Key)
			}
			if w, _ := b.store.Lookup(got.Key); w != got.Want || !w.Known() {
				t.Errorf("promised %+v, looked up %+v", got.Want, w)
			}
			if !slices.Equal(got.Generations, []string{staged.Digest}) {
				t.Errorf("generations %q", got.Generations)
			}
		})
	}
}

// TestListedOverGenerations holds which generations vouch for a file.
func TestListedOverGenerations(t *testing.T) {
	same, changed := spec("same", "1"), spec("changed", "1")
	b := newBench(t, testrepo.BuildOptions{}, same, changed, spec("old", "1"))
	first := b.mustStage()
	b.flip(first)
	b.setNow(b.now().Add(24 * time.Hour))
	rebuilt := changed
	rebuilt.BuildTime = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	b.publish(testrepo.BuildOptions{}, same, rebuilt)
	second := b.mustStage()
	b.flip(second)
	both := []string{first.Digest, second.Digest}
	slices.Sort(both)
	if got, ok := b.store.Listed("/m/" + same.Location()); !ok || !slices.Equal(got.Generations, both) {
		t.Errorf("the same in both: %+v, %v", got, ok)
	}
	if got, ok := b.store.Listed("/m/" + changed.Location()); !ok || !slices.Equal(got.Generations, []string{second.Digest}) {
		t.Errorf("other bytes under one name: %+v, %v", got, ok)
	}
	if got, ok := b.store.Listed("/m/" + spec("old", "1").Location()); ok {
		t.Errorf("no longer current: %+v", got)
	}
	if got, ok := b.open().Listed("/m/" + same.Location()); !ok || len(got.Generations) != 2 {
		t.Errorf("after a restart: %+v, %v", got, ok)
	}
}

// TestListedTwice holds what becomes of a name that two roots have.
func TestListedTwice(t *testing.T) {
	same, other := spec("same", "1"), spec("bash", "5")
	b := newBench(t, testrepo.BuildOptions{}, same, other)
	b.flip(b.mustStage())
	rebuilt := other
	rebuilt.BuildTime = time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	b.second("another/41", same, rebuilt, spec("alone", "1"))
	if got, ok := b.store.Listed("/m/" + same.Location()); !ok || !strings.HasPrefix(got.Key.Path, "another/41/") {
		t.Errorf("the same bytes in both: %+v, %v", got, ok)
	}
	if got, ok := b.store.Listed("/m/" + other.Location()); ok {
		t.Errorf("two files of one name: %+v", got)
	}
	if got, ok := b.store.Listed("/m/" + spec("alone", "1").Location()); !ok || got.Key.Path != "another/41/"+spec("alone", "1").Location() {
		t.Errorf("in the second alone: %+v, %v", got, ok)
	}
}

// TestListedByStrangers: what the metadata of a host promises that is no
// repository's is nothing to another host.
func TestListedByStrangers(t *testing.T) {
	vlc := spec("vlc", "3.0")
	b := newBench(t, testrepo.BuildOptions{}, vlc)
	var err error
	if b.root, err = generation.ParseRoot("proxy/evil.test/updates/41"); err != nil {
		t.Fatal(err)
	}
	if err := testrepo.Build(filepath.Join(b.files, "evil.test/updates/41"), []testrepo.Spec{vlc}, testrepo.BuildOptions{Time: b.now()}); err != nil {
		t.Fatal(err)
	}
	b.flip(b.mustStage())
	if w, held := b.lookup(vlc); !held || !w.Known() {
		t.Errorf("to itself: %+v, %v", w, held)
	}
	if f, ok := b.store.Listed("/x/" + vlc.Location()); ok {
		t.Errorf("to others: %+v", f)
	}
}
