package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// ownDir is what belongs to the cache itself, below its directory.
const ownDir = ".im"

// tree is the stored files, plain and under their upstream's names. Every path
// goes through an os.Root: no symlink leads out of the cache directory.
type tree struct {
	root *os.Root
	dir  string
	// emptied is held while this process removes directories, so that none of them is one
	// that it has just made for a file.
	emptied sync.Mutex
}

// stored is a stored file, open for reading.
type stored struct {
	file  *os.File
	name  string // below the cache directory; "" of one that is looked at for its bytes
	facts Facts
	base  *Facts // the file's, where facts are of this name alone; else nil
	inode inode  // when the facts were read
	// known says that the facts were the file's attribute, not made of its size and time.
	known bool
}

// CheckOwn reports where a symbolic link is in the place of the directory of the cache's
// own below dir, or of one in it from which files get into the tree: by renames and links,
// which lead neither out of the tree nor to another file system.
func CheckOwn(dir string) error {
	for _, name := range []string{"", "partial", "gen", "tombstones", "lists"} {
		name = filepath.Join(dir, ownDir, name)
		if fi, err := os.Lstat(name); err == nil && fi.Mode().Type() == fs.ModeSymlink {
			return fmt.Errorf("cache_dir: %s is a symbolic link, and has to be a directory, on the file system of what is stored: "+
				"put that in its place, or let all of %s be the link", name, dir)
		}
	}
	return nil
}

func openTree(dir string) (*tree, error) {
	if err := CheckOwn(dir); err != nil {
		return nil, err
	}
	for _, d := range []string{dir, filepath.Join(dir, ownDir), filepath.Join(dir, ownDir, "partial")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("cache_dir: %w", err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	return &tree{root: root, dir: dir}, nil
}

// open opens the stored file k. The error wraps fs.ErrNotExist where none is
// stored, ErrNotAFile where something else than a plain file has its place.
func (t *tree) open(k Key) (*stored, error) { return t.openAt(k.String()) }

// openAt is open for a name below the cache directory.
func (t *tree) openAt(name string) (*stored, error) { return openIn(t.root, name, name) }

// openIn is open for the file that dir has as base; name is below the cache directory.
func openIn(dir *os.Root, base, name string) (*stored, error) {
	// Not to wait at a named pipe that somebody put there.
	file, err := dir.OpenFile(base, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.EAGAIN) {
		// Whoever evicts has made sure that nobody reads it, and is deleting it.
		return nil, fmt.Errorf("%s is being evicted: %w", name, fs.ErrNotExist)
	}
	if err != nil {
		return nil, placeError(err)
	}
	fi, err := file.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = fmt.Errorf("%s: a directory or a device is in its place: %w", name, ErrNotAFile)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	s := &stored{file: file, name: name, facts: Facts{Size: fi.Size(), ModTime: fi.ModTime()}, inode: inodeOf(fi)}
	if f, base := readFactsOf(file, fi, name); f != nil {
		s.facts, s.base, s.known = *f, base, true
	}
	return s, nil
}

// placeError tells a path that can't be a stored file's (ErrNotAFile: a file is
// in its directory's place, a symlink leads out of the tree or to itself) from a
// disk that can't be read or written (ErrUnstorable). fs.ErrNotExist stays.
func placeError(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		switch errno {
		case syscall.ENOENT:
			return err
		case syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.ENOTEMPTY, syscall.ELOOP, syscall.ENXIO, syscall.ENAMETOOLONG:
		default:
			return storeError(err)
		}
	} else if errors.Is(err, os.ErrClosed) {
		return err
	}
	// An error that is not the kernel's is os.Root's refusal to leave the tree.
	return fmt.Errorf("%w: %w", ErrNotAFile, err)
}

// seal gives the complete file of p its facts, on disk when it returns.
func (t *tree) seal(p *Partial, f Facts) (_ Facts, err error) {
	fail := func(err error) (Facts, error) {
		return f, storeError(fmt.Errorf("store %s: %w", p.path, err))
	}
	from := path.Join(ownDir, "partial", filepath.Base(p.path))
	if m, ok := p.head.modTime(); ok {
		if err := t.root.Chtimes(from, m, m); err != nil {
			return fail(err)
		}
	}
	fi, err := p.file.Stat()
	if err != nil {
		return fail(err)
	}
	f.Size, f.ModTime = fi.Size(), fi.ModTime()
	err = writeAttr(p.file, factsAttr, f)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.E2BIG) {
		// There may be no room for both attributes.
		if err = removeAttr(p.file, partialAttr); err == nil {
			err = writeAttr(p.file, factsAttr, f)
		}
	}
	if err != nil {
		return fail(err)
	}
	// Only now: who is killed here leaves a file of which one of the two tells all.
	if err := removeAttr(p.file, partialAttr); err != nil {
		return fail(err)
	}
	if err := p.file.Sync(); err != nil {
		return fail(err)
	}
	return f, nil
}

