package sync

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

func newHistory(t *testing.T) *history {
	t.Helper()
	h, err := openHistory(filepath.Join(t.TempDir(), historyName))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestWorth follows prefetched packages through days: which clients came for,
// which they didn't.
func TestWorth(t *testing.T) {
	h := newHistory(t)
	began := time.Date(2026, 11, 1, 2, 17, 0, 0, time.UTC)
	day := func(n int) time.Time { return began.Add(time.Duration(n) * 24 * time.Hour) }
	brought := func(name string, version, onDay int, size int64) string {
		t.Helper()
		it := Item{Path: fmt.Sprintf("r/%s-%d.rpm", name, version), Name: name, Arch: "x86_64", Root: "r", Size: size, Source: ReasonPopular}
		if err := h.brought(it, day(onDay)); err != nil {
			t.Fatal(err)
		}
		return it.Path
	}
	asked := func(onDay int, paths ...string) {
		t.Helper()
		all := map[string]time.Time{}
		for _, p := range paths {
			all[p] = day(onDay).Truncate(24 * time.Hour)
		}
		if err := h.use(all); err != nil {
			t.Fatal(err)
		}
	}
	is := func(at time.Time, want Worth, resters ...string) {
		t.Helper()
		sources, err := h.worth(at)
		if got := total(sources); err != nil || got != want {
			t.Errorf("after %v: %+v, %v; want %+v", at.Sub(began), got, err, want)
		}
		all, err := h.versions()
		if err != nil {
			t.Fatal(err)
		}
		resting := idle(all)
		var names []string
		for n, since := range resting {
			names = append(names, n.Name)
			if since.Before(began) {
				t.Errorf("%s rests since %v", n.Name, since)
			}
		}
		if slices.Sort(names); !slices.Equal(names, resters) {
			t.Errorf("after %v these rest: %q, want %q", at.Sub(began), names, resters)
		}
	}

	kernel := brought("kernel", 1, 0, 100)
	brought("emacs", 1, 0, 10)
	is(day(0), Worth{Waiting: 110})
	asked(-1, kernel) // elsewhere, before it was here
	is(day(1), Worth{Waiting: 110})
	asked(0, kernel)
	is(day(1), Worth{Used: 100, Waiting: 10})
	brought("emacs", 2, 1, 10)
	brought("kernel", 2, 1, 100)
	is(day(1), Worth{Used: 100, Wasted: 10, Waiting: 110})
	emacs := brought("emacs", 3, 2, 10)
	is(day(2), Worth{Used: 100, Wasted: 20, Waiting: 110}, "emacs")
	asked(3, emacs)
	is(day(3), Worth{Used: 110, Wasted: 20, Waiting: 100})
	is(day(40), Worth{Used: 110, Wasted: 120})
	is(day(366), Worth{Used: 10, Wasted: 110})
	is(day(400), Worth{})
}

// TestWorthIsJudged: the database judges as judge does.
func TestWorthIsJudged(t *testing.T) {
	h := newHistory(t)
	now := time.Date(2026, 11, 22, 12, 0, 0, 500, time.UTC)
	r := rand.New(rand.NewPCG(3, 3))
	sources := []Reason{ReasonPopular, ReasonSeed, ReasonDependency, ReasonSibling}
	for i := range 300 {
		it := Item{
			Path: fmt.Sprintf("r/%d.rpm", i), Name: fmt.Sprint("n", r.IntN(60)), Arch: "x86_64", Root: fmt.Sprint("r", r.IntN(2)),
			Size: int64(1 + r.IntN(1000)), Source: sources[r.IntN(len(sources))],
		}
		// Some at the very second at which they begin to be wasted.
		if err := h.brought(it, now.Add(-wastedAfter).Truncate(time.Second).Add(time.Duration(r.IntN(20)-10)*time.Second*time.Duration(1+r.IntN(2)*80_000))); err != nil {
			t.Fatal(err)
		}
		if r.IntN(2) == 0 {
			if err := h.use(map[string]time.Time{it.Path: now}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, at := range []time.Time{now, now.Truncate(time.Second), now.Add(wastedAfter), now.Add(-time.Second)} {
		got, err := h.worth(at)
		if err != nil {
			t.Fatal(err)
		}
		all, err := h.versions()
		if err != nil {
			t.Fatal(err)
		}
		if want := judge(all, at); len(want) != len(sources) || !slices.Equal(got, want) {
			t.Errorf("at %v: %+v, want %+v", at, got, want)
		}
	}
}

func TestStreamsAreRemembered(t *testing.T) {
	h := newHistory(t)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range []ModuleStream{{"nodejs", "18"}, {"nodejs", "16"}, {"nodejs", "16"}} {
		if err := h.saw("r", []ModuleStream{s}, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.saw("r", []ModuleStream{{"nodejs", "18"}}, at.Add(100*24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	for days, want := range map[int][]ModuleStream{
		0: {{"nodejs", "16"}, {"nodejs", "18"}}, 200: {{"nodejs", "18"}}, 300: nil,
	} {
		got, err := h.streams("r", at.Add(time.Duration(days)*24*time.Hour))
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("after %d days: %v, %v; want %v", days, got, err, want)
		}
	}
	if _, err := h.streams("other", at.Add(2*streamKept+24*time.Hour)); err != nil {
		t.Fatal(err)
	}
	var rows int
	if err := h.db.QueryRow(`SELECT count(*) FROM stream`).Scan(&rows); err != nil || rows != 1 {
		t.Errorf("after a year without a request there are %d rows, %v; want the one that was asked for later", rows, err)
	}
	if got, err := h.streams("other", at); err != nil || len(got) != 0 {
		t.Errorf("of another root: %v, %v", got, err)
	}
}

// TestNamesRestAndWake does runs: what nobody fetches of a name that was popular
// is no longer prefetched after three versions, and is again once a client comes.
func TestNamesRestAndWake(t *testing.T) {
	version := func(n int) testrepo.Spec { return pkgSpec("once", fmt.Sprint(n)) }
	b := newBench(t, `packages = []`, []string{"once"}, version(1))
	for n := 1; n <= 3; n++ {
		b.publish(version(n))
		if got := fetched(b.once()); !slices.Equal(got, []string{"once popular"}) {
			t.Fatalf("version %d: fetched %q", n, got)
		}
		b.set(b.now().Add(24 * time.Hour))
	}
	b.publish(version(4))
	r := b.once()
	if r.Fetched != 0 || len(r.Plan.Resting) != 1 || r.WastedBytes == 0 || r.UsedBytes != 0 {
		t.Fatalf("version 4: fetched %q, resting %d, used %d, wasted %d", fetched(r), len(r.Plan.Resting), r.UsedBytes, r.WastedBytes)
	}
	b.logs(fmt.Sprintf("10.0.0.9 - - [%s] \"GET /%s/%s HTTP/1.1\" 200 20000 \"-\" \"libdnf\"\n",
		b.now().Format("02/Jan/2006:15:04:05 -0700"), benchRoot, version(3).Location()))
	r = b.once()
	if got := fetched(r); !slices.Equal(got, []string{"once popular"}) || r.UsedBytes == 0 {
		t.Errorf("asked for again: fetched %q, used %d", got, r.UsedBytes)
	}
}
