package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

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
	if _, err := r.Key("repodata/repomd.xml"); err != nil {
		return r, err
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
		if f, err := readRoot(s.rootPath(r)); stored || err == nil && f.Root != "" {
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

// rootFile is what .im/gen keeps of a root: which generations of it are whole
// and have not expired.
type rootFile struct {
	Root string     `json:"root"`
	Kind Kind       `json:"kind,omitempty"`
	Kept []kept     `json:"kept"`
	Held []heldFile `json:"held,omitempty"` // none: it is not held
}

// kept is one of them.
type kept struct {
	Digest string `json:"digest"` // of its entry file, hexadecimal
	// Replaced is when another became current; zero for the one that was the
	// last to be flipped to.
	Replaced time.Time `json:"replaced,omitzero"`
}

const rootSuffix = ".root"

// root is the Root that f is of.
func (f *rootFile) root() (Root, error) {
	r, err := ParseRoot(f.Root)
	if r.Kind = f.Kind; err == nil && !r.Kind.known() {
		err = fmt.Errorf("%s is of a kind that is not known: %q", f.Root, f.Kind)
	}
	return r, err
}

// rootPath is the file that keeps r.
func (s *Store) rootPath(r Root) string {
	name := r.String()
	if r.Kind != RPM {
		name = string(r.Kind) + ":" + name // one directory may be both
	}
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:16])+rootSuffix)
}

// readRoot is what is kept of a root; nothing where the file is not there.
func readRoot(path string) (rootFile, error) {
	var f rootFile
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// lockRoot calls f while no other program or goroutine changes r.
func (s *Store) lockRoot(r Root, f func() error) error {
	lock, err := os.OpenFile(strings.TrimSuffix(s.rootPath(r), rootSuffix)+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	for {
		// It is held for some renames only.
		if err = unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	return f()
}

// changeRoot changes what is kept of r, under its lock.
func (s *Store) changeRoot(r Root, change func(*rootFile) error) error {
	return s.lockRoot(r, func() error { return s.rewriteRoot(r, change) })
}

// rewriteRoot is changeRoot for who has the lock.
func (s *Store) rewriteRoot(r Root, change func(*rootFile) error) error {
	path := s.rootPath(r)
	f, err := readRoot(path)
	if err != nil {
		// Nothing can be known of what it kept: those generations are dropped.
		s.log.Warn("a root's generations are forgotten", "root", r.String(), "error", err)
		f = rootFile{}
	}
	f.Root, f.Kind = r.String(), r.Kind
	if err := change(&f); err != nil {
		return err
	}
	b, err := json.Marshal(f)
	if err != nil {
		return err
	}
	return writeFile(path, b)
}

// writeFile replaces path by one rename, on disk when it returns.
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
	if err := os.Rename(tmp.Name(), path); err != nil {
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
