package sync

import (
	"context"
	"errors"
	"math"
	"time"

	"golang.org/x/time/rate"
)

// ReadBack is the part of the cache that a run has read back (sync.verify), and what of
// that was wrong.
type ReadBack struct {
	Files int         `json:"files"`
	Bytes int64       `json:"bytes"`
	Wrong []WrongFile `json:"wrong"`
}

// readBackRate is how many bytes a second a run reads back: nobody waits for it.
const readBackRate = 50 << 20

// verifyShare reads back the part of the cache that is due in this night, at the end of
// its run, and has wrong files fetched again. It goes on where the night before ended;
// what fails is logged and reported.
func (r *run) verifyShare(ctx context.Context) {
	every := time.Duration(r.site.Config.Sync.Verify)
	if every == 0 {
		return
	}
	unlock, err := r.lockVerify()
	if errors.Is(err, ErrRunning) {
		r.log.Info("nothing is read back in this run", "reason", err)
		return
	}
	if err == nil {
		defer unlock()
		err = r.readShare(ctx, every)
	}
	if err != nil && ctx.Err() == nil {
		r.log.Warn("the cache can't be read back", "error", err)
	}
}

func (r *run) readShare(ctx context.Context, every time.Duration) error {
	at := r.history.byNights()
	now := r.now()
	v := &VerifyReport{Started: now, Wrong: []WrongFile{}}
	if err := at.read(v); err != nil {
		return err
	}
	if !v.Finished.IsZero() || v.Started.After(now) {
		if age := now.Sub(v.Started); age >= 0 && age < every {
			return nil // all of it was read within the time
		}
		v = &VerifyReport{Started: now, Wrong: []WrongFile{}}
	}
	files, bytes := v.Files, v.Bytes
	v.Wrong = []WrongFile{} // each is told of once
	most := share(r.site.Cache.Space(ctx).Bytes, now.Sub(v.Started), every)
	if bytes >= most && files > 0 {
		return nil // an earlier run of this night has read its share
	}
	err := r.readBack(ctx, v, at, rate.NewLimiter(readBackRate, readBackRate), true, most)
	if err == nil {
		v.Finished, v.After = r.now(), ""
	}
	r.report.readBack(ReadBack{v.Files - files, v.Bytes - bytes, v.Wrong})
	for _, w := range v.Wrong {
		r.log.Warn("a stored file was wrong", "path", w.Path, "error", w.Error, "repaired", w.Repaired)
	}
	v.Wrong = []WrongFile{}
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, at.keep(v))
}

// night is how long a run's share lasts: until the next night's.
const night = 24 * time.Hour

// share is how many of size bytes have to be read by the end of a night's run, in a pass
// that began so long ago, for all of them to be read once in every.
func share(size int64, since, every time.Duration) int64 {
	if since += night; since >= every {
		return math.MaxInt64
	}
	return int64(float64(size) * (float64(since) / float64(every)))
}
