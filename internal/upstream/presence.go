package upstream

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"slices"

	"intelligentmirror/internal/cache"
)

// mostAsked is how many mirrors are asked at most whether a file is still there: of
// a long list that is all up to date, or all down, no more are of use.
const mostAsked = 8

// tally counts the mirrors that say that a file is gone.
type tally struct {
	known int // mirrors that may have the file
	named int // of these, those that the configuration names
	gone  int
	// promised says that current metadata lists the file, so that a mirror without it
	// lags, and that it is not enough that two do.
	promised bool
	// sure: one that the configuration names says so too, or none of these can be asked.
	sure bool
}

// add counts x, behind which rest would be asked.
func (t *tally) add(x *mirror, rest []*mirror) {
	t.gone++
	t.sure = t.sure || !x.listed || !slices.ContainsFunc(rest, configured)
}

// settled reports whether the file is gone.
func (t *tally) settled() bool {
	enough := goneFrom
	if t.promised {
		// Those of a list that lag are outweighed by who made it.
		if enough = t.named; t.named == 0 {
			enough = t.known
		}
		enough = max(min(enough, mostAsked), goneFrom)
	}
	return t.sure && (t.gone >= enough || t.known == 1)
}

// spares reports whether x need not be asked. Two of a list may both lag: who made
// it is asked before a file counts as gone.
func (t *tally) spares(x *mirror, rest []*mirror) bool {
	return x.listed && t.gone >= goneFrom && slices.ContainsFunc(rest, configured)
}

func configured(x *mirror) bool { return !x.listed }

// count is how many of list are so.
func count(list []*mirror, so func(*mirror) bool) (n int) {
	for _, x := range list {
		if so(x) {
			n++
		}
	}
	return n
}

// Inquire implements cache.Inquirer. No byte of the file comes: the mirrors are
// asked, a few files of each at a time, until two say that it is gone, or two that
// it is there; one alone that has it may lag, and does not outweigh them.
func (m *Mirrors) Inquire(ctx context.Context, k cache.Key) error {
	if m.lists != nil {
		m.lists.of(k.Path).await(ctx, patience)
	}
	return m.inquire(ctx, k, -1)
}

// Offers reports whether a client that asks for the file k would get it, which new
// metadata lists with so many bytes: nil where one of the mirrors that would be asked
// has it. The errors are Inquire's. No byte of the file comes, and no list is waited for.
func (m *Mirrors) Offers(ctx context.Context, k cache.Key, size int64) error {
	return m.inquire(ctx, k, size)
}

// Offers is Mirrors.Offers.
func (g grabber) Offers(ctx context.Context, k cache.Key, size int64) error {
	return g.m.Offers(ctx, k, size)
}

// inquire asks the mirrors until enough have said the same. Of a file that is promised
// to have size bytes, -1 for one that is not, one mirror that has it is enough.
func (m *Mirrors) inquire(ctx context.Context, k cache.Key, size int64) error {
	promised := size >= 0
	places := m.places(k)
	list := m.candidates(places) // those that rest are no use to a client, and a run has time
	m.wake(list, k)
	said, there := tally{known: len(places), named: count(places, configured), promised: promised}, 0
	failure := fmt.Errorf("no mirror of %s can be asked", m.repo.Name)
	asked := 0
	for i, x := range list {
		rest := list[i+1:]
		if said.spares(x, rest) {
			continue
		}
		if asked++; asked > mostAsked && !configured(x) {
			continue
		}
		code, length, err := m.look(ctx, x, k)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failure = err
		case code == http.StatusNotFound, code == http.StatusGone, promised && code == http.StatusOK && length >= 0 && length != size:
			if said.add(x, rest); said.settled() {
				return fmt.Errorf("%s: %w", k, fs.ErrNotExist)
			}
		case code < http.StatusMultipleChoices:
			if there++; promised || there >= goneFrom {
				return nil
			}
		default:
			failure = fmt.Errorf("%s: %d to the question whether it is there", x.url(k), code)
		}
	}
	if there > 0 {
		return nil
	}
	if promised && said.gone > 0 {
		return fmt.Errorf("%s: %w", k, fs.ErrNotExist) // as the client's request would end
	}
	return &cache.UnreachableError{Err: failure}
}

// look is the status with which a mirror answers a question for a file, and the
// length that this gives, -1 without one; one that does not know HEAD is asked for a byte.
func (m *Mirrors) look(ctx context.Context, x *mirror, k cache.Key) (code int, length int64, err error) {
	if err := x.take(ctx); err != nil {
		return 0, -1, err
	}
	defer x.giveBack()
	for _, method := range [...]string{http.MethodHead, http.MethodGet} {
		req, err := http.NewRequestWithContext(ctx, method, x.url(k), nil)
		if err != nil {
			return 0, -1, err
		}
		m.c.introduce(req)
		if method == http.MethodGet {
			req.Header.Set("Range", "bytes=0-0")
		}
		start := m.c.o.Now()
		resp, err := m.route.fetch.Do(req)
		if err != nil {
			if ctx.Err() == nil {
				x.failed(m.c.o.Now(), m.c.o.Now().Sub(start))
			}
			return 0, -1, err
		}
		resp.Body.Close()
		if resp.StatusCode < http.StatusInternalServerError {
			x.worked()
		}
		code, length = resp.StatusCode, resp.ContentLength
		if code != http.StatusMethodNotAllowed && code != http.StatusNotImplemented {
			break
		}
	}
	return code, length, nil
}
