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

// signatureName is the sibling that signs repomd.xml.
const signatureName = repomdName + ".asc"

// siblings are the files that belong to one repomd.xml, and that it does not list:
// its signature, and the key for that.
var siblings = []string{signatureName, repomdName + ".key"}

// errOldSignature says that a mirror has a new repomd.xml and not its signature yet.
var errOldSignature = errors.New("the signature is still that of the metadata before")

// bringSiblings brings those of g's siblings that clients of its root ask for and
// that upstream has.
func (s *Store) bringSiblings(ctx context.Context, c *cache.Cache, g *Generation, from cache.Source, done *Staged) error {
	for _, name := range siblings {
		k, err := g.Root.Key("repodata/" + name)
		if err != nil {
			return err
		}
		if name == signatureName && s.signing(g.Root) != nil {
			if _, err := os.Stat(filepath.Join(g.dir, name)); err == nil {
				g.files = append(g.files, name) // verified
			}
			continue
		}
		stored := filepath.Join(s.tree, k.String())
		if _, err := os.Stat(stored); err != nil {
			continue // nobody has asked for it, or upstream has none
		}
		out, err := c.Stage(ctx, k, cache.Want{}, from, func(cache.Facts) (string, error) { return g.name(name), nil })
		done.Fetched += out.Fetched
		done.Resumed += out.Resumed
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // Flip takes the old one away
		case err == nil && out.NotModified && name == signatureName && g.was != g.Digest:
			err = errOldSignature
		case err == nil && out.NotModified:
			err = link(stored, filepath.Join(g.dir, name))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if out.Fetched > 0 {
			done.Files++
		}
		g.files = append(g.files, name)
	}
	return nil
}

// dropSiblings removes from the tree the siblings that g does not have: they
// belong to the metadata before.
func (s *Store) dropSiblings(g *Generation) error {
	var errs []error
	for _, name := range siblings {
		if _, err := os.Stat(filepath.Join(g.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := os.Remove(filepath.Join(s.tree, g.Root.repomd().Repo, path.Dir(g.Root.repomd().Path), name))
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// name is that of a file of g below the cache directory.
func (g *Generation) name(file string) string { return path.Join(".im", "gen", g.Digest, file) }

// link gives a file one more name; that it has it already is no error.
func link(from, to string) error {
	err := os.Link(from, to)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
