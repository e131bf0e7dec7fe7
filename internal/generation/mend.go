package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"intelligentmirror/internal/cache"
)

// A metadata file in the tree and its generation's are one file, so that what a disk
// has spoilt is spoilt in both places: whoever puts the one right has to mend the
// other, or renew the root.

// Mend gives the kept generations of k's roots the stored file k where their own
// copy of that metadata file is damaged: the two were one file, and one was
// replaced.
func (s *Store) Mend(k cache.Key) error {
	var errs []error
	if r, ok := EntryOf(k); ok {
		errs = append(errs, s.mendEntry(r, k))
	}
	for _, r := range s.find(k) {
		for digest, c := range r.kept {
			w, listed := r.in(c, k)
			to := filepath.Join(s.path(digest), r.layout().own(k.Path, w))
			if fi, err := os.Lstat(to); err != nil || !fi.Mode().IsRegular() || !listed {
				continue
			}
			if ok, err := holds(to, w); ok || err != nil {
				errs = append(errs, err)
				continue
			}
			errs = append(errs, os.Remove(to), s.tree.link(k, to))
		}
	}
	return errors.Join(errs...)
}

// mendEntry gives the current generation of r the stored file k, which is its entry
// file or lies beside that.
func (s *Store) mendEntry(r Root, k cache.Key) error {
	digest, err := s.inTree(r)
	if err != nil {
		return err
	}
	to := filepath.Join(s.path(digest), path.Base(k.Path))
	if _, err := os.Lstat(to); digest == "" || err != nil {
		return nil // it has none
	}
	return s.tree.relink(k, to)
}

// MetadataOf is the root whose metadata k is: its entry file, what lies beside that,
// or what a generation that is kept lists of its metadata.
func (s *Store) MetadataOf(k cache.Key) (Root, bool) {
	if r, ok := EntryOf(k); ok {
		return r, true
	}
	for _, r := range s.find(k) {
		for digest, c := range r.kept {
			w, listed := r.in(c, k)
			if _, err := os.Lstat(filepath.Join(s.path(digest), r.layout().own(k.Path, w))); listed && err == nil {
				return r.Root, true
			}
		}
	}
	return Root{}, false
}

// Renew has upstream's metadata of r brought together and made current, as a run
// does, where a file of what is kept is damaged and not to be had any more as it was.
// What is damaged of the kept generations is removed first. The error is ErrHeld where
// r is held, since it can't stay what it is.
func (s *Store) Renew(ctx context.Context, c *cache.Cache, r Root, from cache.Source) error {
	if s.isHeld(r) {
		return fmt.Errorf("%s: %w", r, ErrHeld)
	}
	if err := s.weed(r); err != nil {
		return fmt.Errorf("%s: remove what is damaged: %w", r, err)
	}
	g, err := s.Stage(ctx, c, r, from)
	if err != nil {
		return err
	}
	return s.Flip(g.Generation)
}

// weed removes the damaged files of r's generations, whose catalogs go too, so that
// none of these counts as whole; one without a right entry file goes altogether.
func (s *Store) weed(r Root) error {
	return s.changeRoot(r, func(f *rootFile) error {
		var sound []kept
		for _, k := range f.Kept {
			g, err := s.begun(r, k.Digest)
			if err == nil {
				err = g.isEntry()
			}
			if err != nil {
				if err := os.RemoveAll(s.path(k.Digest)); err != nil {
					return err
				}
				continue
			}
			whole := true
			for _, x := range g.list.files {
				name := filepath.Join(g.dir, x.name)
				if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
					continue
				}
				if right, err := holds(name, x.want); right && err == nil {
					continue
				}
				whole = false
				if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
			}
			if !whole {
				if err := os.Remove(filepath.Join(g.dir, catalogName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				continue
			}
			sound = append(sound, k)
		}
		f.Kept = sound
		return nil
	})
}

// isEntry reports why g's entry file is not the one that g is named after.
func (g *Generation) isEntry() error {
	b, err := os.ReadFile(filepath.Join(g.dir, path.Base(g.entry)))
	if err == nil && digestOf(b) != g.Digest {
		err = cache.ErrWrongContent
	}
	return err
}
