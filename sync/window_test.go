package sync

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestWindowStopsTheRun: a run ends with the window, whatever it does, and goes on
// where it was the next time.
func TestWindowStopsTheRun(t *testing.T) {
	big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: 3 << 20}
	b := newBench(t, `packages = ["big", "small"]
parallel = 1
window = "01:00-06:00"`, nil, big, pkgSpec("small", "1"))
	b.up.On("*/"+big.Filename(), testrepo.Trickle(2<<20).Times(1))
	// The download never ends, should the run come to it in the time that is left.
	b.set(time.Date(2026, 11, 23, 5, 59, 57, 0, time.Local))
	r := b.once()
	if !strings.Contains(r.Stopped, "01:00-06:00") || r.Fetched != 0 || r.Failures != 0 {
		t.Errorf("stopped %q, fetched %d, failures %d", r.Stopped, r.Fetched, r.Failures)
	}
	if _, err := os.Stat(filepath.Join(b.dir, benchRoot, "repodata/repomd.xml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("metadata is current before its packages are there: %v", err)
	}
	b.up.Heal()

	b.up.Forget()
	b.set(time.Date(2026, 11, 23, 12, 0, 0, 0, time.Local))
	if r := b.once(); !strings.Contains(r.Stopped, "outside") || len(b.up.Lines("", "*")) != 0 {
		t.Errorf("outside of the window: stopped %q, upstream was asked %q", r.Stopped, b.up.Lines("", "*"))
	}
	if last, err := b.agent.history.lastSuccess(); err != nil || !last.IsZero() {
		t.Errorf("a run that was stopped counts as done: %v, %v", last, err)
	}

	b.set(time.Date(2026, 11, 24, 2, 0, 0, 0, time.Local))
	r = b.once()
	if r.Stopped != "" || r.Fetched != 2 {
		t.Errorf("the next night: stopped %q, fetched %d", r.Stopped, r.Fetched)
	}
	b.stored(big, true)
}

// TestCancelInTheWindow: what the caller breaks off is no matter of the window.
func TestCancelInTheWindow(t *testing.T) {
	b := newBench(t, `packages = ["a"]
window = "01:00-23:00"`, nil, pkgSpec("a", "1"))
	b.set(time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local))
	b.up.On("*.rpm", testrepo.Trickle(0).Times(1))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	var r *Report
	go func() {
		var err error
		r, err = b.agent.Once(ctx)
		done <- err
	}()
	if err := b.up.AwaitStalled(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) || r.Stopped != "" {
		t.Errorf("%v, stopped %q", err, r.Stopped)
	}
}
