package generation

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// The names of a suite's entry file, and of what signs the second.
const (
	inRelease        = "InRelease"
	release          = "Release"
	releaseSignature = "Release.gpg"
)

// debian is the layout of a suite of a Debian archive, dists/<suite>, and of a flat
// repository, which has its packages below its Release.
//
// A suite's catalog has its metadata below the suite, behind "./", and its packages
// below the archive: two names of one suite, "stable" and "bookworm", have one
// InRelease and so one generation.
type debian struct{}

func (debian) entries() []string { return []string{inRelease, release} }

// siblings implements layout: beside an InRelease few clients ask for the other two.
func (debian) siblings(entry string) ([]string, bool) {
	if entry == release {
		return []string{releaseSignature}, true
	}
	return []string{release, releaseSignature}, false
}

func (debian) signature(entry string) string {
	if entry == release {
		return releaseSignature
	}
	return ""
}

// parse implements layout. Each file is there by its plain name and, where the
// archive has them so, by its digests; upstream the first of these is the surest,
// since no other file can have it.
func (debian) parse(body []byte) (*listing, error) {
	r, err := repodata.ParseRelease(body)
	if err != nil {
		return nil, err
	}
	l := &listing{release: r, made: r.Date, until: r.ValidUntil}
	for _, x := range r.Files {
		w, err := want(x.Checksum(), x.Size)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", x.Path, err) // ParseRelease has seen that it is one
		}
		f := file{name: w.Digest.Hex(), want: w, at: []string{x.Path}, from: []string{x.Path}}
		if r.ByHash {
			for _, sum := range [...]repodata.Checksum{x.SHA256, x.SHA512} {
				if sum != (repodata.Checksum{}) {
					f.at = append(f.at, byHash(x.Path, sum))
				}
			}
			f.from = []string{f.at[1], x.Path}
		}
		l.files = append(l.files, f)
	}
	return l, nil
}

// byHash is the name by its digest of a file that is called name.
func byHash(name string, sum repodata.Checksum) string {
	return path.Join(path.Dir(name), "by-hash", strings.ToUpper(sum.Type), sum.Hex)
}

// isByHash reports whether p is a name that other bytes can't have.
func isByHash(p string) bool {
	return path.Base(path.Dir(path.Dir(p))) == "by-hash"
}

// isOfComponent reports whether the Release in dir is one of those that a suite
// lists, of a component and an architecture, and no suite's own.
func isOfComponent(dir string) bool {
	base := path.Base(dir)
	return strings.Contains("/"+dir+"/", "/dists/") && (base == "source" || strings.HasPrefix(base, "binary-"))
}

// wanted implements layout: a file is wanted that the tree has by its plain name or
// by one of those that the InRelease there gives it.
func (debian) wanted(s *Store, r Root, l *listing) func(file) bool {
	tree := dirs{tree: s.tree, read: map[string]map[string]bool{}}
	asked := map[string]bool{}
	k, _ := s.entry(r)
	if was, err := s.inUse(k); err == nil && was != nil {
		for _, f := range was.files {
			for _, name := range f.at {
				asked[f.at[0]] = asked[f.at[0]] || tree.has(r.key(name))
			}
		}
	}
	return func(f file) bool { return asked[f.at[0]] || tree.has(r.key(f.at[0])) }
}

// dirs are the names in directories of the tree, each read once: a suite lists
// thousands of files, of which few are there.
type dirs struct {
	tree tree
	read map[string]map[string]bool
}

func (d dirs) has(k cache.Key) bool {
	dir, base := path.Split(k.String())
	dir = path.Clean(dir)
	names, ok := d.read[dir]
	if !ok {
		names = map[string]bool{}
		for _, name := range d.tree.names(dir) {
			names[name] = true
		}
		d.read[dir] = names
	}
	return names[base]
}

// packages implements layout: each Packages that is there lists some, in one of its
// compressions. One that can't be read costs its packages their promise, no more:
// its bytes are those that the InRelease lists. But one that no archive makes, a bomb or
// one whose packages lie elsewhere, is the error.
func (debian) packages(s *Store, g *Generation, fn func(string, cache.Want)) (all repodata.Stats, err error) {
	done := map[string]bool{}
	for _, f := range g.files {
		name, _, _ := strings.Cut(path.Base(f.at[0]), ".")
		list := path.Join(path.Dir(f.at[0]), name)
		if name != "Packages" || done[list] {
			continue
		}
		stats, err := s.scanPackages(filepath.Join(g.dir, f.name), fn)
		if errors.Is(err, repodata.ErrTooLarge) || errors.Is(err, repodata.ErrWindow) || errors.Is(err, repodata.ErrLocation) {
			return all, fmt.Errorf("%s: %w", f.at[0], err)
		}
		if err != nil {
			s.log.Warn("an index can't be read: its packages are not verified by it", "root", g.Root.String(), "index", f.at[0], "error", err)
			continue
		}
		done[list] = true
		all.Add(stats)
	}
	return all, nil
}

func (s *Store) scanPackages(name string, fn func(string, cache.Want)) (stats repodata.Stats, err error) {
	file, err := os.Open(name)
	if err != nil {
		return stats, err
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return stats, err
	}
	var r io.ReadCloser
	if r, err = repodata.Decompress(file, mostUnpacked(fi.Size())); err != nil {
		return stats, err
	}
	defer r.Close()
	stats, err = repodata.ScanPackages(r, func(p *repodata.DebPackage) error {
		if w, err := want(p.Checksum, p.Size); err == nil {
			fn(p.Filename, w)
		}
		return nil
	})
	if err == nil {
		err = stats.Strays()
	}
	return stats, err
}

func (debian) line(name string) string { return "./" + name }

func (debian) lines(r Root, path string) (lines []string) {
	if rest, ok := below(r.Path, path); ok {
		lines = append(lines, "./"+rest)
	}
	if rest, ok := below(r.top(), path); ok {
		lines = append(lines, rest)
	}
	return lines
}

func (debian) own(_ string, w cache.Want) string { return w.Digest.Hex() }

func (debian) grows() bool { return true }
