package sync

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"intelligentmirror/internal/config"
)

// Run does runs on the configured schedule, copies the configured caches behind each
// or on schedules of their own, and between them does a run for the roots whose
// metadata has changed (sync.poll), until ctx ends; then it breaks off the
// one that is under way, which stays resumable. A run that was missed while
// nobody was there to do it, or while the machine slept, is caught up at once. done is
// told of each.
func (a *Agent) Run(ctx context.Context, done func(*Report, error)) error {
	schedule, err := scheduled(&a.site.Config.Sync)
	if err != nil {
		return err
	}
	replicas, err := a.replicas()
	if err != nil {
		return err
	}
	once := func() {
		// A look at the roots is over soon.
		select {
		case a.turn <- struct{}{}:
		case <-ctx.Done():
			return
		}
		defer func() { <-a.turn }()
		report, err := a.Once(ctx)
		if errors.Is(err, ErrRunning) {
			a.log.Info("no run now", "reason", err)
			return
		}
		done(report, err)
		a.copyBehind(ctx, replicas)
	}
	log := cronLog{a.log}
	// In this order: SkipIfStillRunning gives its token back without a defer, so
	// that a panic has to be caught below it.
	chain := cron.NewChain(cron.SkipIfStillRunning(log), cron.Recover(log))
	last, err := a.history.lastSuccess()
	if err != nil {
		a.log.Warn("the last run is not known", "error", err)
	}
	jobs := []*due{{
		Schedule: schedule, name: "a run", window: a.site.Config.Sync.Window, job: chain.Then(cron.FuncJob(once)),
		now: a.now, random: rand.Float64, log: a.log, last: last,
	}}
	copies, err := a.copiesDue(ctx, chain, replicas)
	if err != nil {
		return err
	}
	jobs = append(jobs, copies...)
	for _, d := range jobs {
		d.catchUp(0)
	}
	var polling sync.WaitGroup
	if every := time.Duration(a.site.Config.Sync.Poll); every > 0 {
		polling.Go(func() { a.poll(ctx, every, done) })
	}
	a.log.Info("waiting", "schedule", a.site.Config.Sync.Schedule, "next", schedule.Next(a.now()))
	keep(ctx, a.log, jobs)
	polling.Wait()
	return nil
}

// scheduled is when the runs of a configuration are due.
func scheduled(cfg *config.Sync) (cron.Schedule, error) {
	s, err := cron.ParseStandard(cfg.Schedule)
	if err != nil {
		return nil, fmt.Errorf("sync.schedule: %w", err)
	}
	if spec, ok := s.(*cron.SpecSchedule); ok {
		s = wallClock{spec}
	}
	return windowed{s, cfg.Window}, nil
}

// wallClock is a schedule on days that the change of the clocks makes longer or
// shorter: a time that a day does not have comes as much later as the clocks are
// put forward, and of an hour that comes twice only the first counts, but for a
// schedule that comes more often than every other hour.
type wallClock struct{ *cron.SpecSchedule }

// often is how far apart the times of a schedule are which an hour that comes
// twice is no repetition to.
const often = 2 * time.Hour

// Next implements cron.Schedule.
func (w wallClock) Next(t time.Time) time.Time {
	loc := w.Location
	if loc == time.Local {
		loc = t.Location()
	}
	t = t.In(loc)
	// The same schedule where the clocks are never changed, read off them.
	plain := *w.SpecSchedule
	plain.Location = time.UTC
	onClock := func(t time.Time) time.Time {
		return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	}
	there := func(u time.Time) time.Time {
		return time.Date(u.Year(), u.Month(), u.Day(), u.Hour(), u.Minute(), u.Second(), 0, loc)
	}
	next := w.SpecSchedule.Next(t)
	clock := plain.Next(onClock(t))
	if skipped := there(clock); !clock.IsZero() && skipped.After(t) && (next.IsZero() || skipped.Before(next)) {
		return skipped
	}
	if !next.IsZero() && !clock.IsZero() && onClock(next).Before(clock) && clock.Sub(onClock(next)) >= often {
		// The clock has shown this time before.
		return there(clock)
	}
	return next
}

// windowed is a schedule whose times wait for the window to open.
type windowed struct {
	cron.Schedule
	window config.Window
}

// Next implements cron.Schedule.
func (w windowed) Next(t time.Time) time.Time {
	if w.window == (config.Window{}) {
		return w.Schedule.Next(t)
	}
	// One before t may still wait, no longer than a day.
	next := w.Schedule.Next(t.Add(-24 * time.Hour))
	for ; !next.IsZero(); next = w.Schedule.Next(next) {
		if opens := w.window.Opens(next); opens.After(t) {
			return opens
		}
	}
	return next
}

// cronLog is a cron.Logger.
type cronLog struct{ log *slog.Logger }

func (l cronLog) Info(msg string, kv ...any) { l.log.Debug("cron: "+msg, kv...) }
func (l cronLog) Error(err error, msg string, kv ...any) {
	l.log.Error("cron: "+msg, append(kv, "error", err)...)
}
