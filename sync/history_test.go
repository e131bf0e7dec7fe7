package sync

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a night with much to tell needed is given back after the next.
func TestHistoryShrinks(t *testing.T) {
	path := filepath.Join(t.TempDir(), historyName)
	with := func(f func(h *history)) {
		t.Helper()
		h, err := openHistory(path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		f(h)
	}
	size := func(reports ...*Report) int64 {
		t.Helper()
		with(func(h *history) {
			for _, r := range reports {
				if err := h.add(r, nil); err != nil {
					t.Fatal(err)
				}
			}
		})
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
	if n := size(long); n < before+1<<20 {
		t.Fatalf("with a report of 1 MiB %d bytes, %d before", n, before)
	}
	with(func(h *history) {
		if last, err := h.last(); err != nil || len(last.Withdrawn) != 1 {
			t.Errorf("the last run: %v", err)
		}
	})
	if after := size(new(Report)); after > before+before/10 {
		t.Errorf("%d bytes after the next, %d before", after, before)
	}
	// A damaged report keeps no other from being remembered.
	with(func(h *history) {
		if _, err := h.db.Exec(`UPDATE run SET report = '{' WHERE rowid = (SELECT max(rowid) FROM run)`); err != nil {
			t.Fatal(err)
		}
	})
	size(new(Report))
}

// What a copy deleted is told once; how many files are stored is remembered.
func TestCopyIsRememberedShort(t *testing.T) {
	h := newHistory(t)
	r := &ReplicaReport{From: "http://192.0.2.1:3180", Deleted: []Removed{{Path: "r/a"}}}
	if err := h.replicated(r, nil); err != nil {
		t.Fatal(err)
	}
	all, err := h.replicas()
	if err != nil || len(all) != 1 || all[0].From != r.From || all[0].Last == nil || all[0].Last.Deleted == nil || len(all[0].Last.Deleted) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	if len(r.Deleted) != 1 {
		t.Error("the report itself has lost what went")
	}
}
