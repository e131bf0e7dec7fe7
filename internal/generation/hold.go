package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"intelligentmirror/internal/cache"
)

// ErrHeld says that a root stays at its generation until it is released.
var ErrHeld = errors.New("the root is held at its generation")

// heldFile is a file that stays as it is while its root is held.
type heldFile struct {
	Path   string       `json:"path"` // below the root
	Size   int64        `json:"size"` // bytes
	Digest cache.Digest `json:"digest"`
}

// Hold keeps r at the generation that is current now, for both programs, until
// Release: upstream is not asked for its entry file, whoever wants to know. What
// of that generation's metadata is not here yet is fetched from from, so that it
// can be kept; of a suite, what its clients have asked for. The error wraps
// fs.ErrNotExist where r has no entry file.
func (s *Store) Hold(ctx context.Context, c *cache.Cache, r Root, from cache.Source) error {
	fail := func(err error) error { return fmt.Errorf("hold %s: %w", r, err) }
	digest, err := s.adopt(r)
	if err != nil {
		return fail(err)
	}
	g, err := s.begun(r, digest)
	if err == nil {
		g.was = digest
		err = s.adoptSiblings(g)
	}
	if err == nil {
		err = s.gather(ctx, c, g, from, &Staged{})
	}
	if err != nil {
		return fail(err)
	}
	err = s.changeRoot(r, func(f *rootFile) error {
		if len(f.Held) > 0 && f.heldDigest() != digest {
			return ErrHeld
		}
		f.Held = nil
		for _, name := range g.anchors() {
			file, err := s.describe(r, name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			f.Held = append(f.Held, file)
		}
		if f.heldDigest() != digest {
			return ErrOvertaken
		}
		return nil
	})
	if err != nil {
		return fail(err)
	}
	return s.Flip(g)
}

// anchors are the files of g's root that change under their names: its entry file,
// and those of its siblings that g has.
func (g *Generation) anchors() []string {
	names := []string{g.entry}
	siblings, _ := g.Root.layout().siblings(g.entry)
	for _, name := range siblings {
		if _, err := os.Stat(filepath.Join(g.dir, name)); err == nil {
			names = append(names, g.sibling(name).at[0])
		}
	}
	return names
}

// adoptSiblings gives g, whose entry file the tree has, the siblings there that it
// has not got: clients have asked for them since it became whole.
func (s *Store) adoptSiblings(g *Generation) error {
	names, _ := g.Root.layout().siblings(g.entry)
	for _, name := range names {
		to := filepath.Join(g.dir, name)
		if _, err := os.Lstat(to); err == nil {
			continue
		}
		err := s.tree.link(g.Root.first(g.sibling(name)), to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil && !g.fits(name) {
			// It is another publication's, and what signs it with it.
			return os.Remove(to)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// describe is the stored file of that name below r as it is now.
func (s *Store) describe(r Root, name string) (heldFile, error) {
	k, err := r.Key(name)
	if err != nil {
		return heldFile{}, err
	}
	b, err := s.tree.read(k)
	if err != nil {
		return heldFile{}, err
	}
	return heldFile{Path: name, Size: int64(len(b)), Digest: cache.Digest("sha256:" + digestOf(b))}, nil
}

// Release lets r go on, and reports whether it was held.
func (s *Store) Release(r Root) (held bool, err error) {
	if f, err := s.readRoot(s.rootPath(r)); err == nil && len(f.Held) == 0 {
		return false, nil
	}
	err = s.changeRoot(r, func(f *rootFile) error {
		held = len(f.Held) > 0
		f.Held = nil
		return nil
	})
	if err != nil {
		return held, fmt.Errorf("release %s: %w", r, err)
	}
	return held, s.reload()
}

// Held lists the roots that are held, sorted.
func (s *Store) Held() ([]string, error) {
	names, err := s.rootPaths()
	if err != nil {
		return nil, err
	}
	held := []string{}
	for _, name := range names {
		f, err := s.readRoot(name)
		if err != nil {
			s.log.Warn("a root's generations can't be read", "error", err)
			continue // it holds nothing: see held
		}
		if len(f.Held) > 0 {
			held = append(held, f.Root)
		}
	}
	slices.Sort(held)
	return held, nil
}

// heldDigest is the generation at which the root is held, "" if it is not.
func (f *rootFile) heldDigest() string {
	for _, name := range (Root{Kind: f.Kind}).layout().entries() {
		for _, h := range f.Held {
			if h.Path == name {
				return h.Digest.Hex()
			}
		}
	}
	return ""
}

// held is the generation at which r is held; nil if it is not.
func (s *Store) held(r Root) (*Generation, error) {
	f, err := s.readRoot(s.rootPath(r))
	if err != nil || f.heldDigest() == "" {
		return nil, nil //nolint:nilerr // a file that can't be read holds nothing; Flip writes it anew
	}
	g, err := s.begun(r, f.heldDigest())
	if err != nil {
		return nil, err
	}
	g.held = true
	// What clients of a suite have asked for since may be missing in its catalog.
	if _, err := os.Stat(filepath.Join(g.dir, catalogName)); err != nil {
		return g, fmt.Errorf("%w, which is not whole: release it: %w", ErrHeld, err)
	}
	_, err = s.load(g)
	return g, err
}

// isHeld reports whether r is held, as far as is known in memory.
func (s *Store) isHeld(r Root) bool {
	known := s.roots.Load().all[r]
	return known != nil && len(known.held) > 0
}
