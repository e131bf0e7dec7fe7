package generation

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"intelligentmirror/internal/cache"
)

// tree is the cache directory. What lies in it may be anybody's, as where a mirror's
// tree was adopted or is brought by rsync: every way to a stored file's bytes goes through
// an os.Root, so that no symbolic link leads out of it, neither what is read nor what is
// written, linked or deleted. Files of generations are named by their whole paths, which
// are below it, too.
type tree struct {
	root *os.Root
	dir  string
}

func openTree(dir string) (tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return tree{}, fmt.Errorf("cache_dir: %w", err)
	}
	return tree{root, dir}, nil
}

// outside makes the refusal to leave the tree, or to go on behind a link, the error that
// a stored file in such a place has (cache.ErrNotAFile).
func outside(err error) error {
	var errno syscall.Errno
	if err == nil || errors.As(err, &errno) && errno != syscall.ELOOP && errno != syscall.ENOTDIR || errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		return err
	}
	return fmt.Errorf("%w: %w", cache.ErrNotAFile, err)
}

// stat is what the tree has as k.
func (t tree) stat(k cache.Key) (os.FileInfo, error) {
	fi, err := t.root.Stat(k.String())
	return fi, outside(err)
}

// read is the stored file k.
func (t tree) read(k cache.Key) ([]byte, error) {
	b, _, err := t.readNow(k)
	return b, err
}

// readNow is the stored file k, and which inode was read.
func (t tree) readNow(k cache.Key) ([]byte, os.FileInfo, error) {
	// Not to wait at a named pipe that somebody put there.
	file, err := t.root.OpenFile(k.String(), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.EAGAIN) {
		return nil, nil, fmt.Errorf("%s is being evicted: %w", k, fs.ErrNotExist)
	}
	if err != nil {
		return nil, nil, outside(err)
	}
	defer file.Close()
	fi, err := file.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s is no plain file: %w", k, cache.ErrNotAFile)
	}
	if err != nil {
		return nil, nil, err
	}
	b, err := io.ReadAll(file)
	return b, fi, err
}

// names are those in a directory, below the tree; none where it is not there.
func (t tree) names(dir string) []string {
	d, err := t.root.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	return names
}

// link gives the stored file k the name to as well; that something has it already is no
// error. The error wraps fs.ErrNotExist also where k is a link and no file.
func (t tree) link(k cache.Key, to string) error {
	to, err := filepath.Rel(t.dir, to)
	if err != nil {
		return err
	}
	fi, err := t.root.Lstat(k.String())
	if err != nil {
		return outside(err)
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is no plain file: %w", k, fs.ErrNotExist)
	}
	if err := t.root.Link(k.String(), to); !errors.Is(err, fs.ErrExist) {
		return outside(err)
	}
	return nil
}

// relink is link, whatever had the name to before.
func (t tree) relink(k cache.Key, to string) error {
	if err := os.RemoveAll(to); err != nil {
		return err
	}
	return t.link(k, to)
}

// remove deletes the stored file k, or a link in its place; that it is not there is no
// error.
func (t tree) remove(k cache.Key) error {
	if err := t.root.Remove(k.String()); !errors.Is(err, fs.ErrNotExist) {
		return outside(err)
	}
	return nil
}

// mostRenames is how often a file's directory is made again that was removed.
const mostRenames = 100

// rename gives the file from the name k, in a directory that it makes where that is
// missing, on disk when it returns.
func (t tree) rename(from string, k cache.Key) error {
	from, err := filepath.Rel(t.dir, from)
	if err != nil {
		return err
	}
	dir := path.Dir(k.String())
	for i := 1; ; i++ {
		err := t.root.MkdirAll(dir, 0o755)
		if err == nil {
			err = t.root.Rename(from, k.String())
		}
		if err == nil {
			break
		}
		// An eviction that has left the directory empty may have removed it again.
		if !errors.Is(err, fs.ErrNotExist) || i == mostRenames {
			return outside(err)
		}
	}
	d, err := t.root.Open(dir)
	if err != nil {
		return outside(err)
	}
	return errors.Join(d.Sync(), d.Close())
}
