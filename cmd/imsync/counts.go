package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/visible"
	"intelligentmirror/popularity"
	imsync "intelligentmirror/sync"
)

func newExportCounts(p *program) *cobra.Command {
	return &cobra.Command{
		Use:   "export-counts",
		Short: "Write what has been counted for the other machines of the group",
		Long: `export-counts reads what is new in the access logs, and writes what this machine has
counted to standard output, compressed: clients as hashes, that the group's secret
(sync.group_key) makes, and of days that are closed numbers alone. Another machine
with the same secret takes it in (imsync import-counts). Where the machines reach
each other's imserve, sync.group does both by itself.`,
		Example: `  imsync export-counts > /mnt/usb/mirror2.counts
  ssh mirror2 imsync export-counts | imsync import-counts -`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(slog.LevelWarn, nil, func(a *imsync.Agent, cfg *config.Config) error {
				if err := inGroup(cfg); err != nil {
					return err
				}
				if _, err := a.Ingest(cmd.Context()); err != nil {
					return err
				}
				return a.ExportCounts(cmd.Context(), p.stdout)
			})
		},
	}
}

func newImportCounts(p *program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "import-counts [FILE ...]",
		Short: "Take in what other machines of the group have counted",
		Long: `import-counts takes in what other machines with the same sync.group_key have counted:
the files that are named, which imsync export-counts has written there, - being standard
input, or without any the imserves of sync.group. Then this machine's ranking is of
all their clients, no client twice. The same counts once more, or older ones, change
nothing.`,
		Example: `  imsync import-counts
  imsync import-counts /mnt/usb/*.counts
  imsync import-counts --json | jq 'map(.requests) | add'`,
		RunE: func(cmd *cobra.Command, files []string) error {
			return p.with(slog.LevelError, nil, func(a *imsync.Agent, cfg *config.Config) error {
				if err := inGroup(cfg); err != nil {
					return err
				}
				if len(files) == 0 && len(cfg.Sync.Group) == 0 {
					return &usageError{fmt.Errorf("name the files to take in, or the other machines in sync.group")}
				}
				// Its own logs first: of a day of which it knows nothing it takes another's numbers.
				if _, err := a.Ingest(cmd.Context()); err != nil {
					return err
				}
				var all []imsync.Exchanged
				if len(files) == 0 {
					all = a.Exchange(cmd.Context())
				}
				for _, file := range files {
					all = append(all, importCounts(cmd.Context(), a, file, cmd.InOrStdin()))
				}
				if asJSON {
					if err := writeJSON(p.stdout, all); err != nil {
						return err
					}
				}
				failed := false
				for _, x := range all {
					failed = failed || x.Error != ""
					if !asJSON || x.Error != "" {
						writeExchanged(p.people(), p.complaints(), x)
					}
				}
				if err := cmd.Context().Err(); err != nil {
					return err
				}
				if failed {
					return errPartly
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what was taken in as JSON")
	return c
}

// inGroup says what is missing where this machine is in no group.
func inGroup(cfg *config.Config) error {
	if cfg.Sync.GroupKey == "" {
		return &usageError{fmt.Errorf("this machine counts alone: set sync.group_key, the same secret on each machine of the group")}
	}
	return nil
}

// importCounts takes in the counts of one file.
func importCounts(ctx context.Context, a *imsync.Agent, file string, stdin io.Reader) imsync.Exchanged {
	x := imsync.Exchanged{From: file}
	err := func() (err error) {
		in := stdin
		if file != popularity.Stdin {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			defer f.Close()
			in = f
		}
		x.Imported, err = a.ImportCounts(ctx, in)
		return err
	}()
	if err != nil {
		x.Error = err.Error()
	}
	return x
}

// writeExchanged prints what came of one machine's counts.
func writeExchanged(stdout, stderr io.Writer, x imsync.Exchanged) {
	if x.Error != "" {
		fmt.Fprintf(visible.Writer{W: stderr}, "imsync: %s: %s\n", x.From, x.Error)
		return
	}
	fmt.Fprintf(stdout, "%s: counts of %s: %d requests were new, of %d days", x.From, moment(x.Made), x.Requests, x.Days)
	if x.Past > 0 {
		fmt.Fprintf(stdout, "; %d closed days are taken over", x.Past)
	}
	fmt.Fprintln(stdout)
	for _, root := range x.NewRoots {
		fmt.Fprintf(stdout, "new repository: %s\n", root)
	}
	for _, day := range x.Late {
		fmt.Fprintf(stdout, "%s is closed here: who was not counted before does not count any more\n", day.Format(time.DateOnly))
	}
}
