package cache

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrInUse says that a file stays for now since somebody has it open, or is
// downloading it.
var ErrInUse = errors.New("it is in use")

// errNotSure is why a file stays that may not be what it is taken for.
var errNotSure = errors.New("prefetched a short while ago, as the file says and the ledger does not")

// drop deletes a file with all of its names, unless somebody has it open, is
// downloading one of them, or has changed it since the walk. One that has got another
// name stays: its deletion would free nothing.
func (c *Cache) drop(f *resident, sure bool) error {
	// Whoever commits a file holds the lock on its partial: while we do, what is
	// looked at is what is deleted.
	keys := make([]Key, len(f.found.names))
	for i, name := range f.found.names {
		keys[i], _ = keyOf(name)
		unlock, err := c.partials.hold(keys[i])
		if err != nil {
			return err
		}
		defer unlock()
	}
	st, err := c.tree.open(keys[0])
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotAFile) {
		return ErrInUse // by whoever has deleted it, or put something else there
	}
	if err != nil {
		return err
	}
	defer st.file.Close()
	fi, err := st.file.Stat()
	if err != nil {
		return err
	}
	now, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || uint64(now.Dev) != f.found.dev || now.Ino != f.found.ino || uint64(now.Nlink) != uint64(len(keys)) || !time.Unix(now.Ctim.Unix()).Equal(f.changed) {
		return ErrInUse
	}
	for _, k := range keys {
		if id, ok := c.tree.inodeOf(k); !ok || id != [2]uint64{f.found.dev, f.found.ino} {
			return ErrInUse
		}
	}
	if at := st.facts.Prefetched; !sure && !f.use.known && !at.IsZero() && c.o.Now().Sub(at).Abs() < aheadFor {
		return errNotSure
	}
	for _, k := range keys {
		c.entries.forget(k)
	}
	if !alone(st.file) {
		return ErrInUse
	}
	for _, k := range keys {
		if err := c.tree.root.Remove(k.String()); err != nil {
			return err
		}
		c.tree.tidy(k)
	}
	// What can't be accounted, the next walk counts.
	_, _ = c.usage.add(-f.bytes)
	return nil
}

// free reports whether the name k of a stored file may go: nobody reads the file. Of
// one with another name it is that one which is read, perhaps for ever; the bytes
// stay for it.
func (c *Cache) free(k Key, st *stored) bool {
	c.entries.forget(k)
	return c.tree.takes(k.String()) == 0 || alone(st.file)
}

// remove deletes the name k of a stored file, and returns the bytes of the disk that
// this has freed.
func (c *Cache) remove(k Key, st *stored) (freed int64, err error) {
	if freed, err = c.tree.remove(k, st); err != nil {
		return 0, err
	}
	c.partials.account(-freed)
	c.tree.tidy(k)
	return freed, nil
}

// hold takes the lock on the partial file of k, so that nobody can commit it
// before unlock; ErrInUse where somebody is downloading it.
func (d *partials) hold(k Key) (unlock func(), err error) {
	path := d.path(k)
	file, held, err := d.lock(path)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		// There is no room for a lock, and so for no download either.
		return func() {}, nil
	}
	if err != nil {
		return nil, err
	}
	if !held {
		file.Close()
		return nil, ErrInUse
	}
	return func() {
		if fi, err := file.Stat(); err == nil && fi.Size() == 0 {
			os.Remove(path) // it was made for the lock alone
		}
		file.Close()
	}, nil
}

// alone reports whether nobody else, in whatever process, has the file open. The
// kernel says so by granting a lease. Where it does, nobody can open the file
// until we close it: tree.open takes it for deleted. A file system
// without leases can't tell, and there the file is taken to be unused: who has
// it open reads on.
func alone(file *os.File) bool {
	err := control(file, func(fd int) error {
		_, err := unix.FcntlInt(uintptr(fd), unix.F_SETLEASE, unix.F_WRLCK)
		return err
	})
	return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EBUSY)
}

// tidy removes the directories that the deletion of k has left empty, but for
// its repository's. A commit that had made one for itself makes it again.
func (t *tree) tidy(k Key) {
	t.emptied.Lock()
	defer t.emptied.Unlock()
	for dir := path.Dir(k.String()); dir != "." && dir != k.Repo; dir = path.Dir(dir) {
		if err := t.root.Remove(dir); err != nil {
			return // mostly since there is something in it
		}
	}
}
