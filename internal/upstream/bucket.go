package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"intelligentmirror/internal/cache"
)

// Bucket is an object store that caches of the site share. It is safe for concurrent
// use.
type Bucket interface {
	// Copy opens what is there of the file k from byte off on; the caller closes its
	// Body, and ctx ends what goes on. The error wraps fs.ErrNotExist where there is no
	// such file, or none as long as that.
	Copy(ctx context.Context, k cache.Key, off int64) (*Copy, error)
	// Damaged says that what came of the file k was not what it should be: whoever
	// stores the file next replaces it.
	Damaged(k cache.Key)
	// Awake reports whether it answers.
	Awake(ctx context.Context) bool
	// URL is the address of a repository in it, for people and for whose server it is.
	URL(repo string) string
}

// bucket is b as a neighbour of the repository.
func (m *Mirrors) bucket(b Bucket) *neighbour {
	return &neighbour{
		mirror: m.c.mirror(b.URL(m.repo.Name), ""), called: "the bucket",
		damaged: b.Damaged,
		awake:   func(ctx context.Context, _ string) bool { return b.Awake(ctx) },
		copy: func(ctx context.Context, r cache.Request, off int64) (*Copy, error) {
			// Also how long its body may stand still.
			ctx, cancel := context.WithCancelCause(ctx)
			has, err := b.Copy(ctx, r.Key, off)
			if errors.Is(err, fs.ErrNotExist) {
				err = fmt.Errorf("%w: %w", errNotStored, err)
			}
			if err != nil {
				cancel(nil)
				return nil, err
			}
			has.Body = watch(ctx, cancel, has.Body, m.c.o.Idle)
			if err := fitting(has, r); err != nil {
				has.Body.Close()
				return nil, err
			}
			return has, nil
		},
		head: func(has *Copy) cache.Head {
			h := cache.Head{Length: has.Size, URL: has.URL, LastModified: has.LastModified, Bucket: true}
			if has.SHA256 != "" && has.Size >= 0 {
				h.Stated = cache.Want{Digest: has.SHA256, Size: has.Size}
			}
			return h
		},
	}
}
