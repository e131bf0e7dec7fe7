package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// DirEntry is a file or a directory of the tree, as its directory lists it.
type DirEntry struct {
	Name    string // decoded, without a slash
	Dir     bool
	Size    int64 // bytes; 0 of a directory
	ModTime time.Time
}

// List is what is stored in the directory of a repository, directories first,
// each by name; dir has slashes and is clean, "" is the repository's top. The
// error wraps fs.ErrNotExist where nothing is stored there.
func (c *Cache) List(repo, dir string) ([]DirEntry, error) {
	name := path.Join(repo, dir)
	// Not to wait at a named pipe that somebody put there.
	fi, err := c.tree.root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	if !fi.IsDir() {
		return nil, fmt.Errorf("list %s: no directory: %w", name, fs.ErrNotExist)
	}
	d, err := c.tree.root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", name, err)
	}
	list := make([]DirEntry, 0, len(names))
	for _, n := range names {
		// Links are followed, as far as they stay within the tree: so a request does.
		fi, err := c.tree.root.Stat(path.Join(name, n))
		switch {
		case err != nil, !fi.Mode().IsRegular() && !fi.IsDir():
			continue // gone meanwhile, or nothing that is served
		case fi.IsDir():
			list = append(list, DirEntry{Name: n, Dir: true, ModTime: fi.ModTime()})
		default:
			list = append(list, DirEntry{Name: n, Size: fi.Size(), ModTime: fi.ModTime()})
		}
	}
	slices.SortFunc(list, func(a, b DirEntry) int {
		if a.Dir != b.Dir {
			if a.Dir {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
	return list, nil
}

// Walk calls visit with each stored file and what is known of it, repository by
// repository and in them by path, until visit returns an error, which it then
// returns, or ctx ends. A file that comes or goes meanwhile may be missed.
func (c *Cache) Walk(ctx context.Context, visit func(Key, Facts) error) error {
	return c.eachStored(ctx, func(k Key, st *stored) error { return visit(k, st.facts) })
}

// eachStored is Walk for who needs to know the file itself, which is closed.
func (c *Cache) eachStored(ctx context.Context, visit func(Key, *stored) error) error {
	return c.eachBelow(ctx, c.tree.root, ".", visit)
}

// eachBelow is eachStored for a directory: each file is opened from there, which for
// a path of many parts is much less work than from the top.
func (c *Cache) eachBelow(ctx context.Context, dir *os.Root, name string, visit func(Key, *stored) error) error {
	list, err := fs.ReadDir(dir.FS(), ".")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list the cache: %w", err)
	}
	for _, e := range list {
		below := path.Join(name, e.Name())
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case e.IsDir() && below != ownDir:
			sub, err := dir.OpenRoot(e.Name())
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return fmt.Errorf("list the cache: %w", err)
			}
			err = c.eachBelow(ctx, sub, below, visit)
			sub.Close()
			if err != nil {
				return err
			}
		case e.Type().IsRegular() && utf8.ValidString(below):
			if err := c.oneOf(dir, e.Name(), below, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

// oneOf is eachStored for the file that dir has under a name, and that is stored as below.
func (c *Cache) oneOf(dir *os.Root, name, below string, visit func(Key, *stored) error) error {
	k, ok := keyOf(below)
	if !ok {
		return nil // beside the repositories
	}
	st, err := openIn(dir, name, below)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotAFile) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the cache: %w", err)
	}
	st.file.Close()
	return visit(k, st)
}

// HasRepo reports whether there is a directory of the repository, and so whether
// anything of it was ever stored.
func (c *Cache) HasRepo(repo string) bool {
	fi, err := c.tree.root.Stat(repo)
	return err == nil && fi.IsDir()
}
