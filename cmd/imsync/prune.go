package main

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	imsync "intelligentmirror/sync"
)

func newPrune(p *program) *cobra.Command {
	var dryRun, asJSON bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "Apply the deletion rules now",
		Long: `prune removes metadata that was replaced longer ago than generation_keep, what
broken-off downloads have left for two weeks, and, where the cache has outgrown
cache_size or leaves less than min_free, the files that are worth least. A run
does the same at its end, and imserve keeps to its size at all times.`,
		Example: `  imsync prune --dry-run    what would go, and why
  imsync prune --json | jq '.removed[] | select(.rule == "space")'`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, _ *config.Config) error {
				pruned, err := a.Prune(cmd.Context(), dryRun)
				if err != nil {
					return err
				}
				if asJSON {
					err = writeJSON(p.stdout, pruned)
				} else {
					writePruned(p.stdout, pruned)
				}
				if err == nil && len(pruned.Failed) > 0 {
					for _, f := range pruned.Failed {
						fmt.Fprintf(p.stderr, "imsync: %s: %s\n", f.Path, f.Error)
					}
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "say what would go, and remove nothing")
	c.Flags().BoolVar(&asJSON, "json", false, "print what went as JSON")
	return c
}

// writePruned prints what went.
func writePruned(w io.Writer, p *imsync.Pruned) {
	head, verb := "REMOVED", "removed"
	if p.DryRun {
		head, verb = "WOULD REMOVE", "would be removed"
	}
	if len(p.Removed) > 0 {
		table(w, func(row func(...any)) {
			row(head, "SIZE", "RULE", "WHY")
			for _, r := range p.Removed {
				row(r.Path, size(r.Bytes), r.Rule, r.Why)
			}
		})
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d %s, %s; the cache takes %s of %s\n", len(p.Removed), verb, size(p.Bytes), size(p.After), size(p.CacheSize))
}
