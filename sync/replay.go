package sync

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// ReplayOptions are what a Replay needs.
type ReplayOptions struct {
	Config *config.Config
	Logs   []string // globs; popularity.Stdin is standard input
	// Published says when each version was published, sorted by time. nil: the logs
	// say it, each version just before the run that came before its first request.
	Published []Published
	// Groups are comps groups that each repository in the logs is taken to have, from
	// the first day on. Metadata of the time would say which had them when.
	Groups   []*repodata.Group
	Warmup   time.Duration // from the midnight, UTC, before the first line on
	Variants []Variant     // what is compared; each has a cache of its own

	Dir   string    // for temporary files, as large as the logs are unpacked; "" is $TMPDIR
	Stdin io.Reader // nil: there is none
	Log   *slog.Logger
	Now   func() time.Time // nil is time.Now
}

// Variant is a way of planning with a budget.
type Variant struct {
	Budget ReplayBudget
	// Plan decides what a night fetches, within b. nil is what runs do: Plan, with
	// the configuration's limits.
	Plan func(n *Night, stored func(cache.Key, cache.Want) bool, b Budget) Result
	// Candidates are the sources of candidates that are asked, as sync.candidates has
	// them; nil: the configuration's.
	Candidates []string
}

// Night is what is known when a run is due.
type Night struct {
	At        time.Time
	Ranks     []popularity.Rank
	Index     *Index
	Published []Published // since the run before
}

// Replayed is what came of a Replay.
type Replayed struct {
	From, To time.Time         // what was counted: from the warm-up's end to the last line
	Outcomes []Outcome         // of the variants, in their order
	Logs     popularity.Report // how the logs were read
}

// ErrNothingToReplay is wrapped by Replay's error where the logs have nothing that
// could be counted.
var ErrNothingToReplay = errors.New("nothing is left to count")

