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

// stage brings together the metadata of all roots, and reports whether that of
// any is another than before. A root that fails is left out of this run.
func (r *run) stage(ctx context.Context) (changed bool, err error) {
	before := map[string]string{}
	for _, g := range r.staged {
		before[g.Root.String()] = g.Digest
	}
	all := make([]generation.Staged, len(r.report.Roots))
	var g errgroup.Group
	g.SetLimit(rootsAtOnce)
	for i, root := range r.report.Roots {
		if root.out {
			continue
		}
		g.Go(func() error {
			s, err := r.site.Generations.Stage(ctx, r.site.Cache, root.root, r.site.Mirrors(root.root.Repo).Grab())
			r.report.metadata(root, s)
			if err != nil {
				root.out = true
				r.report.fail(root.Root, root.Root+"/repodata/repomd.xml", err)
				return nil
			}
			all[i] = s
			return nil
		})
	}
	if err := errors.Join(g.Wait(), ctx.Err()); err != nil {
		return false, err
	}
	r.staged = r.staged[:0]
	for _, s := range all {
		if s.Generation == nil {
			continue
		}
		r.staged = append(r.staged, s)
		changed = changed || before[s.Root.String()] != s.Digest
	}
	return changed, nil
}

// download fetches the items, some at a time, and reports whether any byte came.
func (r *run) download(ctx context.Context, items []Item) bool {
	var total int64
	for _, it := range items {
		total += it.Size
	}
	r.progress.Begin(len(items), total)
	defer r.progress.End()

	queue := make(chan Item)
	var workers sync.WaitGroup
	var mu sync.Mutex
	fetched := false
	for range min(r.site.Config.Sync.Parallel, len(items)) {
		workers.Go(func() {
			for it := range queue {
				out, err := r.fetch(ctx, it)
				if ctx.Err() != nil && err != nil {
					continue // not a failure: it goes on the next time
				}
				r.report.item(it, out, err)
				mu.Lock()
				fetched = fetched || out.Fetched > 0
				r.left -= out.Fetched
				mu.Unlock()
			}
		})
	}
	for _, it := range items {
		select {
		case queue <- it:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()
	return fetched
}

// fetch brings one item into the cache.
func (r *run) fetch(ctx context.Context, it Item) (cache.Outcome, error) {
	track := r.progress.Item(it)
	out, err := r.site.Cache.Prefetch(ctx, it.Key, it.Want, tracked{r.site.Mirrors(it.Key.Repo).Grab(), track})
	track.Done(out, err)
	if err != nil {
		return out, fmt.Errorf("%s: %w", it.Path, err)
	}
	return out, nil
}

// flip lets the new metadata become current, now that what it is wanted for is there.
func (r *run) flip(ctx context.Context) error {
	for _, s := range r.staged {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !s.Changed {
			continue
		}
		err := r.site.Generations.Flip(s.Generation)
		if errors.Is(err, generation.ErrOvertaken) {
			// The server has found newer metadata since; the next run goes on from that.
			r.log.Info("newer metadata is current already", "root", s.Root.String())
			continue
		}
		if err != nil {
			r.report.fail(s.Root.String(), s.Root.String()+"/repodata/repomd.xml", err)
		}
	}
	r.tidy(ctx)
	return nil
}
