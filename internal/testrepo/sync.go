package testrepo

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Order is in which order a mirror's job brings over what its source has.
type Order int

// The orders that mirrors have. In all but the last packages come before the metadata
// that lists them.
const (
	// Careful: packages, metadata, the entry file (repomd.xml, InRelease), and then what is no longer there goes.
	Careful Order = iota
	// Hasty: what is no longer there goes first; the entry file comes before the metadata
	// that it lists.
	Hasty
	// Shuffled: metadata comes in any order, and the old goes in between.
	Shuffled
	// MetadataFirst: metadata, the entry file, then the packages, and what is no longer
	// there goes at the end.
	MetadataFirst
)

// String names the order.
func (o Order) String() string {
	return [...]string{"careful", "hasty", "shuffled", "metadata first"}[o]
}

// Step is one change that a mirror's job makes: a file that comes, whole, by a
// rename, or one that goes.
type Step struct {
	Path string // below the mirror's directory, with slashes
	Gone bool
	do   func() error
}

// Do makes the change.
func (s Step) Do() error {
	if err := s.do(); err != nil {
		return fmt.Errorf("%s: %w", s.Path, err)
	}
	return nil
}

// Sync is the steps, in that order, that make the repository in dir what source is
// now; the seed draws where the order leaves something open. Nothing is done yet.
// What they read of source has to stay until they are done.
func Sync(dir, source string, o Order, seed uint64) ([]Step, error) {
	next, err := filesIn(source)
	if err != nil {
		return nil, err
	}
	now, err := filesIn(dir)
	if err != nil {
		return nil, err
	}
	var packages, metadata, entry, gone []Step
	for name := range next {
		s := Step{Path: name, do: func() error { return bringOver(dir, source, name) }}
		switch {
		case name == "repodata/repomd.xml", strings.HasPrefix(path.Base(name), "InRelease"), strings.HasPrefix(path.Base(name), "Release"):
			entry = append(entry, s)
		case strings.HasPrefix(name, "repodata/"), strings.HasPrefix(name, "dists/"):
			metadata = append(metadata, s)
		default:
			packages = append(packages, s)
		}
	}
	for name := range now {
		if !next[name] {
			gone = append(gone, Step{name, true, func() error { return os.Remove(filepath.Join(dir, filepath.FromSlash(name))) }})
		}
	}
	draw := rand.New(rand.NewPCG(seed, uint64(o)))
	for _, list := range [][]Step{packages, metadata, gone, entry} {
		slices.SortFunc(list, func(a, b Step) int { return strings.Compare(a.Path, b.Path) })
		draw.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	switch o {
	case Hasty:
		return slices.Concat(gone, packages, entry, metadata), nil
	case Shuffled:
		rest := slices.Concat(entry, metadata, gone)
		draw.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		return slices.Concat(packages, rest), nil
	case MetadataFirst:
		return slices.Concat(metadata, entry, packages, gone), nil
	}
	return slices.Concat(packages, metadata, entry, gone), nil
}

// bringOver gives dir the file that source has, with its time.
func bringOver(dir, source, name string) error {
	from := filepath.Join(source, filepath.FromSlash(name))
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	fi, err := os.Stat(from)
	if err != nil {
		return err
	}
	return putFile(filepath.Join(dir, filepath.FromSlash(name)), b, fi.ModTime())
}

// filesIn is the files below dir, which need not be there.
func filesIn(dir string) (map[string]bool, error) {
	names := map[string]bool{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if os.IsNotExist(err) && name == dir {
			return nil
		}
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		names[filepath.ToSlash(rel)] = true
		return err
	})
	return names, err
}
