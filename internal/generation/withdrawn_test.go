package generation_test

import (
	"testing"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// TestKnows: of which files metadata would say if they were there still.
func TestKnows(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("vlc", "3.0"))
	gone := cache.Key{Repo: "r", Path: "updates/41/Packages/x/x-1-1.x86_64.rpm"}
	staged := b.mustStage()
	if b.store.Knows(gone) {
		t.Error("before any generation of its root is current")
	}
	b.flip(staged)
	for _, tt := range []struct {
		name, repo, path string
		want             bool
	}{
		{"a package that is listed", "r", "updates/41/" + spec("vlc", "3.0").Location(), true},
		{"a package that is not", gone.Repo, gone.Path, true},
		{"metadata that is not", "r", "updates/41/repodata/0123-primary.xml.gz", true},
		{"repomd.xml", "r", "updates/41/repodata/repomd.xml", false},
		{"its signature", "r", "updates/41/repodata/repomd.xml.asc", false},
		{"a delta package", "r", "updates/41/drpms/x-1-1_1-2.x86_64.drpm", false},
		{"an installer's tree", "r", "updates/41/.treeinfo", false},
		{"an image", "r", "updates/41/images/boot.iso", false},
		{"another root", "r", "updates/42/Packages/x/x-1-1.x86_64.rpm", false},
		{"a root that begins with the same name", "r", "updates/41x/Packages/x/x-1-1.x86_64.rpm", false},
		{"another repo", "other", gone.Path, false},
		{"a stranger", cache.Strangers, "host/" + gone.Path, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := cache.Key{Repo: tt.repo, Path: tt.path}
			if got := b.store.Knows(k); got != tt.want {
				t.Errorf("%v", got)
			}
			name, owners := b.store.Owners(k)
			if tt.want && (name != "r/updates/41" || len(owners) != 1 || owners[0].String() != name || !owners[0].Current || owners[0].Held) ||
				!tt.want && (name != "" || len(owners) != 0) {
				t.Errorf("owners: %q, %+v", name, owners)
			}
		})
	}
	if got, want := b.store.Entry(generation.Root{Repo: "r", Path: "updates/41"}).Path, "updates/41/repodata/repomd.xml"; got != want {
		t.Errorf("its entry file is %s, want %s", got, want)
	}
}
