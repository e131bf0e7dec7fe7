package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"
)

// Purge deletes the stored file at name, its path below the cache directory, or
// all that is stored below it, and says how many files and bytes that were. Who
// reads one of them reads on; the next request fetches it again, though upstream had
// withdrawn it: in another process that has it at hand, within a second. The error wraps
// fs.ErrNotExist where nothing is stored there, and ErrNotAFile where the name is
// the cache's own or leads out of its directory.
func (c *Cache) Purge(name string) (files int, bytes int64, err error) {
	fail := func(err error) (int, int64, error) { return files, bytes, fmt.Errorf("purge %s: %w", name, err) }
	at := strings.TrimPrefix(path.Clean("/"+name), "/")
	if at == "" || at == ownDir || strings.HasPrefix(at, ownDir+"/") {
		return fail(fmt.Errorf("the cache's own directory: %w", ErrNotAFile))
	}
	lifted, err := c.tombs.liftAll(at)
	if err != nil {
		return fail(err)
	}
	fi, err := c.tree.root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) && lifted > 0 {
		return 0, 0, nil
	}
	if err != nil {
		return fail(placeError(err))
	}
	var freed int64 // bytes of the disk
	defer func() { c.partials.account(-freed) }()
	remove := func(p string, size int64) error {
		n := c.tree.takes(p)
		if err := c.tree.root.Remove(p); err != nil {
			return err
		}
		if k, ok := keyOf(p); ok {
			c.entries.forget(k)
		}
		files, bytes, freed = files+1, bytes+size, freed+n
		return nil
	}
	if !fi.IsDir() {
		if err := remove(at, fi.Size()); err != nil {
			return fail(err)
		}
		return files, bytes, nil
	}
	err = fs.WalkDir(c.tree.root.FS(), at, func(p string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() && !utf8.ValidString(p) {
			return fs.SkipDir // io/fs opens no such directory; what is in it goes below
		}
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // gone meanwhile
		}
		if err != nil {
			return err
		}
		return remove(p, fi.Size())
	})
	if err != nil {
		return fail(err)
	}
	// What a client's request has brought meanwhile goes too.
	if err := c.tree.root.RemoveAll(at); err != nil {
		return fail(err)
	}
	return files, bytes, nil
}
