package generation

import (
	"fmt"
	"slices"
	"testing"

	"intelligentmirror/internal/cache"
)

// catalogOf is a catalog of these paths, each with so many bytes.
func catalogOf(t *testing.T, files map[string]int64) *catalog {
	t.Helper()
	dir := t.TempDir()
	var items []item
	for p, size := range files {
		items = append(items, item{p, cache.Want{Digest: cache.Digest(fmt.Sprintf("sha256:%064x", size)), Size: size}})
	}
	if err := writeCatalog(dir, items); err != nil {
		t.Fatal(err)
	}
	c, err := readCatalog(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNewcomers: which packages are asked for before metadata becomes current.
func TestNewcomers(t *testing.T) {
	many := map[string]int64{"Packages/z/z-1-1.noarch.rpm": 5}
	for i := range 100 {
		many[fmt.Sprintf("Packages/p/p%02d-1-1.noarch.rpm", i)] = 7
	}
	for _, tt := range []struct {
		name        string
		before, now map[string]int64
		stored      map[string]int64
		want        []string // in this order; nil: as many as may be, the last by name among them
	}{
		{"nothing is new", map[string]int64{"a-1-1.x86_64.rpm": 1}, map[string]int64{"a-1-1.x86_64.rpm": 1}, nil, []string{}},
		{"withdrawn alone", map[string]int64{"a-1-1.x86_64.rpm": 1, "b-1-1.x86_64.rpm": 1}, map[string]int64{"a-1-1.x86_64.rpm": 1}, nil, []string{}},
		{"metadata does not count", map[string]int64{}, map[string]int64{"repodata/x-primary.xml.gz": 1, "./main/binary-amd64/Packages.xz": 2}, nil, []string{}},
		{"built anew under its name", map[string]int64{"a-1-1.x86_64.rpm": 1}, map[string]int64{"a-1-1.x86_64.rpm": 2}, map[string]int64{"a-1-1.x86_64.rpm": 1}, []string{"a-1-1.x86_64.rpm"}},
		{"prefetched", map[string]int64{}, map[string]int64{"a-2-1.x86_64.rpm": 2, "b-2-1.x86_64.rpm": 2}, map[string]int64{"a-2-1.x86_64.rpm": 2}, []string{"b-2-1.x86_64.rpm"}},
		{"what is used comes first", map[string]int64{"b-1-1.x86_64.rpm": 1, "b-1-1.i686.rpm": 1},
			map[string]int64{"a-2-1.x86_64.rpm": 2, "b-2-1.x86_64.rpm": 2, "b-2-1.i686.rpm": 2},
			map[string]int64{"b-1-1.x86_64.rpm": 1}, []string{"b-2-1.x86_64.rpm", "a-2-1.x86_64.rpm", "b-2-1.i686.rpm"}},
		{"a .deb", map[string]int64{"pool/h/hello_1.0-1_amd64.deb": 1}, map[string]int64{"pool/a/abc_1_all.deb": 3, "pool/h/hello_1.0-2_amd64.deb": 2},
			map[string]int64{"pool/h/hello_1.0-1_amd64.deb": 1}, []string{"pool/h/hello_1.0-2_amd64.deb", "pool/a/abc_1_all.deb"}},
		{"many", map[string]int64{}, many, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, it := range newcomers(catalogOf(t, tt.before), catalogOf(t, tt.now), func(p string) (int64, bool) {
				size, ok := tt.stored[p]
				return size, ok
			}) {
				got = append(got, it.path)
			}
			if tt.want != nil {
				if !slices.Equal(got, tt.want) {
					t.Errorf("asked for %q, want %q", got, tt.want)
				}
				return
			}
			if len(got) != mostSampled || got[len(got)-1] != "Packages/z/z-1-1.noarch.rpm" || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("asked for %q", got)
			}
		})
	}
}
