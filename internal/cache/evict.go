package cache

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"
)

// Eviction is what Evict has done or, in a rehearsal, would do.
type Eviction struct {
	Files  []Evicted // in the order in which they went
	Bytes  int64     // that they took on the disk
	Before int64     // bytes that the cache took, and takes now
	After  int64
	// Short is how many bytes too much there still are: of what is left, all is
	// in use or needed.
	Short int64
}

// Evicted is a file that went.
type Evicted struct {
	Path  string
	Bytes int64
	Used  time.Time // by a client, for the last time; zero where none is known
	Why   string    // for people
}

// Evict keeps the cache to its size: where it takes more than the high mark, or
// leaves less free than that, the files that are worth least go until the low
// mark is reached (see worth.go for which). Files that anybody has open, in
// whatever process, stay, and so do those that are being downloaded. A rehearsal
// deletes nothing, and lists them too. It waits while the other program evicts.
// Where others fill the disk so that min_free can't be kept by deleting all that
// is stored, nothing is deleted for it.
//
// Whoever is killed in the middle has deleted only what was to go.
func (c *Cache) Evict(ctx context.Context, rehearse bool) (Eviction, error) {
	return c.evict(ctx, 0, rankMetadata, rehearse)
}

// MakeRoom evicts, so that n bytes more can be stored, what the latest plan does
// not want. See Evict.
func (c *Cache) MakeRoom(ctx context.Context, n int64) (Eviction, error) {
	return c.evict(ctx, n, rankOrdinary, false)
}

// Room is how many bytes can be stored with MakeRoom once wanted is what the
// latest plan wants.
func (c *Cache) Room(ctx context.Context, wanted []Key) (int64, error) {
	unlock, err := c.lockEviction(ctx)
	if err != nil {
		return 0, err
	}
	defer unlock()
	found, free, err := c.count(ctx)
	if err != nil {
		return 0, err
	}
	places := make(map[string]int, len(wanted))
	for i, k := range wanted {
		places[k.String()] = i
	}
	var can int64 // be freed
	for _, f := range c.judge(ctx, found.files, places) {
		if f.rank(c.o.Now()) <= rankOrdinary {
			can += f.bytes
		}
	}
	return max(c.space.room(found.bytes-can, free+can), 0), nil
}

// evict evicts files up to the rank most, so that n bytes more can be stored.
func (c *Cache) evict(ctx context.Context, n int64, most rank, rehearse bool) (Eviction, error) {
	unlock, err := c.lockEviction(ctx)
	if err != nil {
		return Eviction{}, err
	}
	defer unlock()
	found, free, err := c.count(ctx)
	if err != nil {
		return Eviction{}, err
	}
	e := Eviction{Before: found.bytes, After: found.bytes}
	over := c.space.over(found.bytes+n, free-n)
	if over <= 0 {
		return e, nil
	}
	wanted, err := c.wanted()
	if err != nil {
		c.o.Log.Warn("what the plan wants is not known", "error", err)
	}
	all := c.judge(ctx, found.files, wanted)
	arrange(all, c.o.Now())
	var can int64 // go
	for _, f := range all {
		if f.goes <= most {
			can += f.bytes
		}
	}
	if c.o.MinFree-(free-n) > can {
		// Others have filled the disk: all that is stored would go, and in vain.
		over = c.space.over(found.bytes+n, math.MaxInt64)
	}
	errs := c.sacrifice(ctx, &e, all, most, over, rehearse)
	e.Short = max(c.space.over(e.After+n, free-n+e.Bytes), 0)
	if len(e.Files) > 0 && !rehearse {
		if c.o.Ledger != nil {
			c.o.Ledger.evicted(len(e.Files), e.Bytes)
		}
		c.o.Log.Info("evicted", "files", len(e.Files), "bytes", e.Bytes, "size", e.After, "cache_size", c.o.Size, "first", e.Files[0].Path)
	}
	return e, errors.Join(append(errs, ctx.Err())...)
}

// mostErrors is how many errors of an eviction are told. One file that can't be
// deleted keeps no other.
const mostErrors = 10

