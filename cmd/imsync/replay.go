package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	imsync "intelligentmirror/sync"
)

// replayFlags are what `imsync replay` was asked for.
type replayFlags struct {
	published, warmup, budget, plot string
	asJSON                          bool
}

func newReplay(p *program) *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay LOG ...",
		Short: "Say what nightly prefetching would have done on these logs",
		Long: `replay takes a site's own access logs and lets their requests come once more, day by
day, to a simulated cache, with and without the nightly runs on sync.schedule. It says
what these would have saved and wasted. The runs rank and plan as real ones do, with
this configuration's limits, for the budget and for half and double of it. Nothing is
read but the logs, and nothing fetched. - is standard input; without a LOG the logs of
sync.logs are read.

When each version was published is not in the logs. --published is a file that says it:
a line each with an RFC 3339 time, the path and the size in bytes, separated by tabs,
and perhaps the source package's name. Without it each version is taken to have been
published just in time for the run before its first request, and what nobody asked for
not at all: the result then flatters, and says so.

A budget of 10% is a tenth of the bytes that were published since the run before.`,
		Example: `  imsync replay /var/log/squid/access.log* --published published.tsv
  imsync replay access.log --warmup 14d --budget 25% --plot replay.svg
  imsync replay access.log --published published.tsv --json | jq .wasted_bytes`,
		RunE: func(cmd *cobra.Command, logs []string) error {
			warmup, err := config.ParseDuration(f.warmup)
			if err != nil {
				return &usageError{fmt.Errorf("--warmup %q: %w; expected a duration such as 45d", f.warmup, err)}
			}
			log, err := p.logger(slog.LevelWarn)
			if err != nil {
				return err
			}
			cfg, err := p.load()
			if err != nil {
				return err
			}
			budget := imsync.ReplayBudget{Bytes: int64(cfg.Sync.Budget)}
			if f.budget != "" {
				if budget, err = imsync.ParseReplayBudget(f.budget); err != nil {
					return &usageError{fmt.Errorf("--budget: %w", err)}
				}
			}
			o := imsync.ReplayOptions{Config: cfg, Logs: logs, Warmup: time.Duration(warmup), Stdin: os.Stdin, Log: log}
			if len(logs) == 0 {
				o.Logs = cfg.Sync.Logs
			}
			if f.published != "" {
				if o.Published, err = readPublished(f.published, cfg); err != nil {
					return &usageError{err}
				}
			}
			for _, times := range [...]float64{1, 0.5, 2} {
				o.Variants = append(o.Variants, imsync.Variant{Budget: budget.Times(times)})
			}
			r, err := imsync.Replay(cmd.Context(), o)
			if errors.Is(err, imsync.ErrNothingToReplay) {
				return &usageError{err}
			}
			if err != nil {
				return err
			}
			return p.showReplay(&f, newReplayResult(r, o.Variants, f.published != ""), r)
		},
	}
	c.Flags().StringVar(&f.published, "published", "", "the `file` that says when each version was published")
	c.Flags().StringVar(&f.warmup, "warmup", "45d", "how `long` the ranking learns before anything counts")
	c.Flags().StringVar(&f.budget, "budget", "", "what a run may download: a `size`, or a share such as 10% (default sync.budget)")
	c.Flags().StringVar(&f.plot, "plot", "", "draw what happened by day into this SVG `file`")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the result as JSON")
	return c
}

func readPublished(name string, cfg *config.Config) ([]imsync.Published, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("--published: %w", err)
	}
	defer file.Close()
	all, err := imsync.ReadPublished(file, cfg)
	if err != nil {
		return nil, fmt.Errorf("--published %s: %w", name, err)
	}
	if all == nil {
		return nil, fmt.Errorf("--published %s: it has no line", name)
	}
	return all, nil
}

