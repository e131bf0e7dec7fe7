package cache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"golang.org/x/sys/unix"
)

// Space is how full the cache is. All numbers but counts are bytes.
type Space struct {
	Bytes   int64     `json:"bytes"`             // on the disk, as both programs account for them
	Counted time.Time `json:"counted,omitzero"`  // when they were last counted one by one
	Size    int64     `json:"cache_size"`        // the limit; 0 is none
	Disk    int64     `json:"disk_bytes"`        // of the file system
	Free    int64     `json:"disk_free_bytes"`   // of it, for us
	MinFree int64     `json:"min_free"`          // that stay free
	Evicted int64     `json:"evicted_24h"`       // files that went to make room
	Freed   int64     `json:"evicted_bytes_24h"` // that they took
	Refused int64     `json:"unstorable"`        // downloads, since the start, that could not be stored
	Problem string    `json:"problem,omitempty"` // why nothing can be stored now, for people
}

// Space says how full the cache is. What the ledger knows is as of its last
// Flush, and missing where ctx ends before.
func (c *Cache) Space(ctx context.Context) Space {
	s := Space{Size: c.o.Size, MinFree: c.o.MinFree, Refused: c.trouble.count()}
	var err error
	if s.Bytes, s.Counted, err = c.usage.get(); err != nil {
		c.o.Log.Warn("the cache's size is not known", "error", err)
	}
	if s.Disk, s.Free, err = c.Disk(); err != nil {
		c.o.Log.Warn("what is free on the cache's disk is not known", "error", err)
	}
	s.Problem = c.Problem()
	if c.o.Ledger != nil {
		if s.Evicted, s.Freed, err = c.o.Ledger.EvictedSince(ctx, c.o.Now().Add(-24*time.Hour)); err != nil {
			c.o.Log.Warn("what was evicted is not known", "error", err)
		}
	}
	return s
}

// Disk is the size of the cache's file system, and what of it is free for us, in bytes.
func (c *Cache) Disk() (size, free int64, err error) { return disk(c.tree.dir) }

// Problem says, for people, why what is missing can't be stored now; "" where it can. It
// asks the file system alone, and no database.
func (c *Cache) Problem() string {
	const passed = " What is missing is passed through and not stored."
	size := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	err := c.trouble.last(c.o.Now())
	_, free, unknown := c.Disk()
	for _, dir := range []string{c.tree.dir, filepath.Join(c.tree.dir, ownDir, "partial")} {
		if aerr := unix.Access(dir, unix.W_OK|unix.X_OK); aerr != nil {
			err = &os.PathError{Op: "write to", Path: dir, Err: aerr}
		}
	}
	switch {
	case unknown == nil && free < c.o.MinFree:
		return fmt.Sprintf("The disk of cache_dir is full: %s are free, and min_free asks for %s.%s Make room there, or lower min_free.",
			size(free), size(c.o.MinFree), passed)
	case err == nil:
		return ""
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return "The disk of cache_dir is full (" + err.Error() + ")." + passed + " Make room there."
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return "cache_dir can't be written (" + err.Error() + ")." + passed + " Let the user that this program runs as write there."
	}
	return "The last download could not be stored (" + err.Error() + ")." + passed
}

// trouble is the memory of downloads that could not be stored. The zero value is
// ready, and safe for concurrent use.
type trouble struct {
	mu    sync.Mutex
	n     int64
	err   error     // of the last download; nil if it was stored
	at    time.Time // when that was
	told  time.Time // in the log
	quiet int64     // since then
}

const (
	// tellEvery is how often the log says that nothing can be stored.
	tellEvery = time.Minute
	// troubleFor is how long a failure is taken for one that lasts, where no
	// download has come since to tell.
	troubleFor = 10 * time.Minute
)

// failed notes that k can't be stored. That a file is too large is no trouble.
func (c *Cache) failed(k Key, err error) {
	if errors.Is(err, errTooLarge) {
		c.o.Log.Info("a file is not stored", "file", k.String(), "reason", err)
		return
	}
	t := &c.trouble
	now := c.o.Now()
	t.mu.Lock()
	t.n++
	t.err, t.at = err, now
	tell := t.told.IsZero() || now.Sub(t.told) >= tellEvery
	quiet := t.quiet
	if tell {
		t.told, t.quiet = now, 0
	} else {
		t.quiet++
	}
	t.mu.Unlock()
	if tell {
		c.o.Log.Warn("a file can't be stored", "file", k.String(), "error", err, "others_since_the_last_warning", quiet)
	}
}

// stored notes that a download was stored.
func (t *trouble) stored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = nil
}

func (t *trouble) last(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.at) > troubleFor {
		return nil
	}
	return t.err
}

func (t *trouble) count() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.n
}
