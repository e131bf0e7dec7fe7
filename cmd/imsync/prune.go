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
	var o imsync.PruneOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "Apply the deletion rules now",
		Long: `prune removes metadata that was replaced longer ago than generation_keep, what
broken-off downloads have left for two weeks, and, where the cache has outgrown
cache_size or leaves less than min_free, the files that are worth least. A run
does the same at its end, and imserve keeps to its size at all times.

A file that no metadata lists which is kept, and that two mirrors say is gone (one,
where there is only one), is withdrawn: clients get it no more, and after
generation_keep it is removed, if it is still gone. Where that would be more than a
fifth of a repository at once, nothing of it goes until --confirm says so.

From the bucket, where there is one, goes what was deleted here so, what no kept
metadata lists for longer than generation_keep, and what none tells of for longer than
bucket_keep. What is stored here and missing there is uploaded.`,
		Example: `  imsync prune --dry-run    # what would go, and why
  imsync prune --confirm fedora/updates/39/Everything/x86_64
  imsync prune --json | jq '.removed[] | select(.rule == "space")'`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, _ *config.Config) error {
				pruned, err := a.Prune(cmd.Context(), o)
				if err != nil {
					return err
				}
				if asJSON {
					err = writeJSON(p.stdout, pruned)
				} else {
					writePruned(p.people(), pruned)
				}
				for _, f := range pruned.Failed {
					fmt.Fprintf(p.complaints(), "imsync: %s: %s\n", f.Path, f.Error)
				}
				for _, g := range pruned.Guarded {
					fmt.Fprintf(p.complaints(), "imsync: %s: %s\n", g.Root, g.Advice())
				}
				if err == nil && len(pruned.Failed)+len(pruned.Guarded) > 0 {
					return errPartly
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&o.DryRun, "dry-run", false, "say what would go, and remove nothing")
	c.Flags().StringArrayVar(&o.Confirm, "confirm", nil, "let as much of the repository `ROOT` go as upstream has withdrawn; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print what went as JSON")
	return c
}

// writePruned prints what went.
func writePruned(w io.Writer, p *imsync.Pruned) {
	head, withdrawn, verb := "REMOVED", "WITHDRAWN", "removed"
	if p.DryRun {
		head, withdrawn, verb = "WOULD REMOVE", "WOULD WITHDRAW", "would be removed"
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
	if len(p.Withdrawn) > 0 {
		table(w, func(row func(...any)) {
			row(withdrawn, "SIZE", "WHY")
			for _, r := range p.Withdrawn {
				row(r.Path, size(r.Bytes), r.Why)
			}
		})
		fmt.Fprintln(w)
	}
	if len(p.Bucket) > 0 {
		table(w, func(row func(...any)) {
			row(head+" FROM THE BUCKET", "SIZE", "WHY")
			for _, r := range p.Bucket {
				row(r.Path, size(r.Bytes), r.Why)
			}
		})
		fmt.Fprintln(w)
	}
	for _, l := range p.Left {
		fmt.Fprintf(w, "note: nothing of %s goes: %s\n", l.Root, l.Why)
	}
	fmt.Fprintf(w, "%d %s, %s; the cache takes %s of %s\n", len(p.Removed), verb, size(p.Bytes), size(p.After), size(p.CacheSize))
}
