package generation_test

import (
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// TestTwins: by its digest a file is found under the names that current metadata
// gives it, in each repository that has it.
func TestTwins(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"), spec("b", "1"))
	other := *b
	var err error
	if other.root, err = generation.ParseRoot("r/releases/41"); err != nil {
		t.Fatal(err)
	}
	name := func(root, pkg string) cache.Key {
		return cache.Key{Repo: "r", Path: root + "/" + spec(pkg, "1").Location()}
	}
	if err := testrepo.Build(b.files+"/releases/41", []testrepo.Spec{spec("a", "1")}, testrepo.BuildOptions{Time: b.now()}); err != nil {
		t.Fatal(err)
	}
	b.flip(b.mustStage())
	w, _ := b.lookup(spec("a", "1"))
	if got := b.store.Twins(w.Digest); !slices.Equal(got, []cache.Key{name("updates/41", "a")}) {
		t.Errorf("in one repository: %v", got)
	}
	other.flip(other.mustStage())
	if got, want := b.store.Twins(w.Digest), []cache.Key{name("releases/41", "a"), name("updates/41", "a")}; !slices.Equal(got, want) {
		t.Errorf("in two: %v, want %v", got, want)
	}
	b.setNow(b.now().Add(48 * time.Hour))
	b.publish(testrepo.BuildOptions{}, spec("b", "1"))
	b.flip(b.mustStage())
	if got := b.store.Twins(w.Digest); !slices.Equal(got, []cache.Key{name("releases/41", "a")}) {
		t.Errorf("when one lists it no more: %v", got)
	}
	if got := b.store.Twins("sha256:00"); len(got) != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
