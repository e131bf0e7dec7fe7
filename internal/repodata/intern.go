package repodata

const (
	// internedStrings bounds how many strings an interner remembers, and
	// internedLength how long they are, so that it holds a few megabytes at most.
	internedStrings = 1 << 15
	internedLength  = 128
)

// interner gives equal strings one place in memory. The dependencies of a
// distribution name the same few thousand capabilities over and over.
type interner map[string]string

// intern is b as a string.
func (m interner) intern(b []byte) string {
	if s, ok := m[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(s) <= internedLength {
		if len(m) >= internedStrings {
			// Forget all: what is common comes back at once.
			clear(m)
		}
		m[s] = s
	}
	return s
}
