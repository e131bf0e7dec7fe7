package sync

import (
	"bytes"
	"context"
	"crypto/sha256"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
	"golang.org/x/time/rate"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// TestReplicaSchedule holds when a cache is copied whose [[replicate]] has a schedule
// of its own, and that of those without one each comes behind a run, and no other.
func TestReplicaSchedule(t *testing.T) {
	const nobody = "http://127.0.0.1:1"
	const layout = "2006-01-02 15:04"
	for _, c := range []struct {
		name, settings, now, last string
		next                      []string
		missed, behind            bool
	}{
		{name: "behind each run", behind: true},
		{name: "its own", settings: `schedule = "*/20 * * * *"`, now: "2026-11-22 12:05", last: "2026-11-22 12:01",
			next: []string{"2026-11-22 12:20", "2026-11-22 12:40"}},
		{name: "never copied", settings: `schedule = "30 4 * * *"`, now: "2026-11-22 12:05",
			next: []string{"2026-11-23 04:30"}, missed: true},
		{name: "one was missed", settings: `schedule = "30 4 * * *"`, now: "2026-11-22 12:05", last: "2026-11-21 04:30",
			next: []string{"2026-11-23 04:30"}, missed: true},
		{name: "none was missed", settings: `schedule = "30 4 * * *"`, now: "2026-11-22 12:05", last: "2026-11-22 04:30",
			next: []string{"2026-11-23 04:30"}},
		{name: "it waits for its window", settings: "schedule = \"0 12 * * *\"\nwindow = \"22:00-06:00\"", now: "2026-11-22 12:05",
			next: []string{"2026-11-22 22:00", "2026-11-23 22:00"}},
		{name: "missed, in its window", settings: "schedule = \"0 12 * * *\"\nwindow = \"22:00-06:00\"", now: "2026-11-22 23:05",
			next: []string{"2026-11-23 22:00"}, missed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, "[[replicate]]\nfrom = \""+nobody+"\"\n"+c.settings, nil)
			at := func(text string) time.Time {
				when, err := time.ParseInLocation(layout, text, time.Local)
				if err != nil {
					t.Fatal(err)
				}
				return when
			}
			if c.now != "" {
				b.set(at(c.now))
			}
			if c.last != "" {
				if err := b.agent.history.replicated(&ReplicaReport{From: nobody, Started: at(c.last)}, nil); err != nil {
					t.Fatal(err)
				}
			}
			var copied []string
			b.agent.replicated = func(r *ReplicaReport, err error) {
				copied = append(copied, r.From)
				if err == nil {
					t.Error("nobody was copied")
				}
			}
			replicas, err := b.agent.replicas()
			if err != nil {
				t.Fatal(err)
			}
			jobs, err := b.agent.copiesDue(t.Context(), cron.NewChain(), replicas)
			if err != nil {
				t.Fatal(err)
			}
			if len(jobs) != min(1, len(c.next)) {
				t.Fatalf("%d jobs", len(jobs))
			}
			when := b.now()
			for _, want := range c.next {
				if when = jobs[0].Next(when); when.Format(layout) != want {
					t.Errorf("next: %v, want %s", when, want)
				}
			}
			for _, job := range jobs {
				job.catchUp(0)
			}
			if got := len(copied) > 0; got != c.missed {
				t.Errorf("missed: %v", got)
			}
			b.agent.copyBehind(t.Context(), replicas)
			var want []string
			if c.behind || c.missed {
				want = []string{nobody}
			}
			if !slices.Equal(copied, want) {
				t.Errorf("copied %q, want %q", copied, want)
			}
		})
	}
}

