package generation

import (
	"hash/maphash"
	"iter"
	"slices"
	"sync"
)

// index finds the lines of a catalog by a part of them. It is made when it is first
// asked for, which takes some ten milliseconds for 60,000 lines.
type index struct {
	once sync.Once
	seed maphash.Seed
	// entries are, sorted, a hash of the part in the upper 32 bits, and the line's
	// place in the lower.
	entries []uint64
}

// find is the places of c's lines whose part may be the one that is looked for: their
// hashes are the same.
func (x *index) find(c *catalog, part func(line string) string, wanted string) iter.Seq[place] {
	x.once.Do(func() {
		x.seed = maphash.MakeSeed()
		c.each(func(at place, line string) { x.entries = append(x.entries, x.hash(part(line))<<32|uint64(at)) })
		x.entries = slices.Clip(x.entries)
		slices.Sort(x.entries)
	})
	return func(yield func(place) bool) {
		hash := x.hash(wanted)
		first, _ := slices.BinarySearch(x.entries, hash<<32)
		for _, e := range x.entries[first:] {
			if e>>32 != hash || !yield(place(e)) {
				return
			}
		}
	}
}

// hash is a hash of 32 bits.
func (x *index) hash(s string) uint64 { return maphash.String(x.seed, s) >> 32 }
