package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/robfig/cron/v3"
)

// Run does runs on the configured schedule until ctx ends, and then breaks off
// the one that is under way, which stays resumable. A run that was missed while
// nobody was there to do it is caught up at once. done is told of each.
func (a *Agent) Run(ctx context.Context, done func(*Report, error)) error {
	schedule, err := cron.ParseStandard(a.site.Config.Sync.Schedule)
	if err != nil {
		return fmt.Errorf("sync.schedule: %w", err)
	}
	once := func() {
		report, err := a.Once(ctx)
		if errors.Is(err, ErrRunning) {
			a.log.Info("no run now", "reason", err)
			return
		}
		done(report, err)
	}
	log := cronLog{a.log}
	// In this order: SkipIfStillRunning gives its token back without a defer, so
	// that a panic has to be caught below it.
	job := cron.NewChain(cron.SkipIfStillRunning(log), cron.Recover(log)).Then(cron.FuncJob(once))
	c := cron.New(cron.WithLogger(log))
	c.Schedule(schedule, job)

	last, err := a.history.lastSuccess()
	if err != nil {
		a.log.Warn("the last run is not known", "error", err)
	}
	if last.IsZero() || !schedule.Next(last).After(a.now()) {
		a.log.Info("a run was missed and is done now", "last", last)
		job.Run()
	}
	c.Start()
	a.log.Info("waiting", "schedule", a.site.Config.Sync.Schedule, "next", schedule.Next(a.now()))
	<-ctx.Done()
	// Stop lets no new run begin; the one under way sees ctx and ends.
	<-c.Stop().Done()
	return nil
}

// cronLog is a cron.Logger.
type cronLog struct{ log *slog.Logger }

func (l cronLog) Info(msg string, kv ...any) { l.log.Debug("cron: "+msg, kv...) }
func (l cronLog) Error(err error, msg string, kv ...any) {
	l.log.Error("cron: "+msg, append(kv, "error", err)...)
}
