package sync

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestNothingHasChanged: after a run that had nothing to fetch the next asks once for
// each repomd.xml, and plans nothing, until anything that a plan is made from is
// another.
func TestNothingHasChanged(t *testing.T) {
	a, c, other := pkgSpec("a", "1", "c"), pkgSpec("c", "1"), pkgSpec("other", "1")
	for _, tc := range []struct {
		name   string
		change func(*bench)
		same   bool
		want   string // what is fetched then
	}{
		{"nothing", func(*bench) {}, true, ""},
		{"the time", func(b *bench) { b.set(b.now().Add(12 * time.Hour)) }, true, ""},
		{"a day", func(b *bench) { b.set(b.now().Add(24 * time.Hour)) }, false, ""},
		{"the clock, set back", func(b *bench) { b.set(b.now().Add(-time.Hour)) }, false, ""},
		{"a year", func(b *bench) { b.set(b.now().AddDate(1, 0, 0)) }, false, ""},
		{"the clock, in 2100", func(b *bench) { b.set(time.Date(2100, 2, 28, 3, 0, 0, 0, time.UTC)) }, false, ""},
		{"what upstream has", func(b *bench) { b.publish(pkgSpec("a", "2", "c"), c, other) }, false, "a popular"},
		{"what clients ask for", func(b *bench) { b.asks("other") }, false, "other popular"},
		{"a line that does not count", func(b *bench) { b.logs("noise\n") }, true, ""},
		{"the seeds", func(b *bench) { b.site.Config.Sync.Packages = append(b.site.Config.Sync.Packages, "other") }, false, "other seed"},
		{"the cache", func(b *bench) { b.remove(c) }, false, "c dependency"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := newBench(t, "packages = [\"none\"]", []string{"a"}, a, c, other)
			if r := b.once(); r.Fetched != 2 || r.Unchanged {
				t.Fatalf("the first run fetched %q, unchanged: %v", fetched(r), r.Unchanged)
			}
			planned := b.once()
			if planned.Unchanged || len(planned.Sources) != 2 {
				t.Fatalf("after a run that has fetched something: unchanged %v, %+v", planned.Unchanged, planned.Sources)
			}
			tc.change(b)
			b.up.Forget()
			r := b.once()
			if r.Unchanged != tc.same || strings.Join(fetched(r), ", ") != tc.want {
				t.Errorf("unchanged: %v, want %v; fetched %q, want %q", r.Unchanged, tc.same, fetched(r), tc.want)
			}
			if lines := b.up.Lines("", "*"); tc.same && (len(lines) != 1 || !strings.HasSuffix(lines[0], "repomd.xml if 304")) {
				t.Errorf("upstream was asked %q", lines)
			}
			if tc.same && (!slices.Equal(r.Sources, planned.Sources) || r.WaitingBytes != planned.WaitingBytes || r.WaitingBytes == 0) {
				t.Errorf("what became of what was prefetched: %+v, want %+v", r.Sources, planned.Sources)
			}
		})
	}
}

// TestNothingHasChangedOverTheYear: the age of a plan is the time that has passed, also
// where another year has begun.
func TestNothingHasChangedOverTheYear(t *testing.T) {
	b := newBench(t, "packages = [\"a\"]", nil, pkgSpec("a", "1"))
	b.set(time.Date(2026, 12, 31, 22, 30, 0, 0, time.UTC))
	if r := b.once(); r.Fetched != 1 {
		t.Fatalf("fetched %q", fetched(r))
	}
	b.once()
	b.set(b.now().Add(4 * time.Hour))
	if r := b.once(); !r.Unchanged {
		t.Error("all was planned again")
	}
	b.set(b.now().Add(settledFor))
	if r := b.once(); r.Unchanged {
		t.Error("a plan is never made again")
	}
}

// TestSettled: what a settled run knew of prefetched packages holds in its state, until
// another one is prefetched.
func TestSettled(t *testing.T) {
	h := newHistory(t)
	at := time.Unix(1000, 0)
	known := []SourceWorth{{Source: ReasonSeed, Used: 1, UsedBytes: 5}}
	if err := h.settle("one", settled{at, known}); err != nil {
		t.Fatal(err)
	}
	if s, err := h.settled("one"); err != nil || s == nil || !s.at.Equal(at) || !slices.Equal(s.sources, known) {
		t.Errorf("%+v, %v", s, err)
	}
	if s, err := h.settled("two"); err != nil || s != nil {
		t.Errorf("in another state: %+v, %v", s, err)
	}
	if err := h.brought(Item{Path: "r/a.rpm", Source: ReasonSeed, Reason: ReasonSeed}, at); err != nil {
		t.Fatal(err)
	}
	if s, err := h.settled("one"); err != nil || s != nil {
		t.Errorf("after another was prefetched: %+v, %v", s, err)
	}
}

// TestUnfinishedIsNotSettled: while something could not be fetched, each run tries.
func TestUnfinishedIsNotSettled(t *testing.T) {
	a, large := pkgSpec("a", "1"), testrepo.Spec{Name: "large", Version: "1", Release: "1", Size: 300_000}
	b := newBench(t, `packages = ["a", "large"]
budget = "100KiB"`, nil, a, large)
	for range 3 {
		if r := b.once(); r.Unchanged || len(r.Plan.Cut) != 1 {
			t.Errorf("unchanged: %v; over the budget: %d", r.Unchanged, len(r.Plan.Cut))
		}
	}
}

// asks adds to the log that clients ask for a package.
func (b *bench) asks(name string) {
	b.Helper()
	p := testrepo.Spec{Name: name, Version: "0", Release: "1"}.Location()
	b.logs(fmt.Sprintf("10.0.0.9 - - [21/Nov/2026:10:12:44 +0000] \"GET /%s/%s HTTP/1.1\" 200 2000 \"-\" \"libdnf\"\n", benchRoot, p))
}

// logs adds text to the log.
func (b *bench) logs(text string) {
	b.Helper()
	f, err := os.OpenFile(b.site.Config.Sync.Logs[0], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := f.WriteString(text); err != nil {
		b.Fatal(err)
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// remove takes a stored package out of the tree.
func (b *bench) remove(s testrepo.Spec) {
	b.Helper()
	if err := os.Remove(filepath.Join(b.dir, benchRoot, s.Location())); err != nil {
		b.Fatal(err)
	}
}
