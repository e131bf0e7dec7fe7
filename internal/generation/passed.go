package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// maxPassed is how many entry files are passed over in one look at upstream. What
// is refused by its bytes sends its mirror behind the others, so that one that has
// another lie for each question is not asked so often.
const maxPassed = 8

// passed are the entry files that one look at upstream goes past: mirrors have
// them, and they are not signed as they should be, or what they list is not to be
// had. The zero value is ready, and safe for concurrent use.
type passed struct {
	mu sync.Mutex
	of map[Root]map[string]error // by their digests
}

// begin forgets what an earlier look at r went past: it may be whole by now.
func (p *passed) begin(r Root) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.of, r)
	for other := range p.of {
		if len(p.of) < maxFailed {
			break
		}
		delete(p.of, other) // a look that is under way there comes to its end all the same
	}
}

// add goes past r's entry file of that digest, because of err. It reports false
// where enough have been tried.
func (p *passed) add(r Root, digest string, err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = map[Root]map[string]error{}
	}
	if p.of[r] == nil {
		p.of[r] = map[string]error{}
	}
	p.of[r][digest] = err
	return len(p.of[r]) < maxPassed
}

// why is why r's entry file of that digest is passed over, nil where it is not. The
// error wraps upstream.ErrPassedOver.
func (p *passed) why(r Root, digest string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	err, ok := p.of[r][digest]
	if !ok {
		return nil
	}
	return fmt.Errorf("%w: %v", upstream.ErrPassedOver, err)
}

// ask asks upstream for r's entry file, and is the generation that it begins, with
// that file in its directory, signed as Options.Signing has it. The rest may still
// be missing. One whose signature is not good is passed over for another mirror's.
func (s *Store) ask(ctx context.Context, c *cache.Cache, r Root, from cache.Source) (*Generation, Staged, error) {
	s.passed.begin(r)
	return s.askOn(ctx, c, r, from)
}

// askOn is ask for who goes on in a look at upstream.
func (s *Store) askOn(ctx context.Context, c *cache.Cache, r Root, from cache.Source) (*Generation, Staged, error) {
	var done Staged
	var passed *Generation
	var first error
	for {
		g, err := s.look(ctx, c, r, from, &done)
		if first != nil && (err != nil || g.Digest == g.was || s.passed.why(r, g.Digest) != nil) {
			return nil, done, first // no mirror has another
		}
		if err == nil {
			err = s.verify(ctx, c, g, from, &done)
		}
		if err == nil {
			if first != nil {
				s.tell(passed, first)
			}
			return g, done, nil
		}
		err = fmt.Errorf("%s: %w", r, err)
		if first == nil {
			passed, first = g, err
		}
		if g == nil || !another(ctx, err) || !s.passed.add(r, g.Digest, err) {
			return nil, done, first
		}
	}
}

// others asks for another mirror's entry file where what g lists could not be
// brought together, because of why, and calls bring with the generation that it
// begins, until one is whole. The error is why where none is.
func (s *Store) others(ctx context.Context, c *cache.Cache, g *Generation, why error, from cache.Source, bring func(*Generation, *Staged) error) error {
	last := g
	for err := why; another(ctx, err) && s.passed.add(g.Root, last.Digest, err); {
		next, done, aerr := s.askOn(ctx, c, g.Root, from)
		if aerr != nil || next.Digest == next.was || s.passed.why(g.Root, next.Digest) != nil {
			break
		}
		if err = bring(next, &done); err == nil {
			s.tell(g, why)
			return nil
		}
		last = next
	}
	return why
}

// another reports whether another mirror may do better than the one whose metadata
// ended in err: that metadata is what is wrong, and not the way to it or our disk.
func another(ctx context.Context, err error) bool {
	return ctx.Err() == nil &&
		(errors.Is(err, cache.ErrWrongContent) || errors.Is(err, fs.ErrNotExist) || errors.Is(err, errOldSibling))
}

// tell says that g was passed over because of err, and another mirror's taken.
func (s *Store) tell(g *Generation, err error) {
	s.log.Warn("a mirror's metadata was passed over for another's", "root", g.Root.String(), "generation", g.Digest[:12], "from", g.from, "error", err)
}

// unreadable remembers which generations have metadata whose bytes are those that
// are listed and can't be read all the same: another try would end as the first,
// and cost as much. The zero value is ready, and safe for concurrent use.
type unreadable struct {
	mu   sync.Mutex
	errs map[string]error // by the digests of their entry files
}

// maxUnreadable bounds how many are remembered.
const maxUnreadable = 256

// note remembers that reading the generation's metadata ended in err, and returns
// that as what is wrong with the content. What is not there may come still.
func (u *unreadable) note(digest string, err error) error {
	var disk *fs.PathError
	if errors.As(err, &disk) {
		return err
	}
	err = fmt.Errorf("%w: %w", cache.WrongMetadata.Wrong(), err)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.errs == nil || len(u.errs) >= maxUnreadable {
		u.errs = map[string]error{}
	}
	u.errs[digest] = err
	return err
}

// why is what note has returned for the generation, nil without it.
func (u *unreadable) why(digest string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.errs[digest]
}
