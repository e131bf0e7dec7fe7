package cache

import (
	"errors"
	"sync/atomic"
)

// Reason is why what a mirror sent, or has, is not taken, in a word.
type Reason int

// The reasons.
const (
	NoReason        Reason = iota
	WrongDigest            // the bytes are not those that metadata promises
	WrongSignature         // none, by a key that is not known, or not of these bytes
	WrongLength            // more or fewer bytes than there may be
	WrongFormat            // a page, or something else that is no such file
	WrongEncoding          // packed for the way, which nobody asked for
	WrongMetadata          // it can't be read, unpacks to too much, leads elsewhere
	Lagging                // older than what is held
	Expired                // not valid any more
	Unlisted               // a current metalink lists another
	Incomplete             // metadata that it lists is on no mirror
	MissingPackages        // packages that are new in it are on no mirror
	Reasons                // how many there are
)

// String is the reason as a metric's label.
func (r Reason) String() string {
	return [Reasons]string{
		"", "digest", "signature", "length", "format", "encoding", "metadata", "lagging", "expired", "unlisted", "incomplete", "packages",
	}[r]
}

// Wrong is ErrWrongContent for this reason.
func (r Reason) Wrong() error { return reasoned{r, ErrWrongContent} }

// Of is err for this reason: its text, and what it wraps.
func (r Reason) Of(err error) error { return reasoned{r, err} }

// reasoned is an error with its reason.
type reasoned struct {
	reason Reason
	error
}

func (e reasoned) Unwrap() error { return e.error }

// ReasonOf is the reason that err has been given, NoReason without one.
func ReasonOf(err error) Reason {
	var wrong *WrongContentError
	var with reasoned
	switch {
	case errors.As(err, &wrong) && wrong.Err != nil:
		return WrongSignature
	case errors.As(err, &wrong):
		return WrongDigest
	case errors.As(err, &with):
		return with.reason
	}
	return NoReason
}

// Refused counts what was refused, by reasons. The zero value is ready; nil counts
// nothing. It is safe for concurrent use.
type Refused struct{ counts [Reasons]atomic.Int64 }

// Note counts err where it has a reason.
func (c *Refused) Note(err error) {
	if r := ReasonOf(err); c != nil && r != NoReason {
		c.counts[r].Add(1)
	}
}

// Count is how often it was for this reason.
func (c *Refused) Count(r Reason) int64 { return c.counts[r].Load() }
