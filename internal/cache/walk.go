package cache

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// census is what lies in a cache directory.
type census struct {
	files []*found // the stored ones
	bytes int64    // on the disk, what is our own included
}

// found is a stored file.
type found struct {
	names    []string // its paths below the cache directory; more than one where they are links to it
	bytes    int64    // on the disk
	dev, ino uint64
	links    uint64 // how many names it has, elsewhere too
	changed  time.Time
}

// walk counts what lies below dir. It follows no symlink; what vanishes under it is not
// there, and what somebody has put so deep that its path can't be said is no stored file.
func walk(ctx context.Context, dir string) (*census, error) {
	c := &census{}
	linked := map[[2]uint64]*found{}
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if Uncounted(err) && p != dir {
			return nil
		}
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if Uncounted(err) {
			return nil
		}
		if err != nil {
			return err
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok || !fi.Mode().IsRegular() {
			return nil
		}
		id := [2]uint64{uint64(st.Dev), st.Ino}
		f := linked[id]
		if f == nil {
			f = &found{bytes: allocated(st), dev: id[0], ino: id[1], links: uint64(st.Nlink), changed: time.Unix(st.Ctim.Unix())}
			c.bytes += f.bytes
			if f.links > 1 {
				linked[id] = f
			}
		}
		name := filepath.ToSlash(strings.TrimPrefix(p, dir+string(filepath.Separator)))
		if strings.HasPrefix(name, ownDir+"/") {
			return nil
		}
		if f.names == nil {
			c.files = append(c.files, f)
		}
		f.names = append(f.names, name)
		return nil
	})
	return c, err
}

// Uncounted reports whether what a walk can't look at because of err is left out: it is gone
// meanwhile, or too deep to be a stored file.
func Uncounted(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENAMETOOLONG)
}

// sizeOnDisk is how many bytes of the disk a file takes.
func sizeOnDisk(fi os.FileInfo) int64 {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return fi.Size()
	}
	return allocated(st)
}

// allocated is how many bytes of the disk the file of st takes.
func allocated(st *syscall.Stat_t) int64 {
	if st.Blocks == 0 {
		return st.Size // a file system that does not say
	}
	return st.Blocks * 512
}

// keyOf is the key of a stored file by its path below the cache directory; ok is
// false for what can't be one's.
func keyOf(name string) (k Key, ok bool) {
	repo, path, ok := strings.Cut(name, "/")
	return Key{Repo: repo, Path: path}, ok
}

// disk is the file system of a directory: its size, and what of it is free for
// us, in bytes.
func disk(dir string) (size, free int64, err error) {
	var st unix.Statfs_t
	for {
		if err = unix.Statfs(dir, &st); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, err
	}
	size, free = sizesOf(&st)
	return size, free, nil
}

// sizesOf is what disk returns, of st. Blocks are counted in fragments, of which the
// preferred size of a transfer may be many.
func sizesOf(st *unix.Statfs_t) (size, free int64) {
	return int64(st.Blocks) * st.Frsize, int64(st.Bavail) * st.Frsize
}
