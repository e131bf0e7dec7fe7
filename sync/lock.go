package sync

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Whoever looks whether a run is under way holds the lock for an instant.
const (
	lockTries = 5
	lockPause = 20 * time.Millisecond
)

// lockName is the lock's file in the state directory.
const lockName = "imsync.lock"

// ErrRunning says that another run is under way.
var ErrRunning = errors.New("another run of imsync is under way")

// lock lets one run at a time hold path. The kernel gives it back when the
// process ends, however it ends.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR && (err != unix.EWOULDBLOCK || try >= lockTries) {
			break
		}
		time.Sleep(lockPause)
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		f.Close()
		return nil, fmt.Errorf("%w: it holds %s", ErrRunning, path)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return func() { f.Close() }, nil
}
