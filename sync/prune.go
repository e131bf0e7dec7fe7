package sync

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// partialsKept is how long what a broken-off download has left is kept to be
// continued: longer than a package stays the newest, mostly.
const partialsKept = 14 * 24 * time.Hour

// Rule is why something is removed from the cache.
type Rule string

// The rules.
const (
	RuleGeneration Rule = "generation" // metadata that was replaced longer ago than generation_keep
	RulePartial    Rule = "partial"    // of a download, or of what was written for a rename, that nobody goes on with
	RuleSpace      Rule = "space"      // cache_size or min_free
	RuleWithdrawn  Rule = "withdrawn"  // gone upstream, and listed by no metadata that is kept
	RuleReplica    Rule = "replica"    // gone from the cache that this one is a copy of
	RuleBucket     Rule = "bucket"     // an object that nobody is known to have a use for
	RuleKeep       Rule = "keep"       // more versions of a name were prefetched than sync.keep
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

	// Withdrawn is the files that were found gone upstream now: they are not served
	// from now on, and removed when generation_keep is over.
	Withdrawn []Removed `json:"withdrawn"`
	// Bucket is the objects that went from the bucket, where there is one.
	Bucket []Removed `json:"bucket,omitempty"`
	// Guarded is the repositories of which too much would go at once, and Left those
	// of which nothing goes for another reason.
	Guarded []Guarded `json:"guarded"`
	Left    []Left    `json:"left"`
}

// PruneOptions say how the rules are applied.
type PruneOptions struct {
	DryRun bool // nothing is removed
	// Confirm names the repositories of which as much may go as upstream has withdrawn.
	Confirm []string
}

// Removed is a file, or a directory of metadata, that went.
type Removed struct {
	Path  string `json:"path"` // below the cache directory
	Bytes int64  `json:"bytes"`
	Rule  Rule   `json:"rule"`
	Why   string `json:"why"` // for people
}

// Prune applies the rules now: metadata whose time is over, versions that are too
// many, what upstream has withdrawn, what broken-off downloads have left, and as many
// files as are too many for cache_size and min_free. Of files that no metadata lists it
// asks upstream. What fails is listed; an error is what ended it, ErrRunning where a run
// is under way.
func (a *Agent) Prune(ctx context.Context, o PruneOptions) (*Pruned, error) {
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	failed, err := a.history.failedRoots()
	if err != nil {
		return nil, fmt.Errorf("see what failed the last time: %w", err)
	}
	p := a.prune(ctx, o, failed)
	a.pruneBucket(ctx, p, failed)
	if !o.DryRun {
		a.upload(ctx)
	}
	return p, ctx.Err()
}

// prune applies the rules; failed is the roots whose metadata could not be had.
func (a *Agent) prune(ctx context.Context, o PruneOptions, failed map[string]string) *Pruned {
	cfg, rehearse := a.site.Config, o.DryRun
	p := &Pruned{
		DryRun: rehearse, Removed: []Removed{}, CacheSize: int64(cfg.CacheSize), MinFree: int64(cfg.MinFree), Failed: []Failure{},
		Withdrawn: []Removed{}, Guarded: []Guarded{}, Left: []Left{},
	}
	fail := func(path string, err error) { p.fail(ctx, path, err) }
	gone, err := a.site.Generations.Expire(rehearse)
	fail(".im/gen", err)
	for _, g := range gone {
		p.remove(Removed{g.Path, g.Bytes, RuleGeneration, fmt.Sprintf("metadata that was replaced longer ago than generation_keep (%s)", cfg.GenerationKeep)})
	}
	confirmed := make([]string, len(o.Confirm))
	for i, name := range o.Confirm {
		confirmed[i] = strings.Trim(name, "/") // as it stands in a mirror's address, too
	}
	w := withdrawal{
		Agent: a, p: p, confirmed: confirmed, failed: failed, fail: fail,
		left: mostInquiries, pace: rate.NewLimiter(inquiriesPerSecond, inquiriesPerSecond),
	}
	fail(cfg.CacheDir, w.do(ctx))
	left, err := a.site.Cache.Sweep(partialsKept, rehearse)
	fail(".im/partial", err)
	for _, l := range left {
		p.remove(Removed{l.Path, l.Bytes, RulePartial, "broken off, and nobody went on with it since " + l.Since.Format(time.DateOnly)})
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

// fail notes an error that is not ctx's.
func (p *Pruned) fail(ctx context.Context, path string, err error) {
	if err != nil && ctx.Err() == nil {
		p.Failed = append(p.Failed, Failure{path, err.Error()})
	}
}

func (p *Pruned) remove(r Removed) {
	p.Removed = append(p.Removed, r)
	p.Bytes += r.Bytes
}

// tidy is Prune at the end of a run.
func (r *run) tidy(ctx context.Context) {
	failed, err := r.history.failedRoots()
	if err != nil {
		r.log.Warn("the cache can't be pruned: what failed the last time is not known", "error", err)
		return
	}
	r.report.failedRoots(failed)
	p := r.prune(ctx, PruneOptions{}, failed)
	if !r.report.Partial {
		r.pruneBucket(ctx, p, failed)
	}
	r.report.pruned(p)
	for _, g := range p.Guarded {
		r.log.Warn("too much of a repository is gone upstream", "root", g.Root, "files", g.Files, "of", g.Of, "advice", g.Advice())
	}
	for _, l := range p.Left {
		r.log.Info("nothing of a repository is deleted", "root", l.Root, "reason", l.Why)
	}
	for _, f := range p.Failed {
		r.log.Warn("the cache can't be pruned", "path", f.Path, "error", f.Error)
	}
	if len(p.Removed)+len(p.Withdrawn)+len(p.Bucket) > 0 {
		r.log.Info("pruned", "removed", len(p.Removed), "bytes", p.Bytes, "withdrawn", len(p.Withdrawn), "objects", len(p.Bucket), "size", p.After)
	}
}

// uniteRate is how many bytes a second are read of files that are stored several
// times: nobody waits for it.
const uniteRate = 50 << 20

// unite stores once what came several times, at the end of a night's run.
func (r *run) unite(ctx context.Context) {
	if r.report.Partial {
		return
	}
	done, err := r.site.Cache.Unite(ctx, rate.NewLimiter(uniteRate, uniteRate).WaitN)
	r.report.United = done
	if err != nil && ctx.Err() == nil {
		r.log.Warn("files that are stored several times stay so", "error", err)
	}
	if done.Files > 0 {
		r.log.Info("files that were stored several times are stored once", "files", done.Files, "bytes", done.Bytes)
	}
}
