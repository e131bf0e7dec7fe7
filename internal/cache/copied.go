package cache

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Own is the directory of that name for what belongs to the cache itself and is no
// stored file. It need not be there yet.
func (c *Cache) Own(name string) string { return filepath.Join(c.tree.dir, ownDir, name) }

// Sum is what is known of the file at name, below the cache directory, with the
// SHA-256 of its bytes: of a file that somebody else put there it is computed, and
// kept. It ends with ctx. The error wraps fs.ErrNotExist where no file is there.
func (c *Cache) Sum(ctx context.Context, name string) (Facts, error) {
	st, err := c.tree.openAt(name)
	if err != nil {
		return Facts{}, err
	}
	defer st.file.Close()
	if st.facts.SHA256 != "" {
		return st.facts, nil
	}
	h := Digest("sha256:").New()
	if err = readPaced(ctx, st.file, h, noPause); err != nil {
		return Facts{}, fmt.Errorf("read %s: %w", name, err)
	}
	f := st.facts
	f.SHA256 = SHA256(h.Sum(nil))
	fi, err := st.file.Stat()
	if err != nil {
		return Facts{}, err
	}
	if fi.Size() != f.Size || !fi.ModTime().Equal(f.ModTime) {
		return Facts{}, fmt.Errorf("%s changes while it is read: %w", name, fs.ErrNotExist)
	}
	if err := st.setFacts(f); err != nil {
		// Where it can't be kept it is computed again.
		c.o.Log.Debug("a digest can't be kept", "file", name, "error", err)
	}
	return f, nil
}

// Open opens the file at name, below the cache directory, with what is known of it:
// the caller closes it, and while it is open it is not evicted. The error wraps
// fs.ErrNotExist where no file is there.
func (c *Cache) Open(name string) (*os.File, Facts, error) {
	st, err := c.tree.openAt(name)
	if err != nil {
		return nil, Facts{}, err
	}
	return st.file, st.facts, nil
}

// Known is what is known of the stored file k, however old it is. The error wraps
// fs.ErrNotExist where none is stored.
func (c *Cache) Known(k Key) (Facts, error) {
	st, err := c.tree.open(k)
	if err != nil {
		return Facts{}, err
	}
	st.file.Close()
	return st.facts, nil
}

// Discard deletes the stored file k, which another cache that this one copies does
// not have any more, if it still has the digest that it had there. It reports false
// where it has another, or is not stored; the error is ErrInUse where somebody has
// it open or is downloading it.
func (c *Cache) Discard(k Key, d Digest) (freed int64, ok bool, err error) {
	held := false
	_, err = c.holding(k, func(st *stored) (bool, error) {
		held = true
		if !st.facts.Keeps(d) {
			return false, nil
		}
		if !c.free(k, st) {
			return false, ErrInUse
		}
		freed, err = c.remove(k, st)
		ok = err == nil
		return ok, err
	})
	if err == nil && !held && c.Has(k) {
		err = ErrInUse
	}
	return freed, ok, err
}

// HeadField is the header field in which a server has the Head of a stored file, as
// JSON, for a cache that copies it.
const HeadField = "Im-Stored"

// Head is what another cache has to know of the file that it copies: the validators,
// with who gave them, and the times.
func (f *Facts) Head() Head {
	return Head{
		Length: f.Size, URL: f.URL, ETag: f.ETag, LastModified: f.LastModified,
		ModTime: f.ModTime, Validated: f.Validated,
	}
}