// showReplay prints the result, and draws it.
func (p *program) showReplay(f *replayFlags, res *replayResult, r *imsync.Replayed) error {
	if f.asJSON {
		if err := writeJSON(p.stdout, res); err != nil {
			return err
		}
	} else {
		writeReplay(p.people(), res)
		writeSkipped(p.people(), r.Logs)
	}
	if f.plot != "" {
		if err := os.WriteFile(f.plot, drawReplay(res), 0o644); err != nil {
			return fmt.Errorf("--plot: %w", err)
		}
	}
	for _, l := range r.Logs.Failed {
		fmt.Fprintf(p.complaints(), "imsync: %s can't be read to its end: %s\n", l.Path, l.Error)
	}
	for _, glob := range r.Logs.Unmatched {
		fmt.Fprintf(p.complaints(), "imsync: %s: no such log\n", glob)
	}
	if len(r.Logs.Failed)+len(r.Logs.Unmatched) > 0 {
		return errPartly
	}
	return nil
}

// flattery is what a result says that does not know when versions were published.
const flattery = "without --published each version counts as published just in time for the run before its first request, " +
	"and what nobody asked for not at all: this flatters"

// budgetResult is what came of one budget.
type budgetResult struct {
	Budget string `json:"budget"`
	imsync.Outcome
}

// replayResult is the JSON of the command; its names are the contract's. At the top
// stands what came of the budget that was asked for.
type replayResult struct {
	budgetResult
	From     time.Time          `json:"from"` // the warm-up's end
	To       time.Time          `json:"to"`   // the last request
	Flatters string             `json:"flatters,omitempty"`
	Half     budgetResult       `json:"half"`
	Double   budgetResult       `json:"double"`
	ByDay    []imsync.DayCounts `json:"by_day"` // of the budget that was asked for
}

// newReplayResult puts together what came of the budget, its half and its double.
func newReplayResult(r *imsync.Replayed, of []imsync.Variant, published bool) *replayResult {
	result := func(i int) budgetResult { return budgetResult{of[i].Budget.String(), r.Outcomes[i]} }
	res := &replayResult{
		budgetResult: result(0), Half: result(1), Double: result(2),
		From: r.From, To: r.To, ByDay: r.Outcomes[0].ByDay,
	}
	if !published {
		res.Flatters = flattery
	}
	return res
}

// percent is a share as a person reads it.
func percent[T int | int64](n, of T) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(n)/float64(of))
}

// hits are the requests, and the bytes of those, that a cache answers by itself: all
// but the first ones, and with prefetching some of these too.
func hits(c *imsync.Counts, prefetching bool) (requests int, bytes int64) {
	requests, bytes = c.Requests-c.FirstRequests, c.Bytes-c.FirstRequestBytes
	if prefetching {
		requests, bytes = requests+c.FirstHits, bytes+c.FirstHitBytes
	}
	return requests, bytes
}

// writeReplay prints what came of the budgets.
func writeReplay(w io.Writer, r *replayResult) {
	table(w, func(row func(...any)) {
		row("BUDGET", "HIT RATIO", "BYTE HIT RATIO", "FIRST HITS", "OF", "PREFETCHED", "USED", "WASTED")
		requests, bytes := hits(&r.Counts, false)
		row("none", percent(requests, r.Requests), percent(bytes, r.Bytes), 0, r.FirstRequests, size(0), "-", "-")
		for _, b := range []*budgetResult{&r.Half, &r.budgetResult, &r.Double} {
			requests, bytes := hits(&b.Counts, true)
			row(b.Budget, percent(requests, b.Requests), percent(bytes, b.Bytes), b.FirstHits, b.FirstRequests,
				size(b.PrefetchedBytes), percent(b.UsedBytes, b.PrefetchedBytes), percent(b.WastedBytes, b.PrefetchedBytes))
		}
	})
	fmt.Fprintf(w, "\n%d days from %s on, %d requests for %s; %d were the first for their version (%s), and wait for upstream without prefetching\n",
		r.Days, r.From.Format(time.DateOnly), r.Requests, size(r.Bytes), r.FirstRequests, size(r.FirstRequestBytes))
	if r.Flatters != "" {
		fmt.Fprintf(w, "note: %s\n", r.Flatters)
	}
}
