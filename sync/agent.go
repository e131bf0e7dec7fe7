package sync

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/database"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/site"
	"intelligentmirror/popularity"
)

// Agent does the runs. Several may exist, in one process or in many: a lock in
// the state directory lets one run at a time.
type Agent struct {
	site    *site.Site
	ranks   *popularity.Store
	history *history
	// databases are the files of these two.
	databases []string
	progress  Progress
	log       *slog.Logger
	now       func() time.Time
	// replicated is told of each cache that Run has copied.
	replicated func(*ReplicaReport, error)
	// turn is held by the one run that this agent does at a time; see Run.
	turn chan struct{}
}

// Options are what an Agent needs.
type Options struct {
	Site     *site.Site
	Progress Progress // nil shows nothing
	// Replicated is told of each cache that Run has copied, and of what ended the copy;
	// nil is told nothing.
	Replicated func(*ReplicaReport, error)
	Log        *slog.Logger
	Stdin      io.Reader        // the log that is named popularity.Stdin; nil: there is none
	Now        func() time.Time // nil is time.Now
}

// New returns an Agent that keeps its ranks and its history in the site's state
// directory.
func New(o Options) (*Agent, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	if o.Replicated == nil {
		o.Replicated = func(*ReplicaReport, error) {}
	}
	a := &Agent{replicated: o.Replicated, site: o.Site, progress: o.Progress, log: o.Log, now: o.Now, turn: make(chan struct{}, 1)}
	cfg := o.Site.Config
	history, ranks := filepath.Join(cfg.StateDir, historyName), filepath.Join(cfg.StateDir, "popularity.db")
	a.databases = []string{ranks, history}
	for _, path := range a.databases {
		// A night without what they knew is better than none.
		if _, err := database.MendOften(context.Background(), path, o.Now(), o.Log); err != nil {
			return nil, err
		}
	}
	var err error
	counting := countingOptions(cfg)
	if counting.Group, err = groupSecret(cfg.Sync.GroupKey); err != nil {
		return nil, err
	}
	counting.Stdin, counting.Clock, counting.Log = o.Stdin, o.Now, o.Log
	// Side by side: most of it is to wait for the disk.
	var opening errgroup.Group
	opening.Go(func() (err error) {
		a.ranks, err = popularity.Open(ranks, counting)
		return err
	})
	opening.Go(func() (err error) {
		a.history, err = openHistory(history)
		return err
	})
	if err := opening.Wait(); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

// close closes those databases that are open, side by side.
func (a *Agent) close() error {
	var closing errgroup.Group
	if a.ranks != nil {
		closing.Go(a.ranks.Close)
	}
	if a.history != nil {
		closing.Go(a.history.Close)
	}
	return closing.Wait()
}

// countingOptions say how requests are counted by cfg.
func countingOptions(cfg *config.Config) popularity.Options {
	return popularity.Options{
		Resolve:   cfg.Resolve,
		IsPackage: func(p string) bool { return cfg.Serve.Classify(p) == config.Package },
		Trusted:   cfg.Serve.TrustedProxies.Contains,
		Fields:    cfg.Sync.JSONFields,
		ClientCap: cfg.Sync.ClientCap,
	}
}

// Close releases the databases.
func (a *Agent) Close() error {
	if err := a.close(); err != nil {
		return err
	}
	for _, path := range a.databases {
		if err := database.Leave(path); err != nil {
			a.log.Debug("a database is read whole before it is opened the next time", "error", err)
		}
	}
	return nil
}

// Ingest reads the new lines of the logs that the globs find, the configured
// ones without any. In a group, the others then get what has been counted.
func (a *Agent) Ingest(ctx context.Context, logs ...string) (popularity.Report, error) {
	if len(logs) == 0 {
		logs = a.site.Config.Sync.Logs
	}
	report, err := a.ranks.Ingest(ctx, logs)
	if err != nil {
		return report, fmt.Errorf("read the access logs: %w", err)
	}
	a.publishCounts(ctx)
	return report, nil
}

// Rank returns the ranking of what was read so far.
func (a *Agent) Rank(ctx context.Context) ([]popularity.Rank, error) {
	return a.ranks.Rank(ctx, time.Duration(a.site.Config.Sync.HalfLife))
}

// Explain says where the scores of a name come from.
func (a *Agent) Explain(ctx context.Context, name string) ([]popularity.Explanation, error) {
	return a.ranks.Explain(ctx, time.Duration(a.site.Config.Sync.HalfLife), name)
}

// Once does one run: it reads the logs, looks at each root's metadata, plans,
// downloads, and lets the new metadata become current. What fails is in the
// Report and is tried again by the next run; an error is what ended the run
// itself, ErrRunning where another is under way. A run that is broken off by ctx
// goes on where it was the next time, and so does one that the end of sync.window
// has stopped, which is no error (Report.Stopped).
func (a *Agent) Once(ctx context.Context) (*Report, error) {
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r := a.begin()
	stop := r.tellProgress(&r.reached)
	err = a.inWindow(ctx, r.report, func(ctx context.Context) error {
		err := r.do(ctx)
		if err == nil {
			r.verifyShare(ctx)
		}
		return err
	})
	stop()
	r.report.finish(a.now())
	r.remember(err)
	return r.report, err
}

// begin is a run that has done nothing yet.
func (a *Agent) begin() *run {
	started := a.now()
	return &run{
		Agent: a, report: newReport(started), reached: reached{Running: Running{Started: started}}, left: int64(a.site.Config.Sync.Budget),
		staged: map[string]generation.Staged{},
	}
}

// lock lets no other run begin, in any process. What is told of how far a run is belongs
// to whoever holds it, and not to the one before.
func (a *Agent) lock() (unlock func(), err error) {
	unlock, err = lock(a.lockPath())
	if err == nil {
		a.tell(Running{Started: a.now()})
	}
	return unlock, err
}

func (a *Agent) lockPath() string { return filepath.Join(a.site.Config.StateDir, lockName) }

// remember puts the run and what ended it into the history.
func (r *run) remember(ended error) {
	if err := r.history.add(r.report, ended); err != nil {
		r.log.Warn("the run can't be remembered", "error", err)
	}
}

// Plan is what a run would fetch now. It asks upstream for new metadata, as a
// run does, and fetches that, but no package; nothing that clients see changes.
func (a *Agent) Plan(ctx context.Context) (*Report, error) {
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r := a.begin()
	if err := r.prepare(ctx); err != nil {
		return r.report, err
	}
	r.report.finish(a.now())
	return r.report, nil
}

// run is one run under way.
type run struct {
	*Agent
	report  *Report
	left    int64                        // bytes of the budget
	staged  map[string]generation.Staged // by root
	ranks   []popularity.Rank
	reached reached              // how far it is
	asked   map[string]time.Time // see askedFor
}

// rounds is how often a run goes round when upstream changes under it.
const rounds = 2

func (r *run) do(ctx context.Context) error {
	if err := r.bring(ctx); err != nil {
		return err
	}
	if r.report.Unchanged = r.unchanged(); r.report.Unchanged {
		// Nothing is due to be pruned that the next day's run does not see; but what imserve
		// has stored, or the bucket did not take, waits as ever.
		r.upload(ctx)
		return nil
	}
	if err := r.account(ctx); err != nil {
		return err
	}
	if err := r.plan(ctx); err != nil {
		return err
	}
	return r.carryOut(ctx)
}

// carryOut downloads what is planned, lets the new metadata become current, and tidies up
// behind it.
func (r *run) carryOut(ctx context.Context) error {
	for round := 1; ; round++ {
		r.makeRoom(ctx)
		fetched := r.download(ctx, r.report.Plan.Items)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !fetched || round == rounds {
			break
		}
		// What was planned an hour ago may have been replaced meanwhile.
		changed, err := r.stage(ctx, r.report.Roots)
		if err != nil {
			return err
		}
		if !changed {
			break
		}
		if err := r.plan(ctx); err != nil {
			return err
		}
	}
	if err := r.flip(ctx); err != nil {
		return err
	}
	r.tidy(ctx)
	r.unite(ctx)
	r.upload(ctx)
	r.settle()
	return nil
}

// prepare reads the logs, brings together the metadata and plans.
func (r *run) prepare(ctx context.Context) error {
	if err := r.bring(ctx); err != nil {
		return err
	}
	if err := r.account(ctx); err != nil {
		return err
	}
	return r.plan(ctx)
}

// bring reads the logs and brings together the metadata.
func (r *run) bring(ctx context.Context) error {
	if err := r.observe(ctx); err != nil {
		return err
	}
	_, err := r.stage(ctx, r.report.Roots)
	return err
}

// observe reads the logs: what is popular, and which roots are in use.
func (r *run) observe(ctx context.Context) error {
	var err error
	if r.report.Logs, err = r.Ingest(ctx); err != nil {
		return err
	}
	if len(r.site.Config.Sync.Group) > 0 {
		r.report.Group = r.Exchange(ctx)
		r.publishCounts(ctx) // for those who hear of the others from here alone
	}
	if r.ranks, err = r.Rank(ctx); err != nil {
		return err
	}
	return r.roots(ctx)
}

// account remembers what of the prefetched clients came for, and sums it up.
func (r *run) account(ctx context.Context) error {
	asked, err := r.askedFor(ctx)
	if err != nil {
		return err
	}
	if err := r.history.use(asked); err != nil {
		return fmt.Errorf("remember what was used: %w", err)
	}
	worth, err := r.history.worth(r.now())
	if err != nil {
		return fmt.Errorf("sum up what was used: %w", err)
	}
	r.report.worth(worth)
	return nil
}

// plan works out what to fetch, from the metadata of all roots together.
func (r *run) plan(ctx context.Context) error {
	idx, err := r.index(ctx)
	if err != nil {
		return err
	}
	before, err := r.history.versions()
	if err != nil {
		return fmt.Errorf("see what nobody uses: %w", err)
	}
	var only map[string]bool
	if r.report.Partial {
		only = map[string]bool{}
		for root, s := range r.staged {
			only[root] = s.Changed
		}
	}
	budget := budgetOf(r.site.Config)
	budget.Bytes, budget.Only = r.left, only
	budget.learn(before, r.site.Config.Sync.Candidates, r.now())
	if budget.Sources[ReasonNewcomer].Left > 0 {
		if budget.Arrived, err = r.history.meet(idx, r.now()); err != nil {
			return fmt.Errorf("remember which names there are: %w", err)
		}
	}
	r.fit(ctx, budget, func(b Budget) Result {
		return Plan(r.ranks, idx, r.stored, b)
	})
	r.report.planned()
	if !r.report.Partial && ctx.Err() == nil {
		// Where the metadata can't be had nothing is known to be gone.
		gone := slices.DeleteFunc(slices.Clone(r.report.Plan.Gone), func(k popularity.Rank) bool { return r.staged[k.Root].Generation == nil })
		if err := r.history.leave(gone); err != nil {
			return fmt.Errorf("remember which names are gone: %w", err)
		}
	}
	return ctx.Err()
}

// budgetOf is what cfg lets a run fetch.
func budgetOf(cfg *config.Config) Budget {
	s := &cfg.Sync
	seeds := make([]Seed, len(s.Packages))
	builtIn := !cfg.Set("sync.packages")
	for i, p := range s.Packages {
		seeds[i] = Seed{Pattern: string(p), BuiltIn: builtIn}
	}
	return Budget{
		Bytes: int64(s.Budget), PerRoot: int64(s.PerRoot), Top: s.Top, Seeds: seeds, Exclude: s.Exclude, Arches: s.Arches,
		Value: valueFor(s.Objective),
	}
}

// learn limits the budget by what became of what was prefetched before, name by
// name, as it is known at that time. enabled are the sources of candidates that are
// not switched off.
func (b *Budget) learn(before [][]prefetched, enabled []string, at time.Time) {
	b.Idle, b.Tried, b.Sources = idle(before), tried(before), trusts(enabled, judge(before, at))
}

// stored reports whether the cache has what metadata promises of k.
func (r *run) stored(k cache.Key, w cache.Want) bool { return r.site.Cache.Holds(k, w) }
