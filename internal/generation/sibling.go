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
	"time"

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
		if err := s.keepSibling(g, name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out, err := c.Stage(ctx, k, cache.Want{}, from, func(cache.Facts) (string, error) { return g.name(name), nil })
		done.Fetched += out.Fetched
		done.Resumed += out.Resumed
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // Flip takes the old one away
		case err == nil && out.NotModified && name == signatureName && s.signsOld(g):
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

// keepSibling puts the tree's sibling of that name with the generation before g,
// whose it is: a client that began with that one asks for it after the flip.
func (s *Store) keepSibling(g *Generation, name string) error {
	if g.was == "" || g.was == g.Digest {
		return nil
	}
	err := link(s.inRepodata(g.Root, name), filepath.Join(s.path(g.was), name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // that generation is not kept
	}
	return err
}

// signsOld reports whether the tree's signature, which is still upstream's, is
// that of the repomd.xml in the tree and not of g's. Its time tells: it was made
// with the one that it is nearer to. That it has not changed since somebody asked
// for it does not, for a mirror may put a signature in its place before, or after,
// what it signs.
func (s *Store) signsOld(g *Generation) bool {
	if g.was == "" || g.was == g.Digest {
		return false
	}
	signature, err := os.Stat(s.inRepodata(g.Root, signatureName))
	if err != nil {
		return false
	}
	before, err := os.Stat(s.inRepodata(g.Root, repomdName))
	if err != nil {
		return false
	}
	after, err := os.Stat(filepath.Join(g.dir, repomdName))
	if err != nil {
		return false
	}
	at := signature.ModTime()
	return at.Sub(before.ModTime()).Abs() <= after.ModTime().Sub(at).Abs()
}

// inRepodata is where the tree has r's file of that name in repodata/.
func (s *Store) inRepodata(r Root, name string) string {
	return filepath.Join(s.tree, r.repomd().Repo, path.Dir(r.repomd().Path), name)
}

// dropSiblings removes from the tree the siblings that g does not have: they
// belong to the metadata before.
func (s *Store) dropSiblings(g *Generation) error {
	var errs []error
	for _, name := range siblings {
		if _, err := os.Stat(filepath.Join(g.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := os.Remove(s.inRepodata(g.Root, name))
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

// Sibling sees to it that no client gets a signature, or the key for it, before the
// repomd.xml that it goes with: where k is such a file, and upstream has to be
// asked for it, then it is asked for repomd.xml first. It returns the stored file
// where the new metadata is not current yet, and nil where the cache is to answer,
// as for any other k. The error is fs.ErrNotExist where what is current has none.
func (f *Refresher) Sibling(ctx context.Context, k cache.Key) (*cache.Object, error) {
	r, ok := RootOf(cache.Key{Repo: k.Repo, Path: path.Join(path.Dir(k.Path), repomdName)})
	if !ok || !slices.Contains(siblings, path.Base(k.Path)) || !f.o.Cache.Has(r.repomd()) {
		return nil, nil
	}
	o, fresh, err := f.o.Cache.Stored(k)
	if err == nil {
		o.Close()
	}
	if fresh || errors.Is(err, fs.ErrNotExist) && f.o.Cache.WasAbsent(k) {
		return nil, nil
	}
	switch fl, _, err := f.join(r, true); {
	case errors.Is(err, errResting) && !f.o.Store.has(fl.new):
	case err != nil || f.settled(ctx, fl):
		return nil, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	o, _, err = f.o.Cache.Stored(k)
	if err == nil {
		o.Status = cache.Status{Hit: true, Detail: incomplete}
	}
	return o, err
}

// settled waits until the tree has the repomd.xml that upstream has, or upstream
// could not be asked. It reports false where new metadata does not become current,
// or not within the time that a client waits.
func (f *Refresher) settled(ctx context.Context, fl *flight) bool {
	late := time.NewTimer(f.o.Patience)
	defer late.Stop()
	for answered := fl.answered; ; {
		select {
		case <-answered:
			answered = nil // what counts now is the rest
			if f.isCurrent(fl) {
				return true
			}
		case <-fl.done:
			return f.isCurrent(fl) || fl.err == nil && !errors.Is(fl.askErr, cache.ErrWrongContent)
		case <-late.C:
			return f.isCurrent(fl)
		case <-ctx.Done():
			return false
		}
	}
}
