package cache

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Which files go when the cache is full: those of the lower rank first, and
// within a rank those that are worth least for the room that they take.
//
// The worth is GreedyDual-Size-Frequency's (Cherkasova, 1998): uses, times what
// a miss costs, by size. What a miss costs is the bytes, and with them the wait for
// an answer, as bytes that could have come meanwhile: with a cost that is the same
// for all, many small files answer many requests and save no bytes. It differs
// from GDSF in how files grow old: there a file ages by what is evicted before
// it, here a use counts half after useHalfLife. Packages do not lose against
// others, they are replaced: a kernel that 500 machines have fetched on its day is
// worth little when the next one is there. BenchmarkReplay has the figures.

const (
	// useHalfLife is the time after which a use counts half.
	useHalfLife = 24 * time.Hour
	// askingCosts is the bytes that come in the time that it takes to ask upstream.
	askingCosts = 1 << 20
)

// rank is the order in which kinds of files go.
type rank int

const (
	rankOrdinary rank = iota
	rankYoung         // came within youngFor: whoever asked may be a crowd
	rankWanted        // a plan wants it: it is popular, a seed, or required by one
	rankAhead         // was prefetched within aheadFor, and nobody has had the time to ask for it
	rankHeld          // a kept generation lists it, the current one does not: upstream may have dropped it
	rankMetadata      // without it a client does not find the packages
	rankNever
)

const (
	// youngFor is how long a crowd takes to come.
	youngFor = time.Hour
	// aheadFor is how long a prefetched file waits for its first client: over a
	// night, and over the day after.
	aheadFor = 48 * time.Hour
	// metadataFor is how long metadata is metadata that no kept generation lists:
	// as long as its clients come.
	metadataFor = 30 * 24 * time.Hour
)

// resident is a stored file as eviction sees it.
type resident struct {
	found   *found
	name    string
	bytes   int64     // that its eviction frees
	changed time.Time // when it came, or was validated last

	pinned, metadata   bool
	want, held, wanted bool
	place              int // among the wanted: 0 is the one that is wanted most
	use                use

	goes  rank // arrange has worked them out
	value float64
}

// use is what the ledger knows of a file.
type use struct {
	known      bool
	heat       heat
	last       time.Time // zero: no client has come yet
	prefetched time.Time // zero: never
}

// rank says when f goes.
func (f *resident) rank(now time.Time) rank {
	// What lies further ahead than that was noted by a clock that was wrong.
	within := func(at time.Time, d time.Duration) bool {
		return !at.IsZero() && now.Sub(at).Abs() < d
	}
	switch {
	case f.pinned:
		return rankNever
	case f.metadata && (f.held || within(f.use.last, metadataFor) || within(f.changed, metadataFor)):
		return rankMetadata
	case f.held && !f.want:
		return rankHeld
	case within(f.use.prefetched, aheadFor) && f.use.last.Before(f.use.prefetched):
		return rankAhead
	case f.wanted:
		return rankWanted
	case within(f.changed, youngFor):
		return rankYoung
	}
	return rankOrdinary
}

// worth is what the uses of f would have cost as misses, by its size, as a
// logarithm. A file that the ledger does not know counts as half a use when it came.
// No use was later than now, whatever a clock that was wrong has noted.
func (f *resident) worth(now time.Time) float64 {
	h := f.use.heat
	if h.uses == 0 {
		h = heat{0.5, f.changed}
	}
	if h.at.After(now) {
		h.at = now
	}
	size := float64(max(f.bytes, 1))
	return h.log() + math.Log2((size+askingCosts)/size)
}

// heat is a sum of uses, as much as each still counted at a time.
type heat struct {
	uses float64
	at   time.Time
}

// plus is h and the uses of g.
func (h heat) plus(g heat) heat {
	if h.uses == 0 {
		return g
	}
	old, new := h, g
	if g.at.Before(h.at) {
		old, new = new, old
	}
	return heat{old.uses*math.Exp2(-halfLives(new.at.Sub(old.at))) + new.uses, new.at}
}

// log is h on a scale on which heats of different times can be compared, and
// which has room for all times: half a use more is as good as a half-life less.
func (h heat) log() float64 {
	return math.Log2(h.uses) + halfLives(time.Duration(h.at.Unix())*time.Second)
}

func halfLives(d time.Duration) float64 { return float64(d) / float64(useHalfLife) }

// arrange sorts the files in the order in which they go.
func arrange(files []*resident, now time.Time) {
	for _, f := range files {
		f.goes, f.value = f.rank(now), f.worth(now)
		if f.goes != rankWanted {
			f.place = 0
		}
	}
	slices.SortFunc(files, func(a, b *resident) int {
		// The plan has weighed what it wants better than its past uses do.
		return cmp.Or(cmp.Compare(a.goes, b.goes), cmp.Compare(b.place, a.place), cmp.Compare(a.value, b.value),
			a.changed.Compare(b.changed), cmp.Compare(a.name, b.name))
	})
}
