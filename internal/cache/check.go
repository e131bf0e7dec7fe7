package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"
)

// Check is what has to hold of a complete file's bytes beyond their digest, as
// that they are signed. Bytes that fail it are neither stored nor handed out as
// complete; a stored file that was never checked is checked before it is served.
type Check struct {
	// ID names what is checked for, in at most 64 bytes of ASCII. Stored files
	// remember it; with another ID they are checked again.
	ID string
	// Expected says it for people: "a package that a key of gpg_keys has signed".
	Expected string
	// Most is how long a file of which nothing is promised may be, in bytes: more is
	// refused while it comes. 0 is no limit.
	Most int64
	// Do reports why a file of size bytes is refused. It is called from several
	// goroutines at once.
	Do func(file io.ReaderAt, size int64) error
}

// WrongContentError is an ErrWrongContent of bytes that have come as a whole:
// it knows what should have been, and what came.
type WrongContentError struct {
	URL            string // where the bytes came from
	Expected, Came string // a digest and a size, or what a Check says
	// Err is why a Check refused the bytes; nil for a digest.
	Err error
	// Promised says that the bytes are those that metadata promises: no other
	// mirror has better ones.
	Promised bool
}

func (e *WrongContentError) Error() string {
	return fmt.Sprintf("%s: %s, expected %s: %v", e.URL, e.Came, e.Expected, ErrWrongContent)
}

// Unwrap is ErrWrongContent and Err.
func (e *WrongContentError) Unwrap() []error { return []error{ErrWrongContent, e.Err} }

// approve has the complete file of p checked. The error wraps ErrWrongContent
// where it is refused.
func (p *Partial) approve() error {
	if p.check == nil {
		return nil
	}
	err := p.check.Do(p.file, p.size)
	var disk *fs.PathError
	switch {
	case err == nil:
		p.checked = p.check.ID
		return nil
	case errors.As(err, &disk):
		return storeError(fmt.Errorf("read back %s: %w", p.path, err))
	}
	return p.refuse(p.check.Expected, fmt.Sprintf("%v, in %s of %d bytes", err, p.digest, p.size), err)
}

// refuse says that the complete file of p is not what was expected, and nothing
// of it is to be continued.
func (p *Partial) refuse(expected, came string, why error) error {
	p.stale = true
	e := &WrongContentError{URL: p.head.URL, Expected: expected, Came: came, Err: why, Promised: p.want.Known() && p.met != ""}
	// Of parts that came at different times nobody knows whether they belong
	// together, or whose they are, unless a digest has shown it.
	if p.refused != nil && (p.met != "" || !p.continued && p.fetched >= p.size) {
		p.refused(e)
	}
	return e
}

// refusals remembers which files a Check has refused, so that each client's
// tries, dnf makes four, do not fetch them again. It is safe for concurrent use.
type refusals struct {
	mu   sync.Mutex
	errs map[Key]refusal
}

type refusal struct {
	want  Want
	err   *WrongContentError
	until time.Time
}

const (
	// refusedFor is how long what was refused is not fetched again. Promised bytes
	// are not as long as they are promised: there are no others to be had.
	refusedFor  = time.Minute
	maxRefusals = 1024
)

// note remembers err, where it is a Check's.
func (r *refusals) note(k Key, w Want, err error, now time.Time) {
	var wrong *WrongContentError
	if !errors.As(err, &wrong) || wrong.Err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errs == nil || len(r.errs) >= maxRefusals {
		r.errs = make(map[Key]refusal)
	}
	r.errs[k] = refusal{w, wrong, now.Add(refusedFor)}
}

// of is the error that a download of k would end in, nil if that is not known.
func (r *refusals) of(k Key, w Want, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	was, ok := r.errs[k]
	if ok && was.want == w && (was.err.Promised || now.Before(was.until)) {
		return was.err
	}
	return nil
}

// approved has the file of st, which is stored, checked, unless that has been
// done. Requests for it that come meanwhile wait for one verdict.
func (c *Cache) approved(k Key, st *stored, check *Check) error {
	if check == nil || st.facts.Checked == check.ID {
		return nil
	}
	// As with facts, size and time are what tells one stored file from the next.
	id := fmt.Sprintf("%s %d %d %s", k, st.facts.Size, st.facts.ModTime.UnixNano(), check.ID)
	_, err, _ := c.checks.Do(id, func() (any, error) {
		f := st.facts
		if fi, err := st.file.Stat(); err == nil {
			// Whoever went before may just have done it.
			if now, _ := readFactsOf(st.file, fi, st.name); now != nil {
				f = *now
			}
		}
		if f.Checked == check.ID {
			return nil, nil
		}
		if err := check.Do(st.file, st.facts.Size); err != nil {
			return nil, err
		}
		f.Checked = check.ID
		// That the attribute can't be kept only means to check the file again.
		if err := st.setFacts(f); err != nil {
			c.o.Log.Debug("a check can't be remembered", "file", k.String(), "error", err)
		}
		return nil, nil
	})
	if err == nil {
		st.facts.Checked = check.ID
	}
	return err
}
