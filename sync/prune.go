package sync

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// partialsKept is how long what a broken-off download has left is kept to be
// continued: longer than a package stays the newest, mostly.
const partialsKept = 14 * 24 * time.Hour

// Rule is why something is removed from the cache.
type Rule string

// The rules.
const (
	RuleGeneration Rule = "generation" // metadata that was replaced longer ago than generation_keep
	RulePartial    Rule = "partial"    // of a download that nobody goes on with
	RuleSpace      Rule = "space"      // cache_size or min_free
)

// Pruned is what the rules removed or, in a rehearsal, would remove. All numbers
// are bytes on the disk.
type Pruned struct {
	DryRun    bool      `json:"dry_run"`
	Removed   []Removed `json:"removed"` // in the order in which they went
	Bytes     int64     `json:"bytes"`
	Before    int64     `json:"size_before"` // of the cache
	After     int64     `json:"size_after"`
	CacheSize int64     `json:"cache_size"`
	MinFree   int64     `json:"min_free"`
	Failed    []Failure `json:"failed"`
}

// Removed is a file, or a directory of metadata, that went.
type Removed struct {
	Path  string `json:"path"` // below the cache directory
	Bytes int64  `json:"bytes"`
	Rule  Rule   `json:"rule"`
	Why   string `json:"why"` // for people
}

// Prune applies the rules now: metadata whose time is over, what broken-off
// downloads have left, and as many files as are too many for cache_size and
// min_free. In a rehearsal nothing is removed. What fails is listed; an error is
// what ended it, ErrRunning where a run is under way.
func (a *Agent) Prune(ctx context.Context, rehearse bool) (*Pruned, error) {
	unlock, err := lock(filepath.Join(a.site.Config.StateDir, "imsync.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	p := a.prune(ctx, rehearse)
	return p, ctx.Err()
}

func (a *Agent) prune(ctx context.Context, rehearse bool) *Pruned {
	cfg := a.site.Config
	p := &Pruned{DryRun: rehearse, Removed: []Removed{}, CacheSize: int64(cfg.CacheSize), MinFree: int64(cfg.MinFree), Failed: []Failure{}}
	fail := func(path string, err error) {
		if err != nil && ctx.Err() == nil {
			p.Failed = append(p.Failed, Failure{path, err.Error()})
		}
	}
	gone, err := a.site.Generations.Expire(rehearse)
	fail(".im/gen", err)
	for _, g := range gone {
		p.remove(Removed{g.Path, g.Bytes, RuleGeneration, fmt.Sprintf("metadata that was replaced longer ago than generation_keep (%s)", cfg.GenerationKeep)})
	}
	left, err := a.site.Cache.Sweep(partialsKept, rehearse)
	fail(".im/partial", err)
	for _, l := range left {
		p.remove(Removed{l.Path, l.Bytes, RulePartial, "of a download that nobody went on with since " + l.Since.Format(time.DateOnly)})
	}
	freed := p.Bytes
	e, err := a.site.Cache.Evict(ctx, rehearse)
	fail(cfg.CacheDir, err)
	for _, f := range e.Files {
		p.remove(Removed{f.Path, f.Bytes, RuleSpace, f.Why})
	}
	if e.Short > 0 {
		fail(cfg.CacheDir, errors.New("the cache is not down to its size: what is left is in use, or must stay"))
	}
	p.Before, p.After = e.Before, e.After
	if rehearse {
		p.After -= freed
	} else {
		p.Before += freed
	}
	return p
}

func (p *Pruned) remove(r Removed) {
	p.Removed = append(p.Removed, r)
	p.Bytes += r.Bytes
}

// tidy is Prune at the end of a run.
func (r *run) tidy(ctx context.Context) {
	p := r.prune(ctx, false)
	for _, f := range p.Failed {
		r.log.Warn("the cache can't be pruned", "path", f.Path, "error", f.Error)
	}
	if len(p.Removed) > 0 {
		r.log.Info("pruned", "removed", len(p.Removed), "bytes", p.Bytes, "size", p.After)
	}
}
