package main

import (
	"context"
	"errors"
	"log/slog"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	imsync "intelligentmirror/sync"
)

func newOnce(p *program) *cobra.Command {
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "once",
		Short: "Do one run: read the logs, plan, download",
		Example: `  imsync once               # a run now, with progress bars on a terminal
  imsync once --dry-run     # what it would fetch, and why
  imsync once --json        # the report for another program`,
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
					show(p.people(), report, cfg)
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
					err = writeJSONList(p.stdout, report.Plan.Items)
					writeFailures(p.complaints(), report) // for which the array has no place
				} else {
					writePlan(p.people(), report, cfg)
				}
				if err == nil && report.Failures > 0 {
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the plan as JSON")
	return c
}
