package cache

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func openLedger(t *testing.T, path string, now time.Time) *Ledger {
	t.Helper()
	l, err := OpenLedger(path, func() time.Time { return now }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

func totals(t *testing.T, l *Ledger, since time.Time) Totals {
	t.Helper()
	if err := l.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := l.Totals(t.Context(), since)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestLedgerTotals(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a name with ? and # and %41.db")
	yesterday := openLedger(t, path, noon.AddDate(0, 0, -1))
	yesterday.Served(testKey, 7, true)
	if err := yesterday.Close(); err != nil {
		t.Fatal(err)
	}
	l := openLedger(t, path, noon)
	if got := totals(t, l, noon); got != (Totals{}) {
		t.Errorf("today: %+v", got)
	}
	l.Served(testKey, 100, false)
	l.Served(testKey, 50, true)
	l.Served(Key{"r", "other"}, 0, true)
	l.Fetched(testKey, 100, false)
	l.Fetched(testKey, 1000, true)
	want := Totals{Requests: 3, Hits: 2, Served: 150, Saved: -950, Upstream: 100, Ahead: 1000}
	if got := totals(t, l, noon); got != want {
		t.Errorf("today: %+v, want %+v", got, want)
	}
	want.Requests, want.Hits, want.Served, want.Saved = 4, 3, 157, -943
	if got := totals(t, l, noon.AddDate(0, 0, -1)); got != want {
		t.Errorf("since yesterday: %+v, want %+v", got, want)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error(err)
	}
	if n := l.Dropped(); n != 0 {
		t.Errorf("%d entries were dropped", n)
	}
}

// What nobody has come for in half a year is forgotten, whether or not anything is ever
// evicted, and while the process goes on.
func TestLedgerForgets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	var mu sync.Mutex
	now := noon
	l, err := OpenLedger(path, func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	remembered := func() map[string]use {
		t.Helper()
		all, err := l.uses(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	l.Served(testKey, 1, true)
	l.Fetched(Key{"r", "ahead"}, 1, true)
	l.evicted(1, 1)
	if got := remembered(); len(got) != 2 {
		t.Fatalf("at first: %v", got)
	}
	mu.Lock()
	now = now.Add(forgetAfter + time.Hour)
	mu.Unlock()
	l.Served(Key{"r", "new"}, 1, true)
	if got := remembered(); len(got) != 1 || !got["r/new"].known {
		t.Errorf("half a year later: %v", got)
	}
	if files, _, err := l.EvictedSince(t.Context(), time.Time{}); err != nil || files != 0 {
		t.Errorf("%d evicted files are remembered, %v", files, err)
	}
}

// TestLedgerOverJumps: uses that a clock a year ahead has noted are as good as uses of
// now, and hide none that come after them; a clock that goes back a little, or for good,
// loses none.
func TestLedgerOverJumps(t *testing.T) {
	for _, tt := range []struct {
		name string
		back time.Duration
		last time.Time
		heat float64 // of three uses before the clock is put right, and two after
	}{
		{"not at all", 0, noon, 5},
		{"an hour", time.Hour, noon.Add(time.Hour), 3 + 2*math.Exp2(-1.0/24)},
		{"a year", 365 * day, noon, 5},
		{"from 2026 to 1970", noon.Sub(time.Unix(0, 0)), noon, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var at atomic.Int64
			at.Store(int64(tt.back))
			l, err := OpenLedger(filepath.Join(t.TempDir(), "cache.db"), func() time.Time { return noon.Add(time.Duration(at.Load())) }, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			for range 3 {
				l.Served(testKey, 1, true)
			}
			if err := l.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			at.Store(0)
			for range 2 {
				l.Served(testKey, 1, true)
			}
			all, err := l.uses(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if u := all[testKey.String()]; !u.last.Equal(tt.last) || math.Abs(u.heat.uses-tt.heat) > 1e-6 {
				t.Errorf("%g uses at %v, want %g at %v", u.heat.uses, u.last, tt.heat, tt.last)
			}
		})
	}
}

// TestLedgerOfTwo: both programs write one database, that neither had made.
func TestLedgerOfTwo(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	const programs, each = 4, 2000
	ledgers := make([]*Ledger, programs)
	var wg sync.WaitGroup
	for i := range ledgers {
		wg.Go(func() {
			l, err := OpenLedger(path, func() time.Time { return noon }, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Error(err)
				return
			}
			ledgers[i] = l
			for n := range each {
				l.Served(Key{"r", fmt.Sprint(n % 10)}, 1, false)
				if n%500 == 0 {
					if err := l.Flush(context.Background()); err != nil {
						t.Error(err)
					}
				}
			}
			if err := l.Flush(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	dropped := int64(0)
	for _, l := range ledgers {
		dropped += l.Dropped()
	}
	if got := totals(t, ledgers[0], noon); got.Requests+dropped != programs*each || dropped != 0 {
		t.Errorf("%+v and %d dropped, want %d requests", got, dropped, programs*each)
	}
	for _, l := range ledgers {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestLedgerDropsBeforeItBlocks: no request waits for a database that another
// process holds.
func TestLedgerDropsBeforeItBlocks(t *testing.T) {
	l := openLedger(t, filepath.Join(t.TempDir(), "cache.db"), noon)
	other, err := l.db.Begin() // which locks it, as a writer of another process does
	if err != nil {
		t.Fatal(err)
	}
	const n = 2*ledgerQueue + ledgerBatch
	for i := range n {
		l.Served(Key{"r", fmt.Sprint(i)}, 1, true)
	}
	if l.Dropped() == 0 {
		t.Error("nothing was dropped, so that somebody has waited")
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if got := totals(t, l, noon); got.Requests+l.Dropped() != n {
		t.Errorf("%d written, %d dropped, of %d", got.Requests, l.Dropped(), n)
	}
}

func TestLedgerClose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cache.db")
	l := openLedger(t, path, noon)
	l.Served(testKey, 1, true)
	for range 2 {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	l.Served(testKey, 1, true) // by a request that ends late
	if err := l.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if got := totals(t, openLedger(t, path, noon), noon); got.Requests != 1 {
		t.Errorf("%+v", got)
	}
}

func TestLedgerDamaged(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "cache.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("not a database ", 1000)), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, dir, filepath.Join(dir, "none", "cache.db")} {
		l, err := OpenLedger(path, time.Now, slog.New(slog.DiscardHandler))
		if err == nil {
			l.Close()
			t.Fatalf("%s was opened", path)
		}
		if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "statistics") {
			t.Errorf("%v does not say what it is about", err)
		}
	}
}
