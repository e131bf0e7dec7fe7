package generation_test

import (
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// TestVersions: the entry files of all that is kept are known, each with the bytes
// that it has, and no others once their time is over.
func TestVersions(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	r := generation.Root{Repo: "r", Path: "updates/41"}
	if all, err := b.store.Versions(r); err != nil || len(all) != 0 {
		t.Errorf("before the first: %+v, %v", all, err)
	}
	var want []cache.Digest
	for i, version := range []string{"1", "2", "3"} {
		if i > 0 {
			b.setNow(b.now().Add(time.Hour))
			b.publish(testrepo.BuildOptions{}, spec("a", version))
		}
		b.flip(b.mustStage())
		facts, err := b.cache.Sum(t.Context(), "r/updates/41/repodata/repomd.xml")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, facts.SHA256)
		all, err := b.store.Versions(r)
		if err != nil || len(all) != len(want) {
			t.Fatalf("%+v, %v", all, err)
		}
		for j, v := range all {
			if v.Digest != want[len(want)-1-j].Hex() || v.Size <= 0 || v.Modified.IsZero() {
				t.Errorf("the version %d of %d is %+v, want %s", j, len(all), v, want[len(want)-1-j].Hex())
			}
		}
		if last := all[0]; last.Size != facts.Size {
			t.Errorf("the last has %d bytes, want %d", last.Size, facts.Size)
		}
	}
	b.setNow(b.now().Add(1000 * 24 * time.Hour))
	if all, err := b.store.Versions(r); err != nil || len(all) != 1 || all[0].Digest != want[2].Hex() {
		t.Errorf("when their time is over: %+v, %v", all, err)
	}
}
