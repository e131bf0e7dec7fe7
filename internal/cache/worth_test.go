package cache

import (
	"math"
	"testing"
	"time"
)

// used is a use of a file for each of the times before now.
func used(now time.Time, ago ...time.Duration) use {
	u := use{known: true}
	for _, d := range ago {
		at := now.Add(-d)
		u.heat = u.heat.plus(heat{1, at})
		if at.After(u.last) {
			u.last = at
		}
	}
	return u
}

const day = 24 * time.Hour

// TestWorth: of two files, which goes first.
func TestWorth(t *testing.T) {
	old := noon.Add(-60 * day)
	file := func(bytes int64, u use) resident { return resident{bytes: bytes, changed: old, use: u} }
	ahead := func(ago time.Duration, u use) use {
		u.known, u.prefetched = true, noon.Add(-ago)
		return u
	}
	for _, tt := range []struct {
		name        string
		first, then resident
	}{
		{"used longer ago", file(100, used(noon, 2*day)), file(100, used(noon, day))},
		{"used less often", file(100, used(noon, day)), file(100, used(noon, day, day))},
		{"larger", file(200, used(noon, day)), file(100, used(noon, day))},
		{"often, but by clients of a month ago", file(100, used(noon, 30*day, 30*day, 31*day, 32*day)), file(100, used(noon, day))},
		{"twice as large, and half as often", file(200, used(noon, day)), file(100, used(noon, day, day))},
		{"worth the same, by name", resident{name: "a", bytes: 1, use: used(noon, day)}, resident{name: "b", bytes: 1, use: used(noon, day)}},
		{"worth the same, by age", resident{name: "b", changed: old, bytes: 1, use: used(noon, day)}, resident{name: "a", changed: noon.Add(-2 * time.Hour), bytes: 1, use: used(noon, day)}},
		{"unknown to the ledger, against a use of the time", file(100, use{}), file(100, used(noon, 60*day))},
		{"used a year ago, against one that came just now", file(100, used(noon, 365*day)), resident{bytes: 100, changed: noon.Add(-2 * time.Hour)}},
		{"ordinary, however often used, against the wanted", file(1, used(noon, day, day)), resident{bytes: 1 << 30, changed: old, wanted: true}},
		{"ordinary, against what came an hour ago", file(1, used(noon, day, day)), resident{bytes: 1 << 30, changed: noon.Add(-59 * time.Minute)}},
		{"wanted less", resident{bytes: 1, changed: old, wanted: true, place: 7, use: used(noon, day)}, resident{bytes: 9, changed: old, wanted: true, place: 0}},
		{"wanted, against what was prefetched tonight", resident{bytes: 1, wanted: true, use: used(noon, day)}, file(1<<30, ahead(9*time.Hour, use{}))},
		{"prefetched tonight and used", file(1<<30, ahead(9*time.Hour, used(noon, time.Hour))), file(1<<30, ahead(9*time.Hour, use{}))},
		{"prefetched three days ago and not used", file(100, ahead(3*day, use{})), file(100, ahead(2*day-1, use{}))},
		{"prefetched tonight again, used before", file(100, used(noon, 9*day)), file(100, ahead(9*time.Hour, used(noon, 9*day)))},
		{"prefetched, against what only older metadata lists", file(1, ahead(time.Hour, use{})), resident{bytes: 1 << 30, changed: old, held: true}},
		{"listed by current metadata is no reason", resident{bytes: 200, changed: old, held: true, want: true, use: used(noon, day)}, file(100, used(noon, day))},
		{"only older metadata lists it, against metadata", resident{bytes: 1, held: true, use: used(noon, day)}, resident{bytes: 1 << 30, changed: old, metadata: true, held: true}},
		{"metadata that nobody asks for or lists", resident{bytes: 2, changed: old, metadata: true, use: used(noon, 31*day)}, file(1, used(noon, 31*day))},
		{"metadata that somebody asks for", file(1, used(noon, day)), resident{bytes: 2, changed: old, metadata: true, use: used(noon, 29*day)}},
		{"used by a clock that was a year ahead", file(100, used(noon, -365*day)), file(100, used(noon, 0, 0))},
		{"prefetched by a clock that was a year ahead", file(1, ahead(-365*day, use{})), file(1<<30, ahead(9*time.Hour, use{}))},
		{"prefetched by a clock that was an hour ahead", file(1, used(noon, day, day)), file(1<<30, ahead(-time.Hour, use{}))},
		{"came by a clock that was a year ahead", resident{bytes: 1 << 30, changed: noon.Add(365 * day)}, resident{bytes: 1 << 30, changed: noon.Add(-59 * time.Minute)}},
		{"metadata of a year ahead that nobody lists", resident{bytes: 2, changed: noon.Add(365 * day), metadata: true}, resident{bytes: 2, changed: noon, metadata: true}},
		{"metadata, against what never goes", resident{bytes: 1, metadata: true, held: true}, resident{bytes: 1, changed: old, pinned: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			first, then := tt.first, tt.then
			for _, files := range [][]*resident{{&first, &then}, {&then, &first}} {
				arrange(files, noon)
				if files[0] != &first {
					t.Errorf("the other goes first: %+v before %+v", *files[0], *files[1])
				}
			}
		})
	}
}

