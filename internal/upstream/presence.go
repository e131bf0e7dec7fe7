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
	gone  int
	// sure: one that the configuration names says so too, or none of these can be asked.
	sure bool
}

// add counts x, behind which rest would be asked.
func (t *tally) add(x *mirror, rest []*mirror) {
	t.gone++
	t.sure = t.sure || !x.listed || !slices.ContainsFunc(rest, configured)
}

// settled reports whether the file is gone.
func (t *tally) settled() bool { return t.sure && (t.gone >= goneFrom || t.known == 1) }

// spares reports whether x need not be asked. Two of a list may both lag: who made
// it is asked before a file counts as gone.
func (t *tally) spares(x *mirror, rest []*mirror) bool {
	return x.listed && t.gone >= goneFrom && slices.ContainsFunc(rest, configured)
}

func configured(x *mirror) bool { return !x.listed }

// Inquire implements cache.Inquirer. No byte of the file comes: the mirrors are
// asked, a few files of each at a time, until two say that it is gone, or two that
// it is there; one alone that has it may lag, and does not outweigh them.
func (m *Mirrors) Inquire(ctx context.Context, k cache.Key) error {
	if m.lists != nil {
		m.lists.of(k.Path).await(ctx, patience)
	}
	places := m.places(k)
	list := m.candidates(places) // those that rest are no use to a client, and a run has time
	m.wake(list, k)
	said, there := tally{known: len(places)}, 0
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
		code, err := m.look(ctx, x, k)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			failure = err
		case code == http.StatusNotFound, code == http.StatusGone:
			if said.add(x, rest); said.settled() {
				return fmt.Errorf("%s: %w", k, fs.ErrNotExist)
			}
		case code < http.StatusMultipleChoices:
			if there++; there >= goneFrom {
				return nil
			}
		default:
			failure = fmt.Errorf("%s: %d to the question whether it is there", x.url(k), code)
		}
	}
	if there > 0 {
		return nil
	}
	return &cache.UnreachableError{Err: failure}
}

// look is the status with which a mirror answers a question for a file; one that
// does not know HEAD is asked for a byte.
func (m *Mirrors) look(ctx context.Context, x *mirror, k cache.Key) (code int, err error) {
	if err := x.take(ctx); err != nil {
		return 0, err
	}
	defer x.giveBack()
	for _, method := range [...]string{http.MethodHead, http.MethodGet} {
		req, err := http.NewRequestWithContext(ctx, method, x.url(k), nil)
		if err != nil {
			return 0, err
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
			return 0, err
		}
		resp.Body.Close()
		if resp.StatusCode < http.StatusInternalServerError {
			x.worked()
		}
		if code = resp.StatusCode; code != http.StatusMethodNotAllowed && code != http.StatusNotImplemented {
			break
		}
	}
	return code, nil
}
