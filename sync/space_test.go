package sync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// confined is an agent whose cache may take so much, with the bench's clock in
// all of it.
func confined(t *testing.T, size, settings string, specs ...testrepo.Spec) *bench {
	t.Helper()
	b := &bench{T: t, files: t.TempDir(), dir: filepath.Join(t.TempDir(), "cache"), clock: clock{at: time.Now()}}
	b.up = testrepo.Start(t, b.files)
	b.publish(specs...)
	text := fmt.Sprintf("cache_dir = %q\nstate_dir = %q\ncache_size = %q\nmin_free = 0\n[[repo]]\nname = \"r\"\nupstreams = [%q]\n[sync]\nlogs = []\nroots = [%q]\n%s",
		b.dir, filepath.Join(t.TempDir(), "state"), size, b.up.URL, benchRoot, settings)
	b.open(text, b.now)
	return b
}

// large is a package of 3 MiB.
func large(name, version string) testrepo.Spec {
	return testrepo.Spec{Name: name, Version: version, Release: "1", Size: 3 << 20}
}

// TestARunFetchesWhatThereIsRoomFor: in a night that would fill the cache more
// than once, what comes first stays, and what would not fit is not fetched; the
// night after, what nobody wants any more makes room.
func TestARunFetchesWhatThereIsRoomFor(t *testing.T) {
	b := confined(t, "16MiB", `packages = ["a", "b", "c", "d", "e", "f", "g"]`,
		large("a", "1"), large("b", "1"), large("c", "1"), large("d", "1"), large("e", "1"), large("f", "1"), pkgSpec("g", "1"))
	r := b.once()
	got := fetched(r)
	if want := []string{"a seed", "b seed", "c seed", "d seed", "g seed"}; !slices.Equal(got, want) {
		t.Fatalf("fetched %q, want %q", got, want)
	}
	if n := b.up.Count("", "*.rpm"); n != 5 || len(r.Plan.Cut) != 2 || r.Room < 0 || r.Failures != 0 {
		t.Errorf("%d downloads; cut %d, room for %d, %d failures", n, len(r.Plan.Cut), r.Room, r.Failures)
	}
	for _, s := range []testrepo.Spec{large("a", "1"), large("b", "1"), large("c", "1"), large("d", "1"), pkgSpec("g", "1")} {
		b.stored(s, true)
	}
	space := b.site.Cache.Space(t.Context())
	if space.Bytes > 16<<20 || space.Bytes < 12<<20 {
		t.Errorf("the cache takes %d bytes", space.Bytes)
	}

	// In the same night nothing makes room, however often it is tried.
	b.up.Forget()
	if r := b.once(); r.Fetched != 0 || b.up.Count("", "*.rpm") != 0 {
		t.Errorf("in the same night: %q", fetched(r))
	}
	// Some days later a and b have updates: the versions before make room for them.
	b.set(b.now().Add(72 * time.Hour))
	b.publish(large("a", "2"), large("b", "2"), large("c", "1"), large("d", "1"), large("e", "1"), large("f", "1"), pkgSpec("g", "1"))
	if got, want := fetched(b.once()), []string{"a seed", "b seed"}; !slices.Equal(got, want) {
		t.Errorf("after the updates: %q, want %q", got, want)
	}
	for _, s := range []testrepo.Spec{large("a", "2"), large("b", "2"), large("c", "1"), large("d", "1"), pkgSpec("g", "1")} {
		b.stored(s, true)
	}
	b.stored(large("a", "1"), false)
	if err := b.site.Ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if space := b.site.Cache.Space(t.Context()); space.Bytes > 16<<20 || space.Evicted == 0 || space.Problem != "" {
		t.Errorf("then: %+v", space)
	}
}

// TestPrune: each rule removes what is its own, and says so; a rehearsal says the
// same and removes nothing.
func TestPrune(t *testing.T) {
	b := confined(t, "1GiB", `packages = ["a"]`, large("a", "1"))
	b.once()
	b.publish(large("a", "2"))
	b.once()
	partial := filepath.Join(b.dir, ".im/partial/left")
	if err := os.WriteFile(partial, make([]byte, 10_000), 0o644); err != nil {
		t.Fatal(err)
	}
	b.set(b.now().Add(30 * 24 * time.Hour))
	rules := func(p *Pruned) map[Rule]int {
		n := map[Rule]int{}
		var bytes int64
		for _, r := range p.Removed {
			n[r.Rule]++
			bytes += r.Bytes
			if r.Why == "" || r.Bytes <= 0 {
				t.Errorf("%+v", r)
			}
		}
		if bytes != p.Bytes || p.Before-p.Bytes != p.After || len(p.Failed) != 0 {
			t.Errorf("%d bytes: %+v", bytes, p)
		}
		return n
	}
	for _, rehearse := range []bool{true, false} {
		p, err := b.agent.Prune(t.Context(), PruneOptions{DryRun: rehearse})
		if err != nil {
			t.Fatal(err)
		}
		if n := rules(p); p.DryRun != rehearse || n[RuleGeneration] != 1 || n[RulePartial] != 1 || n[RuleSpace] != 0 {
			t.Errorf("dry run %v: %v", rehearse, n)
		}
		if _, err := os.Stat(partial); (err == nil) != rehearse {
			t.Errorf("dry run %v: %v", rehearse, err)
		}
	}
	p, err := b.agent.Prune(t.Context(), PruneOptions{})
	if err != nil || len(p.Removed) != 0 {
		t.Errorf("again: %+v, %v", p, err)
	}
	raw, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(raw), `"removed":[]`) || !strings.Contains(string(raw), `"failed":[]`) {
		t.Errorf("%s, %v", raw, err)
	}
	b.stored(large("a", "2"), true)
}

func TestPruneWaitsForNoRun(t *testing.T) {
	b := confined(t, "1GiB", `packages = ["a"]`, large("a", "1"))
	b.up.On("*.rpm", testrepo.Trickle(0).Times(1))
	done := make(chan error, 1)
	go func() {
		_, err := b.agent.Once(context.Background())
		done <- err
	}()
	if err := b.up.AwaitStalled(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.newAgent(nil).Prune(t.Context(), PruneOptions{}); !errors.Is(err, ErrRunning) {
		t.Errorf("during a run: %v", err)
	}
	b.up.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
