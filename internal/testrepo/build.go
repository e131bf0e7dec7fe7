package testrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// Compression is how the files of repodata are packed. It is also the suffix
// of their names.
type Compression string

// The compressions that repositories use today.
const (
	Gzip  Compression = "gz"
	XZ    Compression = "xz"
	Zstd  Compression = "zst"
	Plain Compression = "plain" // no suffix
)

// BuildOptions say how Build makes a repository. The zero value is good.
type BuildOptions struct {
	Seed        uint64      // of the payloads
	Compression Compression // "" is Gzip
	// SimpleNames calls the metadata "primary.xml.gz", as old repositories do,
	// in place of "<sha256>-primary.xml.gz".
	SimpleNames bool
	// KeepOld leaves what the new metadata no longer lists, packages and metadata,
	// as a mirror does that has not come round to deleting it.
	KeepOld bool
	// Time is repomd.xml's revision, and the modification time of the metadata.
	// Zero is the newest build time of the packages.
	Time time.Time
	// Sign is what signs a package: it makes an OpenPGP signature of the bytes
	// that it is given, and is called for the header, and for header and payload.
	// Where it is nil, or returns nil, nobody signs.
	Sign func(Spec) func([]byte) ([]byte, error)
	// Extra is further metadata: updateinfo, comps, modules.
	Extra []Metadata
}

// Metadata is a file of repodata as its author wrote it.
type Metadata struct {
	Type string // as repomd.xml names it: "updateinfo", "group", "modules"
	Name string // without a digest and a suffix: "updateinfo.xml", "comps.xml", "modules.yaml"
	Text string
}

// Build makes dir a repository of exactly these packages: real RPMs below
// dir/Packages/<first letter>/, and dir/repodata with repomd.xml, primary,
// filelists and other. Where dir holds a repository already, files that stay
// the same are not touched, packages come before the metadata that lists them,
// repomd.xml is replaced last, by a rename, and then what is no longer listed
// goes (but see KeepOld). A package that stands in the list twice is one. Two
// Builds of one directory must not overlap.
func Build(dir string, specs []Spec, o BuildOptions) error {
	specs, err := distinct(specs)
	if err != nil {
		return err
	}
	pkgs := make([]*pkg, len(specs))
	var g errgroup.Group
	// A package is held in memory as a whole, a few times over.
	g.SetLimit(min(runtime.GOMAXPROCS(0), 4))
	for i, s := range specs {
		g.Go(func() error {
			p, raw, err := buildRPM(s, o)
			if err != nil {
				return fmt.Errorf("build %s: %w", s.NEVRA(), err)
			}
			pkgs[i] = p
			return putFile(filepath.Join(dir, filepath.FromSlash(s.Location())), raw, s.buildTime())
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	slices.SortFunc(pkgs, func(a, b *pkg) int { return strings.Compare(a.Location(), b.Location()) })
	kept, err := writeRepodata(dir, pkgs, o)
	if err != nil || o.KeepOld {
		return err
	}
	for _, p := range pkgs {
		kept[p.Location()] = true
	}
	return sweep(dir, kept)
}

// distinct checks the packages, and leaves each in the list once.
func distinct(specs []Spec) ([]Spec, error) {
	var out []Spec
	seen := make(map[string]Spec, len(specs))
	for _, s := range specs {
		if err := s.check(); err != nil {
			return nil, fmt.Errorf("package %q: %w", s.Name, err)
		}
		was, ok := seen[s.Location()]
		if ok && !reflect.DeepEqual(was, s) {
			return nil, fmt.Errorf("package %s: twice in the list, in two ways", s.NEVRA())
		}
		if !ok {
			seen[s.Location()] = s
			out = append(out, s)
		}
	}
	return out, nil
}

// putFile replaces the file name by one of these bytes and this modification
// time, by a rename. A file that is so already stays as it is.
func putFile(name string, data []byte, mtime time.Time) error {
	if old, err := os.Stat(name); err == nil && old.Size() == int64(len(data)) && old.ModTime().Equal(mtime) {
		if was, err := os.ReadFile(name); err == nil && bytes.Equal(was, data) {
			return nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".testrepo-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close(), os.Chtimes(tmp.Name(), mtime, mtime))
	if err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}

// sweep removes the files below dir's Packages and repodata that are not kept,
// and the directories that are empty then.
func sweep(dir string, kept map[string]bool) error {
	for _, top := range []string{"Packages", "repodata"} {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(dir, top), func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil {
				return err
			}
			if e.IsDir() {
				dirs = append(dirs, name)
				return nil
			}
			rel, err := filepath.Rel(dir, name)
			if err != nil || kept[filepath.ToSlash(rel)] {
				return err
			}
			return os.Remove(name)
		})
		if err != nil {
			return err
		}
		for _, d := range slices.Backward(dirs) {
			// A directory that is not empty stays: that is the only error here.
			_ = os.Remove(d)
		}
	}
	return nil
}
