package generation

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"intelligentmirror/internal/cache"
)

// readName is the file of a generation whose catalog grows: the names, a line each,
// of the files that the catalog was made of. It is written behind the catalog.
const readName = "read"

// noteRead remembers of which files g's catalog was made.
func (s *Store) noteRead(g *Generation) error {
	if !g.Root.layout().grows() {
		return nil
	}
	var b strings.Builder
	for _, f := range g.files {
		b.WriteString(f.name + "\n")
	}
	return writeFile(filepath.Join(g.dir, readName), []byte(b.String()))
}

// read is which files g's catalog was made of, by their names.
func (g *Generation) read() map[string]bool {
	names := map[string]bool{}
	b, err := os.ReadFile(filepath.Join(g.dir, readName))
	if err != nil {
		return names // whatever it was made of is read again
	}
	for name := range strings.Lines(string(b)) {
		names[strings.TrimSuffix(name, "\n")] = true
	}
	return names
}

// unread are the files of g that clients have asked for since its catalog was made.
func (s *Store) unread(g *Generation) (files []file) {
	if !g.Root.layout().grows() {
		return nil
	}
	read, wanted := g.read(), s.wanted(g)
	for _, f := range g.list.files {
		if !read[f.name] && wanted(f) {
			files = append(files, f)
		}
	}
	return files
}

// grow reads into the catalog of r's current generation what the tree has of it by
// now, and asks nobody for the rest. Of a generation that is not whole yet, whoever
// brings that together reads it all.
func (s *Store) grow(c *cache.Cache, r Root) error {
	if !r.layout().grows() {
		return nil
	}
	digest, err := s.inTree(r)
	if err != nil || digest == "" {
		return err
	}
	if _, err := os.Stat(filepath.Join(s.path(digest), catalogName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if s.unreadable.why(digest) != nil {
		return nil // that costs as much as the first time, and is known
	}
	g, err := s.begun(r, digest)
	if err != nil {
		return err
	}
	g.was = digest
	// Who wrote the catalog that is on disk may not have come to its flip yet.
	more := !s.knows(g)
	for _, f := range s.unread(g) {
		here, err := s.take(c, g, f)
		if err != nil {
			return err
		}
		more = more || here
	}
	if !more {
		return nil
	}
	if err := s.catalogue(g); err != nil {
		return err
	}
	return s.Flip(g)
}

// knows reports whether what is looked up is looked up in the catalog that g has on disk.
func (s *Store) knows(g *Generation) bool {
	r := s.roots.Load().all[g.Root]
	return r != nil && r.kept[g.Digest] != nil && r.kept[g.Digest].isOf(g.dir)
}
