package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// Inquirer is a Source that can be asked whether it still has a file.
type Inquirer interface {
	// Inquire returns nil where the file is still there, as far as can be told. The
	// error wraps fs.ErrNotExist where enough mirrors say that it is gone; it is an
	// *UnreachableError where too few can be asked.
	Inquire(ctx context.Context, k Key) error
}

// withdrawn answers a request for a file that no metadata lists and that may have
// a tombstone: done says that err is the answer or, with serve, st, which is what is
// stored of it: that is served while upstream can't be asked, as any other copy.
func (c *Cache) withdrawn(ctx context.Context, k Key, st *stored) (serve, done bool, err error) {
	t, ok := c.tombs.of(k)
	if !ok {
		return false, false, nil
	}
	gone := &AbsentError{Key: k, Withdrawn: t.Withdrawn}
	if st == nil {
		return false, true, gone
	}
	at := c.tree.anchor(k)
	if c.absent.recent(k, at, c.o.Now(), c.o.Policy(k)) {
		return false, true, gone
	}
	source, ok := c.o.Source(k.Repo).(Inquirer)
	if !ok {
		return false, true, gone
	}
	asked := c.inquiries.DoChan(k.String(), func() (any, error) { return nil, source.Inquire(c.ctx, k) })
	select {
	case r := <-asked:
		err = r.Err
	case <-ctx.Done():
		return false, true, ctx.Err()
	}
	switch {
	case errors.As(err, new(*UnreachableError)):
		return true, true, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return false, true, err
	}
	c.absent.note(c.tree, k, c.o.Now(), at)
	return false, true, gone
}

// bury is what a request leads to that has found the stored file s of k withdrawn:
// it stays where it is until its time is over, and is served no more. The caller
// holds the lock on the partial file of k.
func (c *Cache) bury(k Key, s *stored, t Tombstone) error {
	if err := c.tombs.set(k, t); err != nil {
		return fmt.Errorf("note that %s is withdrawn: %w", k, err)
	}
	c.entries.forget(k)
	if !s.known {
		return nil
	}
	f := s.facts
	f.Validated = time.Time{}
	return s.setFacts(f)
}

// Withdraw gives the stored file k a tombstone: from now on it is not served unless
// upstream is out of reach. It reports false where k is not stored, is being
// downloaded, or has a tombstone.
func (c *Cache) Withdraw(k Key, why string, confirmed bool) (bool, error) {
	return c.holding(k, func(st *stored) (bool, error) {
		if _, ok := c.tombs.of(k); ok {
			return false, nil
		}
		err := c.bury(k, st, Tombstone{Withdrawn: c.o.Now(), Confirmed: confirmed, Why: why})
		return err == nil, err
	})
}

// Delete deletes the stored file k, which has a tombstone; that stays. It reports
// false where nothing is stored, or somebody has it open or is downloading it.
func (c *Cache) Delete(k Key) (bool, error) {
	return c.holding(k, func(st *stored) (bool, error) {
		t, ok := c.tombs.of(k)
		if !ok {
			return false, nil
		}
		if !c.free(k, st) {
			return false, nil
		}
		// First the note: who is killed in between deletes it the next time.
		t.Deleted = c.o.Now()
		if err := c.tombs.set(k, t); err != nil {
			return false, err
		}
		_, err := c.remove(k, st)
		return err == nil, err
	})
}

// DeletePrefetched deletes the stored file k, which was fetched before anyone asked
// for it: the next request fetches it again. It returns the bytes of the disk that
// this has freed, and false where nothing is stored, a client's request has brought
// what is, somebody has it open or is downloading it, or it has a tombstone.
func (c *Cache) DeletePrefetched(k Key) (freed int64, ok bool, err error) {
	ok, err = c.holding(k, func(st *stored) (bool, error) {
		if _, buried := c.tombs.of(k); buried || !st.known || st.facts.Prefetched.IsZero() || !c.free(k, st) {
			return false, nil
		}
		var err error
		freed, err = c.remove(k, st)
		return err == nil, err
	})
	return freed, ok, err
}

// holding calls f with the stored file k while nobody can commit another.
func (c *Cache) holding(k Key, f func(*stored) (bool, error)) (bool, error) {
	unlock, err := c.partials.hold(k)
	if errors.Is(err, ErrInUse) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer unlock()
	st, err := c.tree.open(k)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotAFile) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer st.file.Close()
	return f(st)
}

// Tombstones calls visit with each file that has a tombstone and the bytes of the
// disk that its stored copy takes; stored is false where there is none any more.
// It ends with ctx, or with an error of visit.
func (c *Cache) Tombstones(ctx context.Context, visit func(k Key, t Tombstone, bytes int64, stored bool) error) error {
	err := c.tombs.walk(".", func(k Key) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		t, ok := c.tombs.of(k)
		if !ok {
			return nil // lifted meanwhile
		}
		fi, err := c.tree.root.Stat(k.String())
		if err != nil || !fi.Mode().IsRegular() {
			return visit(k, t, 0, false)
		}
		return visit(k, t, sizeOnDisk(fi), true)
	})
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("list the tombstones: %w", err)
	}
	return err
}

// Lift removes the tombstone of k: metadata lists it again, or its time is over.
// That there is none is no error.
func (c *Cache) Lift(k Key) error {
	_, err := c.tombs.lift(k)
	return err
}

// IsWithdrawn reports whether k has a tombstone that binds: no kept generation
// lists the file.
func (c *Cache) IsWithdrawn(k Key) bool {
	if _, ok := c.tombs.of(k); !ok {
		return false
	}
	_, held := c.o.Catalog.Lookup(k)
	return !held
}

// openTombstones makes the directory of the tombstones of a cache directory.
func openTombstones(dir string) (tombstones, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return tombstones{}, fmt.Errorf("cache_dir: %w", err)
	}
	return tombstones{dir}, nil
}
