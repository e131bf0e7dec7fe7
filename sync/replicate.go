package sync

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/upstream"
)

// ReplicateOptions say what is copied.
type ReplicateOptions struct {
	From string // the URL of the other imserve
	// Confirm names the repositories of which as much may go as the other has not got
	// any more.
	Confirm []string
}

// ReplicaReport is what copying another imserve's cache has done. Its JSON is the
// contract's. It is filled by several goroutines; once it is over it does not change.
type ReplicaReport struct {
	From     string    `json:"from"`
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`
	// Cursor is the tag of the manifest that was copied, and Unchanged says that the
	// other still had the one of the time before, so that nothing of it came.
	Cursor        string `json:"cursor"`
	Unchanged     bool   `json:"unchanged"`
	Files         int    `json:"files"`       // that the other has
	FilesBytes    int64  `json:"files_bytes"` // of these
	Fetched       int    `json:"fetched"`     // files
	Bytes         int64  `json:"bytes"`       // of files that came, the metadata of generations included
	ResumedBytes  int64  `json:"resumed_bytes"`
	ManifestBytes int64  `json:"manifest_bytes"` // of lists that came
	// Changed is the roots whose metadata became another here.
	Changed []string `json:"changed"`
	// Deleted is the files that went since the other has them no more, Kept how many
	// of these stay: only metadata that was replaced a short while ago lists them, or
	// they are in use.
	Deleted []Removed `json:"deleted"`
	Kept    int       `json:"kept"`
	// Failed is what could not be copied, the first of it where that is more than a
	// thousand files; Failures is how much it was.
	Failed   []Failure `json:"failed"`
	Failures int       `json:"failures"`
	// Guarded is the repositories of which too much would have gone, each of them one of
	// the failures, and Left those of which nothing goes or changes for another reason.
	Guarded []Guarded `json:"guarded"`
	Left    []Left    `json:"left"`
	// Stopped says why it ended before all was there; "" if it did not.
	Stopped string `json:"stopped,omitempty"`
}

// ErrTooSmall says that the cache can't have all that the one that is copied has.
var ErrTooSmall = errors.New("cache_size is too small")

// Replicate makes this cache a copy of another imserve's: it fetches what is missing,
// lets the other's metadata become current where all of it is there, deletes what the
// other has deleted, and uploads what waits for the bucket, where there is one. What
// fails is in the report and is tried again by the next; an error is what ended it,
// ErrRunning where a run is under way, ErrTooSmall where it was not begun. One that is
// broken off by ctx goes on where it was.
func (a *Agent) Replicate(ctx context.Context, o ReplicateOptions) (*ReplicaReport, error) {
	how, err := a.site.Config.Replica(o.From)
	if err != nil {
		return nil, err
	}
	unlock, err := a.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	origin, done := a.site.Origin(how.From, how.Parallel, limitOf(how))
	defer done()
	r := newReplication(a, how, o.Confirm, origin)
	r.reached.Started = r.report.Started
	stop := a.tellProgress(&r.reached)
	r.report.Stopped, err = a.within(ctx, how.Window, "the window of [[replicate]]", func(ctx context.Context) error {
		err := r.do(ctx)
		if err == nil {
			r.upload(ctx)
		}
		return err
	})
	stop()
	r.report.Finished = a.now()
	r.report.Failures = r.failed + len(r.report.Guarded)
	if herr := a.history.replicated(r.report, err); herr != nil {
		a.log.Warn("what was copied can't be remembered", "error", herr)
	}
	return r.report, err
}

// limitOf is the limit to what comes from a cache that is copied; nil is none.
func limitOf(how config.Replica) upstream.RateLimiter {
	if how.Rate <= 0 {
		return nil
	}
	// A second's worth may come at once; grab asks for a buffer at a time.
	return rate.NewLimiter(rate.Limit(how.Rate), max(int(how.Rate), 64<<10))
}

// replication is one copy of another cache under way.
type replication struct {
	*Agent
	how     config.Replica
	confirm []string
	origin  *upstream.Origin
	dir     string // what is kept of the other between two copies
	reached reached

	mu     sync.Mutex
	report *ReplicaReport
	moved  bool  // something has come in this round, or was gone there
	absent bool  // something was gone there that its list has
	final  bool  // what is gone there is a failure, since no list is to come that lacks it
	failed int   // how much could not be copied in this round; the report has the first of it
	silent int   // files in a row for which the other could not be asked
	lost   error // why it is not asked any more
}

func newReplication(a *Agent, how config.Replica, confirm []string, origin *upstream.Origin) *replication {
	return &replication{
		Agent: a, how: how, confirm: confirm, origin: origin, dir: replicaDir(a.site.Cache, how.From),
		report: &ReplicaReport{
			From: how.From, Started: a.now(), Changed: []string{}, Deleted: []Removed{}, Failed: []Failure{},
			Guarded: []Guarded{}, Left: []Left{},
		},
	}
}

// replicaRounds is how often the other is looked at, at the most, while it changes
// or files fail.
const replicaRounds = 4

func (r *replication) do(ctx context.Context) error {
	if err := os.MkdirAll(r.dir, 0o755); err != nil {
		return err
	}
	// Who copies has the lock: what is there is nobody's.
	if err := sweepLeft(r.dir, newPrefix, time.Now()); err != nil {
		return fmt.Errorf("remove what a copy has left that was killed: %w", err)
	}
	for round := 1; ; round++ {
		changed, err := r.look(ctx)
		if err != nil {
			return fmt.Errorf("see what %s has: %w", r.how.From, err)
		}
		if round == 1 {
			r.report.Unchanged = !changed
		}
		if round > 1 && !changed && r.failed == 0 && !r.absent {
			break
		}
		r.final = round == replicaRounds || round > 1 && !changed
		r.report.Failed, r.report.Left, r.moved, r.absent, r.failed = []Failure{}, []Left{}, false, false, 0
		if err := r.bring(ctx); err != nil {
			return err
		}
		if round == replicaRounds || !r.moved && r.failed == 0 {
			break
		}
	}
	if r.failed > 0 {
		return nil // nothing is deleted after a copy that has failed
	}
	return r.discard(ctx)
}

// mostFailures is how many failures are listed: one that lists a million files and has
// none of them is not to fill the memory, nor the status.
const mostFailures = 1000

// fail notes what can't be copied now.
func (r *replication) fail(path string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed++; len(r.report.Failed) < mostFailures {
		r.report.Failed = append(r.report.Failed, Failure{path, explain(err)})
	}
}

// leave notes why a repository stays as it is.
func (r *replication) leave(root, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.report.Left = append(r.report.Left, Left{root, why})
}

// mostUnasked is after how many files in a row for which the other can't be asked
// the copy is broken off.
const mostUnasked = 20

// came notes how the copy of one file has ended.
func (r *replication) came(path string, out cache.Outcome, err error) {
	r.mu.Lock()
	r.report.Bytes += out.Fetched
	r.report.ResumedBytes += out.Resumed
	r.moved = r.moved || out.Fetched > 0
	if err == nil && !out.Stored {
		r.report.Fetched++
	}
	if !errors.As(err, new(*cache.UnreachableError)) {
		r.silent = 0
	} else if r.silent++; r.silent >= mostUnasked {
		r.lost = fmt.Errorf("%s can't be asked any more: %w", r.how.From, err)
	}
	r.mu.Unlock()
	if err != nil {
		r.fail(path, err)
	}
}

// gaveUp is why the other is not asked any more, nil while it is.
func (r *replication) gaveUp() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}
