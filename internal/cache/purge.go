package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// Purge deletes the stored file at name, its path below the cache directory, or
// all that is stored below it, and says how many files and bytes that were. Who
// reads one of them reads on; the next request fetches it again, though upstream had
// withdrawn it. The error wraps
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
	if !fi.IsDir() {
		if err := c.tree.root.Remove(at); err != nil {
			return fail(err)
		}
		return 1, fi.Size(), nil
	}
	err = fs.WalkDir(c.tree.root.FS(), at, func(p string, e fs.DirEntry, err error) error {
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
		if err := c.tree.root.Remove(p); err != nil {
			return err
		}
		files++
		bytes += fi.Size()
		return nil
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
