package generation

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"
)

// Expired is a generation that no root keeps any more.
type Expired struct {
	Path  string // its directory, below the cache directory
	Bytes int64  // that its removal frees on the disk
}

// Expire removes the generations that no root keeps any more, or whose time is
// over, and returns them. Those that are younger than a day stay: a run may be
// bringing them together. A rehearsal removes nothing.
func (s *Store) Expire(rehearse bool) ([]Expired, error) {
	used, err := s.used(rehearse)
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var gone []Expired
	var errs []error
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !e.IsDir() || used[e.Name()] || s.now().Sub(fi.ModTime()) < 24*time.Hour {
			continue
		}
		x := Expired{path.Join(".im", "gen", e.Name()), s.frees(e.Name())}
		if !rehearse {
			if err := os.RemoveAll(s.path(e.Name())); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		gone = append(gone, x)
	}
	if !rehearse {
		// What they alone listed is not listed from now on.
		errs = append(errs, s.reload())
	}
	return gone, errors.Join(errs...)
}

// used is the generations that a root keeps, by their digests. What a root has
// kept for its time it forgets, but in a rehearsal.
func (s *Store) used(rehearse bool) (map[string]bool, error) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*"+rootSuffix))
	if err != nil {
		return nil, err
	}
	used := map[string]bool{}
	for _, name := range names {
		f, err := readRoot(name)
		if err != nil {
			return nil, err
		}
		if still := s.still(f.Kept); len(still) < len(f.Kept) && !rehearse {
			r, err := f.root()
			if err != nil {
				return nil, err
			}
			if err := s.changeRoot(r, func(now *rootFile) error { now.Kept = s.still(now.Kept); f = *now; return nil }); err != nil {
				return nil, err
			}
		}
		for _, k := range s.still(f.Kept) {
			used[k.Digest] = true
		}
	}
	return used, nil
}

// still is what of a root's generations is kept now: the last that became
// current, and those that were replaced a short while ago.
func (s *Store) still(all []kept) []kept {
	var still []kept
	for _, k := range all {
		if k.Replaced.IsZero() || s.now().Sub(k.Replaced) < s.keep {
			still = append(still, k)
		}
	}
	return still
}

// frees is how many bytes of the disk a generation has for itself: most of the
// current one's are the tree's files as well.
func (s *Store) frees(digest string) (n int64) {
	entries, err := os.ReadDir(s.path(digest))
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if fi, err := e.Info(); err == nil {
			if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink == 1 {
				n += st.Blocks * 512
			}
		}
	}
	return n
}
