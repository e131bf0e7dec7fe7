package cache

import (
	"errors"
	"os"
	"path/filepath"
	"time"
)

// Sweep removes the partial files that nobody has written to for that long, and
// returns how many. What is being downloaded, by any process, stays.
func (c *Cache) Sweep(unused time.Duration) (int, error) {
	entries, err := os.ReadDir(c.partials.dir)
	if err != nil {
		return 0, err
	}
	removed := 0
	var errs []error
	for _, e := range entries {
		fi, err := e.Info()
		if err != nil || c.o.Now().Sub(fi.ModTime()) < unused {
			continue // gone meanwhile, or young
		}
		ok, err := c.partials.remove(filepath.Join(c.partials.dir, e.Name()))
		errs = append(errs, err)
		if ok {
			removed++
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
