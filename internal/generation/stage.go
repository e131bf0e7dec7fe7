package generation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// Generation is a root's metadata, whole and verified, current or about to be.
type Generation struct {
	Root   Root
	Digest string           // of its entry file, hexadecimal
	Repomd *repodata.Repomd // nil where the packages are not RPM's

	dir   string
	entry string // the entry file's name below the root
	list  *listing
	files []file // the metadata files that are here
	was   string // the digest of the entry file that was in the tree when upstream was asked
	held  bool   // its root is held at it
	from  string // the address of the mirror's entry file; "" where the tree has it
	// offered is the files that are brought, by the first of their names; nil: what
	// the layout says. See Import.
	offered map[string]bool
}

// wanted reports which of g's files have to be there before it becomes current.
func (s *Store) wanted(g *Generation) func(file) bool {
	if g.offered != nil {
		return func(f file) bool { return g.offered[f.at[0]] }
	}
	return g.Root.layout().wanted(s, g.Root, g.list)
}

// Staged says what Stage did.
type Staged struct {
	*Generation
	Changed bool  // it is not the one that was current
	Held    bool  // the root is held at it: upstream was not asked
	Fetched int64 // bytes from upstream
	Resumed int64 // bytes that an earlier run had left
	Files   int   // metadata files that were fetched
	Grown   bool  // there is a catalog that was not there before
}

// Stage asks upstream for r's entry file, with one conditional request where one
// is stored, and brings together the generation that it describes, beside the
// tree. What an earlier run has brought is not fetched again. Nothing that
// clients see changes. Of a root that is held it is the generation that this stays at.
func (s *Store) Stage(ctx context.Context, c *cache.Cache, r Root, from cache.Source) (Staged, error) {
	g, done, err := s.ask(ctx, c, r, from)
	if err != nil {
		return done, err
	}
	s.settle(c, g)
	if err = s.gather(ctx, c, g, from, &done); err != nil {
		err = s.others(ctx, c, g, err, from, func(g *Generation, of *Staged) error {
			of.join(done)
			err := s.gather(ctx, c, g, from, of)
			done = *of
			return err
		})
	}
	return done, err
}

// settle keeps what clients have fetched of the generation before g with that one,
// whoever gets its names.
func (s *Store) settle(c *cache.Cache, g *Generation) {
	if g.was == g.Digest {
		return
	}
	if err := s.grow(c, g.Root); err != nil {
		s.log.Warn("what clients have fetched of the metadata before can't be kept with it", "root", g.Root.String(), "error", err)
	}
}