// TestHeat: uses add up in whatever order they are told, each counts half after
// a half-life, and no time is too far away.
func TestHeat(t *testing.T) {
	ago := func(halfLives ...float64) (h heat) {
		for _, n := range halfLives {
			h = h.plus(heat{1, noon.Add(-time.Duration(n * float64(useHalfLife)))})
		}
		return h
	}
	for _, tt := range []struct {
		name string
		a, b heat
	}{
		{"two of a half-life ago are one of now", ago(1, 1), ago(0)},
		{"and four one half-life more", ago(3, 3, 3, 3), ago(1)},
		{"told the wrong way round", ago(0, 3, 1), ago(3, 1, 0)},
		{"after a long time", ago(3000, 1), ago(1)},
		{"and before it", ago(3001, 3001), ago(3000)},
	} {
		if a, b := tt.a.log(), tt.b.log(); math.IsInf(a, 0) || math.Abs(a-b) > 1e-6 {
			t.Errorf("%s: %g, want %g", tt.name, a, b)
		}
	}
	if h := (heat{}).plus(heat{1, noon.AddDate(200, 0, 0)}).plus(heat{1, noon}); math.IsNaN(h.log()) || math.IsInf(h.log(), 0) {
		t.Errorf("a clock that was wrong: %g", h.log())
	}
}

// TestMarks: nothing goes below the high mark, and above it all down to the low one.
func TestMarks(t *testing.T) {
	const none = 1 << 50
	for _, tt := range []struct {
		name                          string
		size, minFree, bytes, free, n int64
		over, room                    int64
		fits                          bool
	}{
		{name: "empty", size: 1000, bytes: 0, free: none, n: 1000, over: 0, room: 900, fits: true},
		{name: "at the high mark", size: 1000, bytes: 950, free: none, n: 50, over: 0, room: -50, fits: true},
		{name: "above it", size: 1000, bytes: 951, free: none, n: 50, over: 51, room: -51},
		{name: "full", size: 1000, bytes: 1000, free: none, n: 1, over: 100, room: -100},
		{name: "no limit", bytes: 1 << 40, free: none, n: none, over: 0, room: none, fits: true},
		{name: "as little free as it may be", size: 0, minFree: 400, bytes: 5, free: 500, n: 100, over: 0, room: -100, fits: true},
		{name: "less", size: 0, minFree: 400, bytes: 5, free: 499, n: 100, over: 101, room: -101},
		{name: "both, the disk the worse", size: 1000, minFree: 400, bytes: 960, free: 200, n: 0, over: 400, room: -400},
		{name: "both, the size the worse", size: 1000, minFree: 40, bytes: 1300, free: 45, n: 0, over: 400, room: -400},
		{name: "nothing need be free", bytes: 5, free: 10, n: 10, over: 0, room: 10, fits: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSpace(tt.size, tt.minFree)
			if got := s.over(tt.bytes, tt.free); got != tt.over {
				t.Errorf("%d have to go, want %d", got, tt.over)
			}
			if got := s.room(tt.bytes, tt.free); got != tt.room {
				t.Errorf("room for %d, want %d", got, tt.room)
			}
			if err := s.check(tt.bytes, tt.free, tt.n); (err == nil) != tt.fits {
				t.Errorf("%d more: %v", tt.n, err)
			}
		})
	}
}
