package sync

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
)

// rootsAtOnce is how many roots are asked for their metadata at the same time.
const rootsAtOnce = 4

// stage brings together the metadata of these roots, and reports whether that of
// any is another than before. A root that fails is left out of this run.
func (r *run) stage(ctx context.Context, roots []*RootReport) (changed bool, err error) {
	all := make([]generation.Staged, len(roots))
	var g errgroup.Group
	g.SetLimit(rootsAtOnce)
	for i, root := range roots {
		if root.out {
			continue
		}
		g.Go(func() error {
			s, err := r.site.Generations.Stage(ctx, r.site.Cache, root.root, r.site.Mirrors(root.root.Repo).Grab())
			r.report.metadata(root, s)
			if err != nil && ctx.Err() != nil {
				return nil // not a failure: it goes on the next time
			}
			root.Untried = false
			if before, ok := r.staged[root.Root]; ok && err != nil {
				// What was planned with an hour ago is still good.
				r.log.Info("whether the metadata has changed meanwhile is not known", "root", root.Root, "error", err)
				all[i] = before
				return nil
			}
			if err != nil {
				root.out = true
				r.report.fail(root.Root, root.entry, err)
				return nil
			}
			all[i] = s
			return nil
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return false, err
	}
	for i, s := range all {
		name := roots[i].Root
		if s.Generation == nil {
			delete(r.staged, name)
			continue
		}
		before := r.staged[name]
		changed = changed || before.Generation == nil || before.Digest != s.Digest
		r.staged[name] = s
	}
	return changed, nil
}

// storing is how many files there are for each that is downloaded, at the most: the
// others have come and wait for the disk, which sync.parallel says nothing of.
const storing = 2

// download fetches the items, some at a time, and reports whether any byte came.
func (r *run) download(ctx context.Context, items []Item) bool {
	var total int64
	for _, it := range items {
		total += it.Size
	}
	r.progress.Begin(len(items), total)
	r.reached.begin(len(items), total)
	defer r.progress.End()

	queue := make(chan Item)
	var workers sync.WaitGroup
	var mu sync.Mutex
	fetched := false
	parallel := min(r.site.Config.Sync.Parallel, len(items))
	slots := make(chan struct{}, parallel)
	for range storing * parallel {
		workers.Go(func() {
			for it := range queue {
				free := sync.OnceFunc(func() { <-slots })
				out, err := r.fetch(ctx, it, free)
				free()
				if ctx.Err() != nil && err != nil {
					continue // not a failure: it goes on the next time
				}
				r.report.item(it, out, err)
				if err == nil && !out.Stored {
					if err := r.history.brought(it, r.now()); err != nil {
						r.log.Warn("a prefetched package can't be remembered", "file", it.Path, "error", err)
					}
				}
				mu.Lock()
				fetched = fetched || out.Fetched > 0
				r.left -= out.Fetched
				mu.Unlock()
			}
		})
	}
	for _, it := range items {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		queue <- it
	}
	close(queue)
	workers.Wait()
	return fetched
}

// fetch brings one item into the cache. arrived is called when all of it has come, and
// it is only to be stored; not if it need not come.
func (r *run) fetch(ctx context.Context, it Item, arrived func()) (cache.Outcome, error) {
	track := &counted{Track: r.progress.Item(it), to: &r.reached, size: it.Size}
	source := tracked{r.site.Mirrors(it.Key.Repo).Grab(), track}
	out, err := r.site.Cache.Prefetch(ctx, it.Key, it.Want, arriving{source, arrived})
	track.Done(out, err)
	if err != nil {
		return out, fmt.Errorf("%s: %w", it.Path, err)
	}
	return out, nil
}

// arriving is a Source that says when a download has ended, well or not.
type arriving struct {
	cache.Source
	ended func()
}

// Fetch implements cache.Source.
func (a arriving) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	defer a.ended()
	return a.Source.Fetch(ctx, r, p)
}

// flip lets the new metadata become current, now that what it is wanted for is there.
func (r *run) flip(ctx context.Context) error {
	for _, root := range r.report.Roots {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		s := r.staged[root.Root]
		if !s.Changed && !s.Grown {
			continue
		}
		err := r.site.Generations.Flip(s.Generation)
		if errors.Is(err, generation.ErrHeld) || errors.Is(err, generation.ErrOvertaken) {
			// Held by somebody, or the server has found newer metadata since, from
			// which the next run goes on.
			r.log.Info("new metadata does not become current", "root", root.Root, "reason", err)
			continue
		}
		if err != nil {
			r.report.fail(root.Root, root.entry, err)
		}
	}
	return nil
}
