package sync

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/robfig/cron/v3"

	"intelligentmirror/internal/config"
)

// wall is the time of the day. Timers go by the time in the test's bubble, which is
// another as soon as the machine has slept, or somebody has set its clock.
type wall struct{ off atomic.Int64 }

func (w *wall) now() time.Time { return time.Now().Add(time.Duration(w.off.Load())).Round(0) }

// jump puts the clock forward or back.
func (w *wall) jump(d time.Duration) { w.off.Add(int64(d)) }

// set sets the clock.
func (w *wall) set(t time.Time) { w.jump(t.Sub(w.now())) }

// TestDue: jobs run once for each of their times, whatever the machine and its clock do.
func TestDue(t *testing.T) {
	type step struct {
		what string
		jump time.Duration // of the clock alone
		wait time.Duration
		runs int // in all, then
	}
	for _, c := range []struct {
		name, schedule, start string
		window                config.Window
		last                  string // when it last began; "" is at the start
		takes                 time.Duration
		steps                 []step
		random                float64
	}{
		{"a machine that sleeps", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{}, "", 0, []step{
			{"before its time", 0, 2 * time.Hour, 0},
			{"its time", 0, time.Hour, 1},
			{"it has slept over the next", 30 * time.Hour, 2 * time.Minute, 2},
			{"the next night", 0, 18 * time.Hour, 3},
			{"cron's timer, which stood still, comes late", 0, 5*time.Hour + 30*time.Minute, 3},
			{"two nights together", 49 * time.Hour, 2 * time.Minute, 4},
		}, 0},
		{"a clock that is set", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{}, "", 0, []step{
			{"its time", 0, 3 * time.Hour, 1},
			{"put back, not behind it", -30 * time.Minute, 2 * time.Minute, 1},
			{"put back, so that it comes again", -2 * time.Hour, 3 * time.Hour, 2},
			{"put forward to before the next", 20 * time.Hour, 2 * time.Minute, 2},
			{"put forward over it", 3 * time.Hour, 2 * time.Minute, 3},
		}, 0},
		{"a year ahead, and back", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{}, "", 0, []step{
			{"its time", 0, 3 * time.Hour, 1},
			{"all that was missed is one run", 365 * day, 2 * time.Minute, 2},
			{"the next night", 0, 24 * time.Hour, 3},
			{"back, which is no new night", -365 * day, 2 * time.Minute, 3},
			{"and the next", 0, 24 * time.Hour, 4},
		}, 0},
		{"to 1970, and back", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{}, "", 0, []step{
			{"its time", 0, 3 * time.Hour, 1},
			{"1970-01-01 03:00", -20780 * day, 2 * time.Minute, 1},
			{"its next night", 0, 24 * time.Hour, 2},
			{"back in 2026", 20780 * day, 2 * time.Minute, 3},
			{"the next night", 0, 24 * time.Hour, 4},
		}, 0},
		{"a clock that was wrong", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{}, "2031-01-01T00:00:00Z", 0, []step{
			{"before its time", 0, 2 * time.Hour, 0},
			{"its time", 0, time.Hour, 1},
		}, 0},
		{"put off", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{}, "", 0, []step{
			{"its time", 0, 2*time.Hour + 21*time.Minute, 0},
			{"after it", 0, 5 * time.Minute, 1},
			{"asleep over the next, which is not put off", 30 * time.Hour, 7 * time.Minute, 2},
		}, 0.9},
		{"put off, as far as the window goes", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{From: 60, To: 140}, "", 0, []step{
			{"its time", 0, 2*time.Hour + 18*time.Minute, 0},
			{"after it", 0, time.Minute, 1},
		}, 0.9},
		{"put off by a tenth", "CRON_TZ=UTC * * * * *", "2026-11-23T00:00:30Z", config.Window{}, "", 0, []step{
			{"its time", 0, 31 * time.Second, 0},
			{"after it", 0, 5 * time.Second, 1},
			{"the next", 0, time.Minute, 2},
		}, 0.9},
		{"the night without its hour", "CRON_TZ=Europe/Berlin 17 2 * * *", "2026-03-28T12:00:00+01:00", config.Window{}, "", 0, []step{
			{"03:17", 0, 14*time.Hour + 20*time.Minute, 1},
			{"the next night", 0, 23 * time.Hour, 2},
		}, 0},
		{"the night with its hour twice", "CRON_TZ=Europe/Berlin 17 2 * * *", "2026-10-24T12:00:00+02:00", config.Window{}, "", 0, []step{
			{"02:17", 0, 14*time.Hour + 20*time.Minute, 1},
			{"02:17 again", 0, time.Hour, 1},
			{"the next night", 0, 24 * time.Hour, 2},
		}, 0},
		{"a window that is over", "CRON_TZ=UTC 17 2 * * *", "2026-11-23T00:00:00Z", config.Window{From: 60, To: 360}, "", 0, []step{
			{"it has slept until noon", 12 * time.Hour, 2 * time.Minute, 0},
			{"caught up when it opens", 0, 13*time.Hour + 5*time.Minute, 1},
			{"the next", 0, 2 * time.Hour, 2},
		}, 0},
		{"a run that is long", "CRON_TZ=UTC 17 * * * *", "2026-11-23T00:00:00Z", config.Window{}, "", 90 * time.Minute, []step{
			{"one under way", 0, time.Hour, 1},
			{"one left out", 0, time.Hour, 1},
			{"the one after it", 0, 20 * time.Minute, 2},
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Windows are of the machine's own zone.
			zone := time.Local
			time.Local = time.UTC
			defer func() { time.Local = zone }()
			synctest.Test(t, func(t *testing.T) {
				at := func(s string) time.Time {
					at, err := time.Parse(time.RFC3339, s)
					if err != nil {
						t.Fatal(err)
					}
					return at
				}
				// Cron goes by the bubble's time, and so, but for what has been set, does the clock.
				time.Sleep(time.Until(at(c.start)))
				clock := &wall{}
				schedule, err := scheduled(&config.Sync{Schedule: c.schedule, Window: c.window})
				if err != nil {
					t.Fatal(err)
				}
				runs := 0
				chain := cron.NewChain(cron.SkipIfStillRunning(cron.DiscardLogger))
				d := &due{Schedule: schedule, window: c.window, now: clock.now, random: func() float64 { return c.random }, log: slog.New(slog.DiscardHandler), last: clock.now()}
				d.job = chain.Then(cron.FuncJob(func() {
					runs++
					time.Sleep(c.takes)
				}))
				if c.last != "" {
					d.last = at(c.last)
				}
				ctx, cancel := context.WithCancel(t.Context())
				ended := make(chan struct{})
				go func() {
					defer close(ended)
					keep(ctx, d.log, []*due{d})
				}()
				for _, s := range c.steps {
					clock.jump(s.jump)
					time.Sleep(s.wait)
					synctest.Wait()
					if runs != s.runs {
						t.Errorf("%s: %d runs, want %d", s.what, runs, s.runs)
					}
				}
				cancel()
				<-ended
			})
		})
	}
}

