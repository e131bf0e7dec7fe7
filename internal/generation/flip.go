package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Flip makes g current: its metadata files get their names in the tree, and
// repomd.xml the last. What was current before is kept for a while. The error is
// ErrHeld where the root is held at another one.
func (s *Store) Flip(g *Generation) error {
	err := s.changeRoot(g.Root, func(f *rootFile) error {
		if held := f.heldDigest(); held != "" && held != g.Digest {
			return ErrHeld
		}
		for _, name := range append(g.files, repomdName) {
			if err := s.place(g, name); err != nil {
				return err
			}
		}
		now := s.now()
		next := []kept{{Digest: g.Digest}}
		for _, k := range f.Kept {
			if k.Digest == g.Digest {
				continue
			}
			if k.Replaced.IsZero() {
				k.Replaced = now
			}
			if now.Sub(k.Replaced) < s.keep {
				next = append(next, k)
			}
		}
		f.Kept = next
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: make the new metadata current: %w", g.Root, err)
	}
	return s.reload()
}

// place gives a file of g its name in the tree, by a rename.
func (s *Store) place(g *Generation, name string) error {
	k, err := g.Root.Key("repodata/" + name)
	if err != nil {
		return err
	}
	from, to := filepath.Join(g.dir, name), filepath.Join(s.tree, k.String())
	a, err := os.Stat(from)
	if err != nil {
		return err
	}
	if b, err := os.Stat(to); err == nil && os.SameFile(a, b) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, "."+g.Digest+"-"+name)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// Expire removes the generations that no root keeps any more, but those that
// are younger than a day: a run may be bringing them together.
func (s *Store) Expire() error {
	used := map[string]bool{}
	names, err := filepath.Glob(filepath.Join(s.dir, "*"+rootSuffix))
	if err != nil {
		return err
	}
	for _, name := range names {
		f, err := readRoot(name)
		if err != nil {
			return err
		}
		for _, k := range f.Kept {
			used[k.Digest] = true
		}
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || !e.IsDir() || used[e.Name()] || s.now().Sub(fi.ModTime()) < 24*time.Hour {
			continue
		}
		errs = append(errs, os.RemoveAll(s.path(e.Name())))
	}
	return errors.Join(errs...)
}
