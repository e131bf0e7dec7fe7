package sync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What one night with much to tell needed is not kept for ever.
func TestHistoryShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), historyName)
	size := func(reports ...*Report) int64 {
		h, err := openHistory(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range reports {
			if err := h.add(r, nil); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		fi, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return fi.Size()
	}
	many := make([]*Report, keptRuns)
	for i := range many {
		many[i] = new(Report)
	}
	before := size(many...)
	long := &Report{Withdrawn: []Removed{{Path: strings.Repeat("a", 1<<20)}}}
	if with := size(long); with < before+1<<20 {
		t.Fatalf("with a report of 1 MiB %d bytes, %d before", with, before)
	}
	if after := size(many...); after > before+before/10 {
		t.Errorf("%d bytes when it is forgotten, %d before", after, before)
	}
}