// commit gives the sealed file of p its name: to (slashes, below the cache
// directory). After it p's file is the stored one. replaced is how many bytes of the
// disk the one before took.
func (t *tree) commit(p *Partial, to string) (replaced int64, err error) {
	replaced = t.takes(to)
	if err := t.rename(path.Join(ownDir, "partial", filepath.Base(p.path)), to); err != nil {
		return 0, storeError(fmt.Errorf("store %s: %w", to, placeError(err)))
	}
	return replaced, nil
}

// mostRenames is how often the directory of a file is made again that was
// removed, each time, before the file was in it.
const mostRenames = 100

// rename gives the file from its name, in a directory that it makes where it is
// missing. An eviction by the other program that has left that directory empty may be
// removing it.
func (t *tree) rename(from, to string) error {
	err := t.root.Rename(from, to)
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t.emptied.Lock()
	defer t.emptied.Unlock()
	for range mostRenames {
		if _, gone := t.root.Lstat(from); gone != nil {
			return err
		}
		if err := t.root.MkdirAll(path.Dir(to), 0o755); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err = t.root.Rename(from, to); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return err
}

// inodeOf is the device and the inode that has the name of k; false where none has.
func (t *tree) inodeOf(k Key) (id [2]uint64, ok bool) {
	fi, err := t.root.Lstat(k.String())
	if err != nil {
		return id, false
	}
	n := inodeOf(fi)
	return [2]uint64{n.dev, n.ino}, n != (inode{})
}

// takes is how many bytes of the disk the deletion of a stored file would free.
func (t *tree) takes(name string) int64 {
	fi, err := t.root.Lstat(name)
	if err != nil {
		return 0
	}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
		return 0
	}
	return sizeOnDisk(fi)
}

// setFacts replaces the facts of a stored file, of this name alone where it has
// its own.
func (s *stored) setFacts(f Facts) error {
	err := error(nil)
	if s.base != nil {
		err = writeAttr(s.file, ownAttr(s.name), f.beside(*s.base))
	} else {
		err = writeAttr(s.file, factsAttr, f)
	}
	if err != nil {
		return err
	}
	s.facts, s.known = f, true
	return nil
}

// verify reads the stored file and keeps its digests: its SHA-256 and, where
// it is another kind, the one that is promised.
func (s *stored) verify(w Want, now time.Time) error {
	sha := Digest("sha256:").New()
	h, out := sha, io.Writer(sha)
	if w.Digest.Type() != "sha256" {
		h = w.Digest.New()
		out = io.MultiWriter(sha, h)
	}
	if _, err := io.Copy(out, io.NewSectionReader(s.file, 0, s.facts.Size)); err != nil {
		return fmt.Errorf("verify %s: %w", s.file.Name(), err)
	}
	f := s.facts
	f.SHA256 = SHA256(sha.Sum(nil))
	if got := sumOf(w.Digest.Type(), h); got == w.Digest {
		f.Met, f.Validated = got, now
	}
	// That the attribute can't be kept only means to read the file again.
	if err := s.setFacts(f); err != nil {
		s.facts = f
	}
	return nil
}

// remove deletes the stored file k, if it still is the one that s has open, and
// returns how many bytes that frees.
func (t *tree) remove(k Key, s *stored) (freed int64, err error) {
	now, err := t.root.Stat(k.String())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if was, err := s.file.Stat(); err != nil || !os.SameFile(now, was) {
		return 0, err
	}
	freed = t.takes(k.String())
	return freed, t.root.Remove(k.String())
}
