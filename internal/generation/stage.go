package generation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

const repomdName = "repomd.xml"

// needed is the kinds of metadata that a client can't do without, or that every
// dnf, yum or zypper asks for by itself.
var needed = map[string]bool{
	"primary": true, "filelists": true, "updateinfo": true, "modules": true,
	"group": true, "group_gz": true, "group_xz": true, "group_zst": true,
}

// Generation is a root's metadata, whole and verified, current or about to be.
type Generation struct {
	Root   Root
	Digest string // of repomd.xml, hexadecimal
	Repomd *repodata.Repomd

	dir   string
	files []string // the metadata files that are here, by their names in repodata/
	was   string   // the digest of the repomd.xml that was in the tree when upstream was asked
}

// Staged says what Stage did.
type Staged struct {
	*Generation
	Changed bool  // it is not the one that was current
	Held    bool  // the root is held at it: upstream was not asked
	Fetched int64 // bytes from upstream
	Resumed int64 // bytes that an earlier run had left
	Files   int   // metadata files that were fetched
}

// Stage asks upstream for r's repomd.xml, with one conditional request where one
// is stored, and brings together the generation that it describes, beside the
// tree. What an earlier run has brought is not fetched again. Nothing that
// clients see changes. Of a root that is held it is the generation that this stays at.
func (s *Store) Stage(ctx context.Context, c *cache.Cache, r Root, from cache.Source) (Staged, error) {
	g, done, err := s.ask(ctx, c, r, from)
	if err != nil {
		return done, err
	}
	err = s.gather(ctx, c, g, from, &done)
	return done, err
}

// ask asks upstream for r's repomd.xml, and is the generation that it begins,
// with its repomd.xml in its directory. The rest may still be missing.
func (s *Store) ask(ctx context.Context, c *cache.Cache, r Root, from cache.Source) (*Generation, Staged, error) {
	was, err := s.inTree(r)
	if err != nil {
		return nil, Staged{}, fmt.Errorf("%s: %w", r, err)
	}
	g, err := s.held(r)
	if err != nil {
		return nil, Staged{}, fmt.Errorf("%s: %w", r, err)
	}
	if g != nil {
		g.was = was // "" where somebody has taken it out of the tree
		return g, Staged{Held: true}, nil
	}
	g = &Generation{Root: r, was: was}
	out, err := c.Stage(ctx, r.repomd(), cache.Want{}, from, func(f cache.Facts) (string, error) {
		g.Digest = f.SHA256.Hex()
		return g.name(repomdName), nil
	})
	done := Staged{Fetched: out.Fetched, Resumed: out.Resumed}
	if err != nil {
		return nil, done, fmt.Errorf("%s: %w", r, err)
	}
	if g.Digest == "" {
		// The one in the tree is upstream's.
		if g.Digest, err = s.adopt(r); err != nil {
			return nil, done, fmt.Errorf("%s: %w", r, err)
		}
		g.was = g.Digest
	}
	was = g.was
	if g, err = s.begun(r, g.Digest); err != nil {
		return nil, done, fmt.Errorf("%s: %w", r, err)
	}
	g.was = was
	if err := s.verify(ctx, c, g, from, &done); err != nil {
		return nil, done, fmt.Errorf("%s: %w", r, err)
	}
	return g, done, nil
}

// begun is the generation whose repomd.xml is in its directory.
func (s *Store) begun(r Root, digest string) (*Generation, error) {
	g := &Generation{Root: r, Digest: digest, dir: s.path(digest)}
	var err error
	if g.Repomd, err = readRepomd(g.dir); err != nil {
		return nil, err
	}
	return g, nil
}

// gather brings together what g's repomd.xml lists, unless it is whole already.
func (s *Store) gather(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	var err error
	if done.Changed, err = s.changed(g); err != nil {
		return fmt.Errorf("%s: %w", g.Root, err)
	}
	whole, err := s.load(g)
	if err == nil && !whole {
		err = s.complete(ctx, c, g, from, done)
	}
	if err != nil {
		return err
	}
	done.Generation = g
	return nil
}

// inTree is the digest of the repomd.xml that r has in the tree, "" without one.
func (s *Store) inTree(r Root) (string, error) {
	b, err := os.ReadFile(filepath.Join(s.tree, r.repomd().String()))
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
// repomd.xml, or the generation is not kept yet.
func (s *Store) changed(g *Generation) (bool, error) {
	digest, err := s.inTree(g.Root)
	if err != nil {
		return true, err
	}
	f, err := readRoot(s.rootPath(g.Root))
	if err != nil {
		return true, nil // Flip writes it anew
	}
	return digest != g.Digest || len(f.Kept) == 0 || f.Kept[0].Digest != g.Digest, nil
}

// adopt makes the tree's repomd.xml the beginning of a generation.
func (s *Store) adopt(r Root) (string, error) {
	stored := filepath.Join(s.tree, r.repomd().String())
	b, err := os.ReadFile(stored)
	if err != nil {
		return "", err
	}
	digest := digestOf(b)
	if err := os.MkdirAll(s.path(digest), 0o755); err != nil {
		return "", err
	}
	return digest, link(stored, filepath.Join(s.path(digest), repomdName))
}

// load reports whether g is whole, and finds the files that it has then.
func (s *Store) load(g *Generation) (whole bool, err error) {
	if _, err := os.Stat(filepath.Join(g.dir, catalogName)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, err
	}
	g.files = nil
	names := slices.Clone(siblings)
	for _, d := range g.Repomd.Data {
		names = append(names, path.Base(d.Location))
	}
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(g.dir, name)); err == nil {
			g.files = append(g.files, name)
		}
	}
	return true, nil
}

