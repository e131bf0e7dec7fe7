package sync

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"golang.org/x/time/rate"

	"intelligentmirror/internal/cache"
)

// VerifyOptions say how the cache is read back.
type VerifyOptions struct {
	Repair  bool  // put wrong files aside, and fetch them again
	Restart bool  // begin with the first file, whatever an earlier one has left
	Rate    int64 // bytes a second that are read; 0 is no limit
}

// VerifyReport is what reading the cache back has shown. Its JSON is the
// contract's.
type VerifyReport struct {
	Started  time.Time   `json:"started"` // of the first part, where it went on
	Finished time.Time   `json:"finished"`
	Resumed  bool        `json:"resumed"` // it went on where an earlier one was broken off
	Files    int         `json:"files"`
	Bytes    int64       `json:"bytes"`
	Unknown  int         `json:"unknown"` // files of which no digest is known
	Wrong    []WrongFile `json:"wrong"`

	// After is the last file that was read.
	After string `json:"-"`
}

// WrongFile is a stored file whose bytes are wrong.
type WrongFile struct {
	Path     string `json:"path"`
	Error    string `json:"error"`
	Repaired bool   `json:"repaired"` // it was put aside, and the right bytes are there
}

// Failures is how many wrong files were not repaired.
func (r *VerifyReport) Failures() int {
	n := 0
	for _, w := range r.Wrong {
		if !w.Repaired {
			n++
		}
	}
	return n
}

// keepPlaceEvery is after how many files, and bytes, the place is written down from
// which a Verify that is broken off is gone on with.
const (
	keepPlaceEvery      = 200
	keepPlaceBytesEvery = 256 << 20
)

// Verify reads every stored file back and compares it with the digest that it had
// when it was stored, or that current metadata promises. One that is broken off
// by ctx is gone on with by the next. A second one at the same time is ErrRunning;
// a run may be under way.
func (a *Agent) Verify(ctx context.Context, o VerifyOptions) (*VerifyReport, error) {
	unlock, err := a.lockVerify()
	if err != nil {
		return nil, err
	}
	defer unlock()
	r := &VerifyReport{Started: a.now(), Wrong: []WrongFile{}}
	at := a.history.byHand()
	if !o.Restart {
		if err := at.read(r); err != nil {
			return nil, fmt.Errorf("see how far the last one came: %w", err)
		}
	}
	limit := rate.NewLimiter(rate.Inf, 0)
	if o.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(o.Rate), int(max(o.Rate, 1<<20)))
	}
	err = a.readBack(ctx, r, at, limit, o.Repair, math.MaxInt64)
	r.Finished = a.now()
	if err != nil {
		return r, errors.Join(err, at.keep(r))
	}
	return r, at.forget()
}

// lockVerify lets no other begin to read the cache back, in any process.
func (a *Agent) lockVerify() (unlock func(), err error) {
	return lock(filepath.Join(a.site.Config.StateDir, "imsync-verify.lock"))
}

// errEnough ends the reading of a part.
var errEnough = errors.New("as much is read as should be now")

// readBack goes on with r until that has all files, or most bytes: errEnough. It writes
// down at which place it is, so that another can go on. Bytes are read as limit lets it.
func (a *Agent) readBack(ctx context.Context, r *VerifyReport, at bookmark, limit *rate.Limiter, repair bool, most int64) error {
	kept, keptBytes := r.Files, r.Bytes
	return a.site.Cache.Audit(ctx, r.After, limit.WaitN, func(f cache.Finding) error {
		r.Files++
		r.Bytes += f.Size
		r.After = f.Key.String()
		if f.Unknown {
			r.Unknown++
		}
		if f.Wrong != nil {
			w := WrongFile{Path: f.Key.String(), Error: f.Wrong.Error()}
			if repair {
				if err := a.repair(ctx, f); err != nil {
					w.Error += "; " + err.Error()
				} else {
					w.Repaired = true
				}
			}
			r.Wrong = append(r.Wrong, w)
		}
		if r.Files-kept >= keepPlaceEvery || r.Bytes-keptBytes >= keepPlaceBytesEvery || f.Wrong != nil {
			kept, keptBytes = r.Files, r.Bytes
			if err := at.keep(r); err != nil {
				return err
			}
		}
		if r.Bytes >= most {
			return errEnough
		}
		return nil
	})
}
