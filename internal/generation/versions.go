package generation

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Version is an entry file of a generation that is kept.
type Version struct {
	Digest   string    // SHA-256, hexadecimal
	Size     int64     // bytes
	Modified time.Time // as upstream had it
}

// Versions are the entry files of the whole generations of r that are kept, the
// last that became current first: what clients of r may still begin with.
func (s *Store) Versions(r Root) ([]Version, error) {
	f, err := s.readRoot(s.rootPath(r))
	if err != nil {
		return nil, err
	}
	var all []Version
	for _, k := range s.still(r, f.Kept) {
		v := Version{Digest: k.Digest}
		for _, name := range r.layout().entries() {
			fi, err := os.Stat(filepath.Join(s.path(k.Digest), filepath.Base(name)))
			if errors.Is(err, fs.ErrNotExist) {
				continue // of the other name, or its time is over by now
			}
			if err != nil {
				return nil, err
			}
			v.Size, v.Modified = fi.Size(), fi.ModTime()
			all = append(all, v)
			break
		}
	}
	return all, nil
}

// Versions is Store.Versions of the store that f refreshes.
func (f *Refresher) Versions(r Root) ([]Version, error) { return f.o.Store.Versions(r) }
