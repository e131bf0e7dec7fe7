package sync

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/site"
	"intelligentmirror/internal/testrepo"
)

// bench is an agent, the upstream of its one root, and the site's log.
type bench struct {
	*testing.T
	up    *testrepo.Server
	files string // what upstream has
	dir   string // the cache
	site  *site.Site
	agent *Agent
	clock
	specs []testrepo.Spec
}

const benchRoot = "r/updates/41"

// newBench starts an upstream with the specs, a site whose log says that these
// names were asked for, and an agent.
func newBench(t *testing.T, settings string, popular []string, specs ...testrepo.Spec) *bench {
	t.Helper()
	b := &bench{T: t, files: t.TempDir(), dir: filepath.Join(t.TempDir(), "cache"), clock: clock{at: time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)}}
	b.up = testrepo.Start(t, b.files)
	b.publish(specs...)
	log := filepath.Join(t.TempDir(), "access.log")
	var lines strings.Builder
	get := func(client int, p string) {
		fmt.Fprintf(&lines, "10.0.0.%d - - [21/Nov/2026:09:12:44 +0000] \"GET /%s/%s HTTP/1.1\" 200 2000 \"-\" \"libdnf\"\n", client, benchRoot, p)
	}
	get(1, "repodata/repomd.xml")
	for i, name := range popular {
		for client := range len(popular) - i {
			get(client+1, testrepo.Spec{Name: name, Version: "0", Release: "1"}.Location())
		}
	}
	if err := os.WriteFile(log, []byte(lines.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[[repo]]\nname = \"r\"\nupstreams = [%q]\n[sync]\nlogs = [%q]\n%s",
		b.dir, filepath.Join(t.TempDir(), "state"), b.up.URL, log, settings)
	b.open(text, nil)
	return b
}

// open opens the site that this configuration describes, with an agent. now is the clock
// of all of the site; nil is the machine's.
func (b *bench) open(text string, now func() time.Time) {
	b.Helper()
	cfg, err := config.Load(config.Options{
		Path:       "test.toml",
		Getenv:     func(string) string { return "" },
		Interfaces: func() ([]net.Addr, error) { return nil, nil },
		ReadFile:   func(string) ([]byte, error) { return []byte(text), nil },
	})
	if err != nil {
		b.Fatal(err)
	}
	if b.site, err = site.Open(cfg, site.Options{Program: "imsync", Now: now, Log: slog.New(slog.DiscardHandler)}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.site.Close() })
	b.agent = b.newAgent(nil)
}

func (b *bench) newAgent(p Progress) *Agent {
	b.Helper()
	a, err := New(Options{Site: b.site, Progress: p, Log: slog.New(slog.DiscardHandler), Now: b.now})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { a.Close() })
	return a
}

func (b *bench) publish(specs ...testrepo.Spec) {
	b.Helper()
	b.specs = specs
	b.set(b.now().Add(time.Hour))
	if err := testrepo.Build(filepath.Join(b.files, "updates", "41"), specs, testrepo.BuildOptions{Time: b.now()}); err != nil {
		b.Fatal(err)
	}
}

