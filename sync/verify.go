package sync

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
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
	unlock, err := lock(filepath.Join(a.site.Config.StateDir, "imsync-verify.lock"))
	if err != nil {
		return nil, err
	}
	defer unlock()
	r := &VerifyReport{Started: a.now(), Wrong: []WrongFile{}}
	if !o.Restart {
		if err := a.history.place(r); err != nil {
			return nil, fmt.Errorf("see how far the last one came: %w", err)
		}
	}
	limit := rate.NewLimiter(rate.Inf, 0)
	if o.Rate > 0 {
		limit = rate.NewLimiter(rate.Limit(o.Rate), int(max(o.Rate, 1<<20)))
	}
	kept, keptBytes := r.Files, r.Bytes
	err = a.site.Cache.Audit(ctx, r.After, limit.WaitN, func(f cache.Finding) error {
		r.Files++
		r.Bytes += f.Size
		r.After = f.Key.String()
		if f.Unknown {
			r.Unknown++
		}
		if f.Wrong != nil {
			w := WrongFile{Path: f.Key.String(), Error: f.Wrong.Error()}
			if o.Repair {
				if err := a.repair(ctx, f); err != nil {
					w.Error += "; " + err.Error()
				} else {
					w.Repaired = true
				}
			}
			r.Wrong = append(r.Wrong, w)
		}
		if r.Files-kept < keepPlaceEvery && r.Bytes-keptBytes < keepPlaceBytesEvery && f.Wrong == nil {
			return nil
		}
		kept, keptBytes = r.Files, r.Bytes
		return a.history.keepPlace(r)
	})
	r.Finished = a.now()
	if err != nil {
		return r, errors.Join(err, a.history.keepPlace(r))
	}
	return r, a.history.forgetPlace()
}

// repair puts a wrong file aside, and fetches it again.
func (a *Agent) repair(ctx context.Context, f cache.Finding) error {
	if err := a.site.Cache.PutAside(f); err != nil {
		return fmt.Errorf("it can't be put aside: %w", err)
	}
	mirrors := a.site.Mirrors(f.Key.Repo)
	if mirrors == nil {
		return errors.New("it is put aside; no repo has it, the next request for it fetches it again")
	}
	w, _ := a.site.Generations.Lookup(f.Key)
	if _, err := a.site.Cache.Bring(ctx, f.Key, w, mirrors.Grab()); err != nil {
		return fmt.Errorf("it is put aside, and can't be fetched again: %w", err)
	}
	if err := a.site.Generations.Mend(f.Key); err != nil {
		return fmt.Errorf("the copy of it below .im/gen can't be mended: %w", err)
	}
	return nil
}

// place takes up where a Verify was broken off, if one was.
func (h *history) place(r *VerifyReport) error {
	var after string
	var report []byte
	err := h.db.QueryRow(`SELECT after, report FROM verify`).Scan(&after, &report)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(report, r); err != nil {
		return err
	}
	r.After, r.Resumed = after, true
	return nil
}

// keepPlace writes down how far r is.
func (h *history) keepPlace(r *VerifyReport) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	_, err = h.db.Exec(`INSERT INTO verify (id, after, report) VALUES (1, ?1, ?2) ON CONFLICT (id) DO UPDATE SET after = ?1, report = ?2`, r.After, b)
	return err
}

// forgetPlace lets the next Verify begin with the first file.
func (h *history) forgetPlace() error {
	_, err := h.db.Exec(`DELETE FROM verify`)
	return err
}
