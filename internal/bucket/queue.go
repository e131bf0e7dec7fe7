package bucket

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/cache"
)

// waiting is a file that is to be uploaded.
type waiting struct {
	Repo string `json:"repo"`
	Path string `json:"path"`
	// At is the name below the cache directory that it was stored under: a
	// generation's metadata is not in the tree yet.
	At string `json:"at"`
	// Since is when it was stored.
	Since time.Time `json:"since"`
	// Anew is that the object which is there is damaged, whatever stands beside it.
	Anew bool `json:"anew,omitempty"`

	file string // of the queue
}

func (w waiting) key() cache.Key { return cache.Key{Repo: w.Repo, Path: w.Path} }

// queue is the files that wait, one small file each, named by its key: so that it
// outlives the process, is shared by both programs, and has a file once. It is bounded:
// what it has no room for is found by the next look through the bucket.
type queue struct {
	dir  string
	most int64
	n    atomic.Int64 // about how many there are
}

// mostName is the longest name that an object can have, in bytes.
const mostName = 1024

// openQueue counts what is there of it.
func openQueue(dir string, most int64) (*queue, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	q := &queue{dir: dir, most: most}
	names, err := q.names()
	q.n.Store(int64(len(names)))
	return q, err
}

// names are those of the files that wait.
func (q *queue) names() ([]string, error) {
	entries, err := os.ReadDir(q.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // somebody has tidied up
	}
	if err != nil {
		return nil, fmt.Errorf("see what waits to be uploaded: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && strings.HasSuffix(e.Name(), ".json") {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// errFull says that too many wait already.
var errFull = errors.New("too many wait already")

// add puts w in, by one rename.
func (q *queue) add(w waiting) error {
	if q.n.Load() >= q.most {
		return errFull
	}
	b, err := json.Marshal(w)
	if err != nil {
		return err
	}
	name := filepath.Join(q.dir, fmt.Sprintf("%x.json", sha256.Sum256([]byte(w.key().String()))))
	tmp, err := os.CreateTemp(q.dir, "new-*")
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(q.dir, 0o755); err == nil {
			tmp, err = os.CreateTemp(q.dir, "new-*")
		}
	}
	if err != nil {
		return err
	}
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	q.n.Add(1)
	return nil
}

// read is what waits under a name; ok is false where it can't be read, and then it is
// gone.
func (q *queue) read(name string) (w waiting, ok bool) {
	b, err := os.ReadFile(filepath.Join(q.dir, name))
	if err == nil {
		err = json.Unmarshal(b, &w)
	}
	w.file = name
	if err != nil || w.Repo == "" || w.Path == "" {
		q.done(w)
		return w, false
	}
	return w, true
}

// done takes w out, unless it has been put in again meanwhile.
func (q *queue) done(w waiting) {
	name := filepath.Join(q.dir, w.file)
	if b, err := os.ReadFile(name); err == nil {
		var now waiting
		if json.Unmarshal(b, &now) == nil && !now.Since.Equal(w.Since) {
			return
		}
	}
	// What can't be removed is looked at again, and found to be uploaded.
	if os.Remove(name) == nil {
		q.n.Add(-1)
	}
}

// errElsewhere says that another process works the queue off.
var errElsewhere = errors.New("another process is uploading")

// lock is for one who works the queue off; the error is errElsewhere where another does.
func (q *queue) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(q.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(q.dir, 0o755); err == nil {
			f, err = os.OpenFile(filepath.Join(q.dir, "lock"), os.O_RDWR|os.O_CREATE, 0o644)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock the uploads: %w", err)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err != unix.EINTR {
			break
		}
	}
	if err == unix.EWOULDBLOCK {
		err = errElsewhere
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}
