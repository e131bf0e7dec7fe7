package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"intelligentmirror/internal/cache"
)

// Copy brings together, beside the tree, the generation k that another store keeps;
// from is where that has each of its files, by their names. It is verified as one
// that comes from upstream: each file by what its entry file lists, that by its
// name and by Options.Signing. What is here already is not fetched again. Nothing
// that clients see changes; Flip makes it current, and Keep keeps one that is not.
// The error is ErrHeld where the root is held at another one.
func (s *Store) Copy(ctx context.Context, c *cache.Cache, k Kept, from func(name string) cache.Source) (Staged, error) {
	var done Staged
	g, err := s.copyAll(ctx, c, k, from, &done)
	if err != nil {
		return done, fmt.Errorf("%s: %w", k.Root, err)
	}
	done.Generation = g
	done.Changed, err = s.changed(g)
	return done, err
}

func (s *Store) copyAll(ctx context.Context, c *cache.Cache, k Kept, from func(string) cache.Source, done *Staged) (*Generation, error) {
	r, err := k.At()
	if err != nil {
		return nil, err
	}
	if !isDigest(k.Digest) {
		return nil, fmt.Errorf("%q is no generation: %w", k.Digest, cache.ErrWrongContent)
	}
	for _, f := range k.Files {
		if f.Size < 0 {
			return nil, fmt.Errorf("%s: a file of %d bytes: %w", f.Name, f.Size, cache.ErrWrongContent)
		}
	}
	if held, err := s.readRoot(s.rootPath(r)); err == nil && k.Current && held.heldDigest() != "" && held.heldDigest() != k.Digest {
		return nil, ErrHeld
	}
	was, err := s.inTree(r)
	if err != nil {
		return nil, err
	}
	if err := s.copyEntry(ctx, c, r, k, from, done); err != nil {
		return nil, err
	}
	g, err := s.begun(r, k.Digest)
	if err != nil {
		return nil, err
	}
	g.was = was
	if g.list.fault != nil {
		return nil, fmt.Errorf("%w: %w", g.list.fault, cache.ErrWrongContent)
	}
	for _, x := range k.Files {
		f, ok, err := g.known(x)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.Name, err)
		}
		if !ok {
			continue
		}
		if k.Current && !f.listed {
			// A client that began with what is current now asks for it after the flip.
			if err := s.keepSibling(g, f.file); err != nil {
				return nil, err
			}
		}
		if err := s.bring(ctx, c, g, f.file, from(x.Name), done); err != nil {
			return nil, fmt.Errorf("%s: %w", x.Name, err)
		}
	}
	if err := s.signed(g); err != nil {
		return nil, err
	}
	whole, err := s.load(g)
	if err == nil && !whole {
		err = s.catalogue(g)
		done.Grown = true
	}
	return g, err
}

