package generation

import (
	"errors"
	"io/fs"
	"os"
	"path"
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
// bringing them together; where it can't be read what some root keeps, all do. A
// rehearsal removes nothing.
func (s *Store) Expire(rehearse bool) ([]Expired, error) {
	used, known, err := s.used(rehearse)
	if err != nil {
		return nil, err
	}
	if !known {
		return nil, nil
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

// used is the generations that a root keeps, by their digests; known is false where
// there may be more. What a root has kept for its time it forgets, and what is damaged of
// its file or the spare is mended, but in a rehearsal.
func (s *Store) used(rehearse bool) (used map[string]bool, known bool, err error) {
	names, err := s.rootPaths()
	if err != nil {
		return nil, false, err
	}
	used, known = map[string]bool{}, true
	for _, name := range names {
		f, err := s.readRoot(name)
		if err != nil {
			known = false
			if err := s.giveUp(name, err, rehearse); err != nil {
				return nil, false, err
			}
			continue
		}
		if f.Root == "" {
			continue // its time was over meanwhile
		}
		r, err := f.root()
		if err != nil {
			known = false
			s.log.Warn("a root's generations can't be read, and no metadata expires", "file", name, "error", err)
			continue
		}
		still := s.still(r, f.Kept)
		if (len(still) < len(f.Kept) || !s.inStep(name, &f)) && !rehearse {
			if err := s.changeRoot(r, func(now *rootFile) error { now.Kept = s.still(r, now.Kept); still = now.Kept; return nil }); err != nil {
				return nil, false, err
			}
		}
		for _, k := range still {
			used[k.Digest] = true
		}
	}
	return used, known, nil
}

// giveUp removes a root's file that, as its spare, can't be read because of why, once
// nothing that it kept could be kept any more. Which root it is of its name does not
// tell: whoever uses that has written it anew.
func (s *Store) giveUp(name string, why error, rehearse bool) error {
	s.log.Warn("a root's generations can't be read, and no metadata expires", "error", why)
	fi, err := os.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		fi, err = os.Lstat(spareOf(name))
	}
	if err != nil || rehearse || s.now().Sub(fi.ModTime()) < s.keep {
		return err
	}
	return errors.Join(os.RemoveAll(spareOf(name)), os.RemoveAll(name))
}

// still is what of r's generations is kept now: the last that became current, those that
// were replaced a short while ago, and the one whose entry file the tree has, which of a
// flip that was broken off is the one before still. Where that can't be read all are.
func (s *Store) still(r Root, all []kept) []kept {
	current, err := s.inTree(r)
	var still []kept
	for _, k := range all {
		if err != nil || k.Replaced.IsZero() || k.Digest == current || s.now().Sub(k.Replaced) < s.keep {
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
