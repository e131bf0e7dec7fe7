package cache

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// partials is the directory of the files that are being downloaded.
type partials struct {
	dir   string
	space *space
	usage *usage
}

// path is the name of the partial file for k. It is the key's, whatever is
// promised of the file: both programs, one that knows the digest and one that
// does not, must meet at one lock.
func (d *partials) path(k Key) string {
	sum := sha256.Sum256([]byte(k.String()))
	return fmt.Sprintf("%s/%x", d.dir, sum[:16])
}

// partialFlags open a partial file, of which there may be none yet. A symbolic link in its
// place, which only a stranger can have put there, is not followed: what is downloaded
// would be written over another file.
const partialFlags = os.O_RDWR | os.O_CREATE | syscall.O_NOFOLLOW

// lock opens the partial file at path and tries to lock it. Where another holds
// the lock, the file is returned all the same, for following, and held is false.
func (d *partials) lock(path string) (file *os.File, held bool, err error) {
	for {
		file, err = os.OpenFile(path, partialFlags, 0o644)
		if errors.Is(err, fs.ErrNotExist) {
			// Somebody has tidied up.
			if err = os.MkdirAll(d.dir, 0o755); err == nil {
				file, err = os.OpenFile(path, partialFlags, 0o644)
			}
		}
		if err != nil {
			return nil, false, storeError(err)
		}
		held, err = tryLock(file)
		if err != nil {
			file.Close()
			return nil, false, storeError(err)
		}
		// Whoever held it may have renamed or removed it between open and lock.
		if !held || sameFile(file, path) {
			return file, held, nil
		}
		file.Close()
	}
}

// replace puts a new, empty, locked file at path, which the caller has locked.
func (d *partials) replace(path string) (*os.File, error) {
	fresh, err := os.OpenFile(path+".new", partialFlags|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	held, err := tryLock(fresh)
	if err == nil && !held {
		err = fmt.Errorf("%s is locked by a stranger", fresh.Name())
	}
	if err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		fresh.Close()
		return nil, err
	}
	return fresh, nil
}

// allocate takes n bytes of the disk for file, without changing its size.
func allocate(file *os.File, n int64) error {
	err := control(file, func(fd int) error { return unix.Fallocate(fd, unix.FALLOC_FL_KEEP_SIZE, 0, n) })
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOSYS) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: reserve %d bytes: %w", ErrUnstorable, n, err)
	}
	return nil
}

// tryLock takes an exclusive lock that lasts as long as the open file does.
func tryLock(file *os.File) (bool, error) {
	err := control(file, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB) })
	if errors.Is(err, unix.EWOULDBLOCK) {
		return false, nil
	}
	if err != nil {
		return false, &os.PathError{Op: "flock", Path: file.Name(), Err: err}
	}
	return true, nil
}

// waitLock opens the file at path, which is made where it is missing, and waits for its
// lock, as long as ctx. To close the file gives the lock up.
func waitLock(ctx context.Context, path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, storeError(err)
	}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		held, err := tryLock(file)
		if held {
			return file, nil
		}
		if err == nil {
			select {
			case <-tick.C:
				continue
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		file.Close()
		return nil, err
	}
}

// unlock gives up the lock before the file is closed.
func unlock(file *os.File) {
	// It can only fail on a descriptor that is closed, which has no lock.
	_ = control(file, func(fd int) error { return unix.Flock(fd, unix.LOCK_UN) })
}

// sameFile reports whether path still names the open file.
func sameFile(file *os.File, path string) bool {
	a, err := file.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// storeError wraps an error of the file system below the cache directory: that
// nothing can be stored now, whatever the request. It never says that a file
// does not exist: upstream's may.
func storeError(err error) error {
	var errno syscall.Errno
	if err == nil || errors.Is(err, ErrUnstorable) || !errors.As(err, &errno) {
		return err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w: %v", ErrUnstorable, err)
	}
	return fmt.Errorf("%w: %w", ErrUnstorable, err)
}