// once does a run that has to come to its end.
func (b *bench) once() *Report {
	b.Helper()
	r, err := b.agent.Once(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	return r
}

// fetched is what a run fetched, as "name reason", sorted.
func fetched(r *Report) []string {
	var all []string
	for _, it := range r.Items {
		all = append(all, it.Name+" "+string(it.Reason))
	}
	slices.Sort(all)
	return all
}

// stored checks that the cache has upstream's bytes of a package, or none.
func (b *bench) stored(s testrepo.Spec, want bool) {
	b.Helper()
	got, err := os.ReadFile(filepath.Join(b.dir, benchRoot, s.Location()))
	if !want {
		if !errors.Is(err, os.ErrNotExist) {
			b.Errorf("%s is stored: %v", s.NEVRA(), err)
		}
		return
	}
	up, uerr := os.ReadFile(filepath.Join(b.files, "updates", "41", s.Location()))
	if err != nil || uerr != nil || !bytes.Equal(got, up) {
		b.Errorf("%s: %d bytes, %v; upstream %d, %v", s.NEVRA(), len(got), err, len(up), uerr)
	}
}

func pkgSpec(name, version string, requires ...string) testrepo.Spec {
	return testrepo.Spec{Name: name, Version: version, Release: "1", Size: 20_000, Requires: requires}
}

func TestOnce(t *testing.T) {
	mplayer, libav, libz := pkgSpec("mplayer", "1", "libav"), pkgSpec("libav", "1", "libz >= 1"), pkgSpec("libz", "1")
	old, kernel, other := pkgSpec("kernel", "6.8"), pkgSpec("kernel", "6.9"), pkgSpec("other", "1")
	b := newBench(t, `packages = ["mplayer"]`, []string{"kernel", "gone"}, mplayer, libav, libz, old, kernel, other)
	r := b.once()
	if got, want := fetched(r), []string{"kernel popular", "libav dependency", "libz dependency", "mplayer seed"}; !slices.Equal(got, want) {
		t.Errorf("fetched %q, want %q", got, want)
	}
	for _, s := range []testrepo.Spec{mplayer, libav, libz, kernel} {
		b.stored(s, true)
	}
	b.stored(old, false)
	b.stored(other, false)
	if len(r.Roots) != 1 || !r.Roots[0].Changed || r.Roots[0].Fetched != 4 || r.Failures != 0 || r.Bytes <= 80_000 {
		t.Errorf("report: %+v", r)
	}
	if len(r.Plan.Gone) != 1 || r.Plan.Gone[0].Name != "gone" {
		t.Errorf("gone: %+v", r.Plan.Gone)
	}

	b.up.Forget()
	r = b.once()
	if lines := b.up.Lines("", "*"); len(lines) != 1 || !strings.HasSuffix(lines[0], "repomd.xml if 304") {
		t.Errorf("nothing changed, and upstream was asked %q", lines)
	}
	if r.Fetched != 0 || r.Bytes != 0 || r.Roots[0].Changed {
		t.Errorf("nothing changed: %+v", r.Roots[0])
	}

	next := pkgSpec("kernel", "6.10")
	b.publish(mplayer, libav, libz, kernel, next, other)
	if got := fetched(b.once()); !slices.Equal(got, []string{"kernel popular"}) {
		t.Errorf("after the update: %q", got)
	}
	b.stored(next, true)
}

// TestFailuresDoNotStopTheRun: what fails is listed, the rest is fetched and
// becomes current, and the next run makes up for it.
func TestFailuresDoNotStopTheRun(t *testing.T) {
	a, c := pkgSpec("a", "1"), pkgSpec("c", "1")
	b := newBench(t, `packages = ["a", "c"]
roots = ["r/nowhere"]`, nil, a, c)
	b.up.On("*/"+a.Filename(), testrepo.Status(503))
	r := b.once()
	if got := fetched(r); !slices.Equal(got, []string{"c seed"}) {
		t.Errorf("fetched %q", got)
	}
	var failed []string
	for _, root := range r.Roots {
		for _, f := range root.Failed {
			failed = append(failed, f.Path)
		}
	}
	if want := []string{"r/nowhere/repodata/repomd.xml", benchRoot + "/" + a.Location()}; r.Failures != 2 || !slices.Equal(failed, want) {
		t.Errorf("%d failures: %q", r.Failures, failed)
	}
	if _, err := os.Stat(filepath.Join(b.dir, benchRoot, "repodata/repomd.xml")); err != nil {
		t.Error(err)
	}
	b.up.Heal()
	b.set(b.now().Add(time.Hour))
	if got := fetched(b.once()); !slices.Equal(got, []string{"a seed"}) {
		t.Errorf("then %q", got)
	}
}

// TestBrokenOffRunClearsNothing: that a root's metadata could not be had is known until a
// run has asked for it again; one that was broken off before has not.
func TestBrokenOffRunClearsNothing(t *testing.T) {
	b := newBench(t, `packages = ["a"]`, nil, pkgSpec("a", "1"))
	failed := func() string {
		t.Helper()
		roots, err := b.agent.history.failedRoots()
		if err != nil {
			t.Fatal(err)
		}
		return roots[benchRoot]
	}
	b.up.On("*/repomd.xml", testrepo.Status(503))
	if b.once(); failed() == "" {
		t.Fatal("its metadata could not be had, and nobody knows")
	}
	b.up.Heal()
	r := b.agent.begin()
	if err := r.observe(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := r.stage(ctx, r.report.Roots)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if r.remember(err); failed() == "" {
		t.Error("a run that was broken off before it asked counts as one that has asked")
	}
	b.set(b.now().Add(time.Hour))
	if b.once(); failed() != "" {
		t.Errorf("it can be had: %s", failed())
	}
}

func TestOneRunAtATime(t *testing.T) {
	a := pkgSpec("a", "1")
	b := newBench(t, `packages = ["a"]`, nil, a)
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
	if _, err := second.Once(context.Background()); !errors.Is(err, ErrRunning) {
		t.Errorf("a second run: %v", err)
	}
	b.up.Release()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := second.Once(context.Background()); err != nil {
		t.Error(err)
	}
}

// TestBrokenOffRunResumes: what a run that was broken off has left is not
// fetched again, and nothing of it was current meanwhile.
func TestBrokenOffRunResumes(t *testing.T) {
	big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: 3 << 20}
	b := newBench(t, `packages = ["big"]`, nil, big)
	b.up.On("*.rpm", testrepo.Trickle(2<<20).Times(1))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := b.agent.Once(ctx)
		done <- err
	}()
	if err := b.up.AwaitStalled(context.Background(), 1); err != nil {
		t.Fatal(err)
	}
	partial := b.await2MiB()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b.dir, benchRoot, "repodata/repomd.xml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("metadata is current before its packages are there: %v", err)
	}
	r := b.once()
	if r.ResumedBytes < partial || r.Fetched != 1 {
		t.Errorf("resumed %d bytes of %d", r.ResumedBytes, partial)
	}
	b.stored(big, true)
}

