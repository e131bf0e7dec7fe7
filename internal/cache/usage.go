package cache

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// usage is how many bytes the cache takes on its disk, as both programs count
// them: one number in a file of the cache's own, changed under a lock with each
// commit and each deletion. A process that is killed between a commit and its
// account, and whoever puts files there by hand, make it wrong by what they did
// until the next walk, which sets it. It is safe for concurrent use.
type usage struct {
	path string

	mu sync.Mutex // the lock on the file tells processes apart, not goroutines
}

// usageForm is the file's whole text: the bytes, and the Unix time of the last
// walk. It has one length, so that no write leaves the end of an older one.
const usageForm = "%020d %020d\n"

// openUsage is the account of the cache directory dir.
func openUsage(dir string) *usage { return &usage{path: filepath.Join(dir, ownDir, "usage")} }

// get is the number of bytes, and when they were last walked; the zero time
// where they never were, and the number then is what was committed since.
func (u *usage) get() (bytes int64, walked time.Time, err error) {
	err = u.change(func(n, at int64) (int64, int64) {
		bytes, walked = n, unixTime(at)
		return n, at
	})
	return bytes, walked, err
}

// add accounts delta bytes and returns how many there are now.
func (u *usage) add(delta int64) (bytes int64, err error) {
	err = u.change(func(n, at int64) (int64, int64) {
		bytes = max(n+delta, 0)
		return bytes, at
	})
	return bytes, err
}

// set is add after a walk that found walked bytes and began when there were
// before: what came meanwhile, the walk may have missed.
func (u *usage) set(before, walked int64, now time.Time) (bytes int64, err error) {
	err = u.change(func(n, _ int64) (int64, int64) {
		bytes = walked + max(n-before, 0)
		return bytes, now.Unix()
	})
	return bytes, err
}

// change replaces the two numbers of the file. One that is missing or damaged
// has zeros.
func (u *usage) change(f func(bytes, walked int64) (int64, int64)) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	file, err := os.OpenFile(u.path, os.O_RDWR|os.O_CREATE, 0o644)
	if fi, lerr := os.Lstat(u.path); err != nil && lerr == nil && !fi.Mode().IsRegular() {
		// Somebody has put something else in its place; what it said is lost as damaged.
		if err = os.RemoveAll(u.path); err == nil {
			file, err = os.OpenFile(u.path, os.O_RDWR|os.O_CREATE, 0o644)
		}
	}
	if err != nil {
		return fmt.Errorf("account for the cache's size: %w", err)
	}
	defer file.Close()
	// It is held for these few lines only.
	if err := control(file, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX) }); err != nil {
		return fmt.Errorf("account for the cache's size: lock %s: %w", u.path, err)
	}
	var buf [64]byte
	n, _ := file.ReadAt(buf[:], 0) // what can't be read is not known
	var bytes, walked int64
	if _, err := fmt.Sscanf(string(buf[:n]), usageForm, &bytes, &walked); err != nil {
		bytes, walked = 0, 0
	}
	b, w := f(bytes, walked)
	if n > 0 && b == bytes && w == walked {
		return nil
	}
	if _, err := file.WriteAt(fmt.Appendf(nil, usageForm, b, w), 0); err != nil {
		return fmt.Errorf("account for the cache's size: %w", err)
	}
	return nil
}

// unixTime is the time of Unix seconds; 0 is the zero time.
func unixTime(sec int64) time.Time {
	if sec == 0 {
		return time.Time{}
	}
	return time.Unix(sec, 0)
}
