package cache

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Leftover is a file that nobody goes on with: of a download, or of something else
// that was written to be renamed.
type Leftover struct {
	Path  string // below the cache directory
	Bytes int64  // of the disk that its removal frees
	Since time.Time
}

// unfinished are the names, below the cache's own directory, of what either program
// writes to be renamed in a moment: it stays only where one was killed in between.
var unfinished = []string{".new-*", "*/.new-*", "gen/*/.new-*", "gen/.[0-9a-f]*"}

// Sweep removes the partial files that nobody has written to for that long, and
// what has been waiting as long for its rename, and returns them; one from as far in
// the future was left under a clock that was wrong. What is being downloaded, by any
// process, stays. A rehearsal removes nothing.
func (c *Cache) Sweep(unused time.Duration, rehearse bool) ([]Leftover, error) {
	entries, err := os.ReadDir(c.partials.dir)
	if err != nil {
		return nil, err
	}
	var removed []Leftover
	var errs []error
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || c.o.Now().Sub(fi.ModTime()).Abs() < unused {
			continue // gone meanwhile, or young
		}
		name := path.Join(ownDir, "partial", e.Name())
		frees := c.tree.takes(name)
		ok := rehearse
		if !rehearse {
			ok, err = c.partials.remove(filepath.Join(c.partials.dir, e.Name()))
			errs = append(errs, err)
		}
		if ok {
			removed = append(removed, Leftover{name, frees, fi.ModTime()})
		}
	}
	for _, pattern := range unfinished {
		names, err := fs.Glob(c.tree.root.FS(), path.Join(ownDir, pattern))
		errs = append(errs, err)
		for _, name := range names {
			fi, err := c.tree.root.Lstat(name)
			if err != nil || !fi.Mode().IsRegular() {
				continue
			}
			// A link has its file's modification time; when it was made, this one tells.
			changed := inodeOf(fi).changed
			since := time.Unix(changed.Unix())
			if c.o.Now().Sub(since).Abs() < unused {
				continue
			}
			frees := c.tree.takes(name)
			if !rehearse {
				if err := c.tree.root.Remove(name); err != nil {
					errs = append(errs, err)
					continue
				}
			}
			removed = append(removed, Leftover{name, frees, since})
		}
	}
	if !rehearse {
		for _, x := range removed {
			c.partials.account(-x.Bytes)
		}
	}
	return removed, errors.Join(errs...)
}

// remove removes the partial file at path unless somebody holds its lock.
func (d *partials) remove(path string) (bool, error) {
	file, held, err := d.lock(path)
	if err != nil {
		return false, err
	}
	defer file.Close()
	if !held {
		return false, nil
	}
	return true, os.Remove(path)
}
