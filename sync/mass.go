package sync

import "fmt"

// What may be withdrawn or deleted of a repository within a day: a fifth of its
// stored files and of their bytes, or a few files of a small one. A push of a day
// is some per cent; more is a mirror's accident, or the end of a release.
const (
	massShare = 5 // one part of so many
	massFew   = 20
)

// mass is how much of a repository is about to go.
type mass struct {
	files, of      int
	bytes, ofBytes int64
}

// tooMuch reports whether a person has to say that it may go.
func (m mass) tooMuch() bool {
	return m.files > massFew && (m.files*massShare > m.of || m.bytes*massShare > m.ofBytes)
}

// estimate is m for all candidates, of which only some were asked about.
func (m mass) estimate(asked, candidates int) mass {
	if asked > 0 && candidates > asked {
		m.files = m.files * candidates / asked
		m.bytes = m.bytes / int64(asked) * int64(candidates)
	}
	return m
}

// Guarded is a repository of which nothing was withdrawn or deleted, since it would
// have been too much at once.
type Guarded struct {
	Root    string `json:"root"`
	Files   int    `json:"files"` // that would have gone, as far as can be told
	Of      int    `json:"of"`    // files that are stored
	Bytes   int64  `json:"bytes"`
	OfBytes int64  `json:"of_bytes"`
	Delete  bool   `json:"delete"` // they were found withdrawn before, and their time is over
	// From is the cache that is copied and that has not got them any more; "" where
	// upstream has withdrawn them.
	From string `json:"from,omitempty"`
}

// Advice says what has happened and what to do.
func (g Guarded) Advice() string {
	if g.From != "" {
		return fmt.Sprintf("%d of its %d stored files would be deleted at once, since %s has not got them any more, so that none is: if that is meant, "+
			"`imsync replicate --from %s --confirm %s`", g.Files, g.Of, g.From, g.From, g.Root)
	}
	verb := "withdrawn"
	if g.Delete {
		verb = "deleted"
	}
	return fmt.Sprintf("%d of its %d stored files would be %s at once, so that none is: if upstream has meant that, "+
		"`imsync prune --confirm %s`; if not, its files come back with its next metadata", g.Files, g.Of, verb, g.Root)
}

// Left is a repository of which nothing is withdrawn or deleted now, and why.
type Left struct {
	Root string `json:"root"`
	Why  string `json:"why"`
}
