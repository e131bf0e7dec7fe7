package sync

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"intelligentmirror/internal/bucket"
	"intelligentmirror/internal/cache"
)

// unfinishedFor is how long an upload in parts may take before it counts as broken off.
const unfinishedFor = 24 * time.Hour

// standing is what is known here of an object's file.
type standing struct {
	// withdrawn says that upstream has withdrawn it, so long ago that it was deleted here.
	withdrawn bool
	// wanted says that metadata which is kept lists it, or that it is stored here.
	wanted bool
	// root is the repository whose metadata would list it; "" where there is none here.
	root string
}

// spent is an object that may go.
type spent struct {
	key   cache.Key
	bytes int64
	since time.Time // its upload
	why   string
}

// culled is what a bucket's objects are, sorted out.
type culled struct {
	gone  []spent            // that go whatever else holds
	roots map[string][]spent // by root, those that its metadata lists no more, the oldest first
	of    map[string]int     // how many objects there are of a root
}

// cull sorts the objects out: what was withdrawn goes; what metadata that is kept lists
// or this cache has stays; what metadata would list and does not goes when its upload is
// longer ago than listed, and what no metadata here tells of, longer ago than unknown.
func cull(objects []bucket.Entry, of func(cache.Key) standing, now time.Time, listed, unknown time.Duration) culled {
	c := culled{roots: map[string][]spent{}, of: map[string]int{}}
	for _, o := range objects {
		s, age := of(o.Key), now.Sub(o.Uploaded)
		x := spent{key: o.Key, bytes: o.Size, since: o.Uploaded}
		if s.root != "" {
			c.of[s.root]++
		}
		switch {
		case s.withdrawn:
			x.why = "gone upstream, and deleted here"
			c.gone = append(c.gone, x)
		case s.wanted:
		case s.root != "" && age >= listed:
			x.why = "listed by no metadata that is kept"
			c.roots[s.root] = append(c.roots[s.root], x)
		case s.root == "" && age >= unknown:
			x.why = "uploaded longer ago than bucket_keep, and no metadata here tells of it"
			c.gone = append(c.gone, x)
		}
	}
	for root, list := range c.roots {
		slices.SortStableFunc(list, func(a, b spent) int { return a.since.Compare(b.since) })
		// No more than a share at once: the rest goes with the next runs, unless
		// metadata lists it again.
		c.roots[root] = list[:min(len(list), max(c.of[root]/massShare, massFew))]
	}
	return c
}

// pruneBucket applies the deletion rules to the bucket, where there is one, and finds
// what is stored here and missing there. Nothing goes of a repository that is held, whose
// metadata failed, or of which it is not known to be current.
func (a *Agent) pruneBucket(ctx context.Context, p *Pruned, failed map[string]string) {
	b := a.site.Bucket
	if b == nil {
		return
	}
	var objects []bucket.Entry
	there := map[cache.Key]bool{}
	err := b.List(ctx, func(e bucket.Entry) error {
		objects = append(objects, e)
		there[e.Key] = true
		return nil
	})
	if err != nil {
		p.fail(ctx, b.String(), err)
		return
	}
	deleted := map[cache.Key]bool{}
	err = a.site.Cache.Tombstones(ctx, func(k cache.Key, t cache.Tombstone, _ int64, _ bool) error {
		deleted[k] = !t.Deleted.IsZero()
		return nil
	})
	if err != nil {
		p.fail(ctx, b.String(), err)
		return
	}
	stocks := map[string]*stock{}
	of := func(k cache.Key) standing {
		_, listed := a.site.Generations.Lookup(k)
		_, buried := deleted[k]
		s := standing{withdrawn: deleted[k] && !listed, wanted: listed || !buried && a.site.Cache.Has(k)}
		name, owners := a.site.Generations.Owners(k)
		if name != "" && stocks[name] == nil {
			stocks[name] = &stock{name: name, owners: owners}
		}
		s.root = name
		return s
	}
	c := cull(objects, of, a.now(), time.Duration(a.site.Config.GenerationKeep), time.Duration(a.site.Config.BucketKeep))
	gone := c.gone
	w := withdrawal{Agent: a, failed: failed}
	for _, root := range slices.Sorted(maps.Keys(c.roots)) {
		if why := w.unfit(stocks[root]); why != "" {
			p.Left = append(p.Left, Left{b.String() + "/" + root, why})
			continue
		}
		gone = append(gone, c.roots[root]...)
	}
	if !p.DryRun {
		keys := make([]cache.Key, len(gone))
		for i, x := range gone {
			keys[i] = x.key
		}
		if err := b.Remove(ctx, keys); err != nil {
			p.fail(ctx, b.String(), err)
			return
		}
	}
	for _, x := range gone {
		p.Bucket = append(p.Bucket, Removed{x.key.String(), x.bytes, RuleBucket,
			fmt.Sprintf("%s; uploaded on %s", x.why, x.since.UTC().Format(time.DateOnly))})
	}
	if p.DryRun {
		return
	}
	_, err = b.Sweep(ctx, a.now().Add(-unfinishedFor))
	p.fail(ctx, b.String(), err)
	p.fail(ctx, b.String(), a.offer(ctx, there))
}

// offer has uploaded what is stored here and belongs into the bucket, and is not there:
// of before there was one, or of which an upload was lost.
func (a *Agent) offer(ctx context.Context, there map[cache.Key]bool) error {
	return a.site.Cache.Walk(ctx, func(k cache.Key, f cache.Facts) error {
		if !there[k] && a.site.BelongsInBucket(k, f) && !a.site.Cache.IsWithdrawn(k) {
			a.site.Uploads.Note(k, k.String(), f)
		}
		return nil
	})
}

// upload brings what waits into the bucket, unless imserve does so already; what fails
// waits for it, or for the next run.
func (a *Agent) upload(ctx context.Context) {
	if a.site.Uploads == nil {
		return
	}
	if err := a.site.Uploads.Drain(ctx); err != nil && ctx.Err() == nil {
		a.log.Info("not all is uploaded to the bucket now", "waiting", a.site.Uploads.Status().Waiting, "reason", err)
	}
}