// await2MiB waits until the partial file has what upstream sent, and returns its size.
func (b *bench) await2MiB() int64 {
	b.Helper()
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); {
		names, err := filepath.Glob(filepath.Join(b.dir, ".im/partial/*"))
		if err != nil {
			b.Fatal(err)
		}
		for _, n := range names {
			if fi, err := os.Stat(n); err == nil && fi.Size() >= 2<<20 {
				return fi.Size()
			}
		}
		<-time.After(10 * time.Millisecond)
	}
	b.Fatal("the partial file does not grow")
	return 0
}

// during is a Progress that calls f once, when the first item begins.
type during struct {
	silent
	f func()
}

func (d *during) Item(Item) Track {
	if f := d.f; f != nil {
		d.f = nil
		f()
	}
	return silent{}
}

// atEnd is a Progress that calls f when an item is stored and remembered, before the next.
type atEnd struct {
	silent
	f func()
}

func (e atEnd) Item(Item) Track           { return e }
func (e atEnd) Done(cache.Outcome, error) { e.f() }

// TestStoringKeepsNoSlot: what has come, and is stored, does not keep the next download
// waiting, and what is downloaded does.
func TestStoringKeepsNoSlot(t *testing.T) {
	b := newBench(t, `packages = ["a", "b", "c"]
parallel = 1`, nil, pkgSpec("a", "1"), pkgSpec("b", "1"), pkgSpec("c", "1"))
	var first sync.Once
	b.agent = b.newAgent(atEnd{f: func() {
		first.Do(func() {
			if err := b.up.AwaitRequests(t.Context(), "", "*.rpm", 2); err != nil {
				t.Error(err)
			}
		})
	}})
	b.up.On("*/b-1-1.x86_64.rpm", testrepo.Trickle(10_000).Times(1))
	done := make(chan error, 1)
	var r *Report
	go func() {
		var err error
		r, err = b.agent.Once(t.Context())
		done <- err
	}()
	if err := b.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if n := b.up.Count("", "*/c-1-1.x86_64.rpm"); n != 0 {
		t.Errorf("%d requests for c beside the download of b", n)
	}
	b.up.Release()
	if err := <-done; err != nil || r.Fetched != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestUpstreamChangesUnderTheRun: what was planned is replaced while it is
// fetched; the run goes round once more and ends with the newest.
func TestUpstreamChangesUnderTheRun(t *testing.T) {
	first, next := pkgSpec("a", "1"), pkgSpec("a", "2")
	b := newBench(t, `packages = ["a"]
parallel = 1`, nil, first)
	b.agent = b.newAgent(&during{f: func() {
		if err := testrepo.Build(filepath.Join(b.files, "updates", "41"), []testrepo.Spec{first, next}, testrepo.BuildOptions{Time: b.now().Add(time.Hour)}); err != nil {
			t.Error(err)
		}
	}})
	r := b.once()
	if got := fetched(r); !slices.Equal(got, []string{"a seed", "a seed"}) {
		t.Errorf("fetched %q", got)
	}
	b.stored(next, true)
	md, err := os.ReadFile(filepath.Join(b.dir, benchRoot, "repodata/repomd.xml"))
	up, uerr := os.ReadFile(filepath.Join(b.files, "updates/41/repodata/repomd.xml"))
	if err != nil || uerr != nil || !bytes.Equal(md, up) {
		t.Errorf("repomd.xml is not upstream's: %v, %v", err, uerr)
	}
}

func TestBudgetHoldsOverRounds(t *testing.T) {
	small, large := pkgSpec("small", "1"), testrepo.Spec{Name: "large", Version: "1", Release: "1", Size: 300_000}
	b := newBench(t, `packages = ["large", "small"]
budget = "100KiB"`, nil, small, large)
	r := b.once()
	if got := fetched(r); !slices.Equal(got, []string{"small seed"}) || len(r.Plan.Cut) != 1 {
		t.Errorf("fetched %q, cut %d", got, len(r.Plan.Cut))
	}
}

func TestReportJSON(t *testing.T) {
	b := newBench(t, `packages = ["a"]`, nil, pkgSpec("a", "1"))
	raw, err := json.Marshal(b.once())
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(raw, &got); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"started", "finished", "roots", "fetched", "bytes", "resumed_bytes", "failures"} {
		if _, ok := got[k]; !ok {
			t.Errorf("no %q in %s", k, raw)
		}
	}
	root := got["roots"].([]any)[0].(map[string]any)
	for _, k := range []string{"root", "changed", "planned", "fetched", "bytes", "failed"} {
		if _, ok := root[k]; !ok {
			t.Errorf("no %q in %s", k, raw)
		}
	}
	if failed, ok := root["failed"].([]any); !ok || len(failed) != 0 {
		t.Errorf("failed: %v, want an empty list", root["failed"])
	}
}

