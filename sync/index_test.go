package sync

import (
	"strings"
	"testing"

	"intelligentmirror/internal/cache"
)

// FuzzKey holds that a location's key is the cache's own, or none.
func FuzzKey(f *testing.F) {
	for _, root := range []string{"fedora/updates/41/Everything/x86_64", "local", "a/b%2Bc", "a/b%2Fc", "a//b", "a/..", "proxy/host:80/x"} {
		for _, location := range []string{
			"Packages/g/gcc-c++-14.2.1~rc^1-3.fc41.x86_64.rpm", "a.rpm", "a%2Bb.rpm", "a%2fb.rpm", "%2e%2e/a.rpm", "../a.rpm",
			"x/../../a.rpm", "x/./a.rpm", ".hidden", "x//a.rpm", "x/", "", "/a.rpm", "a b.rpm", "caf\u00e9.rpm", "a\n", "a%", "\xff",
			strings.Repeat("x", 255), strings.Repeat("x", 256), strings.Repeat("x", 255) + "/a.rpm",
		} {
			f.Add(root, location)
		}
	}
	f.Fuzz(func(t *testing.T, root, location string) {
		root = strings.Trim(root, "/")
		r := newRootInfo(root)
		got, err := r.key(location)
		repo, dir, _ := strings.Cut(root, "/")
		want, wantErr := cache.NewKey(repo, dir+"/"+location)
		if err != nil {
			top, topErr := cache.NewKey(repo, dir)
			if wantErr == nil && (topErr != nil || strings.HasPrefix(want.Path, top.Path+"/")) {
				t.Errorf("%q in %q is refused: %v", location, root, err)
			}
			return
		}
		if wantErr != nil || got != want {
			t.Errorf("%q in %q: got %v, want %v, %v", location, root, got, want, wantErr)
		}
	})
}