// sacrifice deletes files in their order until over bytes are free.
func (c *Cache) sacrifice(ctx context.Context, e *Eviction, all []*resident, most rank, over int64, rehearse bool) (errs []error) {
	var doubtful []*resident
	try := func(f *resident, sure bool) {
		if !rehearse {
			switch err := c.drop(f, sure); {
			case errors.Is(err, errNotSure):
				doubtful = append(doubtful, f)
				return
			case errors.Is(err, ErrInUse):
				return
			case err != nil:
				if len(errs) < mostErrors {
					errs = append(errs, fmt.Errorf("evict %s: %w", f.name, err))
				}
				return
			}
		}
		e.Files = append(e.Files, Evicted{f.name, f.bytes, f.use.last, f.why(c.o.Now())})
		e.Bytes += f.bytes
		e.After -= f.bytes
	}
	for _, f := range all {
		if e.Bytes >= over || f.goes > most || ctx.Err() != nil {
			break
		}
		try(f, false)
	}
	if most < rankAhead {
		return errs
	}
	for _, f := range doubtful {
		if e.Bytes >= over || ctx.Err() != nil {
			break
		}
		try(f, true)
	}
	return errs
}

// why says in words why f went.
func (f *resident) why(now time.Time) string {
	s := [...]string{
		rankOrdinary: "worth least for its size",
		rankYoung:    "nothing older was left to go",
		rankWanted:   "wanted by the plan, but nothing else was left to go",
		rankAhead:    "prefetched and not used yet, but nothing else was left to go",
		rankHeld:     "listed by older metadata alone, but nothing else was left to go",
		rankMetadata: "metadata, but nothing else was left to go",
		rankNever:    "",
	}[f.goes]
	if f.use.last.IsZero() {
		return s + "; no use of it is known"
	}
	return fmt.Sprintf("%s; last used %d days ago", s, int(now.Sub(f.use.last)/(24*time.Hour)))
}

// count is what lies in the cache directory, to which it sets the account, and
// how many bytes are free on its disk.
func (c *Cache) count(ctx context.Context) (found *census, free int64, err error) {
	before, _, uerr := c.usage.get()
	if found, err = walk(ctx, c.tree.dir); err != nil {
		return nil, 0, fmt.Errorf("count the stored files: %w", err)
	}
	if uerr == nil {
		_, uerr = c.usage.set(before, found.bytes, c.o.Now())
	}
	if uerr != nil {
		c.o.Log.Warn("the cache's size can't be kept", "error", uerr)
	}
	if _, free, err = disk(c.tree.dir); err != nil {
		return nil, 0, fmt.Errorf("what is free on the disk of %s: %w", c.tree.dir, err)
	}
	return found, free, nil
}

// judge is files with all that their worth depends on; wanted is the place of
// each file in the plan that has one.
func (c *Cache) judge(ctx context.Context, files []*found, wanted map[string]int) []*resident {
	var uses map[string]use
	if c.o.Ledger != nil {
		var err error
		if uses, err = c.o.Ledger.uses(ctx); err != nil {
			c.o.Log.Warn("what clients have used is not known", "error", err)
		}
	}
	all := make([]*resident, len(files))
	for i, f := range files {
		all[i] = c.resident(f, uses, wanted)
	}
	return all
}

// resident is what is known of f, which counts by the best of its names.
func (c *Cache) resident(f *found, uses map[string]use, wanted map[string]int) *resident {
	r := &resident{found: f, name: f.names[0], bytes: f.bytes, changed: f.changed}
	// Deleting the names that are here frees nothing while there is one elsewhere.
	r.pinned = f.links > uint64(len(f.names))
	for _, name := range f.names {
		k, ok := keyOf(name)
		if !ok {
			r.pinned = true
			continue
		}
		p := c.o.Policy(k)
		r.pinned = r.pinned || p.Anchor
		r.metadata = r.metadata || p.Metadata
		want, held := c.o.Catalog.Lookup(k)
		r.held, r.want = r.held || held, r.want || want.Known()
		if place, ok := wanted[name]; ok && (!r.wanted || place < r.place) {
			r.wanted, r.place = true, place
		}
		if u, ok := uses[name]; ok {
			r.use.known = true
			if r.use.heat.uses == 0 || u.heat.log() > r.use.heat.log() {
				r.use.heat = u.heat
			}
			if u.last.After(r.use.last) {
				r.use.last = u.last
			}
			if u.prefetched.After(r.use.prefetched) {
				r.use.prefetched = u.prefetched
			}
		}
	}
	return r
}

// lockEviction lets one process at a time evict.
func (c *Cache) lockEviction(ctx context.Context) (unlock func(), err error) {
	file, err := waitLock(ctx, filepath.Join(c.tree.dir, ownDir, "evict.lock"))
	if err != nil {
		return nil, fmt.Errorf("evict: %w", err)
	}
	return func() { file.Close() }, nil
}
