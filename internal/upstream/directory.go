package upstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"intelligentmirror/internal/cache"
)

// Directory is a tree of files on this machine as a source: what lies in it is
// a repo's from its top on. No symbolic link leads out of it.
func Directory(root *os.Root) cache.LocalSource { return directory{root} }

type directory struct{ root *os.Root }

// Local implements cache.LocalSource.
func (directory) Local() {}

// Fetch implements cache.Source. The files are copied: the tree's owner may go on
// to write to them.
func (d directory) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	f, err := d.root.Open(filepath.FromSlash(r.Key.Path))
	if err != nil {
		return err
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if r.Stored != nil && r.Stored.SHA256 != "" {
		h := r.Stored.SHA256.New()
		if _, err := io.Copy(h, f); err != nil {
			return err
		}
		if cache.SHA256(h.Sum(nil)) == r.Stored.SHA256 {
			return cache.ErrNotModified
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
	}
	at := url.URL{Scheme: "file", Path: filepath.Join(d.root.Name(), r.Key.Path)}
	err = p.Begin(cache.Head{Length: fi.Size(), URL: at.String(), LastModified: fi.ModTime().UTC().Format(http.TimeFormat)})
	if err != nil {
		return err
	}
	if _, err := io.Copy(p, whileLive{ctx, f}); err != nil {
		return fmt.Errorf("copy %s: %w", r.Key.Path, err)
	}
	return p.Complete()
}

// whileLive is a reader that ends with a context.
type whileLive struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (l whileLive) Read(b []byte) (int, error) {
	if err := l.ctx.Err(); err != nil {
		return 0, err
	}
	return l.r.Read(b)
}
