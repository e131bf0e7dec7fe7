package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Flip makes g current: its metadata files get their names in the tree, and
// repomd.xml the last. What was current before is kept for a while.
func (s *Store) Flip(g *Generation) error {
	err := s.changeRoot(g.Root, func(f *rootFile) error {
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
			next = append(next, k)
		}
		f.Kept = s.still(next)
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
	tmp := filepath.Join(s.dir, "."+g.Digest+"-"+name)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		return err
	}
	for i := 1; ; i++ {
		err := os.MkdirAll(filepath.Dir(to), 0o755)
		if err == nil {
			err = os.Rename(tmp, to)
		}
		if err == nil {
			break
		}
		// An eviction that has left the directory empty may have removed it again.
		if !errors.Is(err, fs.ErrNotExist) || i == mostRenames {
			return err
		}
	}
	return syncDir(filepath.Dir(to))
}

// mostRenames is how often a file's directory is made again that was removed.
const mostRenames = 100