// look asks upstream for r's entry file, and is the generation that it begins, with
// that file in its directory. Nobody has looked at its signature yet.
func (s *Store) look(ctx context.Context, c *cache.Cache, r Root, from cache.Source, done *Staged) (*Generation, error) {
	was, err := s.inTree(r)
	if err != nil {
		return nil, err
	}
	g, err := s.held(r)
	if err != nil {
		return nil, err
	}
	if g != nil {
		g.was = was // "" where somebody has taken it out of the tree
		done.Held = true
		return g, nil
	}
	digest, at := "", ""
	for _, k := range s.candidates(r) {
		var out cache.Outcome
		out, err = c.Stage(ctx, k, cache.Want{}, from, func(f cache.Facts) (string, error) {
			digest, at = f.SHA256.Hex(), f.URL
			return (&Generation{Digest: digest}).name(path.Base(k.Path)), nil
		})
		done.add(out)
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	if digest == "" {
		// The one in the tree is upstream's.
		if digest, err = s.adopt(r); err != nil {
			return nil, err
		}
		was = digest
	}
	if g, err = s.begun(r, digest); err != nil {
		return nil, err
	}
	g.was, g.from = was, at
	return g, nil
}

// add adds what one file took.
func (d *Staged) add(out cache.Outcome) {
	d.Fetched += out.Fetched
	d.Resumed += out.Resumed
}

// join adds what an earlier try took.
func (d *Staged) join(earlier Staged) {
	d.Fetched += earlier.Fetched
	d.Resumed += earlier.Resumed
	d.Files += earlier.Files
}

// candidates are the files that may be r's entry upstream: up to the one that the
// tree has, since what has been there once is not given up for less.
func (s *Store) candidates(r Root) (keys []cache.Key) {
	held, there := s.entry(r)
	for _, name := range r.layout().entries() {
		keys = append(keys, r.key(name))
		if there && r.key(name) == held {
			break
		}
	}
	return keys
}

// begun is the generation whose entry file is in its directory.
func (s *Store) begun(r Root, digest string) (*Generation, error) {
	g := &Generation{Root: r, Digest: digest, dir: s.path(digest)}
	var b []byte
	err := fs.ErrNotExist
	for _, g.entry = range r.layout().entries() {
		b, err = os.ReadFile(filepath.Join(g.dir, path.Base(g.entry)))
		if !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err == nil {
		g.list, err = r.layout().parse(b)
	}
	if err != nil {
		return nil, err
	}
	g.Repomd = g.list.repomd
	return g, nil
}

// gather brings together what g's entry file lists, unless it is whole already. The
// error is also that packages which are new in it are missing.
func (s *Store) gather(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	var err error
	if done.Changed, err = s.changed(g); err != nil {
		return fmt.Errorf("%s: %w", g.Root, err)
	}
	whole, err := s.load(g)
	if err == nil && !whole {
		err = s.complete(ctx, c, g, from, done)
	}
	if err == nil && !done.Held {
		err = s.arrived(ctx, g, from)
	}
	switch cache.ReasonOf(err) {
	case cache.Incomplete, cache.WrongMetadata, cache.MissingPackages:
		s.refused.Note(err) // all else was counted when a mirror sent it
	}
	if err != nil {
		return err
	}
	done.Generation = g
	return nil
}

// inTree is the digest of the entry file that r has in the tree, "" without one.
func (s *Store) inTree(r Root) (string, error) {
	k, _ := s.entry(r)
	b, err := s.tree.read(k)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return digestOf(b), nil
}

// has reports whether the tree has g's repomd.xml.
func (s *Store) has(g *Generation) bool {
	digest, err := s.inTree(g.Root)
	return err == nil && digest == g.Digest
}

// changed reports whether g's root has to be flipped to it: the tree has another
// entry file, or the generation is not kept yet.
func (s *Store) changed(g *Generation) (bool, error) {
	digest, err := s.inTree(g.Root)
	if err != nil {
		return true, err
	}
	f, err := s.readRoot(s.rootPath(g.Root))
	if err != nil {
		return true, nil // Flip writes it anew
	}
	return digest != g.Digest || len(f.Kept) == 0 || f.Kept[0].Digest != g.Digest, nil
}

// adopt makes the tree's entry file the beginning of a generation.
func (s *Store) adopt(r Root) (string, error) {
	k, _ := s.entry(r)
	b, err := s.tree.read(k)
	if err != nil {
		return "", err
	}
	digest := digestOf(b)
	if err := os.MkdirAll(s.path(digest), 0o755); err != nil {
		return "", err
	}
	to := filepath.Join(s.path(digest), path.Base(k.Path))
	if right, err := holds(to, cache.Want{Digest: cache.Digest("sha256:" + digest), Size: int64(len(b))}); err == nil && right {
		return digest, nil
	}
	return digest, s.tree.relink(k, to) // there is none, or it is damaged
}

// load reports whether g is whole, and finds the files that it has then.
func (s *Store) load(g *Generation) (whole bool, err error) {
	err = checkCatalog(g.dir)
	if errors.Is(err, errNoCatalog) {
		s.log.Warn("a damaged catalog is made anew", "root", g.Root.String(), "error", err)
		return false, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	g.files = g.present()
	return len(s.unread(g)) == 0, nil
}

// present is which of g's files are in its directory.
func (g *Generation) present() (files []file) {
	names, _ := g.Root.layout().siblings(g.entry)
	all := make([]file, 0, len(names)+len(g.list.files))
	for _, name := range names {
		all = append(all, g.sibling(name))
	}
	all = append(all, g.list.files...)
	here := map[string]bool{}
	if entries, err := os.ReadDir(g.dir); err == nil {
		for _, e := range entries {
			here[e.Name()] = true
		}
	}
	for _, f := range all {
		if here[f.name] {
			files = append(files, f)
		}
	}
	return files
}

// complete fetches what of g's files has to be there, and writes the catalog.
func (s *Store) complete(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	r := g.Root
	if g.list.fault != nil {
		return fmt.Errorf("%s: %w: %w", r, g.list.fault, cache.WrongMetadata.Wrong())
	}
	if err := s.unreadable.why(g.Digest); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	wanted := s.wanted(g)
	for _, f := range g.list.files {
		if !wanted(f) {
			continue
		}
		err := s.bring(ctx, c, g, f, from, done)
		if err == nil {
			err = s.placeIfCurrent(g, f)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = cache.Incomplete.Of(err)
		}
		if err != nil {
			return fmt.Errorf("%s: %s: %w", r, f.at[0], err)
		}
	}
	if !g.held {
		if err := s.bringSiblings(ctx, c, g, from, done); err != nil {
			return fmt.Errorf("%s: %w", r, err)
		}
	}
	if err := s.catalogue(g); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	done.Grown = true
	return nil
}

// catalogue writes the catalog of what g has: of its metadata, and of the packages
// that this lists.
func (s *Store) catalogue(g *Generation) error {
	s.cataloguing.Lock()
	defer s.cataloguing.Unlock()
	// Whoever else has brought something meanwhile finds it in this catalog too.
	g.files = g.present()
	l := g.Root.layout()
	var items []item
	for _, f := range g.list.files {
		for _, name := range f.at {
			items = append(items, item{l.line(name), f.want})
		}
	}
	stats, err := l.packages(s, g, func(location string, w cache.Want) { items = append(items, item{location, w}) })
	if err != nil {
		return s.unreadable.note(g.Digest, err)
	}
	if stats.Skipped > 0 {
		s.log.Warn("packages that the metadata describes badly are not verified by it, and not fetched ahead; its publisher can mend that",
			"root", g.Root.String(), "packages", stats.Skipped, "first", stats.Refused[0])
	}
	if err := writeCatalog(g.dir, items); err != nil {
		return err
	}
	return s.noteRead(g)
}

// bring puts one metadata file into the generation's directory, by the first of
// its names under which it is to be had.
func (s *Store) bring(ctx context.Context, c *cache.Cache, g *Generation, f file, from cache.Source, done *Staged) error {
	to := filepath.Join(g.dir, f.name)
	if fi, err := os.Lstat(to); err == nil && !fi.Mode().IsRegular() {
		if err := os.RemoveAll(to); err != nil {
			return err
		}
	}
	if ok, err := s.take(c, g, f); ok || err != nil {
		return err
	}
	var err error
	for _, name := range f.from {
		err = s.fetch(ctx, c, g, f, g.Root.key(name), from, done)
		// A mirror that is being synced may have it under one of them alone.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, cache.ErrWrongContent) {
			break
		}
	}
	return err
}

// take gives g a file that the tree has under any of its names, unless g has it.
func (s *Store) take(c *cache.Cache, g *Generation, f file) (taken bool, err error) {
	to := filepath.Join(g.dir, f.name)
	s.taking.Lock()
	defer s.taking.Unlock()
	// What somebody else has just taken, and catalogues, is not to be away for a moment.
	if ok, err := holds(to, f.want); ok || err != nil {
		return ok, err
	}
	for _, name := range f.at {
		k := g.Root.key(name)
		if !c.Holds(k, f.want) {
			continue
		}
		err := s.tree.relink(k, to)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if ok, err := holds(to, f.want); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// fetch puts one metadata file, which upstream has as k, into the generation's
// directory.
func (s *Store) fetch(ctx context.Context, c *cache.Cache, g *Generation, f file, k cache.Key, from cache.Source, done *Staged) error {
	to := filepath.Join(g.dir, f.name)
	// Whoever fetches it may be somebody else, and put it into the tree.
	for range 3 {
		out, err := c.Stage(ctx, k, f.want, from, func(cache.Facts) (string, error) {
			return g.name(f.name), nil
		})
		done.add(out)
		if err != nil {
			return err
		}
		if out.Fetched+out.Nearby > 0 {
			done.Files++
		}
		if ok, err := holds(to, f.want); ok || err != nil {
			return err
		}
		if err := s.tree.link(k, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if ok, err := holds(to, f.want); ok || err != nil {
			return err
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.New("it changes while it is fetched")
}

// holds reports whether the file at p has the promised bytes, by reading them. What is
// no file has none.
func holds(p string, w cache.Want) (bool, error) {
	if fi, err := os.Lstat(p); err == nil && !fi.Mode().IsRegular() {
		return false, nil
	}
	f, err := os.Open(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	return reads(f, w)
}

// reads reports whether r has the promised bytes, by reading them.
func reads(r io.Reader, w cache.Want) (bool, error) {
	h := w.Digest.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return false, err
	}
	return n == w.Size && fmt.Sprintf("%x", h.Sum(nil)) == w.Digest.Hex(), nil
}

// want is a checksum of the metadata as the cache takes it.
func want(c repodata.Checksum, size int64) (cache.Want, error) {
	d, err := cache.NewDigest(c.Type, c.Hex)
	return cache.Want{Digest: d, Size: size}, err
}
