package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// errOldSibling says that a mirror has a new entry file, and not yet what goes with it.
var errOldSibling = errors.New("the mirror still has that of the metadata before")

// bringSiblings brings those of g's siblings that clients of its root ask for and
// that upstream has.
func (s *Store) bringSiblings(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	names, needed := g.Root.layout().siblings(g.entry)
	signature := g.Root.layout().signature(g.entry)
	for _, name := range names {
		to := filepath.Join(g.dir, name)
		if name == signature && s.signing(g.Root) != nil {
			continue // verified, where there is one
		}
		f := g.sibling(name)
		k := g.Root.key(f.at[0])
		stored := filepath.Join(s.tree, k.String())
		if _, err := os.Stat(stored); err != nil && !needed {
			continue // nobody has asked for it, or upstream has none
		}
		out, err := c.Stage(ctx, k, cache.Want{}, from, func(cache.Facts) (string, error) { return g.name(name), nil })
		done.add(out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // Flip takes the old one away
		case err == nil && out.NotModified && isSignature(name) && g.was != g.Digest:
			err = errOldSibling
		case err == nil && out.NotModified:
			err = relink(stored, to)
		}
		if err == nil && !g.fits(name) {
			err = errors.Join(errOldSibling, os.Remove(to))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if out.Fetched > 0 {
			done.Files++
		}
	}
	return nil
}

// isSignature reports whether a sibling is of the bytes of one version alone.
func isSignature(name string) bool {
	return strings.HasSuffix(name, ".asc") || strings.HasSuffix(name, ".gpg")
}

// fits reports whether a sibling of an InRelease that says the same says the same;
// of all others nobody can tell.
func (g *Generation) fits(name string) bool {
	if g.list.release == nil || name != release {
		return true
	}
	b, err := os.ReadFile(filepath.Join(g.dir, name))
	if err != nil {
		return false
	}
	r, err := repodata.ParseRelease(b)
	return err == nil && reflect.DeepEqual(r, g.list.release)
}

// dropSiblings removes from the tree the siblings that g does not have: they
// belong to the metadata before.
func (s *Store) dropSiblings(g *Generation) error {
	var errs []error
	names, _ := g.Root.layout().siblings(g.entry)
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(g.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := os.Remove(filepath.Join(s.tree, g.Root.key(g.sibling(name).at[0]).String()))
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// name is that of a file of g below the cache directory.
func (g *Generation) name(file string) string { return path.Join(".im", "gen", g.Digest, file) }

// relink gives a file the name to, whatever had that before.
func relink(from, to string) error {
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return link(from, to)
}

// link gives a file one more name; that it has it already is no error.
func link(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
