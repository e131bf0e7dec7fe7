package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
	imsync "intelligentmirror/sync"
)

func newOnce(p *program) *cobra.Command {
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "once",
		Short: "Do one run: read the logs, plan, download",
		Example: `  imsync once               a run now, with progress bars on a terminal
  imsync once --dry-run     what it would fetch, and why
  imsync once --json        the report for another program`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			progress := newProgress(p.stderr)
			return p.with(slog.LevelWarn, progress, func(a *imsync.Agent, cfg *config.Config) error {
				do, show := a.Once, writeReport
				if dryRun {
					do, show = a.Plan, writePlan
				}
				report, err := do(cmd.Context())
				if report == nil || errors.Is(err, context.Canceled) {
					return err
				}
				if asJSON {
					if jerr := writeJSON(p.stdout, report); jerr != nil {
						return jerr
					}
				} else if err == nil {
					show(p.stdout, report, cfg)
				}
				if err == nil && report.Failures > 0 {
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "fetch metadata alone, and say what would be fetched")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return c
}

func newPlan(p *program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "plan",
		Short: "Show what a run would fetch, with reason and size",
		Example: `  imsync plan
  imsync plan --json | jq 'map(.size) | add'`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				report, err := a.Plan(cmd.Context())
				if err != nil {
					return err
				}
				if asJSON {
					items := report.Plan.Items
					if items == nil {
						items = []imsync.Item{}
					}
					err = writeJSON(p.stdout, items)
				} else {
					writePlan(p.stdout, report, cfg)
				}
				if err == nil && report.Failures > 0 {
					writeFailures(p.stderr, report)
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	return c
}

func newRank(p *program) *cobra.Command {
	var asJSON bool
	var n int
	c := &cobra.Command{
		Use:   "rank",
		Short: "Read the new log lines and print the ranking",
		Example: `  imsync rank               the first 50
  imsync rank -n 0 --json   all of them, for another program`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if n < 0 {
				return &usageError{fmt.Errorf("-n %d: how many names to print; 0 is all", n)}
			}
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				ranks, report, err := a.Rank(cmd.Context())
				if err != nil {
					return err
				}
				all := len(ranks)
				if n > 0 {
					ranks = ranks[:min(n, all)]
				}
				if asJSON {
					if ranks == nil {
						ranks = []popularity.Rank{}
					}
					err = writeJSON(p.stdout, ranks)
				} else {
					writeRanks(p.stdout, ranks, all, report, cfg)
				}
				for _, f := range report.Failed {
					fmt.Fprintf(p.stderr, "imsync: %s can't be read to its end: %s\n", f.Path, f.Error)
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
	return c
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
