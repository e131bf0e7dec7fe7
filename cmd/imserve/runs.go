package main

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"intelligentmirror/internal/config"
	"intelligentmirror/serve"
	imsync "intelligentmirror/sync"
)

// failuresShown is how many of a run's failures the status page lists.
const failuresShown = 10

// runsOf is what is remembered of imsync's runs, nil where there were none.
func runsOf(ctx context.Context, cfg *config.Config, now time.Time) (*serve.Runs, error) {
	p, err := imsync.ReadPast(ctx, cfg.StateDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	running, err := imsync.IsRunning(cfg.StateDir)
	if err != nil {
		return nil, err
	}
	if p.Last == nil && !running {
		return nil, nil
	}
	r := &serve.Runs{Running: running, Ended: p.Ended, Success: p.LastSuccess, Brought: runItems(p.Brought), BroughtAll: p.BroughtAll, InVain: runItems(p.InVain)}
	if r.Next, err = imsync.NextRun(&cfg.Sync, now); err != nil {
		return nil, err
	}
	if last := p.Last; last != nil {
		r.Started, r.Finished = last.Started, last.Finished
		r.Fetched, r.Bytes, r.Failures = last.Fetched, last.Bytes, last.Failures
		r.Used, r.Wasted, r.Waiting = last.UsedBytes, last.WastedBytes, last.WaitingBytes
		for _, root := range last.Roots {
			for _, f := range root.Failed {
				if len(r.Failed) < failuresShown {
					r.Failed = append(r.Failed, f.Path+": "+f.Error)
				}
			}
		}
	}
	return r, nil
}

func runItems(items []imsync.PastItem) []serve.RunItem {
	list := make([]serve.RunItem, 0, len(items))
	for _, it := range items {
		list = append(list, serve.RunItem{Path: it.Path, Size: it.Size, At: it.At, Why: it.Why, Used: it.Used})
	}
	return list
}
