package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"intelligentmirror/internal/cache"
)

// ErrOvertaken says that another has made its metadata current since g's was asked for.
var ErrOvertaken = errors.New("other metadata became current meanwhile")

// Flip makes g current: its metadata files get their names in the tree, and its
// entry file the last. What was current before is kept for a while. The error is
// ErrHeld where the root is held at another one, ErrOvertaken where the tree has
// another entry file than it had when upstream was asked for g's: that one may be
// newer.
func (s *Store) Flip(g *Generation) error {
	err := s.lockRoot(g.Root, func() error {
		if err := s.rewriteRoot(g.Root, func(f *rootFile) error { return s.admit(g, f) }); err != nil {
			return err
		}
		// Whoever gets the entry file asks at once for what it lists, which is held then.
		if err := s.reload(); err != nil {
			return err
		}
		if err := s.dropSiblings(g); err != nil {
			return err
		}
		return s.place(g, g.sibling(path.Base(g.entry)))
	})
	if err != nil {
		return fmt.Errorf("%s: make the new metadata current: %w", g.Root, err)
	}
	return nil
}

// admit puts the files of g but its entry file into the tree, and g among those that
// f keeps.
func (s *Store) admit(g *Generation, f *rootFile) error {
	if held := f.heldDigest(); held != "" && held != g.Digest {
		return ErrHeld
	}
	if now, err := s.inTree(g.Root); err != nil {
		return err
	} else if now != g.was && now != g.Digest {
		return ErrOvertaken
	}
	for _, x := range g.files {
		if err := s.place(g, x); err != nil {
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
	f.Kept = s.still(g.Root, next)
	return nil
}

// brokenOff is the digest of r's entry file in the tree, and whether a flip to another
// generation has begun, and has not come to its end yet, or never will: then files of
// that one have the names that both have.
func (s *Store) brokenOff(r Root) (now string, broken bool) {
	s.refresh()
	known := s.roots.Load().all[r]
	if known == nil {
		return "", false
	}
	now = known.now(s.tree)
	return now, now != "" && known.last != "" && now != known.last
}

// expose puts g's entry file into the tree before g is whole, with what is there of
// the rest: clients fetch what is missing on demand. It leaves an entry file that
// has come there since upstream was asked for g's.
func (s *Store) expose(g *Generation) error {
	err := s.lockRoot(g.Root, func() error {
		if now, err := s.inTree(g.Root); err != nil || now != g.was {
			return err
		}
		for _, f := range g.present() {
			if !f.want.Known() {
				continue // a sibling, of which nobody has said yet that it belongs here
			}
			if err := s.place(g, f); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return s.place(g, g.sibling(path.Base(g.entry)))
	})
	if err != nil {
		return fmt.Errorf("%s: %w", g.Root, err)
	}
	return nil
}

// placeIfCurrent gives a file of g its names in the tree where clients have g's
// entry file already, and ask for what it lists.
func (s *Store) placeIfCurrent(g *Generation, f file) error {
	return s.lockRoot(g.Root, func() error {
		if now, err := s.inTree(g.Root); err != nil || now != g.Digest {
			return err
		}
		return s.place(g, f)
	})
}

// place gives a file of g its names in the tree, each by a rename.
func (s *Store) place(g *Generation, f file) error {
	for _, name := range f.at {
		if err := s.placeAt(g, f.name, g.Root.key(name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) placeAt(g *Generation, name string, k cache.Key) error {
	from := filepath.Join(g.dir, name)
	a, err := os.Stat(from)
	if err != nil {
		return err
	}
	if b, err := s.tree.stat(k); err == nil && os.SameFile(a, b) {
		return nil
	}
	tmp := filepath.Join(s.dir, "."+g.Digest+"-"+name)
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Link(from, tmp); err != nil {
		return err
	}
	return s.tree.rename(tmp, k)
}
