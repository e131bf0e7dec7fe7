package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	imsync "intelligentmirror/sync"
)

func newReplicate(p *program) *cobra.Command {
	var o imsync.ReplicateOptions
	var asJSON bool
	c := &cobra.Command{
		Use:   "replicate",
		Short: "Make this cache a copy of another imserve's",
		Long: `replicate makes this cache a copy of another imserve's: it asks that for what has
changed since the last time, fetches what is missing, each file verified, lets the
other's metadata become current once all of it is here, and deletes what the other
has deleted. Without --from it copies the caches that [[replicate]] names. This
machine's address has to stand in serve.admins there.

What only replaced metadata lists stays until that expires, and where more than a
fifth of a repository would go at once, nothing of it goes until --confirm says so.
A copy that is broken off goes on where it was.`,
		Example: `  imsync replicate --from http://mirror1.example.org:3180
  imsync replicate --from http://mirror1.example.org:3180 --json | jq .bytes
  imsync replicate --confirm fedora/updates/39/Everything/x86_64`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.with(slog.LevelWarn, newProgress(p.stderr), func(a *imsync.Agent, cfg *config.Config) error {
				from, err := origins(cfg, o.From)
				if err != nil {
					return &usageError{err}
				}
				reports, err := replicateAll(cmd.Context(), a, o, from)
				if asJSON && o.From != "" && len(reports) == 1 {
					err = errors.Join(err, writeJSON(p.stdout, reports[0]))
				} else if asJSON && o.From == "" && len(reports) > 0 {
					err = errors.Join(err, writeJSON(p.stdout, reports))
				} else if !asJSON {
					for _, r := range reports {
						writeReplica(p.people(), r)
					}
				}
				for _, r := range reports {
					if err == nil && r.Failures > 0 {
						err = errPartly
					}
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&o.From, "from", "", "the `URL` of the other imserve (default: those of [[replicate]])")
	c.Flags().StringArrayVar(&o.Confirm, "confirm", nil, "let as much of the repository `ROOT` go as the other has deleted; may be repeated")
	c.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON; without --from, an array of them")
	return c
}

// origins are the URLs to copy from: the one that was named, or those of cfg.
func origins(cfg *config.Config, named string) (urls []string, err error) {
	if named != "" {
		r, err := cfg.Replica(named)
		if err != nil {
			return nil, fmt.Errorf("--from %q: %w; expected the URL of another imserve such as http://mirror1.example.org:3180", named, err)
		}
		return []string{r.From}, nil
	}
	for _, r := range cfg.Replicas {
		urls = append(urls, r.From)
	}
	if len(urls) == 0 {
		return nil, errors.New("name the imserve to copy with --from URL, or in a [[replicate]] of the configuration")
	}
	return urls, nil
}

// replicateAll copies one cache after the other; that one fails holds up none but
// where the run itself has ended.
func replicateAll(ctx context.Context, a *imsync.Agent, o imsync.ReplicateOptions, from []string) (reports []*imsync.ReplicaReport, err error) {
	for _, url := range from {
		o.From = url
		r, rerr := a.Replicate(ctx, o)
		if r != nil {
			reports = append(reports, r)
		}
		err = errors.Join(err, rerr)
		if errors.Is(rerr, imsync.ErrRunning) || ctx.Err() != nil {
			break
		}
	}
	return reports, err
}

// writeReplica prints what a copy did.
func writeReplica(w io.Writer, r *imsync.ReplicaReport) {
	if r.Stopped != "" && r.Files == 0 {
		fmt.Fprintf(w, "Nothing is copied now: %s.\n", r.Stopped)
		return
	}
	for _, root := range r.Changed {
		fmt.Fprintf(w, "new metadata: %s\n", root)
	}
	for _, f := range r.Deleted {
		fmt.Fprintf(w, "deleted: %s (%s): %s\n", f.Path, size(f.Bytes), f.Why)
	}
	fmt.Fprintf(w, "%s has %d files, %s", r.From, r.Files, size(r.FilesBytes))
	if r.Unchanged {
		fmt.Fprint(w, ", as it had the last time")
	}
	fmt.Fprintf(w, "; %d copied, %s in %s", r.Fetched, size(r.Bytes), r.Finished.Sub(r.Started).Round(time.Millisecond))
	if r.ResumedBytes > 0 {
		fmt.Fprintf(w, ", %s kept from an earlier copy", size(r.ResumedBytes))
	}
	fmt.Fprintf(w, "; %d deleted", len(r.Deleted))
	if r.Kept > 0 {
		fmt.Fprintf(w, ", %d stay that it has not got any more: in use, or listed by metadata that was replaced a short while ago", r.Kept)
	}
	fmt.Fprintln(w)
	if r.Stopped != "" {
		fmt.Fprintf(w, "note: %s\n", r.Stopped)
	}
	for _, l := range r.Left {
		fmt.Fprintf(w, "note: %s: %s\n", l.Root, l.Why)
	}
	for _, f := range r.Failed {
		fmt.Fprintf(w, "failed: %s: %s\n", f.Path, f.Error)
	}
	if more := r.Failures - len(r.Failed) - len(r.Guarded); more > 0 {
		fmt.Fprintf(w, "failed: %d more\n", more)
	}
	for _, g := range r.Guarded {
		fmt.Fprintf(w, "failed: %s: %s\n", g.Root, g.Advice())
	}
}

// replicaLine is a cache that is copied in a line.
func replicaLine(s *imsync.ReplicaStatus) string {
	line := "not copied yet"
	if l := s.Last; l != nil {
		line = fmt.Sprintf("%s, for %s: %d files of %d, %s, %d failures", moment(l.Started), l.Finished.Sub(l.Started).Round(time.Second),
			l.Fetched, l.Files, size(l.Bytes), l.Failures)
		switch {
		case s.Ended != "":
			line += "; broken off: " + s.Ended
		case l.Stopped != "":
			line += "; " + l.Stopped
		}
		if s.Failed() && !s.LastSuccess.IsZero() {
			line += "; the last without a failure " + moment(s.LastSuccess)
		}
	}
	if !s.NextRun.IsZero() {
		line += "; next " + moment(s.NextRun)
	}
	return line
}

// logReplica logs what a copy did.
func logReplica(log *slog.Logger, r *imsync.ReplicaReport, err error) {
	if r == nil {
		log.Error("the copy failed", "error", err)
		return
	}
	for _, f := range r.Failed {
		log.Warn("not copied", "path", f.Path, "error", f.Error)
	}
	for _, g := range r.Guarded {
		log.Warn("too much is gone from the cache that is copied", "root", g.Root, "advice", g.Advice())
	}
	for _, l := range r.Left {
		log.Info("a repository is not copied as it is", "root", l.Root, "reason", l.Why)
	}
	attrs := []any{"from", r.From, "files", r.Files, "copied", r.Fetched, "bytes", r.Bytes, "resumed_bytes", r.ResumedBytes,
		"deleted", len(r.Deleted), "failures", r.Failures, "took", r.Finished.Sub(r.Started)}
	if err != nil {
		log.Error("the copy was broken off", append(attrs, "error", err)...)
		return
	}
	if r.Stopped != "" {
		attrs = append(attrs, "stopped", r.Stopped)
	}
	log.Info("the copy is done", attrs...)
}