func readRepomd(dir string) (*repodata.Repomd, error) {
	b, err := os.ReadFile(filepath.Join(dir, repomdName))
	if err != nil {
		return nil, err
	}
	return repodata.ParseRepomd(bytes.NewReader(b))
}

// complete fetches what g's repomd.xml lists, and writes the catalog.
func (s *Store) complete(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	r := g.Root
	asked := s.askedFor(r)
	var items []item
	for _, d := range g.Repomd.Data {
		w, err := want(d.Checksum, d.Size)
		if err != nil {
			return fmt.Errorf("%s: %s: %w", r, d.Location, err)
		}
		if path.Dir(d.Location) != "repodata" {
			s.log.Warn("metadata outside repodata/ is left to be fetched on demand", "root", r.String(), "location", d.Location)
			continue
		}
		items = append(items, item{d.Location, w})
		name := path.Base(d.Location)
		if !needed[d.Type] && !asked[kind(name)] {
			continue
		}
		if err := s.bring(ctx, c, g, d.Location, w, from, done); err != nil {
			return fmt.Errorf("%s: %s: %w", r, d.Location, err)
		}
		g.files = append(g.files, name)
		if err := s.placeIfCurrent(g, name); err != nil {
			return fmt.Errorf("%s: %s: %w", r, d.Location, err)
		}
	}
	if err := s.bringSiblings(ctx, c, g, from, done); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	skipped := 0
	_, err := g.Packages(func(p *repodata.Package) error {
		w, err := want(p.Checksum, p.Size)
		if err != nil {
			skipped++
			return nil
		}
		if k, err := r.Key(p.Location); err == nil {
			items = append(items, item{strings.TrimPrefix(strings.TrimPrefix(k.Path, r.Path), "/"), w})
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	if skipped > 0 {
		s.log.Warn("packages whose checksums can't be used", "root", r.String(), "packages", skipped)
	}
	if err := writeCatalog(g.dir, items); err != nil {
		return fmt.Errorf("%s: %w", r, err)
	}
	return nil
}

// bring puts one metadata file into the generation's directory.
func (s *Store) bring(ctx context.Context, c *cache.Cache, g *Generation, location string, w cache.Want, from cache.Source, done *Staged) error {
	name := path.Base(location)
	k, err := g.Root.Key(location)
	if err != nil {
		return err
	}
	to := filepath.Join(g.dir, name)
	if ok, err := holds(to, w); ok || err != nil {
		return err
	}
	// Whoever fetches it may be somebody else, and put it into the tree.
	for range 3 {
		out, err := c.Stage(ctx, k, w, from, func(cache.Facts) (string, error) {
			return g.name(name), nil
		})
		done.Fetched += out.Fetched
		done.Resumed += out.Resumed
		if err != nil {
			return err
		}
		if out.Fetched > 0 {
			done.Files++
		}
		if ok, err := holds(to, w); ok || err != nil {
			return err
		}
		if err := link(filepath.Join(s.tree, k.String()), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if ok, err := holds(to, w); ok || err != nil {
			return err
		}
		if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return errors.New("it changes while it is fetched")
}

// holds reports whether the file at p has the promised bytes, by reading them.
func holds(p string, w cache.Want) (bool, error) {
	f, err := os.Open(p)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	h := w.Digest.New()
	n, err := io.Copy(h, f)
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

// askedFor is the kinds of metadata that are stored in the tree: clients have
// asked for them.
func (s *Store) askedFor(r Root) map[string]bool {
	kinds := map[string]bool{}
	entries, err := os.ReadDir(filepath.Dir(filepath.Join(s.tree, r.repomd().String())))
	if err != nil {
		return kinds
	}
	for _, e := range entries {
		kinds[kind(e.Name())] = true
	}
	return kinds
}

// kind is a metadata file's name without the digest before it:
// "5f1c...-other.xml.gz" is "other.xml.gz".
func kind(name string) string {
	if sum, rest, ok := strings.Cut(name, "-"); ok && len(sum) >= 32 && strings.Trim(sum, "0123456789abcdef") == "" {
		return rest
	}
	return name
}