// copyEntry brings the entry file of k.
func (s *Store) copyEntry(ctx context.Context, c *cache.Cache, r Root, k Kept, from func(string) cache.Source, done *Staged) error {
	for _, entry := range r.layout().entries() {
		name := path.Base(entry)
		i := slices.IndexFunc(k.Files, func(x KeptFile) bool { return x.Name == name })
		if i < 0 {
			continue
		}
		g := &Generation{Root: r, Digest: k.Digest, dir: s.path(k.Digest), entry: entry}
		f := g.sibling(name)
		f.want = cache.Want{Digest: cache.Digest("sha256:" + k.Digest), Size: k.Files[i].Size}
		if err := s.bring(ctx, c, g, f, from(name), done); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	return fmt.Errorf("generation %s has no entry file: %w", k.Digest, cache.ErrWrongContent)
}

// copied is a file of a generation that is copied.
type copied struct {
	file
	listed bool // by the entry file
}

// known is what the file x is to g; ok is false where it is nothing, or the entry
// file itself.
func (g *Generation) known(x KeptFile) (f copied, ok bool, err error) {
	for _, l := range g.list.files {
		if l.name == x.Name {
			return copied{l, true}, true, nil
		}
	}
	names, _ := g.Root.layout().siblings(g.entry)
	if !slices.Contains(names, x.Name) {
		return f, false, nil
	}
	f.file = g.sibling(x.Name)
	f.want.Size = x.Size
	f.want.Digest, err = cache.NewDigest("sha256", x.SHA256)
	return f, true, err
}

// signed reports why g's entry file is not signed as Options.Signing has it.
func (s *Store) signed(g *Generation) error {
	how := s.signing(g.Root)
	if how == nil {
		return nil
	}
	err := g.check(how)
	if errors.Is(err, fs.ErrNotExist) && !how.Required {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %w", path.Base(g.entry), err, cache.ErrWrongContent)
	}
	return nil
}

// Keep keeps the generation g, which is not current, as another store keeps k: as
// long, counted from when it was replaced there; where that is not known, or has not
// come yet by the clock here, from now on.
func (s *Store) Keep(g *Generation, k Kept) error {
	if now := s.now(); k.Replaced.IsZero() || k.Replaced.After(now) {
		k.Replaced = now
	}
	f, err := s.readRoot(s.rootPath(g.Root))
	if err == nil && slices.ContainsFunc(f.Kept, func(x kept) bool { return x.Digest == g.Digest }) {
		return nil
	}
	err = s.changeRoot(g.Root, func(f *rootFile) error {
		f.Kept = s.still(g.Root, append(f.Kept, kept{Digest: g.Digest, Replaced: k.Replaced}))
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: keep a generation: %w", g.Root, err)
	}
	return s.reload()
}

// Promises is what g, which need not be current, promises of files, and whether it
// lists them. It holds as long as the generation is kept.
func (s *Store) Promises(g *Generation) (func(cache.Key) (w cache.Want, listed bool), error) {
	c, err := s.catalog(g.Root.String(), g.Digest)
	if err != nil {
		return nil, err
	}
	r := &root{Root: g.Root}
	return func(k cache.Key) (cache.Want, bool) {
		if !g.Root.Covers(k) {
			return cache.Want{}, false
		}
		return r.in(c, k)
	}, nil
}

// Keys are the files in the tree that belong to the generation and change with it,
// its entry file and what may lie beside that included.
func (g *Generation) Keys() (keys []cache.Key) {
	for _, entry := range g.Root.layout().entries() {
		keys = append(keys, g.Root.key(entry))
		names, _ := g.Root.layout().siblings(entry)
		for _, name := range names {
			keys = append(keys, g.Root.key(path.Join(path.Dir(entry), name)))
		}
	}
	for _, f := range g.files {
		for _, name := range f.at {
			keys = append(keys, g.Root.key(name))
		}
	}
	return keys
}

// EntryOf is the root whose entry file k is, or beside whose entry file k belongs.
func EntryOf(k cache.Key) (Root, bool) {
	if r, ok := RootOf(k); ok {
		return r, true
	}
	base := path.Base(k.Path)
	for _, l := range [...]layout{rpm{}, debian{}} {
		for _, entry := range l.entries() {
			if names, _ := l.siblings(entry); slices.Contains(names, base) {
				return RootOf(cache.Key{Repo: k.Repo, Path: path.Join(path.Dir(k.Path), path.Base(entry))})
			}
		}
	}
	return Root{}, false
}

// Keeps reports whether any generation of r is kept.
func (s *Store) Keeps(r Root) bool {
	s.refresh()
	known := s.roots.Load().all[r]
	return known != nil && len(known.kept) > 0
}

// Provide gives the tree the file k out of a generation that has its bytes as name,
// if they are those of w, and reports whether it did.
func (s *Store) Provide(k cache.Key, w cache.Want, digest, name string) (bool, error) {
	g := &Generation{Digest: digest, dir: s.path(digest)}
	ok, err := holds(filepath.Join(g.dir, name), w)
	if err != nil || !ok {
		return false, err
	}
	err = s.placeAt(g, name, k)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil // its time was over meanwhile
	}
	return err == nil, err
}

// Contains reports whether the path of k is below the root.
func (r Root) Contains(k cache.Key) bool {
	_, ok := below(r.Path, k.Path)
	return ok && k.Repo == r.Repo
}

// Covers reports whether k is the root, or a file below where the packages of the
// root lie: of a Debian suite, its archive.
func (r Root) Covers(k cache.Key) bool {
	_, ok := below(r.top(), k.Path)
	return k.Repo == r.Repo && (ok || k.Path == r.Path)
}

// Entries are the files that may be the root's entry file.
func (r Root) Entries() (keys []cache.Key) {
	for _, name := range r.layout().entries() {
		keys = append(keys, r.key(name))
	}
	return keys
}

// Digest is the digest of the entry file that the root has in the tree, in
// hexadecimal; "" where it has none that can be read.
func (s *Store) Digest(r Root) string {
	digest, err := s.inTree(r)
	if err != nil {
		return ""
	}
	return digest
}
