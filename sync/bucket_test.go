package sync

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/bucket"
	"intelligentmirror/internal/cache"
)

// TestCull: which objects go.
func TestCull(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name string
		age  time.Duration
		is   standing
		goes bool
	}{
		{"listed, however old", 1000 * day, standing{wanted: true, root: "r"}, false},
		{"stored here, of no root", 1000 * day, standing{wanted: true}, false},
		{"listed no more, new", 7*day - 1, standing{root: "r"}, false},
		{"listed no more, old", 7 * day, standing{root: "r"}, true},
		{"of no root, new", 90*day - 1, standing{}, false},
		{"of no root, old", 90 * day, standing{}, true},
		{"withdrawn and deleted, new", 0, standing{withdrawn: true, root: "r"}, true},
		{"of tomorrow, by the server's clock", -day, standing{}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := cache.Key{Repo: "r", Path: "a.rpm"}
			c := cull([]bucket.Entry{{Key: k, Size: 5, Uploaded: now.Add(-tt.age)}}, func(cache.Key) standing { return tt.is }, now, 7*day, 90*day)
			all := slices.Concat(c.gone, c.roots["r"])
			if tt.goes != (len(all) == 1) {
				t.Fatalf("%+v goes, want %v", all, tt.goes)
			}
			if tt.goes && (all[0].key != k || all[0].bytes != 5 || all[0].why == "") {
				t.Errorf("%+v", all[0])
			}
		})
	}
}

// TestCullShare: of what a root's metadata lists no more, a share goes at once, the
// oldest first.
func TestCullShare(t *testing.T) {
	now := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	for _, tt := range []struct{ objects, unlisted, goes int }{
		{1000, 150, 150},
		{1000, 900, 200},
		{30, 25, massFew},
		{10, 10, 10},
	} {
		var all []bucket.Entry
		for i := range tt.objects {
			all = append(all, bucket.Entry{
				Key: cache.Key{Repo: "r", Path: fmt.Sprintf("%04d.rpm", i)}, Uploaded: now.Add(-1000*time.Hour + time.Duration(i)*time.Minute),
			})
		}
		slices.Reverse(all)
		c := cull(all, func(k cache.Key) standing {
			return standing{root: "r", wanted: k.Path >= fmt.Sprintf("%04d.rpm", tt.unlisted)}
		}, now, time.Hour, time.Hour)
		list := c.roots["r"]
		if len(list) != tt.goes || len(c.gone) != 0 {
			t.Errorf("%d of %d unlisted among %d go, want %d", len(list), tt.unlisted, tt.objects, tt.goes)
		}
		for i, x := range list {
			if x.key.Path != fmt.Sprintf("%04d.rpm", i) {
				t.Errorf("the %dth to go is %s", i, x.key)
				break
			}
		}
	}
}
