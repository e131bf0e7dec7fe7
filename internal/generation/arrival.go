package generation

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/cache"
)

// How the packages that are new in metadata are asked for before that becomes
// current: so many at a time, and for no longer, since a client waits. What is not
// known by then holds nothing up.
const (
	sampledAtOnce = 4
	sampledWithin = 6 * time.Second
)

// missingFor is how long metadata is kept back because packages that are new in it
// are on no mirror: the jobs of mirrors take minutes to an hour, and a mirror that is
// broken for good must not keep security updates away.
const missingFor = time.Hour

// missingName is the file of a generation that says since when some of its packages
// are missing: one time, as RFC 3339 has it.
const missingName = "missing"

// errMissing says that a mirror has metadata, and not yet the packages of it.
var errMissing = cache.MissingPackages.Of(errors.New("packages that are new in it are not there yet"))

// offerer is a cache.Source that knows whether a client who asks for a file of size
// bytes would get it. The error wraps fs.ErrNotExist where not; any other is that
// nobody knows.
type offerer interface {
	Offers(ctx context.Context, k cache.Key, size int64) error
}

// arrived asks the mirrors for a sample of the packages that are new in g, which is
// whole, where clients have metadata to keep meanwhile. The error says that some are
// missing everywhere, and that it is not for too long yet.
func (s *Store) arrived(ctx context.Context, g *Generation, from cache.Source) error {
	mirrors, ok := from.(offerer)
	if !ok || g.was == "" || g.was == g.Digest {
		return nil
	}
	before, err := readCatalog(s.path(g.was))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // what clients have is not whole, and nobody knows what would be new
	}
	if err != nil {
		return err
	}
	now, err := readCatalog(g.dir)
	if err != nil {
		return err
	}
	asked, cancel := context.WithTimeout(ctx, sampledWithin)
	defer cancel()
	group, asked := errgroup.WithContext(asked)
	group.SetLimit(sampledAtOnce)
	for _, it := range newcomers(before, now, s.sizeBelow(g.Root)) {
		group.Go(func() error {
			k := cache.Key{Repo: g.Root.Repo, Path: join(g.Root.top(), it.path)}
			if err := mirrors.Offers(asked, k, it.want.Size); errors.Is(err, fs.ErrNotExist) {
				return err
			}
			return nil
		})
	}
	err = group.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.missing(g, err)
}

// missing is what it comes to that packages of g are missing because of why, nil
// where none is.
func (s *Store) missing(g *Generation, why error) error {
	name := filepath.Join(g.dir, missingName)
	if why == nil {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	now := s.now()
	b, err := os.ReadFile(name)
	since := now
	if err == nil {
		since, err = time.Parse(time.RFC3339, string(b))
	}
	// What can't be read, or is in the future of a clock that was set back, begins anew.
	if err != nil || since.After(now) {
		since = now
		if err := writeFile(name, []byte(utc(since))); err != nil {
			return err
		}
	}
	if now.Sub(since) >= missingFor {
		// It stays noted: metadata that comes back is not kept back twice.
		s.log.Warn("metadata becomes current with packages that no mirror has", "root", g.Root.String(), "generation", g.Digest[:12],
			"since", utc(since), "error", why)
		return nil
	}
	return fmt.Errorf("%s: %w; it is kept back until they are, or %s: %w", g.Root, errMissing, utc(since.Add(missingFor)), why)
}

// sizeBelow is how large the stored file at a catalog's path of a package is, ok
// where there is one.
func (s *Store) sizeBelow(r Root) func(p string) (size int64, ok bool) {
	return func(p string) (int64, bool) {
		fi, err := s.tree.stat(cache.Key{Repo: r.Repo, Path: join(r.top(), p)})
		if err != nil {
			return 0, false
		}
		return fi.Size(), true
	}
}
