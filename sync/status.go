package sync

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/robfig/cron/v3"

	"intelligentmirror/internal/cache"
)

// Status is what the agent is about, and what came of it. Its JSON is the
// contract's.
type Status struct {
	LastRun *LastRun `json:"last_run"` // null before the first
	// NextRun is when the schedule of the configuration has the next one, for
	// `imsync run`; a timer of the system's has times of its own.
	NextRun time.Time `json:"next_run"`
	Running *Running  `json:"running"` // null if there is none

	Files     int64 `json:"cache_files"`
	CacheSize int64 `json:"cache_size"`       // bytes of the stored files; one with several names counts once
	Limit     int64 `json:"cache_size_limit"` // bytes; what cache_size allows
	// Saved is what the uplink was spared, in bytes: what clients were sent less all
	// that came from upstream. Below zero, prefetching has not paid off yet.
	Saved   int64 `json:"bytes_saved"`
	Used    int64 `json:"bytes_used"`    // of what was prefetched; see Worth
	Wasted  int64 `json:"bytes_wasted"`  // of what was prefetched
	Waiting int64 `json:"bytes_waiting"` // of what was prefetched
	// Sources has the same by the source that brought it, sorted by name.
	Sources []SourceWorth `json:"sources"`

	Held []string `json:"held"` // roots that stay at their generation

	Replicas []ReplicaStatus `json:"replicas"` // the caches that are, or were, copied into this one
}

// Status looks at what there is. It neither waits for a run nor holds one up.
func (a *Agent) Status(ctx context.Context) (*Status, error) {
	cfg := a.site.Config
	s := &Status{Limit: int64(cfg.CacheSize)}
	schedule, err := scheduled(&cfg.Sync)
	if err != nil {
		return nil, err
	}
	s.NextRun = schedule.Next(a.now())
	if s.Replicas, err = a.copies(schedule); err != nil {
		return nil, fmt.Errorf("look up what was copied: %w", err)
	}
	if s.LastRun, err = a.history.last(); err != nil {
		return nil, fmt.Errorf("look up the last run: %w", err)
	}
	if s.Running, err = a.running(); err != nil {
		return nil, err
	}
	worth, err := a.history.worth(a.now())
	if err != nil {
		return nil, fmt.Errorf("sum up what was used: %w", err)
	}
	all := total(worth)
	s.Sources, s.Used, s.Wasted, s.Waiting = worth, all.Used, all.Wasted, all.Waiting
	if l := a.site.Ledger; l != nil {
		var t cache.Totals
		if t, err = l.Totals(ctx, time.Unix(0, 0)); err != nil {
			return nil, fmt.Errorf("read the accounting: %w", err)
		}
		s.Saved = t.Saved
	}
	if s.Held, err = a.site.Generations.Held(); err != nil {
		return nil, fmt.Errorf("see which roots are held: %w", err)
	}
	s.Files, s.CacheSize, err = stored(ctx, cfg.CacheDir)
	return s, err
}

// copies is what is known of the caches that are copied: those that the configuration
// has, and others that once were. behind is the schedule of the runs.
func (a *Agent) copies(behind cron.Schedule) ([]ReplicaStatus, error) {
	all, err := a.history.replicas()
	if err != nil {
		return nil, err
	}
	configured, err := a.replicas()
	if err != nil {
		return nil, err
	}
	for _, r := range configured {
		schedule, err := replicates(r)
		if err != nil {
			return nil, err
		}
		if schedule == nil {
			schedule = behind
		}
		i := slices.IndexFunc(all, func(s ReplicaStatus) bool { return s.From == r.From })
		if i < 0 {
			i = len(all)
			all = append(all, ReplicaStatus{From: r.From})
		}
		all[i].NextRun = schedule.Next(a.now())
	}
	return all, nil
}

// running is how far the run under way is, nil if there is none.
func (a *Agent) running() (*Running, error) {
	unlock, err := lock(a.lockPath())
	if err == nil {
		unlock()
		return nil, nil
	}
	if !errors.Is(err, ErrRunning) {
		return nil, err
	}
	r, err := a.history.progress()
	if errors.Is(err, sql.ErrNoRows) {
		// It has only just begun.
		return &Running{Started: a.now()}, nil
	}
	return &r, err
}

// stored counts the files below the cache directory and their bytes, but for what
// is the cache's own. The bytes of a file with several names are there once.
func stored(ctx context.Context, dir string) (files, bytes int64, err error) {
	linked := map[[2]uint64]bool{} // by device and inode
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case cache.Uncounted(err):
			return nil
		case err != nil:
			return err
		case e.IsDir() && path == filepath.Join(dir, ".im"):
			return fs.SkipDir
		case !e.Type().IsRegular():
			return nil
		}
		fi, err := e.Info()
		if cache.Uncounted(err) {
			return nil
		}
		if err != nil {
			return err
		}
		files++
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 {
			id := [2]uint64{st.Dev, st.Ino}
			if linked[id] {
				return nil
			}
			linked[id] = true
		}
		bytes += fi.Size()
		return nil
	})
	if err != nil {
		err = fmt.Errorf("measure the cache: %w", err)
	}
	return files, bytes, err
}
