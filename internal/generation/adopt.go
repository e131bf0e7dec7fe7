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
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/upstream"
)

// Imported is a root's metadata out of a mirror's tree on this machine.
type Imported struct {
	*Generation // nil where it can't be had
	// Unfit is the indices of a suite that the tree has, and in no form as the suite
	// lists them: a mirror's job was under way.
	Unfit []Unfit
}

// Unfit is a file of a tree that is not what the metadata says.
type Unfit struct {
	Key cache.Key
	Err error // wraps cache.ErrWrongContent where it could be read
}

// errNoPackages says that a tree has a suite, and nothing that tells its packages.
var errNoPackages = errors.New("none of the Packages files that it lists is in the tree as it is listed")

// Import is Stage for a mirror's tree on this machine, whose top is the repo's. Of a
// suite it is not clients that say which indices are brought, but the tree: those that
// it has, verified. An index that is wrong there is in Unfit and costs the packages
// that it lists; a suite without any Packages file is an error.
func (s *Store) Import(ctx context.Context, c *cache.Cache, r Root, tree *os.Root) (in Imported, err error) {
	from := upstream.Directory(tree)
	if r.Kind != Debian {
		done, err := s.Stage(ctx, c, r, from)
		return Imported{Generation: done.Generation}, err
	}
	g, done, err := s.ask(ctx, c, r, from)
	if err != nil {
		return in, err
	}
	s.settle(c, g)
	if g.offered, in.Unfit, err = indicesIn(ctx, tree, g); err != nil {
		return in, fmt.Errorf("%s: %w", r, err)
	}
	if err := s.gather(ctx, c, g, from, &done); err != nil {
		return in, err
	}
	in.Generation = g
	return in, nil
}

// EachPackage calls fn with each package that g, which is whole, lists, and what it
// promises of it; the Stats say which it does not describe as it should. An error of
// fn ends it.
func (s *Store) EachPackage(g *Generation, fn func(cache.Key, cache.Want) error) (repodata.Stats, error) {
	var all []item
	stats, err := g.Root.layout().packages(s, g, func(location string, w cache.Want) { all = append(all, item{location, w}) })
	if err != nil {
		return stats, fmt.Errorf("%s: %w", g.Root, err)
	}
	// An index in several compressions, or of all architectures, has a package again.
	seen := make(map[string]bool, len(all))
	for _, it := range all {
		if seen[it.path] {
			continue
		}
		seen[it.path] = true
		if err := fn(cache.Key{Repo: g.Root.Repo, Path: join(g.Root.top(), it.path)}, it.want); err != nil {
			return stats, err
		}
	}
	return stats, nil
}

// indicesIn is which of the files that g's suite lists the tree has, by the first of
// their names, and those that it has in no right form.
//
// Of an index that is there packed the unpacked form is left out: archives list it and
// do not have it, and programs that make mirrors unpack it. If it were taken, the next
// InRelease would wait for it for ever. So are the differences between indices: the
// files that they are about are listed elsewhere.
func indicesIn(ctx context.Context, tree *os.Root, g *Generation) (offered map[string]bool, unfit []Unfit, err error) {
	offered = map[string]bool{}
	right, packed := map[string]bool{}, map[string]bool{} // indices: in any form, in a packed one
	wrong := map[string]error{}
	lists, has := false, false // Packages files
	for _, f := range g.list.files {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		index, isPacked := unpackedName(f.at[0])
		if path.Ext(path.Dir(index)) == ".diff" {
			continue
		}
		found, err := inTreeOf(tree, g.Root, f)
		if err != nil {
			wrong[f.at[0]] = err
		}
		isPackages := path.Base(index) == "Packages"
		lists = lists || isPackages
		has = has || isPackages && found
		offered[f.at[0]] = found
		right[index] = right[index] || found
		packed[index] = packed[index] || found && isPacked
	}
	for _, f := range g.list.files {
		index, isPacked := unpackedName(f.at[0])
		if !isPacked && packed[index] {
			delete(offered, f.at[0])
		}
		if err := wrong[f.at[0]]; err != nil && !right[index] {
			unfit = append(unfit, Unfit{g.Root.key(f.at[0]), err})
		}
	}
	if lists && !has {
		return nil, unfit, errNoPackages
	}
	return offered, unfit, nil
}

// inTreeOf reports whether a tree has the file f of r under one of the names that
// it is asked for by. The error says why what is there is not f.
func inTreeOf(tree *os.Root, r Root, f file) (bool, error) {
	var wrong error
	for _, name := range f.from {
		file, err := tree.Open(filepath.FromSlash(r.key(name).Path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		right, err := reads(file, f.want)
		file.Close()
		if right || err != nil {
			return right, err
		}
		wrong = fmt.Errorf("not the %d bytes of %s that are listed: %w", f.want.Size, f.want.Digest, cache.ErrWrongContent)
	}
	return false, wrong
}

// unpackedName is the name of the index that the file name is a form of; packed says
// that it is a compressed one.
func unpackedName(name string) (index string, packed bool) {
	switch ext := path.Ext(name); ext {
	case ".xz", ".gz", ".bz2", ".zst", ".lzma", ".lz4":
		return name[:len(name)-len(ext)], true
	}
	return name, false
}
