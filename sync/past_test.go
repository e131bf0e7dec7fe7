package sync

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestReadPast(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadPast(t.Context(), dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no history at all: %v", err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("a reader left %v, %v", list, err)
	}
	h, err := openHistory(filepath.Join(dir, historyName))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := ReadPast(t.Context(), dir); err != nil || p.Last != nil || !p.LastSuccess.IsZero() {
		t.Errorf("no run: %+v, %v", p, err)
	}
	good := newReport(time.Unix(1000, 0))
	good.Finished, good.Fetched, good.Bytes, good.ResumedBytes, good.Failures = time.Unix(1060, 0), 3, 4000, 500, 1
	if err := h.add(good, nil); err != nil {
		t.Fatal(err)
	}
	check := func(fetched int, ended string) {
		t.Helper()
		p, err := ReadPast(t.Context(), dir)
		if err != nil || p.Last == nil || p.Last.Fetched != fetched || p.Ended != ended || !p.LastSuccess.Equal(time.Unix(1000, 0)) {
			t.Errorf("%+v, %v", p, err)
		}
	}
	check(3, "")
	bad := newReport(time.Unix(2000, 0))
	bad.Finished = time.Unix(2001, 0)
	if err := h.add(bad, errors.New("no disk")); err != nil {
		t.Fatal(err)
	}
	check(0, "no disk")
	// Neither has looked after all roots to the end.
	bad.Fetched, bad.Partial = 7, true
	if err := h.add(bad, nil); err != nil {
		t.Fatal(err)
	}
	check(7, "")
	bad.Fetched, bad.Partial, bad.Stopped = 0, false, "it is outside of sync.window"
	if err := h.add(bad, nil); err != nil {
		t.Fatal(err)
	}
	check(0, "")
	bad.Stopped = ""
	if err := h.add(bad, errors.New("no disk")); err != nil {
		t.Fatal(err)
	}
	for i, it := range []Item{
		{Path: "r/old.rpm", Size: 5, Reason: ReasonPopular},
		{Path: "r/vlc.rpm", Size: 10, Reason: ReasonSeed, Because: "vlc"},
		{Path: "r/libvlc.rpm", Size: 20, Reason: ReasonDependency, Because: "vlc"},
	} {
		it.Name = it.Path
		at := bad.Finished.Add(-wastedAfter - time.Hour)
		if i > 0 {
			at = good.Started.Add(time.Second)
		}
		if err := h.brought(it, at); err != nil {
			t.Fatal(err)
		}
	}
	p, err := ReadPast(t.Context(), dir)
	if err != nil || p.BroughtAll != 2 || len(p.Brought) != 2 || p.Brought[0].Why != "dependency: vlc" || p.Brought[1].Why != "seed: vlc" {
		t.Errorf("brought: %+v, %v", p, err)
	}
	if len(p.InVain) != 1 || p.InVain[0].Path != "r/old.rpm" {
		t.Errorf("in vain: %+v", p.InVain)
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	check(0, "no disk") // with no agent at work
	if err := os.WriteFile(filepath.Join(dir, historyName), []byte("no database at all, but of some length"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPast(t.Context(), dir); err == nil {
		t.Error("a damaged history is read")
	}
}

func TestIsRunning(t *testing.T) {
	dir := t.TempDir()
	if running, err := IsRunning(dir); err != nil || running {
		t.Errorf("nobody was ever here: %v, %v", running, err)
	}
	unlock, err := lock(filepath.Join(dir, lockName))
	if err != nil {
		t.Fatal(err)
	}
	if running, err := IsRunning(dir); err != nil || !running {
		t.Errorf("under the lock: %v, %v", running, err)
	}
	unlock()
	if running, err := IsRunning(dir); err != nil || running {
		t.Errorf("afterwards: %v, %v", running, err)
	}
}
