package repodata

import "hash/maphash"

const (
	// internedStrings is how many strings an interner remembers at most, and
	// internedLength how long they are, so that it holds a few megabytes at most.
	internedStrings = 1 << 15
	internedLength  = 128
)

// interner gives most equal strings one place in memory: the dependencies of a
// distribution name the same few thousand capabilities over and over. Of strings
// that have one place in its table the last one is remembered: to look there costs
// half of what a map does, and a scan does little else.
type interner struct {
	seed  maphash.Seed
	table []string
}

func newInterner() interner {
	return interner{maphash.MakeSeed(), make([]string, internedStrings)}
}

// intern is b as a string.
func (m *interner) intern(b []byte) string {
	if len(b) == 0 || len(b) > internedLength {
		return string(b)
	}
	s := &m.table[maphash.Bytes(m.seed, b)%internedStrings]
	if *s != string(b) {
		*s = string(b)
	}
	return *s
}