// Replay tells what runs on the configured schedule would have done for the clients
// whose requests are in the logs. It feeds the logs, as if they were just being
// written, into a ranking of its own, plans a night whenever a run is due, and lets
// the requests that follow meet what is stored then, in a cache for each variant
// that nothing is ever evicted from. Nothing is fetched before the warm-up's end, and
// what comes before it counts nowhere; the ranking learns from it all the same.
func Replay(ctx context.Context, o ReplayOptions) (*Replayed, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	dir, err := os.MkdirTemp(o.Dir, "imsync-replay-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r := &replay{ReplayOptions: o, counting: countingOptions(o.Config)}
	r.counting.Log = o.Log
	if err := r.readLogs(ctx, dir); err != nil {
		return nil, err
	}
	r.counting.Clock = func() time.Time { return r.clock }
	r.ranks, err = popularity.Open(filepath.Join(dir, "popularity.db"), r.counting)
	if err != nil {
		return nil, err
	}
	err = r.nights(ctx)
	if err = errors.Join(err, r.ranks.Close()); err != nil {
		return nil, err
	}
	res := &Replayed{From: r.from, To: r.split.last, Logs: r.report}
	for _, s := range r.simulations {
		res.Outcomes = append(res.Outcomes, s.outcome())
	}
	return res, nil
}

// replay is one Replay under way.
type replay struct {
	ReplayOptions
	counting    popularity.Options
	report      popularity.Report
	split       *split
	from        time.Time // the warm-up's end
	clock       time.Time
	ranks       *popularity.Store
	simulations []*simulation
}

// readLogs deals the logs' lines out to the runs, and sees what there is to count.
func (r *replay) readLogs(ctx context.Context, dir string) error {
	schedule, err := scheduled(&r.Config.Sync)
	if err != nil {
		return err
	}
	r.split = newSplit(dir, schedule)
	reading := r.counting
	reading.Stdin, reading.Clock = r.Stdin, r.Now
	if r.report, err = popularity.EachLine(ctx, reading, r.Logs, r.split.line); err != nil {
		return fmt.Errorf("read the logs: %w", err)
	}
	if err := r.split.finish(); err != nil {
		return err
	}
	if r.report.Counted == 0 {
		return fmt.Errorf("no request for a package in %q (%d lines): %w", r.Logs, r.report.Lines, ErrNothingToReplay)
	}
	r.from = r.split.first.Truncate(24 * time.Hour).Add(r.Warmup)
	if r.from.After(r.split.last) {
		return fmt.Errorf("the logs go from %s to %s, and the warm-up takes until %s: %w (make it shorter)", r.split.first.Format(time.DateOnly),
			r.split.last.Format(time.DateOnly), r.from.Format(time.DateOnly), ErrNothingToReplay)
	}
	for _, v := range r.Variants {
		if v.Plan == nil {
			v.Plan = func(n *Night, stored func(cache.Key, cache.Want) bool, b Budget) Result {
				return Plan(n.Ranks, n.Index, stored, b)
			}
		}
		if v.Candidates == nil {
			v.Candidates = r.Config.Sync.Candidates
		}
		r.simulations = append(r.simulations, newSimulation(v, r.from, r.split.last))
	}
	return nil
}

// nights goes through the runs in their order.
func (r *replay) nights(ctx context.Context) error {
	published := r.Published
	if published == nil {
		published = r.split.published()
	}
	met := familiar{}
	known := newVersions(append(r.split.rootsSeen(), r.Config.Sync.Roots...), r.Groups)
	runs := r.split.runs()
	for i, run := range runs {
		n := Night{At: run}
		end, _ := slices.BinarySearchFunc(published, run, func(p Published, t time.Time) int {
			// What appeared at that very moment is there.
			return cmp.Or(p.At.Compare(t), -1)
		})
		n.Published, published = published[:end], published[end:]
		for _, p := range n.Published {
			known.publish(p)
		}
		r.clock = run
		if i > 0 && !run.Before(r.from) {
			var err error
			if n.Ranks, err = r.ranks.Rank(ctx, time.Duration(r.Config.Sync.HalfLife)); err != nil {
				return err
			}
			n.Index = known.index(run)
			met.look(n.Index, run)
			budget := budgetOf(r.Config)
			budget.Arrived = met.arrivals()
			for _, s := range r.simulations {
				s.run(&n, budget)
			}
		}
		if err := r.day(ctx, run, known); err != nil {
			return err
		}
	}
	return nil
}

// day lets the requests between a run and the next come, and counts them.
func (r *replay) day(ctx context.Context, run time.Time, known *versions) error {
	file, next := r.split.after(run)
	if file == "" {
		return ctx.Err()
	}
	requests, err := r.requests(ctx, file)
	if err != nil {
		return err
	}
	for i := range requests {
		known.ask(requests[i].path, requests[i].at)
		for _, s := range r.simulations {
			s.request(&requests[i])
		}
	}
	r.clock = next
	if _, err := r.ranks.Ingest(ctx, []string{file}); err != nil {
		return err
	}
	return os.Remove(file)
}

// request is what a client asked for, once a day.
type request struct {
	at    time.Time
	path  string
	bytes int64 // of the largest answer
}

// requests are those in a log of one day, in the order of their times.
func (r *replay) requests(ctx context.Context, file string) ([]request, error) {
	type of struct {
		client, path string
		day          int64
	}
	var all []request
	index := map[of]int{}
	_, err := popularity.EachLine(ctx, r.counting, []string{file}, func(l *popularity.Line) error {
		if l.Path == "" {
			return nil
		}
		key := of{l.Client, l.Path, l.At.Unix() / (24 * 60 * 60)}
		i, ok := index[key]
		if !ok {
			i = len(all)
			index[key] = i
			all = append(all, request{at: l.At, path: l.Path})
		}
		x := &all[i]
		x.bytes = max(x.bytes, l.Bytes)
		if l.At.Before(x.at) {
			x.at = l.At
		}
		return nil
	})
	slices.SortStableFunc(all, func(a, b request) int { return a.at.Compare(b.at) })
	return all, err
}
