package sync

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
)

// atOnce is looks by which every root is due each time.
func atOnce() *looks {
	return &looks{every: time.Nanosecond, random: func() float64 { return 0 }, at: map[string]time.Time{}, begun: true}
}

// TestLook: a root that has changed is synced, security updates first, and no
// other is; where none has changed one question per root is all.
func TestLook(t *testing.T) {
	b := newBench(t, `packages = ["a", "elsewhere"]
roots = ["r/releases/41"]`, []string{"kernel"}, pkgSpec("a", "1"), pkgSpec("kernel", "1"))
	other := func(specs ...testrepo.Spec) {
		t.Helper()
		if err := testrepo.Build(filepath.Join(b.files, "releases", "41"), specs, testrepo.BuildOptions{Time: b.now()}); err != nil {
			t.Fatal(err)
		}
	}
	other(pkgSpec("elsewhere", "1"))
	look := func() *Report {
		t.Helper()
		r, err := b.agent.look(context.Background(), atOnce())
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	b.once()
	b.up.Forget()
	if r := look(); r != nil {
		t.Errorf("nothing has changed: %+v", r)
	}
	if lines := b.up.Lines("", "*"); len(lines) != 2 {
		t.Errorf("upstream was asked %q", lines)
	}

	// What is planned of the root that stayed as it was waits for the night.
	if _, _, err := b.site.Cache.Purge("r/releases/41/Packages"); err != nil {
		t.Fatal(err)
	}
	b.publish(pkgSpec("a", "2"), pkgSpec("kernel", "2"))
	r := look()
	if r == nil || !r.Partial {
		t.Fatalf("a change was not seen: %+v", r)
	}
	if got, want := fetched(r), []string{"a seed", "kernel popular"}; !slices.Equal(got, want) {
		t.Errorf("fetched %q, want %q", got, want)
	}
	b.stored(pkgSpec("kernel", "2"), true)
	root, err := generation.ParseRoot(benchRoot)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := b.site.Generations.Stage(context.Background(), b.site.Cache, root, b.site.Mirrors("r")); err != nil || s.Changed {
		t.Errorf("the new metadata is not current: %v", err)
	}
	last, err := b.agent.history.last()
	if err != nil || last == nil || !last.Partial {
		t.Errorf("the last run: %+v, %v", last, err)
	}
	if at, err := b.agent.history.lastSuccess(); err != nil || !at.Before(r.Started) {
		t.Errorf("a look counts as a run of all: %v, %v", at, err)
	}
}

// TestSecurityUpdateOfARoot: what an advisory of the real format names comes first,
// and is all that a small budget is spent on.
func TestSecurityUpdateOfARoot(t *testing.T) {
	updateinfo := `<updates><update type="security" status="stable"><id>FEDORA-2026-7</id><pkglist><collection>
<package name="openssl" version="2" release="1" epoch="0" arch="x86_64"/></collection></pkglist></update></updates>`
	comps := `<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd"><comps><group><id>desktop</id><packagelist>
<packagereq type="mandatory">gnome</packagereq><packagereq type="optional">games</packagereq></packagelist></group></comps>`
	b := newBench(t, `packages = ["@desktop"]`, []string{"kernel", "openssl"})
	specs := []testrepo.Spec{pkgSpec("kernel", "2"), pkgSpec("openssl", "2"), pkgSpec("gnome", "1"), pkgSpec("games", "1")}
	if err := testrepo.Build(filepath.Join(b.files, "updates", "41"), specs, testrepo.BuildOptions{Time: b.now(), Extra: []testrepo.Metadata{
		{Type: "updateinfo", Name: "updateinfo.xml", Text: updateinfo},
		{Type: "group", Name: "comps.xml", Text: comps},
	}}); err != nil {
		t.Fatal(err)
	}
	r := b.once()
	if got, want := fetched(r), []string{"gnome seed", "kernel popular", "openssl security"}; !slices.Equal(got, want) {
		t.Fatalf("fetched %q, want %q", got, want)
	}
	if it := r.Plan.Items[0]; it.Name != "openssl" || it.Because != "FEDORA-2026-7" || it.Rank != 2 {
		t.Errorf("first is %+v", it)
	}
}

// TestModulesOfARoot: what clients ask for says which streams they use.
func TestModulesOfARoot(t *testing.T) {
	modules := ""
	var specs []testrepo.Spec
	for _, stream := range []string{"16", "18", "20"} {
		specs = append(specs, pkgSpec("nodejs", stream))
		modules += "---\ndocument: modulemd\nversion: 2\ndata: {name: nodejs, stream: " + stream + ", version: 1, context: c, arch: x86_64, artifacts: {rpms: [nodejs-0:" + stream + "-1.x86_64]}}\n"
	}
	// The bench's clients have asked for version 0.
	specs = append(specs, pkgSpec("nodejs", "0"))
	modules += "---\ndocument: modulemd\nversion: 2\ndata: {name: nodejs, stream: 18, version: 0, context: c, arch: x86_64, artifacts: {rpms: [nodejs-0:0-1.x86_64]}}\n"
	b := newBench(t, `packages = []`, []string{"nodejs"})
	if err := testrepo.Build(filepath.Join(b.files, "updates", "41"), specs, testrepo.BuildOptions{Time: b.now(), Extra: []testrepo.Metadata{
		{Type: "modules", Name: "modules.yaml", Text: modules},
	}}); err != nil {
		t.Fatal(err)
	}
	b.once()
	b.stored(specs[0], false)
	b.stored(specs[1], true)
	b.stored(specs[2], false)
}

// TestLookBesideARun: a run that is under way is not disturbed.
func TestLookBesideARun(t *testing.T) {
	b := newBench(t, `packages = ["a"]`, nil, pkgSpec("a", "1"))
	b.up.On("*.rpm", testrepo.Trickle(0).Times(1))
	done := make(chan error, 1)
	go func() {
		_, err := b.agent.Once(context.Background())
		done <- err
	}()
	if err := b.up.AwaitStalled(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	second := b.newAgent(nil)
	if _, err := second.look(context.Background(), atOnce()); !errors.Is(err, ErrRunning) {
		t.Errorf("a look: %v", err)
	}
	status, err := second.Status(context.Background())
	if err != nil || status.Running == nil || !status.Running.Started.Equal(b.now()) {
		t.Errorf("the status: %+v, %v", status, err)
	}
	b.up.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	status, err = second.Status(context.Background())
	if err != nil || status.Running != nil || status.LastRun == nil || status.LastRun.Fetched != 1 || status.Files < 2 || status.CacheSize < 20_000 {
		t.Errorf("then: %+v, %v", status, err)
	}
}

func TestLooks(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	random := 0.5
	l := &looks{every: time.Hour, random: func() float64 { return random }, at: map[string]time.Time{}}
	roots := []*RootReport{{Root: "a"}, {Root: "b"}}
	due := func(after time.Duration) string {
		got, rest := l.due(at.Add(after), roots)
		if len(got)+len(rest) != len(roots) {
			t.Errorf("%d due, %d not, of %d", len(got), len(rest), len(roots))
		}
		var names []string
		for _, r := range got {
			names = append(names, r.Root)
		}
		return strings.Join(names, " ")
	}
	for _, step := range []struct {
		after  time.Duration
		random float64
		more   string // a root that appears
		gone   string // one that is in use no longer
		due    string
		wait   time.Duration
	}{
		{0, 0.5, "", "", "", 30 * time.Minute},
		{29 * time.Minute, 0.5, "", "", "", 3 * time.Minute},
		{30 * time.Minute, 1, "", "", "a b", 66 * time.Minute},
		{40 * time.Minute, 0, "c", "", "c", 54 * time.Minute},
		{94 * time.Minute, 0.5, "", "", "c", 3 * time.Minute},
		{96 * time.Minute, 0.5, "", "", "a b", 58 * time.Minute},
		{97 * time.Minute, 0.5, "", "c", "", 59 * time.Minute},
	} {
		random = step.random
		roots = slices.DeleteFunc(roots, func(r *RootReport) bool { return r.Root == step.gone })
		if step.more != "" {
			roots = append(roots, &RootReport{Root: step.more})
		}
		if got := due(step.after); got != step.due {
			t.Errorf("after %v: %q due, want %q", step.after, got, step.due)
		}
		want := min(step.wait, time.Hour)
		if got := l.wait(at.Add(step.after)); got != want {
			t.Errorf("after %v: the next in %v, want %v", step.after, got, want)
		}
	}
}
