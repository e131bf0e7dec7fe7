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
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// errOldSibling says that a mirror has a new entry file, and not yet what goes with it.
var errOldSibling = cache.Incomplete.Of(errors.New("the mirror still has that of the metadata before"))

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
		stored := g.Root.first(f)
		if _, err := s.tree.stat(stored); err != nil && !needed {
			continue // nobody has asked for it, or upstream has none
		}
		if err := s.keepSibling(g, f); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		out, err := c.Stage(ctx, k, cache.Want{}, from, func(cache.Facts) (string, error) { return g.name(name), nil })
		done.add(out)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // Flip takes the old one away
		case err == nil && out.NotModified && isSignature(name) && s.signsOld(g, f):
			err = errOldSibling
		case err == nil && out.NotModified:
			err = s.tree.relink(stored, to)
		}
		if err == nil && !g.fits(name) {
			err = errors.Join(errOldSibling, os.Remove(to))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if out.Fetched+out.Nearby > 0 {
			done.Files++
		}
	}
	return nil
}

// keepSibling puts the tree's sibling f with the generation before g, whose it is: a
// client that began with that one asks for it after the flip.
func (s *Store) keepSibling(g *Generation, f file) error {
	if g.was == "" || g.was == g.Digest {
		return nil
	}
	err := s.tree.link(g.Root.first(f), filepath.Join(s.path(g.was), f.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // that generation is not kept
	}
	return err
}

// signsOld reports whether the tree's signature f, which is still upstream's, is
// that of the entry file in the tree and not of g's. Its time tells: it was made
// with the one that it is nearer to. That it has not changed since somebody asked
// for it does not, for a mirror may put a signature in its place before, or after,
// what it signs.
func (s *Store) signsOld(g *Generation, f file) bool {
	if g.was == "" || g.was == g.Digest {
		return false
	}
	signature, err := s.tree.stat(g.Root.first(f))
	if err != nil {
		return false
	}
	entry := g.sibling(path.Base(g.entry))
	before, err := s.tree.stat(g.Root.first(entry))
	if err != nil {
		return false
	}
	after, err := os.Stat(filepath.Join(g.dir, entry.name))
	if err != nil {
		return false
	}
	at := signature.ModTime()
	return at.Sub(before.ModTime()).Abs() <= after.ModTime().Sub(at).Abs()
}

// first is r's file f by its first name.
func (r Root) first(f file) cache.Key { return r.key(f.at[0]) }

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
		errs = append(errs, s.tree.remove(g.Root.first(g.sibling(name))))
	}
	return errors.Join(errs...)
}

// name is that of a file of g below the cache directory.
func (g *Generation) name(file string) string { return path.Join(".im", "gen", g.Digest, file) }

// Sibling sees to it that no client gets a signature, or the key for it, before the
// repomd.xml that it goes with: where k is such a file, and upstream has to be
// asked for it, then it is asked for repomd.xml first. It returns the stored file
// where the new metadata is not current yet, and nil where the cache is to answer,
// as for any other k. The error is fs.ErrNotExist where what is current has none.
func (f *Refresher) Sibling(ctx context.Context, k cache.Key) (*cache.Object, error) {
	entry := cache.Key{Repo: k.Repo, Path: path.Join(path.Dir(k.Path), repomdName)}
	names, _ := rpm{}.siblings(repomdPath)
	r, ok := RootOf(entry)
	if !ok || !slices.Contains(names, path.Base(k.Path)) || !f.o.Cache.Has(entry) {
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
