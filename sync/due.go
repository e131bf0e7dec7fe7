package sync

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"intelligentmirror/internal/config"
)

// Timers stand still while the machine sleeps, and take no notice when somebody sets
// its clock. So what is due at a time of the day is looked for on that clock, too.

// lookEvery is how often the clock is looked at.
const lookEvery = time.Minute

// putOff is by how much a job comes after its time at the most, so that not all sites
// ask a mirror in one moment: no more than a part of the time to the next, and of what
// is left of the window.
const (
	putOff       = 5 * time.Minute
	putOffPart   = 10
	putOffWindow = 2
)

// due is a job with the times of its schedule. It runs once for each time that has
// come since it last began, or for several together, on whosever account: a timer of
// cron's that comes late, since the machine has slept, finds that nothing is due.
type due struct {
	cron.Schedule
	name   string // for the log
	window config.Window
	job    cron.Job
	now    func() time.Time
	random func() float64 // in [0, 1), from any goroutine
	log    *slog.Logger

	mu   sync.Mutex
	last time.Time // when it last began; zero: it never did
}

// onTime runs the job some moments after cron's timer has fired, unless ctx ends before.
func (d *due) onTime(ctx context.Context) {
	wait := time.NewTimer(time.Duration(d.random() * float64(d.most())))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return
	}
	if d.begin(0) {
		d.job.Run()
	}
}

// most is by how much the job is put off now, at the most.
func (d *due) most() time.Duration {
	now, most := d.now(), putOff
	if next := d.Next(now); !next.IsZero() {
		most = min(most, next.Sub(now)/putOffPart)
	}
	if end, open := d.window.Closes(now.Local()); open && !end.IsZero() {
		most = min(most, end.Sub(now)/putOffWindow)
	}
	return most
}

// catchUp runs the job if it should have begun before more than late.
func (d *due) catchUp(late time.Duration) {
	if d.begin(late) {
		d.log.Info("what was missed is done now", "what", d.name)
		d.job.Run()
	}
}

// begin reports whether the job is due since late, and notes that it begins then.
func (d *due) begin(late time.Duration) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if _, open := d.window.Closes(now.Local()); !open {
		return false
	}
	if d.last.After(now) {
		d.last = now.Round(0) // the clock was wrong then, or is now
	}
	if !d.last.IsZero() {
		next := d.Next(d.last)
		if next.IsZero() || next.Add(late).After(now) {
			return false
		}
	}
	d.last = now.Round(0) // what counts is the time of the day
	return true
}

// keep runs the jobs when they are due, until ctx ends. It returns when none is under way.
func keep(ctx context.Context, log *slog.Logger, jobs []*due) {
	c := cron.New(cron.WithLogger(cronLog{log}))
	for _, d := range jobs {
		c.Schedule(d, cron.FuncJob(func() { d.onTime(ctx) }))
	}
	c.Start()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			for _, d := range jobs {
				// Cron, if it is awake, goes first.
				d.catchUp(lookEvery + d.most())
			}
		case <-ctx.Done():
		}
	}
	// Stop lets no new run begin; the one under way sees ctx and ends.
	<-c.Stop().Done()
}

// at calls f when the clock, as now tells it, shows t or later, or has been put back by
// more than a day, so that nobody can say when that will be, unless stop is called before.
// f may be called while stop is.
func at(now func() time.Time, t time.Time, f func()) (stop func()) {
	done := make(chan struct{})
	go func() {
		longest := t.Sub(now()) + 24*time.Hour
		for left := t.Sub(now()); left > 0 && left <= longest; left = t.Sub(now()) {
			timer := time.NewTimer(min(left, lookEvery))
			select {
			case <-timer.C:
			case <-done:
				timer.Stop()
				return
			}
			if left <= lookEvery {
				break // so short a time is left to the timer
			}
		}
		f()
	}()
	return func() { close(done) }
}
