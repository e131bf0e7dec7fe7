package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// wantedMagic is the first line of the file that keeps what is wanted; each
// other is a path below the cache directory, what is wanted most comes first.
const wantedMagic = "im-wanted 1\n"

// wantedFor is how long a plan tells what is wanted: an agent that has been
// turned off has no say.
const wantedFor = 30 * 24 * time.Hour

// SetWanted says which files the latest plan wants to be there, stored or not
// yet, what it wants most first: they are evicted after the others, in both
// programs, until the next plan says else.
func (c *Cache) SetWanted(keys []Key) error {
	var b bytes.Buffer
	b.WriteString(wantedMagic)
	for _, k := range keys {
		b.WriteString(k.String())
		b.WriteByte('\n')
	}
	if err := replaceFile(c.Own(""), c.wantedPath(), b.Bytes()); err != nil {
		return storeError(fmt.Errorf("keep what the plan wants: %w", err))
	}
	return nil
}

func (c *Cache) wantedPath() string { return c.Own("wanted") }

// wanted is the place of each wanted file in the latest plan; none where there
// is no plan that is young enough.
func (c *Cache) wanted() (map[string]int, error) {
	list, err := c.wantedList()
	if list == nil || err != nil {
		return nil, err
	}
	places := make(map[string]int)
	for name := range list {
		places[name] = len(places)
	}
	return places, nil
}

// wantedList is the names of wanted files, what is wanted most first; nil where there
// is no plan that is young enough.
func (c *Cache) wantedList() (iter.Seq[string], error) {
	fi, err := os.Stat(c.wantedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if c.o.Now().Sub(fi.ModTime()).Abs() > wantedFor {
		return nil, nil
	}
	text, err := os.ReadFile(c.wantedPath())
	if err != nil {
		return nil, err
	}
	rest, ok := strings.CutPrefix(string(text), wantedMagic)
	if !ok {
		return nil, fmt.Errorf("%s is no list of what a plan wants", c.wantedPath())
	}
	return func(yield func(string) bool) {
		for line := range strings.Lines(rest) {
			if !yield(strings.TrimSuffix(line, "\n")) {
				return
			}
		}
	}, nil
}

// HoldsWanted reports whether all files that the latest plan wants are stored, as
// far as their names tell.
func (c *Cache) HoldsWanted() (bool, error) {
	list, err := c.wantedList()
	if list == nil || err != nil {
		return false, err
	}
	in := map[string]map[string]bool{} // the wanted names, by directory
	for name := range list {
		dir, base := path.Split(name)
		if in[dir] == nil {
			in[dir] = map[string]bool{}
		}
		in[dir][base] = true
	}
	for dir, names := range in {
		if all, err := holds(filepath.Join(c.tree.dir, dir), names); !all || err != nil {
			return false, err
		}
	}
	return true, nil
}

// listedAtOnce is how many names of a directory are read for each that is looked for.
// To look for one by itself takes as long as reading some twenty.
const listedAtOnce = 16

// holds reports whether dir has all names, which it takes from them as it finds them.
// They may be thousands, of which nothing is to be known but that they are there: the
// directory is listed, unless it is a large one of which little is looked for.
func holds(dir string, names map[string]bool) (bool, error) {
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer d.Close()
	found, err := d.Readdirnames(listedAtOnce * len(names))
	if err != nil && err != io.EOF {
		return false, err
	}
	for _, name := range found {
		delete(names, name)
	}
	for name := range names {
		switch _, err := os.Lstat(filepath.Join(dir, name)); {
		case errors.Is(err, fs.ErrNotExist):
			return false, nil
		case err != nil:
			return false, err
		}
	}
	return true, nil
}

// replaceFile makes b the whole of the file at path, by one rename out of dir.
func replaceFile(dir, path string, b []byte) error {
	tmp, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what the rename has left nothing of
	_, err = tmp.Write(b)
	if err := errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
