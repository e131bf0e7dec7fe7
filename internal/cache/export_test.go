package cache

import (
	"os"
	"runtime"
)

// Settled waits until no download is under way; none may begin meanwhile.
func (c *Cache) Settled() { c.fills.Wait() }

// AwaitReaders waits until n requests wait at the download of k.
func (c *Cache) AwaitReaders(k Key, n int) {
	for {
		c.mu.Lock()
		f := c.current[k]
		c.mu.Unlock()
		if f != nil {
			f.mu.Lock()
			enough := f.readers >= n
			f.mu.Unlock()
			if enough {
				return
			}
		}
		runtime.Gosched()
	}
}

// AwaitWanted waits until n clients or runs want the file k that is being downloaded.
func (c *Cache) AwaitWanted(k Key, n int) {
	for {
		c.mu.Lock()
		f := c.current[k]
		c.mu.Unlock()
		if f != nil {
			f.mu.Lock()
			enough := f.demand.waiting >= n
			f.mu.Unlock()
			if enough {
				return
			}
		}
		runtime.Gosched()
	}
}

// Left is how many bytes of k an unfinished download has on disk.
func (c *Cache) Left(k Key) int64 {
	fi, err := os.Stat(c.partials.path(k))
	if err != nil {
		return 0
	}
	return fi.Size()
}

// NoteAbsent is what a request does that finds that k is not there.
func (c *Cache) NoteAbsent(k Key) { c.absent.note(c.tree, k, c.o.Now(), c.tree.anchor(k)) }

// Absences is how many files are remembered that upstream does not have.
func (c *Cache) Absences() int {
	c.absent.mu.Lock()
	defer c.absent.mu.Unlock()
	return len(c.absent.of)
}

// LinkOf is where the link to another name's file is made that k is about to get.
func (c *Cache) LinkOf(k Key) string { return c.partials.path(k) + ".link" }
