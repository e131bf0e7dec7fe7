package sync

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/robfig/cron/v3"

	"intelligentmirror/internal/config"
)

// replicates is the schedule of a cache that is copied; nil where it comes behind
// each run.
func replicates(r config.Replica) (cron.Schedule, error) {
	if r.Schedule == "" {
		return nil, nil
	}
	s, err := cron.ParseStandard(r.Schedule)
	if err != nil {
		return nil, fmt.Errorf("replicate: %s: schedule: %w", r.From, err)
	}
	if spec, ok := s.(*cron.SpecSchedule); ok {
		s = wallClock{spec}
	}
	return windowed{s, r.Window}, nil
}

// replicas are the configured caches to copy, with what [sync] says of them.
func (a *Agent) replicas() ([]config.Replica, error) {
	all := make([]config.Replica, len(a.site.Config.Replicas))
	for i, r := range a.site.Config.Replicas {
		var err error
		if all[i], err = a.site.Config.Replica(r.From); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// copyBehind copies the caches that have no schedule of their own. The caller holds
// the agent's turn.
func (a *Agent) copyBehind(ctx context.Context, all []config.Replica) {
	for _, r := range all {
		if r.Schedule == "" && ctx.Err() == nil {
			a.copyNow(ctx, r)
		}
	}
}

// copyNow copies one cache, and tells of it.
func (a *Agent) copyNow(ctx context.Context, r config.Replica) {
	report, err := a.Replicate(ctx, ReplicateOptions{From: r.From})
	if errors.Is(err, ErrRunning) {
		a.log.Info("no copy now", "from", r.From, "reason", err)
		return
	}
	a.replicated(report, err)
}

// copiesDue is a job for each of the caches that have a schedule of their own.
func (a *Agent) copiesDue(ctx context.Context, chain cron.Chain, all []config.Replica) (jobs []*due, err error) {
	past, err := a.history.replicas()
	if err != nil {
		a.log.Warn("what was copied is not known", "error", err)
	}
	last := map[string]time.Time{}
	for _, p := range past {
		last[p.From] = p.LastSuccess
	}
	for _, r := range all {
		schedule, err := replicates(r)
		if err != nil {
			return nil, err
		}
		if schedule == nil {
			continue
		}
		job := chain.Then(cron.FuncJob(func() {
			select {
			case a.turn <- struct{}{}:
			case <-ctx.Done():
				return
			}
			defer func() { <-a.turn }()
			a.copyNow(ctx, r)
		}))
		jobs = append(jobs, &due{
			Schedule: schedule, name: "a copy of " + r.From, window: r.Window, job: job,
			now: a.now, random: rand.Float64, log: a.log, last: last[r.From],
		})
		a.log.Info("waiting to copy", "from", r.From, "schedule", r.Schedule, "next", schedule.Next(a.now()))
	}
	return jobs, nil
}
