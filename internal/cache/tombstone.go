package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Tombstone says that a file was withdrawn: it is gone upstream, and no kept
// generation lists it. A mirror that still has it does not bring it back; verified
// metadata that lists it does.
//
// It is a small file of the file's path below .im/tombstones: it survives restarts
// and the file itself, both programs see it, and only a request that neither the
// store nor metadata can answer looks for it.
type Tombstone struct {
	Withdrawn time.Time `json:"withdrawn"`
	// Deleted is when the stored file went; zero while it is there.
	Deleted time.Time `json:"deleted,omitzero"`
	// Confirmed says that a person has let it be withdrawn with however many others.
	Confirmed bool   `json:"confirmed,omitempty"`
	Why       string `json:"why"` // for people
}

// tombstones are the withdrawn files of a cache directory. It is safe for
// concurrent use, by any number of processes.
type tombstones struct{ dir string }

func (d tombstones) path(k Key) string { return filepath.Join(d.dir, filepath.FromSlash(k.String())) }

// of is the tombstone of k. One that can't be read counts: what it says beyond that
// it is there is for the one who cleans up, and that one waits.
func (d tombstones) of(k Key) (t Tombstone, ok bool) {
	b, err := os.ReadFile(d.path(k))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EISDIR) || errors.Is(err, syscall.ENAMETOOLONG) {
		return t, false
	}
	if err == nil {
		err = json.Unmarshal(b, &t)
	}
	if err != nil {
		t = Tombstone{Why: fmt.Sprintf("its tombstone can't be read: %v", err)}
	}
	return t, true
}

// set writes the tombstone of k by one rename.
func (d tombstones) set(k Key, t Tombstone) error {
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	to := d.path(k)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	// At the top, where what a crash leaves is no file's tombstone.
	return replaceFile(d.dir, to, b)
}

// lift removes the tombstone of k, and reports whether there was one.
func (d tombstones) lift(k Key) (bool, error) {
	err := os.Remove(d.path(k))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.ENAMETOOLONG) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("lift the tombstone of %s: %w", k, err)
	}
	for dir := path.Dir(k.String()); dir != "."; dir = path.Dir(dir) {
		if os.Remove(filepath.Join(d.dir, filepath.FromSlash(dir))) != nil {
			break // mostly since there is another in it
		}
	}
	return true, nil
}

// liftAll removes the tombstones at name and below it.
func (d tombstones) liftAll(name string) (n int, err error) {
	err = d.walk(name, func(k Key) error {
		lifted, err := d.lift(k)
		if lifted {
			n++
		}
		return err
	})
	return n, err
}

// walk calls visit with each file at name, "." for all, that has a tombstone.
func (d tombstones) walk(name string, visit func(Key) error) error {
	return filepath.WalkDir(filepath.Join(d.dir, filepath.FromSlash(name)), func(p string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(p, d.dir+string(filepath.Separator)))
		k, ok := keyOf(rel)
		if !ok {
			return nil // one that a crash has left before its rename
		}
		return visit(k)
	})
}
