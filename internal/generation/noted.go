package generation

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// note is what the directory of a generation says of a root that keeps it, in a file of
// the same name as the root's own: by these what was kept of a root is found again where
// both of its files are lost. When a generation was replaced they do not say, so that all
// that are found are kept from then on as if they just had been.
type note struct {
	Root   string     `json:"root"`
	Kind   Kind       `json:"kind,omitempty"`
	Digest string     `json:"digest"`         // of the entry file: no file that this lists can have it in it
	Held   []heldFile `json:"held,omitempty"` // none: the root is not held at this generation
}

// isNote reports whether a file in a generation's directory is a note, by its name.
func isNote(name string) bool {
	hash, ok := strings.CutSuffix(name, rootSuffix)
	return ok && len(hash) == 32 && strings.Trim(hash, "0123456789abcdef") == ""
}

// notePath is the note of a root, whose file is at path, in a generation's directory.
func (s *Store) notePath(path, digest string) string {
	return filepath.Join(s.path(digest), filepath.Base(path))
}

// noteOf is what the generation k is to say of the root of f.
func (f *rootFile) noteOf(k kept) ([]byte, error) {
	n := note{Root: f.Root, Kind: f.Kind, Digest: k.Digest}
	if f.heldDigest() == k.Digest {
		n.Held = f.Held
	}
	return json.Marshal(n)
}

// note has the generations that f keeps say so; those that say it already are left alone.
func (s *Store) note(path string, f *rootFile) error {
	for _, k := range f.Kept {
		b, err := f.noteOf(k)
		if err != nil {
			return err
		}
		name := s.notePath(path, k.Digest)
		if was, err := os.ReadFile(name); err == nil && bytes.Equal(was, b) {
			continue
		}
		if err := writeFile(name, b); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isNoted reports whether the generations that f keeps say so.
func (s *Store) isNoted(path string, f *rootFile) bool {
	return !slices.ContainsFunc(f.Kept, func(k kept) bool {
		if _, err := os.Stat(s.path(k.Digest)); err != nil {
			return false // it can't say anything
		}
		want, err := f.noteOf(k)
		if err != nil {
			return true
		}
		b, err := os.ReadFile(s.notePath(path, k.Digest))
		return err != nil || !bytes.Equal(b, want)
	})
}

// notedPaths adds to the files of roots those that are lost, and of which generations tell.
func (s *Store) notedPaths(paths []string) ([]string, error) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*", "*"+rootSuffix))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		path := filepath.Join(s.dir, filepath.Base(name))
		if !slices.Contains(paths, path) && s.parseNote(name) != nil {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// parseNote is the note of that name; nil where it is none, or is damaged.
func (s *Store) parseNote(name string) *note {
	if !isNote(filepath.Base(name)) {
		return nil
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil
	}
	var n note
	if json.Unmarshal(b, &n) != nil || n.Digest != filepath.Base(filepath.Dir(name)) {
		return nil
	}
	r, err := n.root()
	if err != nil || filepath.Base(s.rootPath(r)) != filepath.Base(name) {
		return nil
	}
	return &n
}

// root is the Root that n is of.
func (n *note) root() (Root, error) { return (&rootFile{Root: n.Root, Kind: n.Kind}).root() }

// noted is what generations tell of the root whose file would be at path; ok is false
// where none tells anything.
func (s *Store) noted(path string) (f rootFile, ok bool) {
	names, err := filepath.Glob(filepath.Join(s.dir, "*", filepath.Base(path)))
	if err != nil {
		return f, false
	}
	current, now := "", s.now()
	for _, name := range names {
		n := s.parseNote(name)
		if n == nil {
			continue
		}
		if f.Root == "" {
			f.Root, f.Kind = n.Root, n.Kind
			if r, err := n.root(); err == nil {
				current = s.Digest(r)
			}
		}
		if len(n.Held) > 0 {
			f.Held = n.Held
		}
		if n.Digest == current {
			f.Kept = slices.Insert(f.Kept, 0, kept{Digest: n.Digest})
		} else {
			f.Kept = append(f.Kept, kept{Digest: n.Digest, Replaced: now})
		}
	}
	return f, f.Root != ""
}