// TestRunCatchesUp: a run that was missed is done at the start; one that was not, isn't.
func TestRunCatchesUp(t *testing.T) {
	b := newBench(t, `packages = ["a"]
schedule = "0 2 * * *"`, nil, pkgSpec("a", "1"))
	start := func() (ran bool) {
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		ended := make(chan error, 1)
		log := make(chan struct{})
		a := b.newAgent(nil)
		a.log = slog.New(slog.NewTextHandler(waitFor{"msg=waiting", log}, nil))
		go func() { ended <- a.Run(ctx, func(_ *Report, err error) { ran = err == nil }) }()
		<-log
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		return ran
	}
	if !start() {
		t.Error("the first start does no run")
	}
	b.set(b.now().Add(time.Hour))
	if start() {
		t.Error("a run was done though none was missed")
	}
	b.set(b.now().Add(24 * time.Hour))
	if !start() {
		t.Error("a missed run was not caught up")
	}
}

// waitFor closes seen when a log line has text.
type waitFor struct {
	text string
	seen chan struct{}
}

func (w waitFor) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.text) {
		close(w.seen)
	}
	return io.Discard.Write(p)
}

// TestUpstreamGoesUnderTheRun: that upstream can't be asked again, after the
// downloads, keeps back nothing of what it had before.
func TestUpstreamGoesUnderTheRun(t *testing.T) {
	a := pkgSpec("a", "1")
	b := newBench(t, `packages = ["a"]`, nil, a)
	b.agent = b.newAgent(&during{f: func() { b.up.On("*/repomd.xml", testrepo.Status(503)) }})
	r := b.once()
	if r.Fetched != 1 || r.Failures != 0 {
		t.Errorf("fetched %d, failures %d: %+v", r.Fetched, r.Failures, r.Roots[0].Failed)
	}
	b.stored(a, true)
	if _, err := os.Stat(filepath.Join(b.dir, benchRoot, "repodata/repomd.xml")); err != nil {
		t.Errorf("the metadata was kept back: %v", err)
	}
}
