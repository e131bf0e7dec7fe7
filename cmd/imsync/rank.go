package main

import (
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
	imsync "intelligentmirror/sync"
)

func newRank(p *program) *cobra.Command {
	var asJSON bool
	var n int
	var name string
	c := &cobra.Command{
		Use:   "rank [LOG ...]",
		Short: "Read the new log lines and print the ranking",
		Long: `rank reads what is new in the access logs and prints the ranking. Logs that are
named are read in place of those of sync.logs, and count from then on; - is
standard input. A line that was read before does not count again, wherever it
comes from. Names that have left their repositories, as the last run found, are
left out.`,
		Example: `  imsync rank                        # the first 50
  imsync rank -n 0 --json            # all of them, for another program
  ssh proxy cat access.log | imsync rank -
  imsync rank --explain vlc          # where its score comes from`,
		RunE: func(cmd *cobra.Command, logs []string) error {
			if n < 0 {
				return &usageError{fmt.Errorf("-n %d: how many names to print; 0 is all", n)}
			}
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				report, err := a.Ingest(cmd.Context(), logs...)
				if err != nil {
					return err
				}
				if len(logs) > 0 {
					// Those of the configuration may be yet to come.
					for _, glob := range report.Unmatched {
						fmt.Fprintf(p.stderr, "imsync: %s: no such log, or none that can be reached\n", glob)
					}
				} else {
					logs = cfg.Sync.Logs
				}
				if name != "" {
					err = explainRank(cmd, p, a, name, asJSON)
				} else {
					err = printRanks(cmd, p, a, n, asJSON, report, logs)
				}
				for _, f := range report.Failed {
					fmt.Fprintf(p.complaints(), "imsync: %s can't be read to its end: %s\n", f.Path, f.Error)
				}
				if err == nil && len(report.Failed) > 0 {
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the ranking as JSON")
	c.Flags().IntVarP(&n, "number", "n", 50, "how many names; 0 is all")
	c.Flags().StringVar(&name, "explain", "", "say where the score of this `name` comes from")
	return c
}

func printRanks(cmd *cobra.Command, p *program, a *imsync.Agent, n int, asJSON bool, report popularity.Report, logs []string) error {
	ranks, all, err := a.Ranking(cmd.Context(), n)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSONList(p.stdout, ranks)
	}
	writeRanks(p.people(), ranks, all, report, logs)
	return nil
}

func explainRank(cmd *cobra.Command, p *program, a *imsync.Agent, name string, asJSON bool) error {
	all, err := a.Explain(cmd.Context(), name)
	if err != nil {
		return err
	}
	if asJSON {
		return writeJSON(p.stdout, all)
	}
	writeExplanations(p.people(), name, all)
	return nil
}

// writeRanks prints the ranking.
func writeRanks(w io.Writer, ranks []popularity.Rank, all int, r popularity.Report, logs []string) {
	if all == 0 {
		fmt.Fprintf(w, "No package was asked for yet in %q (%d new lines in %d logs).\n", logs, r.Lines, r.Files)
	} else {
		table(w, func(row func(...any)) {
			row("RANK", "NAME", "ARCH", "SCORE", "CLIENTS", "CLIENT-DAYS", "REQUESTS", "BYTES", "LAST SEEN", "REPOSITORY")
			for _, x := range ranks {
				row(x.Rank, x.Name, x.Arch, fmt.Sprintf("%.2f", x.Score), x.Clients, x.ClientDays, x.Requests, size(x.Bytes), x.LastSeen.Format(time.DateOnly), x.Root)
			}
		})
		fmt.Fprintf(w, "\n%d of %d names; %d new lines in %d logs, %d of them requests for packages\n", len(ranks), all, r.Lines, r.Files, r.Counted)
	}
	writeSkipped(w, r)
}

// writeSkipped prints why lines do not count, with an example of each.
func writeSkipped(w io.Writer, r popularity.Report) {
	if len(r.Skipped) == 0 {
		return
	}
	fmt.Fprintln(w, "\nLines that do not count:")
	reasons := slices.SortedFunc(maps.Keys(r.Skipped), func(a, b string) int {
		if x, y := r.Skipped[a].Lines, r.Skipped[b].Lines; x != y {
			return int(min(1, max(-1, y-x)))
		}
		if a < b {
			return -1
		}
		return 1
	})
	for _, why := range reasons {
		s := r.Skipped[why]
		fmt.Fprintf(w, "  %d %s, such as in %s:\n    %s\n", s.Lines, why, s.File, s.Example)
	}
}

// maxDays is how many days and files of a name are printed.
const maxDays = 30

// writeExplanations prints where a name's scores come from.
func writeExplanations(w io.Writer, name string, all []popularity.Explanation) {
	if len(all) == 0 {
		fmt.Fprintf(w, "Nobody asked for a package called %q.\n", name)
	}
	for i, x := range all {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s.%s of %s: rank %d, score %.2f of %d client-days, last seen %s\n\n",
			x.Name, x.Arch, x.Root, x.Rank.Rank, x.Score, x.ClientDays, x.LastSeen.Format(time.DateOnly))
		table(w, func(row func(...any)) {
			row("DAY", "CLIENTS", "REQUESTS", "BYTES", "WORTH", "SCORE", "")
			for _, d := range x.Days[:min(len(x.Days), maxDays)] {
				note := ""
				if d.Capped > 0 {
					note += fmt.Sprintf("%d asked for so much that they count less (sync.client_cap) ", d.Capped)
				}
				if d.Scanners > 0 {
					note += fmt.Sprintf("%d more are scanners, and do not count", d.Scanners)
				}
				row(d.Day.Format(time.DateOnly), d.Clients, d.Requests, size(d.Bytes), fmt.Sprintf("%.4f", d.Worth), fmt.Sprintf("%.4f", d.Score), note)
			}
		})
		if more := x.Days[min(len(x.Days), maxDays):]; len(more) > 0 {
			score := 0.0
			for _, d := range more {
				score += d.Score
			}
			fmt.Fprintf(w, "and %d days before, with %.4f\n", len(more), score)
		}
		if len(x.Files) > 0 {
			fmt.Fprintln(w)
			table(w, func(row func(...any)) {
				row("REQUESTS", "LAST SEEN", "FILE")
				for _, f := range x.Files[:min(len(x.Files), maxDays)] {
					row(f.Requests, f.LastSeen.Format(time.DateOnly), f.Path)
				}
			})
		}
	}
}
