package generation

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// lapse is how long an older entry file is refused while no mirror has the one
// that is held: by then the distribution has taken that one back.
const lapse = 24 * time.Hour

// lagFile is what .im/gen keeps of a root of which only older metadata is to be had.
type lagFile struct {
	Root  string    `json:"root"`
	Since time.Time `json:"since"`
}

const lagSuffix = ".lag"

// Vet implements upstream.Vetter: an entry file must be one, and must not be older
// than the one in the tree: a repomd.xml by the newest timestamp of the files that
// each of them lists, since their revision is no clock, an InRelease by its Date.
// Where either has no time nothing is known of their order. The metalink's current
// one is taken whatever its age, and so is any after a day in which no mirror had
// the one that is held. One that is being passed over is not taken. An InRelease has
// to be signed as Options.Signing has it; that it is no longer valid is said when
// nothing else is wrong with it.
func (s *Store) Vet(k cache.Key, body []byte, current bool) error {
	r, ok := RootOf(k)
	if !ok {
		return nil
	}
	next, err := r.layout().parse(body)
	if err != nil {
		return fmt.Errorf("%w: %w", cache.WrongMetadata.Wrong(), err)
	}
	if err := next.strays(); err != nil {
		return fmt.Errorf("%w: %w", cache.WrongMetadata.Wrong(), err)
	}
	if err := s.passed.why(r, digestOf(body)); err != nil {
		return err
	}
	if how := s.signing(r); how != nil && next.release != nil && path.Base(k.Path) == inRelease {
		if err := how.Inline(body); err != nil {
			return fmt.Errorf("%w: %w", cache.WrongSignature.Wrong(), err)
		}
	}
	if err := s.forward(k, next, current); err != nil {
		return err
	}
	return s.expired(next)
}

// forward reports why what next says is older than what is held as k.
func (s *Store) forward(k cache.Key, next *listing, current bool) error {
	was, err := s.inUse(k)
	if err != nil || was == nil {
		return err
	}
	r, _ := RootOf(k)
	if held, err := s.inTree(r); err == nil && s.passed.why(r, held) != nil {
		return nil // clients were given it for want of another
	}
	if was.made.IsZero() || next.made.IsZero() || !next.made.Before(was.made) {
		s.forget(k)
		return nil
	}
	log := s.log.With("file", k.String(), "held", utc(was.made), "offered", utc(next.made))
	if current {
		log.Warn("metadata goes back: the metalink says that the older repomd.xml is the current one")
		return nil
	}
	since, err := s.lagging(k)
	if err != nil {
		log.Warn("since when no mirror has the held metadata can't be remembered", "error", err)
	}
	if s.now().Sub(since) >= lapse {
		// Forgotten only when the older one is the one that is held: until then it
		// is asked for again.
		log.Warn("metadata goes back: no mirror has had the one that is held for a day", "since", since)
		return nil
	}
	return fmt.Errorf("its metadata is of %s, the one that is held of %s: refused until a mirror has that, or %s: %w",
		utc(next.made), utc(was.made), since.Add(lapse).Format(time.RFC3339), upstream.ErrLags)
}

// inUse is what the entry file in the tree says, nil where there is none, or one
// that can't be read.
func (s *Store) inUse(k cache.Key) (*listing, error) {
	held, err := s.tree.read(k)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r, _ := RootOf(k)
	was, err := r.layout().parse(held)
	if err != nil {
		s.log.Warn("the metadata that is held can't be read; any other may follow it", "file", k.String(), "error", err)
		return nil, nil
	}
	return was, nil
}

// expired reports that clients do not believe l any more.
func (s *Store) expired(l *listing) error {
	if l.until.IsZero() || s.now().Before(l.until) {
		return nil
	}
	return fmt.Errorf("it was valid until %s: %w", utc(l.until), upstream.ErrExpired)
}

// Confirm implements upstream.Vetter: a mirror has the entry file that is held. The
// error says that this is no longer valid, or is being passed over, so that another
// mirror may have a better one.
func (s *Store) Confirm(k cache.Key) error {
	r, ok := RootOf(k)
	if !ok {
		return nil
	}
	held, err := s.inTree(r)
	if err != nil {
		return err
	}
	if err := s.passed.why(r, held); err != nil {
		return err
	}
	s.forget(k)
	l, err := s.inUse(k)
	if err != nil || l == nil {
		return err
	}
	return s.expired(l)
}

// forget forgets that mirrors have older metadata than k.
func (s *Store) forget(k cache.Key) {
	if err := os.Remove(s.lagPath(k)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("that mirrors have the held metadata again can't be remembered", "file", k.String(), "error", err)
	}
}

func utc(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// lagging is since when only older metadata than k is to be had. The first call
// remembers the time; where it can't be kept it is now.
func (s *Store) lagging(k cache.Key) (time.Time, error) {
	path, now := s.lagPath(k), s.now()
	var f lagFile
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	// What can't be read, or is in the future of a clock that was set back, begins anew.
	if err == nil && !f.Since.After(now) {
		return f.Since, nil
	}
	r, _ := RootOf(k)
	f = lagFile{Root: r.String(), Since: now}
	if b, err = json.Marshal(f); err != nil {
		return now, err
	}
	return now, writeFile(path, b)
}

// lagPath is the file that remembers since when k's root goes back.
func (s *Store) lagPath(k cache.Key) string {
	r, _ := RootOf(k)
	return strings.TrimSuffix(s.rootPath(r), rootSuffix) + lagSuffix
}
