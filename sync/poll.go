package sync

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// poll looks at each root in use once in every, until ctx ends, and tells done of
// the runs that come of it.
func (a *Agent) poll(ctx context.Context, every time.Duration, done func(*Report, error)) {
	l := looks{every: every, random: rand.Float64, at: map[string]time.Time{}}
	for {
		select {
		case a.turn <- struct{}{}:
			report, err := a.look(ctx, &l)
			<-a.turn
			switch {
			case ctx.Err() != nil:
				return
			case errors.Is(err, ErrRunning):
				a.log.Debug("no look at the roots now", "reason", err)
			case report != nil || err != nil:
				done(report, err)
			}
		default:
			// A scheduled run is under way, and looks at all roots.
		}
		wait := time.NewTimer(l.wait(time.Now()))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
	}
}

// look asks for the repomd.xml of the roots that are due. Those that have changed
// are synced as by a run, and the report is of that; it is nil where none has.
func (a *Agent) look(ctx context.Context, l *looks) (*Report, error) {
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r := a.begin()
	r.report.Partial = true
	changed := false
	defer r.tellProgress(&r.reached)()
	err = a.inWindow(ctx, r.report, func(ctx context.Context) error {
		if err := r.observe(ctx); err != nil {
			return err
		}
		if err := r.account(ctx); err != nil {
			return err
		}
		// Intervals are the machine's, whatever becomes of the time of the day.
		due, rest := l.due(time.Now(), r.report.Roots)
		if _, err := r.stage(ctx, due); err != nil {
			return err
		}
		for _, s := range r.staged {
			changed = changed || s.Changed
		}
		if !changed {
			return nil
		}
		// The newest version of a name is among that of all companion roots.
		if _, err := r.stage(ctx, rest); err != nil {
			return err
		}
		if err := r.plan(ctx); err != nil {
			return err
		}
		return r.carryOut(ctx)
	})
	r.report.finish(a.now())
	for _, root := range r.report.Roots {
		for _, f := range root.Failed {
			a.log.Warn("a look at a root failed", "path", f.Path, "error", f.Error)
		}
	}
	if !changed {
		return nil, err
	}
	r.remember(err)
	return r.report, err
}

// looks says when each root is to be looked at: spread over the interval, so
// that neither all roots nor all sites come at once. It belongs to one goroutine.
type looks struct {
	every  time.Duration
	random func() float64       // in [0, 1)
	at     map[string]time.Time // of each root in use, its next time
	begun  bool
}

// jitter is the part of the interval by which a look comes earlier or later.
const jitter = 0.1

// due splits the roots into those whose time has come, which get a next one, and
// the others. Those that are there from the start get their first time at some
// point of the interval; one that appears later is looked at at once.
func (l *looks) due(now time.Time, roots []*RootReport) (due, rest []*RootReport) {
	next := make(map[string]time.Time, len(roots))
	for _, r := range roots {
		at, known := l.at[r.Root]
		switch {
		case !known && !l.begun:
			at = now.Add(time.Duration(l.random() * float64(l.every)))
			rest = append(rest, r)
		case !known, !at.After(now):
			at = now.Add(time.Duration((1 - jitter + 2*jitter*l.random()) * float64(l.every)))
			due = append(due, r)
		default:
			rest = append(rest, r)
		}
		next[r.Root] = at
	}
	// A root that is in use no longer is forgotten: wait would find it due for ever.
	l.at, l.begun = next, true
	return due, rest
}

// wait is how long nothing is to be done: until the next root is due, but a
// twentieth of the interval at least, and no longer than that.
func (l *looks) wait(now time.Time) time.Duration {
	wait := l.every
	for _, at := range l.at {
		wait = min(wait, at.Sub(now))
	}
	return max(wait, l.every/20)
}
