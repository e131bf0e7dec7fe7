package main

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/visible"
	imsync "intelligentmirror/sync"
)

func newRun(p *program) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Stay, and sync on the configured schedule",
		Long: `run stays and does a run whenever sync.schedule says so, copies the caches that
[[replicate]] names behind it or when they say, and, as often as sync.poll
says, looks whether a repository in use has changed, which it then syncs at once. A
run that was missed is caught up at the start, and after the machine has slept.

It is stopped with SIGTERM, and goes on where it was when it is started again. On
SIGHUP it reads its configuration anew, and goes on where it was; one that has errors,
or names files that can't be used, is logged, and the old one stays.`,
		Example: `  imsync run --config /etc/intelligentmirror/config.toml
  imsync run --json         # the reports for another program`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hangup := make(chan os.Signal, 1)
			signal.Notify(hangup, syscall.SIGHUP)
			defer signal.Stop(hangup)
			return p.stay(cmd.Context(), hangup, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print the report of each run as JSON, a line each")
	return c
}

// stay does runs until ctx ends, after a hangup with the configuration as it is then, if
// it can be used. It prints the runs' reports if asJSON says so.
func (p *program) stay(ctx context.Context, hangup <-chan os.Signal, asJSON bool) error {
	log, err := p.logger(slog.LevelInfo)
	if err != nil {
		return err
	}
	cfg, err := p.load()
	if err != nil {
		return err
	}
	a, done, err := open(cfg, log, nil)
	if err != nil {
		return err
	}
	for {
		next, err := p.runs(ctx, a, log, hangup, asJSON)
		if err = errors.Join(err, done()); err != nil || next == nil {
			return err
		}
		// Keys and secrets are read only now: the one before could be used.
		if a, done, err = open(next, log, nil); err == nil {
			cfg = next
			log.Info("the configuration is read anew")
			continue
		}
		log.Error("the configuration stays as it was", "error", err)
		if a, done, err = open(cfg, log, nil); err != nil {
			return err
		}
	}
}

// runs does a's runs until ctx ends, or until a hangup finds a configuration without
// errors, which is next.
func (p *program) runs(ctx context.Context, a *imsync.Agent, log *slog.Logger, hangup <-chan os.Signal, asJSON bool) (next *config.Config, err error) {
	running, stop := context.WithCancel(ctx)
	defer stop()
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		for next == nil {
			select {
			case <-running.Done():
				return
			case <-hangup:
			}
			cfg, err := p.load()
			if err != nil {
				log.Error("the configuration stays as it was", "error", err)
			}
			next = cfg // nil after an error
		}
		stop()
	}()
	lines := json.NewEncoder(visible.JSON{W: p.stdout})
	lines.SetEscapeHTML(false)
	ended := a.Run(running, func(r *imsync.Report, err error) {
		logRun(log, r, err)
		if !asJSON || r == nil {
			return
		}
		if err := lines.Encode(r); err != nil {
			log.Error("a report can't be printed", "error", err)
		}
	})
	stop()
	<-reading
	return next, ended
}

// logRun logs what a run did.
func logRun(log *slog.Logger, r *imsync.Report, err error) {
	if r == nil {
		log.Error("the run failed", "error", err)
		return
	}
	attrs := []any{"roots", len(r.Roots), "fetched", r.Fetched, "bytes", r.Bytes, "resumed_bytes", r.ResumedBytes,
		"failures", r.Failures, "took", r.Finished.Sub(r.Started)}
	for _, root := range r.Roots {
		for _, f := range root.Failed {
			log.Warn("not fetched", "path", f.Path, "error", f.Error)
		}
	}
	if err != nil {
		log.Error("the run was broken off", append(attrs, "error", err)...)
		return
	}
	if r.Stopped != "" {
		attrs = append(attrs, "stopped", r.Stopped)
	}
	log.Info("the run is done", append(attrs, "used_bytes", r.UsedBytes, "wasted_bytes", r.WastedBytes)...)
}
