package cache

import "time"

// Policy is how the files of one kind are treated.
type Policy struct {
	// MaxAge is how long after a validation a stored copy is served without
	// asking upstream again.
	MaxAge time.Duration
	// Format is what the first bytes have to be where no digest is known.
	Format Format
	// Anchor marks a file that a request never deletes: repomd.xml and
	// InRelease, by which everything else is found.
	Anchor bool
	// Metadata marks a file by which clients find packages: it is evicted last.
	Metadata bool
	// Check is what has to hold of the bytes beyond their digest; nil for nothing.
	Check *Check
}

// Action is what a request for a file leads to.
type Action int

const (
	// Serve the stored copy: it is known to be upstream's, or fresh.
	Serve Action = iota
	// Verify the stored copy by reading it: its digest is promised, but not known.
	Verify
	// Validate the stored copy with a conditional request.
	Validate
	// Fetch the file: there is none, or metadata says that it is another one.
	Fetch
)

// Decide is the only freshness decision: what to do for a file whose stored
// copy has the facts f (nil: none is stored; a copy without an attribute has
// the zero Facts but for its size and time), when current metadata promises w.
func Decide(now time.Time, f *Facts, w Want, p Policy) Action {
	switch {
	case f == nil:
		return Fetch
	case w.Known():
		switch {
		case f.Size != w.Size:
			return Fetch
		case f.Keeps(w.Digest):
			return Serve
		case f.SHA256 == "" || f.SHA256.Type() != w.Digest.Type():
			return Verify
		}
		return Fetch
	}
	age := now.Sub(f.Validated)
	// A validation in the future is a clock that was set back: it proves nothing.
	if f.Validated.IsZero() || age < 0 || age >= p.MaxAge {
		return Validate
	}
	return Serve
}

// absentFor is the longest that upstream's word is taken that a file is not there:
// as long as clients may be told of old metadata, by default.
const absentFor = time.Minute

// StillAbsent reports whether upstream's word of that age, that a file is not
// there, is given again without asking.
func StillAbsent(age time.Duration, p Policy) bool {
	return age >= 0 && age < min(p.MaxAge, absentFor)
}

// Answer is what upstream, all of its mirrors taken together, said of a file.
type Answer int

const (
	// Same: the stored copy is upstream's, or newer.
	Same Answer = iota
	// Changed: upstream has other bytes, and sends them.
	Changed
	// Gone: no longer there.
	Gone
	// Unreachable: nobody answered.
	Unreachable
)

// Verdict is what a client gets after an Answer.
type Verdict int

const (
	// ServeStored: the stored copy.
	ServeStored Verdict = iota
	// Stream what arrives, and let it replace the stored copy when it is whole.
	Stream
	// Delete the stored copy and say that it isn't there.
	Delete
	// NotFound: say so; there is nothing to delete, or it must stay.
	NotFound
	// Withdraw: say that it isn't there, and delete the stored copy when its time is over.
	Withdraw
	// NoRoute: upstream can't be asked, and nothing is stored.
	NoRoute
)

// Settle is the table of the design: what follows from upstream's answer for a
// file that is stored or not, that a kept generation lists (held), or by which
// everything else is found (anchor). known says that verified metadata would list it
// if it was not withdrawn.
func Settle(a Answer, stored, held, anchor, known bool) Verdict {
	switch a {
	case Same:
		if !stored {
			// No condition was asked, so that 304 answers nothing.
			return NoRoute
		}
		return ServeStored
	case Changed:
		return Stream
	case Gone:
		switch {
		case stored && held:
			return ServeStored
		case stored && !anchor && known:
			return Withdraw
		case stored && !anchor:
			return Delete
		}
		return NotFound
	}
	if stored {
		return ServeStored
	}
	return NoRoute
}
