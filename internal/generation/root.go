package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"intelligentmirror/internal/cache"
)

// Root is a repository of packages within a repo: the directory above
// repodata/repomd.xml, or that of a Debian suite's InRelease.
type Root struct {
	Repo string // "fedora"
	Path string // "updates/41/Everything/x86_64", "dists/bookworm"; "" for the repo itself
	Kind Kind
}

// ParseRoot makes a Root of RPM packages of its name,
// "fedora/updates/41/Everything/x86_64". See Store.Named for those of all kinds.
func ParseRoot(name string) (Root, error) {
	repo, path, _ := strings.Cut(strings.Trim(name, "/"), "/")
	r := Root{Repo: repo, Path: path}
	if repo == "" {
		return r, errors.New("a root begins with a repo's name: \"fedora/updates/41/Everything/x86_64\"")
	}
	if repo == "-" || strings.HasPrefix(repo, ".") {
		return r, fmt.Errorf("%q is no repo's name: it is the server's own", repo)
	}
	if _, err := r.Key("repodata/repomd.xml"); err != nil {
		return r, err
	}
	// What is cleaned elsewhere would lead into another repo, or to what is our own.
	dir := cache.Key{Repo: repo, Path: path}
	if clean, err := cache.NewKey(repo, dir.EscapedPath()); path != "" && (err != nil || clean != dir) {
		return r, fmt.Errorf("%q is no directory as it is written: expected one without empty parts, %q and %q", name, ".", "..")
	}
	return r, nil
}

// Named are the roots that the tree has under a name, or of which it keeps something:
// one but for a directory that is a repository of RPM packages and a suite. Where
// there is none, it is the one that the name looks like.
func (s *Store) Named(name string) ([]Root, error) {
	r, err := ParseRoot(name)
	if err != nil {
		return nil, err
	}
	var there []Root
	for _, r.Kind = range []Kind{RPM, Debian} {
		_, stored := s.entry(r)
		if f, err := s.readRoot(s.rootPath(r)); stored || err == nil && f.Root != "" {
			there = append(there, r)
		}
	}
	if r.Kind = RPM; strings.Contains("/"+r.Path, "/dists/") {
		r.Kind = Debian
	}
	if len(there) == 0 {
		there = append(there, r)
	}
	return there, nil
}

// Suites are the suites and flat repositories of which generations are kept, sorted.
func (s *Store) Suites() (suites []Root) {
	for _, r := range s.roots.Load().sorted {
		if r.Kind == Debian && len(r.kept) > 0 {
			suites = append(suites, r.Root)
		}
	}
	return suites
}

// Archive is the name of the directory below which r's packages are: its own but for
// a suite's.
func (r Root) Archive() string { return Root{Repo: r.Repo, Path: r.top()}.String() }

func (r Root) String() string { return strings.TrimSuffix(r.Repo+"/"+r.Path, "/") }

// Key is the key of a file by its location, as the root's metadata gives it.
func (r Root) Key(location string) (cache.Key, error) {
	return cache.NewKey(r.Repo, join(r.Path, location))
}

// key is the key of a file whose name below the root is known to be one, decoded.
func (r Root) key(name string) cache.Key { return cache.Key{Repo: r.Repo, Path: join(r.Path, name)} }

// top is the path at which the packages' locations begin: the root's own or, of a
// suite, that of the directory above dists/.
func (r Root) top() string {
	if r.Kind == Debian {
		if i := strings.LastIndex("/"+r.Path, "/dists/"); i >= 0 {
			return r.Path[:max(i-1, 0)]
		}
	}
	return r.Path
}

// join is name below dir, which may be "".
func join(dir, name string) string { return strings.TrimPrefix(dir+"/"+name, "/") }

// below is the rest of path below dir, which may be "".
func below(dir, path string) (string, bool) {
	if dir == "" {
		return path, true
	}
	return strings.CutPrefix(path, dir+"/")
}

// writeFile replaces path by one rename, on disk when it returns. A directory of that
// name, which somebody has made, goes.
func writeFile(path string, b []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // what the rename has left nothing of
	if _, err := tmp.Write(b); err != nil {
		tmp.Close()
		return err
	}
	if err := errors.Join(tmp.Chmod(0o644), tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	err = os.Rename(tmp.Name(), path)
	if errors.Is(err, fs.ErrExist) {
		if err = os.RemoveAll(path); err == nil {
			err = os.Rename(tmp.Name(), path)
		}
	}
	if err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
