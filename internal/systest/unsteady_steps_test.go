package systest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// stamp tells a file's states apart.
type stamp struct {
	fi   os.FileInfo
	size int64
	time time.Time
}

// served are the files below dir that anybody would ask for: none whose name begins
// with a dot or that lies below such a directory, and no old metadata that waits to be
// removed.
func (u *unsteady) served(dir string) map[string]stamp {
	u.t.Helper()
	all := map[string]stamp{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a second process of the program has removed it
		}
		if err != nil {
			return err
		}
		hidden := strings.HasPrefix(e.Name(), ".") || strings.HasPrefix(e.Name(), "repodata.old")
		switch {
		case hidden && e.IsDir():
			return fs.SkipDir
		case hidden || e.IsDir():
			return nil
		}
		fi, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		all[filepath.ToSlash(rel)] = stamp{fi, fi.Size(), fi.ModTime()}
		return err
	})
	if err != nil {
		u.t.Fatal(err)
	}
	return all
}

// differ is which files of was and now are not the same.
func differ(was, now map[string]stamp) (names []string) {
	for name, a := range was {
		b, ok := now[name]
		if !ok || a.size != b.size || !a.time.Equal(b.time) || !os.SameFile(a.fi, b.fi) {
			names = append(names, name)
		}
	}
	for name := range now {
		if _, ok := was[name]; !ok {
			names = append(names, name)
		}
	}
	return names
}

// steps runs a program that changes the repository in dir, and holds it still after
// each change of what is served, for clients to come by. meanwhile, if it is not nil,
// is called then and after its other changes of names, with what is served: where it
// reports false the program is killed, as by a power cut.
func (u *unsteady) steps(dir, calls string, meanwhile func(now map[string]stamp) bool, line ...string) (killed bool) {
	u.t.Helper()
	was := u.served(dir)
	changes := 0
	killed = stepwise(u.t, calls, func() bool {
		now := u.served(dir)
		if names := differ(was, now); len(names) > 0 {
			changes++
			u.states++
			u.seen(dir, now)
			if slices.ContainsFunc(names, isMetadata) {
				u.pause(u.around)
			} else {
				u.pause(unsteadyBetween)
			}
		}
		was = now
		return meanwhile == nil || meanwhile(now)
	}, line...)
	u.seen(dir, u.served(dir))
	if changes == 0 {
		u.t.Errorf("clients came by at no change of %s", strings.Join(line, " "))
	}
	return killed
}

// seen notes what a mirror has.
func (u *unsteady) seen(dir string, now map[string]stamp) {
	if dir != u.top {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for name := range now {
		u.came[name] = true
	}
}

// copy puts a file of the edition into the repository in dir as cp does: under its own
// name from the first byte on. Clients come by when it is there by half.
func (u *unsteady) copy(dir string, e edition, name string) {
	u.t.Helper()
	b, err := os.ReadFile(filepath.Join(e.dir, name))
	if err != nil {
		u.t.Fatal(err)
	}
	fi, err := os.Stat(filepath.Join(e.dir, name))
	if err != nil {
		u.t.Fatal(err)
	}
	to := filepath.Join(dir, name)
	u.mkdir(filepath.Dir(to))
	f, err := os.Create(to)
	if err != nil {
		u.t.Fatal(err)
	}
	_, err = f.Write(b[:len(b)/2])
	u.pause(unsteadyBetween)
	if err == nil {
		_, err = f.Write(b[len(b)/2:])
	}
	if err = errors.Join(err, f.Close(), os.Chtimes(to, fi.ModTime(), fi.ModTime())); err != nil {
		u.t.Fatal(err)
	}
	u.seen(dir, map[string]stamp{name: {}})
}
