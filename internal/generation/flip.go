package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
)

// ErrOvertaken says that another has made its metadata current since g's was asked for.
var ErrOvertaken = errors.New("other metadata became current meanwhile")

// Flip makes g current: its metadata files get their names in the tree, and
// repomd.xml the last. What was current before is kept for a while. The error is
// ErrHeld where the root is held at another one, ErrOvertaken where the tree has
// another repomd.xml than it had when upstream was asked for g's: that one may be
// newer.
func (s *Store) Flip(g *Generation) error {
	err := s.changeRoot(g.Root, func(f *rootFile) error {
		if held := f.heldDigest(); held != "" && held != g.Digest {
			return ErrHeld
		}
		if now, err := s.inTree(g.Root); err != nil {
			return err
		} else if now != g.was && now != g.Digest {
			return ErrOvertaken
		}
		for _, name := range g.files {
			if err := s.place(g, name); err != nil {
				return err
			}
		}
		if err := s.dropSiblings(g); err != nil {
			return err
		}
		if err := s.place(g, repomdName); err != nil {
			return err
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

// expose puts g's repomd.xml into the tree before g is whole, with what is there of
// the rest: clients fetch what is missing on demand. It leaves a repomd.xml that
// has come there since upstream was asked for g's.
func (s *Store) expose(g *Generation) error {
	err := s.lockRoot(g.Root, func() error {
		if now, err := s.inTree(g.Root); err != nil || now != g.was {
			return err
		}
		for _, d := range g.Repomd.Data {
			name := path.Base(d.Location)
			if err := s.place(g, name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return s.place(g, repomdName)
	})
	if err != nil {
		return fmt.Errorf("%s: %w", g.Root, err)
	}
	return nil
}

// placeIfCurrent gives a file of g its name in the tree where clients have g's
// repomd.xml already, and ask for what it lists.
func (s *Store) placeIfCurrent(g *Generation, name string) error {
	return s.lockRoot(g.Root, func() error {
		if now, err := s.inTree(g.Root); err != nil || now != g.Digest {
			return err
		}
		return s.place(g, name)
	})
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
