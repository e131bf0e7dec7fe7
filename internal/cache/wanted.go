package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
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
	if err := replaceFile(c.wantedPath(), b.Bytes()); err != nil {
		return storeError(fmt.Errorf("keep what the plan wants: %w", err))
	}
	return nil
}

func (c *Cache) wantedPath() string { return filepath.Join(c.tree.dir, ownDir, "wanted") }

// wanted is the place of each wanted file in the latest plan; none where there
// is no plan that is young enough.
func (c *Cache) wanted() (map[string]int, error) {
	fi, err := os.Stat(c.wantedPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if c.o.Now().Sub(fi.ModTime()) > wantedFor {
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
	places := make(map[string]int)
	for line := range strings.Lines(rest) {
		places[strings.TrimSuffix(line, "\n")] = len(places)
	}
	return places, nil
}

// HoldsWanted reports whether all files that the latest plan wants are stored, as
// far as their names tell.
func (c *Cache) HoldsWanted() (bool, error) {
	places, err := c.wanted()
	if places == nil || err != nil {
		return false, err
	}
	for name := range places {
		if _, err := os.Lstat(filepath.Join(c.tree.dir, name)); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				err = nil
			}
			return false, err
		}
	}
	return true, nil
}

// replaceFile makes b the whole of the file at path, by one rename.
func replaceFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
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
