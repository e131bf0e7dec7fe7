package generation

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rootFile is what .im/gen keeps of a root: which generations of it are whole
// and have not expired, and whether it is held. Without it the packages of older
// generations would look like what upstream has withdrawn, and a hold would end, so
// that it has a spare, which is written behind it and read in its place where that is
// damaged or gone. Where both are, the generations themselves tell: noted.go.
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

const (
	rootSuffix  = ".root"
	spareSuffix = ".spare"
)

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

// spareOf is the spare of a root's file.
func spareOf(path string) string { return strings.TrimSuffix(path, rootSuffix) + spareSuffix }

// rootPaths are the files of all roots; of some only the spare may be there, or what
// their generations tell.
func (s *Store) rootPaths() ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(s.dir, "*"+rootSuffix))
	if err != nil {
		return nil, err
	}
	spares, err := filepath.Glob(filepath.Join(s.dir, "*"+spareSuffix))
	if err != nil {
		return nil, err
	}
	for _, spare := range spares {
		paths = append(paths, strings.TrimSuffix(spare, spareSuffix)+rootSuffix)
	}
	if paths, err = s.notedPaths(paths); err != nil {
		return nil, err
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// readRoot is what is kept of a root, by its spare where need be, and by its generations
// where that is lost too; nothing where none of these is there.
func (s *Store) readRoot(path string) (rootFile, error) {
	f, err := parseRoot(path)
	if err == nil {
		return f, nil
	}
	f, serr := parseRoot(spareOf(path))
	if serr == nil {
		return f, nil
	}
	if f, ok := s.noted(path); ok {
		return f, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = serr
	}
	if errors.Is(err, fs.ErrNotExist) {
		return rootFile{}, nil
	}
	return rootFile{}, err
}

// parseRoot is what one of the two files says.
func parseRoot(path string) (f rootFile, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	if f.Root == "" {
		return f, fmt.Errorf("%s: it names no root", path)
	}
	return f, nil
}

// inStep reports whether a root's file, its spare and its generations all say what f
// does: a program that is killed leaves some of them older, and damage leaves whatever it
// does.
func (s *Store) inStep(path string, f *rootFile) bool {
	want, err := json.Marshal(f)
	if err != nil {
		return false
	}
	for _, name := range []string{path, spareOf(path)} {
		if b, err := os.ReadFile(name); err != nil || !bytes.Equal(b, want) {
			return false
		}
	}
	return s.isNoted(path, f)
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
	f, err := s.readRoot(path)
	if err != nil {
		// Nothing can be known of what it kept, from the spare and them neither: those generations are dropped.
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
	if err := writeFile(path, b); err != nil {
		return err
	}
	if err := writeFile(spareOf(path), b); err != nil {
		return err
	}
	return s.note(path, &f)
}