// TestWindowByTheClock: a window ends when the clock says so, though the machine has
// slept meanwhile, or the clock was set.
func TestWindowByTheClock(t *testing.T) {
	zone := time.Local
	time.Local = time.UTC
	defer func() { time.Local = zone }()
	window := config.Window{From: 60, To: 360}
	for _, c := range []struct {
		name  string
		jump  time.Duration
		lasts time.Duration // by the machine's timers
	}{
		{"nothing happens", 0, 4 * time.Hour},
		{"asleep until noon", 10 * time.Hour, lookEvery},
		{"put forward", time.Hour, 3 * time.Hour},
		{"put back", -30 * time.Minute, 4*time.Hour + 30*time.Minute},
		{"put forward by a year", 365 * 24 * time.Hour, lookEvery},
		{"put back by a year", -365 * 24 * time.Hour, lookEvery},
		{"put back to 1970", -56 * 365 * 24 * time.Hour, lookEvery},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock := new(wall)
				clock.set(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
				a := &Agent{now: clock.now}
				start := time.Now()
				stopped, err := a.within(t.Context(), window, "sync.window", func(ctx context.Context) error {
					synctest.Wait() // until the clock has been looked at
					clock.jump(c.jump)
					<-ctx.Done()
					return ctx.Err()
				})
				if stopped == "" || err != nil {
					t.Errorf("stopped %q, %v", stopped, err)
				}
				if lasted := time.Since(start); lasted != c.lasts {
					t.Errorf("stopped after %v, want %v", lasted, c.lasts)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		clock := new(wall)
		clock.set(time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC))
		a := &Agent{now: clock.now}
		failed := errors.New("failed")
		if stopped, err := a.within(t.Context(), window, "sync.window", func(context.Context) error { return failed }); stopped != "" || err != failed {
			t.Errorf("what ends by itself: stopped %q, %v", stopped, err)
		}
	})
}
