package cache

import (
	"fmt"
	"testing"
)

// TestHoldsWanted: what is wanted and not there is noticed, in directories of any size.
func TestHoldsWanted(t *testing.T) {
	for _, tt := range []struct {
		name   string
		wanted []string
		want   bool
	}{
		{"nothing", nil, true},
		{"all", []string{"r/p/a.rpm", "r/p/b.rpm", "r/q/c.rpm"}, true},
		{"a file is missing", []string{"r/p/a.rpm", "r/p/none.rpm"}, false},
		{"a file of the second directory", []string{"r/p/a.rpm", "r/q/none.rpm"}, false},
		{"it is in the other directory", []string{"r/q/a.rpm"}, false},
		{"a directory is missing", []string{"r/none/a.rpm"}, false},
		{"one of a large directory", []string{"r/large/0.rpm"}, true},
		{"another of a large directory", []string{"r/large/99.rpm"}, true},
		{"a file is missing in a large directory", []string{"r/large/100.rpm"}, false},
		{"some of a large directory, and one is missing", []string{"r/large/1.rpm", "r/large/none.rpm", "r/large/98.rpm"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newShelf(t, 1<<30)
			for _, name := range []string{"r/p/a.rpm", "r/p/b.rpm", "r/q/c.rpm"} {
				s.put(name, 1)
			}
			for i := range 100 {
				s.put(fmt.Sprintf("r/large/%d.rpm", i), 0)
			}
			c := s.open()
			if got, err := c.HoldsWanted(); err != nil || got {
				t.Errorf("without a plan: %v, %v", got, err)
			}
			var keys []Key
			for _, name := range tt.wanted {
				keys = append(keys, Key{name[:1], name[2:]})
			}
			if err := c.SetWanted(keys); err != nil {
				t.Fatal(err)
			}
			s.set(s.time().Add(-30 * day)) // back to when the list was written
			if got, err := c.HoldsWanted(); err != nil || got != tt.want {
				t.Errorf("%v, %v; want %v", got, err, tt.want)
			}
			s.set(s.time().Add(wantedFor + day))
			if got, err := c.HoldsWanted(); err != nil || got {
				t.Errorf("when the plan is old: %v, %v", got, err)
			}
		})
	}
}