// TestReplicaWindow holds that nothing is asked of the other outside of the window of
// its [[replicate]], and that the end of the window ends a copy.
func TestReplicaWindow(t *testing.T) {
	var asked atomic.Int32
	began, release := make(chan struct{}, 10), make(chan struct{})
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		began <- struct{}{}
		select { // it never ends its answer
		case <-r.Context().Done():
		case <-release:
		}
	}))
	defer other.Close()
	defer close(release)
	b := newBench(t, "window = \"12:00-13:00\"\n[[replicate]]\nfrom = \""+other.URL+"\"\nwindow = \"01:00-06:00\"", nil)

	b.set(time.Date(2026, 11, 23, 12, 30, 0, 0, time.Local)) // in that of [sync]
	r, err := b.agent.Replicate(t.Context(), ReplicateOptions{From: other.URL})
	if err != nil || !strings.Contains(r.Stopped, "outside of the window of [[replicate]] (01:00-06:00)") || asked.Load() != 0 {
		t.Errorf("outside: %v, %+v, asked %d times", err, r, asked.Load())
	}
	b.set(time.Date(2026, 11, 23, 5, 59, 59, 0, time.Local))
	r, err = b.agent.Replicate(t.Context(), ReplicateOptions{From: other.URL})
	if err != nil || !strings.Contains(r.Stopped, "is over") {
		t.Errorf("at its end: %v, %+v, asked %d times", err, r, asked.Load())
	}
	if past, err := b.agent.history.replicas(); err != nil || len(past) != 1 || !past[0].LastSuccess.IsZero() {
		t.Errorf("a copy that was stopped counts as done: %+v, %v", past, err)
	}
	// What the caller breaks off is no matter of the window.
	for len(began) > 0 {
		<-began
	}
	b.set(time.Date(2026, 11, 23, 2, 0, 0, 0, time.Local))
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-began
		cancel()
	}()
	if r, err := b.agent.Replicate(ctx, ReplicateOptions{From: other.URL}); err == nil || r.Stopped != "" {
		t.Errorf("broken off: %v, %+v", err, r)
	}
}

// passed is a limit that lets all pass, and counts it.
type passed struct{ bytes atomic.Int64 }

func (p *passed) WaitN(_ context.Context, n int) error {
	p.bytes.Add(int64(n))
	return nil
}

// TestReplicaRate holds which limit a copy has, and that all bytes of files pass it.
func TestReplicaRate(t *testing.T) {
	b := newBench(t, "rate = \"2MiB/s\"\n[[replicate]]\nfrom = \"http://a\"\nrate = \"1MiB/s\"\n[[replicate]]\nfrom = \"http://b\"", nil)
	for from, want := range map[string]rate.Limit{"http://a": 1 << 20, "http://b": 2 << 20} {
		how, err := b.site.Config.Replica(from)
		if err != nil {
			t.Fatal(err)
		}
		limit, ok := limitOf(how).(*rate.Limiter)
		if !ok || limit.Limit() != want || limit.Burst() != int(want) {
			t.Errorf("%s: %+v", from, limit)
		}
	}
	if limit := limitOf(config.Replica{From: "http://c"}); limit != nil {
		t.Errorf("no rate: %v", limit)
	}
	if limit, ok := limitOf(config.Replica{Rate: 1 << 10}).(*rate.Limiter); !ok || limit.Burst() != 64<<10 {
		t.Errorf("a buffer has to pass: %+v", limit)
	}

	file := append([]byte("\xed\xab\xee\xdb"), bytes.Repeat([]byte("x"), 300_000)...)
	path := filepath.Join(b.files, "-/stored/r/x.rpm")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o644); err != nil {
		t.Fatal(err)
	}
	limit, sum := &passed{}, sha256.Sum256(file)
	origin, done := b.site.Origin(b.up.URL, 1, limit)
	defer done()
	out, err := b.site.Cache.Prefetch(t.Context(), cache.Key{Repo: "r", Path: "x.rpm"},
		cache.Want{Digest: cache.SHA256(sum[:]), Size: int64(len(file))}, origin.Files("r"))
	if err != nil || out.Fetched != int64(len(file)) || limit.bytes.Load() < int64(len(file)) {
		t.Errorf("%+v, %v; %d bytes have passed the limit", out, err, limit.bytes.Load())
	}
}
