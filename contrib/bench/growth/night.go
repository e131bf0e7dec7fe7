package main

import (
	"context"
	"encoding/json"
	"fmt"

	"intelligentmirror/contrib/bench/internal/peer"
)

// command runs a command of imsync's to its end, and reads into v what it prints.
func (b *bench) command(ctx context.Context, s *site, v any, args ...string) (peer.Sample, error) {
	m, out, err := peer.Measure(ctx, b.imsync, append(args, "--json", "--config", s.config)...)
	if err == nil {
		err = json.Unmarshal(out, v)
	}
	if err != nil {
		return m, fmt.Errorf("imsync %s: %w", args[0], err)
	}
	return m, nil
}

// nights measures a plan, with the metadata there and all stored that it could want, and
// a run that finds nothing new.
func (b *bench) nights(ctx context.Context, s *site, to map[string]float64) error {
	// The first run makes the metadata current that lists all files.
	var did struct{ Fetched, Failures int }
	if _, err := b.command(ctx, s, &did, "once"); err != nil {
		return err
	}
	if did.Fetched > 0 || did.Failures > 0 {
		return fmt.Errorf("a run with all files stored fetches %d of them, %d failures", did.Fetched, did.Failures)
	}
	for _, c := range []struct {
		name, command string
		v             any
	}{
		{plan, "plan", &[]json.RawMessage{}},
		{idleRun, "once", &did},
	} {
		var err error
		to[c.name], err = b.medianOf(func() (float64, error) {
			m, err := b.command(ctx, s, c.v, c.command)
			return m.CPU.Seconds(), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// evictions measures what it costs to let a tenth of the files go, which is how much
// goes when the cache has as many bytes as it may have.
func (b *bench) evictions(ctx context.Context, s *site, to map[string]float64) error {
	var err error
	to[eviction], err = b.medianOf(func() (float64, error) {
		bytes, err := s.taken()
		if err != nil {
			return 0, err
		}
		if err := s.configure(bytes); err != nil {
			return 0, err
		}
		var did struct{ Removed []json.RawMessage }
		m, err := b.command(ctx, s, &did, "prune")
		if err == nil && len(did.Removed) == 0 {
			err = fmt.Errorf("nothing goes of %d bytes", bytes)
		}
		return m.CPU.Seconds(), err
	})
	return err
}
