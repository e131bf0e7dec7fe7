package cache

import (
	"errors"
	"os"
	"path"
	"path/filepath"
	"time"
)

// Leftover is a partial file that nobody goes on with.
type Leftover struct {
	Path  string // below the cache directory
	Bytes int64  // on the disk
	Since time.Time
}

// Sweep removes the partial files that nobody has written to for that long, and
// returns them. What is being downloaded, by any process, stays. A rehearsal
// removes nothing.
func (c *Cache) Sweep(unused time.Duration, rehearse bool) ([]Leftover, error) {
	entries, err := os.ReadDir(c.partials.dir)
	if err != nil {
		return nil, err
	}
	var removed []Leftover
	var errs []error
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || c.o.Now().Sub(fi.ModTime()) < unused {
			continue // gone meanwhile, or young
		}
		ok := rehearse
		if !rehearse {
			ok, err = c.partials.remove(filepath.Join(c.partials.dir, e.Name()))
			errs = append(errs, err)
		}
		if ok {
			removed = append(removed, Leftover{path.Join(ownDir, "partial", e.Name()), sizeOnDisk(fi), fi.ModTime()})
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
