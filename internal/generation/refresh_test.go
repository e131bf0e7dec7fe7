package generation_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// desk is a Refresher in front of an upstream with one root. Every request
// validates, and none of its time-outs runs out by itself.
type desk struct {
	*testing.T
	up      *testrepo.Server
	files   string // what upstream has of the root
	dir     string // of the cache
	store   *generation.Store
	cache   *cache.Cache
	fresh   *generation.Refresher
	root    generation.Root
	clock   atomic.Int64
	signing *generation.Signing // nil: nobody asks for signatures
	// withdrawn is the digest of a repomd.xml that no metalink lists any more.
	withdrawn atomic.Value
	// simple calls metadata "primary.xml.gz", whatever is in it.
	simple bool

	mirrors *upstream.Mirrors
	said    said // what the store has logged
	refused cache.Refused
}

// said is a log that a test reads. It is safe for concurrent use.
type said struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *said) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func newDesk(t *testing.T, patience time.Duration) *desk {
	t.Helper()
	top := t.TempDir()
	d := &desk{
		T: t, up: testrepo.Start(t, top), files: filepath.Join(top, "updates", "41"), dir: t.TempDir(),
		root: generation.Root{Repo: "r", Path: "updates/41"},
	}
	d.clock.Store(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).UnixNano())
	d.mirrors = patient(t, upstream.Options{Refused: &d.refused, Now: d.now}).Mirrors("r", []string{d.up.URL})
	d.start(7*24*time.Hour, patience)
	t.Cleanup(d.up.Heal)
	return d
}

// patient is a client of mirrors none of whose time-outs runs out by itself.
func patient(t *testing.T, o upstream.Options) *upstream.Client {
	o.UserAgent, o.Connect, o.Header, o.Idle = "test/1", time.Minute, time.Minute, time.Minute
	c := upstream.New(o)
	t.Cleanup(c.Close)
	return c
}

// now is the time for all that is tried here.
func (d *desk) now() time.Time { return time.Unix(0, d.clock.Load()) }

// start opens the cache, as a program does that is started on it.
func (d *desk) start(keep, patience time.Duration) {
	d.Helper()
	source := func(repo string) cache.Source {
		if repo == "r" {
			return d.mirrors
		}
		return nil
	}
	var err error
	if d.store, err = generation.Open(generation.Options{Dir: d.dir, Keep: keep, Refused: &d.refused, Now: d.now,
		Log:     slog.New(slog.NewTextHandler(&d.said, nil)),
		Signing: func(generation.Root) *generation.Signing { return d.signing }}); err != nil {
		d.Fatal(err)
	}
	d.cache, err = cache.Open(cache.Options{
		Dir: d.dir, Catalog: d.store, Now: d.now, Source: source,
		Policy: func(k cache.Key) cache.Policy {
			_, anchor := generation.RootOf(k)
			return cache.Policy{Format: cache.FormatOf(k.Path), Anchor: anchor}
		},
	})
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { d.cache.Close() })
	withdrawn := func(_ cache.Key, digest cache.Digest) bool { return d.withdrawn.Load() == digest }
	d.withdrawn.Store(cache.Digest(""))
	d.fresh = generation.NewRefresher(generation.RefresherOptions{
		Withdrawn: withdrawn,
		Store:     d.store, Cache: d.cache, Source: source, Rest: func() time.Duration { return time.Minute }, Patience: patience, Now: d.now,
	})
	d.Cleanup(d.fresh.Close)
}

// client is who asks where it does not matter.
const client = "10.1.2.3"

// pass lets time pass.
func (d *desk) pass(by time.Duration) { d.clock.Add(int64(by)) }

// publish makes the specs what upstream has.
func (d *desk) publish(specs ...testrepo.Spec) {
	d.Helper()
	d.pass(2 * time.Minute)
	o := testrepo.BuildOptions{Time: d.now(), SimpleNames: d.simple}
	if err := testrepo.Build(d.files, specs, o); err != nil {
		d.Fatal(err)
	}
}

// sign puts a file in the place of repomd.xml's signature.
func (d *desk) sign(text string) {
	d.Helper()
	name := filepath.Join(d.files, "repodata", "repomd.xml.asc")
	if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.Chtimes(name, d.now(), d.now())); err != nil {
		d.Fatal(err)
	}
}

// upstream is what upstream has for repomd.xml.
func (d *desk) upstream() string {
	d.Helper()
	b, err := os.ReadFile(filepath.Join(d.files, "repodata", "repomd.xml"))
	if err != nil {
		d.Fatal(err)
	}
	return string(b)
}

// entry is the key of the root's repomd.xml.
func (d *desk) entry() cache.Key {
	return cache.Key{Repo: d.root.Repo, Path: d.root.Path + "/repodata/repomd.xml"}
}

// read is all of an object, and closes it.
func read(o *cache.Object) (string, error) {
	defer o.Close()
	var b bytes.Buffer
	_, err := o.SendTo(context.Background(), &b, 0, -1)
	return b.String(), err
}

// ask is a client's request for repomd.xml.
func (d *desk) ask() (body, status string, err error) {
	o, err := d.fresh.Get(d.Context(), d.entry(), client)
	if err != nil {
		return "", "", err
	}
	status = strings.TrimPrefix(o.Status.String(), "imserve; ")
	body, err = read(o)
	return body, status, err
}

// gets checks what a client gets for repomd.xml.
func (d *desk) gets(want, wantStatus string) {
	d.Helper()
	body, status, err := d.ask()
	if err != nil || body != want || status != wantStatus {
		d.Errorf("got %d bytes (the expected ones: %v), %q, %v; want %q", len(body), body == want, status, err, wantStatus)
	}
}

// whole checks that what a repomd.xml lists can be had as it lists it. Whoever
// asks for all of it makes all of it needed.
func (d *desk) whole(body string) error {
	m, err := repodata.ParseRepomd(strings.NewReader(body))
	if err != nil {
		return err
	}
	for _, x := range m.Data {
		k, err := d.root.Key(x.Location)
		if err != nil {
			return err
		}
		o, err := d.cache.Get(d.Context(), k)
		if err != nil {
			return err
		}
		got, err := read(o)
		sum := sha256.Sum256([]byte(got))
		if err != nil || hex.EncodeToString(sum[:]) != x.Checksum.Hex {
			return fmt.Errorf("%s: %d bytes, not those that it lists: %v", x.Location, len(got), err)
		}
	}
	return nil
}

// TestRefresh: a new repomd.xml is served with all that it lists, from then on
// without a question to upstream for any of it.
func TestRefresh(t *testing.T) {
	d := newDesk(t, time.Minute)
	one := spec("kernel", "6.8")
	d.publish(one)
	first := d.upstream()
	d.gets(first, "fwd=uri-miss; fwd-status=200; stored")
	d.up.Forget()
	d.gets(first, "fwd=stale; fwd-status=304")
	if err := d.whole(first); err != nil {
		t.Error(err)
	}
	for _, line := range d.up.Lines("", "*") {
		if strings.Contains(line, "primary") || strings.Contains(line, "filelists") {
			t.Errorf("asked for again: %s", line)
		}
	}
	k := mustKey(t, d.root, one)
	if w, held := d.store.Lookup(k); !held || !w.Known() {
		t.Errorf("nothing is promised of a package that is listed: %+v, %v", w, held)
	}
	d.publish(spec("kernel", "6.9"))
	d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
	if w, held := d.store.Lookup(k); !held || w.Known() {
		t.Errorf("a package of the generation before: %+v, %v", w, held)
	}
	if p := d.fresh.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

// TestHalfSynced: while a mirror lacks what its repomd.xml lists, clients keep
// what they had, and the mirror is left alone for a while.
func TestHalfSynced(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"))
	old := d.upstream()
	d.gets(old, "fwd=uri-miss; fwd-status=200; stored")
	if err := d.whole(old); err != nil {
		t.Fatal(err)
	}
	for name, fault := range map[string]testrepo.Fault{"not there": testrepo.Status(404), "other bytes": testrepo.Corrupt(20)} {
		d.publish(spec("a", "2"+name[:1]))
		d.up.On("*-filelists.xml.gz", fault)
		d.gets(old, "hit; detail=metadata-incomplete")
		if err := d.whole(old); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if p := d.fresh.Problems(); len(p) != 1 || p[0].Root != d.root || p[0].Err == nil {
			t.Errorf("%s: problems: %v", name, p)
		}
		d.up.Heal()
		d.up.Forget()
		d.gets(old, "hit; detail=metadata-incomplete")
		if lines := d.up.Lines("", "*"); len(lines) != 0 {
			t.Errorf("%s: asked again at once: %q", name, lines)
		}
		d.pass(2 * time.Minute)
		old = d.upstream()
		d.gets(old, "fwd=stale; fwd-status=200; stored")
		if p := d.fresh.Problems(); len(p) != 0 {
			t.Errorf("%s: problems that are none any more: %v", name, p)
		}
	}
}

// TestWithdrawn: what a metalink no longer lists is not given to clients, who would
// not take it, though the new is not whole.
func TestWithdrawn(t *testing.T) {
	for _, patience := range []time.Duration{time.Nanosecond, time.Minute} {
		d := newDesk(t, patience)
		d.publish(spec("a", "1"))
		d.ask()
		d.settle()
		old := d.upstream()
		if err := d.whole(old); err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256([]byte(old))
		d.publish(spec("a", "2"))
		d.up.On("*-filelists.xml.gz", testrepo.Status(404))
		d.withdrawn.Store(cache.SHA256(sum[:]))
		// Whoever has no patience may get an answer before upstream has said a word.
		for body := old; body == old; {
			var err error
			if body, _, err = d.ask(); err != nil {
				t.Fatal(err)
			}
			d.settle()
		}
		d.up.Heal()
		d.pass(2 * time.Minute)
		if body, _, err := d.ask(); err != nil || body != d.upstream() {
			t.Errorf("%d bytes, not the new ones, %v", len(body), err)
		}
		d.settle()
		if err := d.whole(d.upstream()); err != nil {
			t.Error(err)
		}
		if w, held := d.store.Lookup(mustKey(t, d.root, spec("a", "2"))); !held || !w.Known() {
			t.Errorf("nothing is promised once the metadata is whole: %+v, %v", w, held)
		}
	}
}

// TestPatience: whoever has waited long enough for new metadata gets the old, and
// the new as soon as it is whole.
func TestPatience(t *testing.T) {
	d := newDesk(t, time.Nanosecond)
	d.publish(spec("a", "1"))
	d.up.On("*-filelists.xml.gz", testrepo.Hang().Times(1))
	first := d.upstream()
	// Nothing is there that it could get in its place.
	d.gets(first, "fwd=uri-miss; fwd-status=200; stored")
	if err := d.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	d.gets(first, "fwd=stale; fwd-status=304; collapsed")
	d.up.Heal()
	d.settle()
	if err := d.whole(first); err != nil {
		t.Error(err)
	}
	d.publish(spec("a", "2"))
	d.up.On("*-filelists.xml.gz", testrepo.Hang().Times(1))
	d.gets(first, "hit; detail=metadata-incomplete")
	if err := d.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	d.gets(first, "hit; detail=metadata-incomplete")
	if err := d.whole(first); err != nil {
		t.Error(err)
	}
	d.up.Heal()
	d.settle()
	if body, _, err := d.ask(); err != nil || body != d.upstream() {
		t.Errorf("%d bytes, %v: not the new ones, which are whole", len(body), err)
	}
}

// settle waits until nothing is brought together any more.
func (d *desk) settle() { d.fresh.AwaitIdle() }

// TestOnDemandBeforeItIsWhole: who got the first repomd.xml before all that it
// lists was there gets the rest on demand, each file from one download.
func TestOnDemandBeforeItIsWhole(t *testing.T) {
	d := newDesk(t, time.Nanosecond)
	d.publish(spec("a", "1"), spec("b", "1"))
	d.up.On("*-primary.xml.gz", testrepo.Hang().Times(1))
	body, _, err := d.ask()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- d.whole(body) }()
	m, err := repodata.ParseRepomd(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	d.up.Heal()
	if err := <-done; err != nil {
		t.Error(err)
	}
	d.settle()
	if err := d.whole(body); err != nil {
		t.Error(err)
	}
	for _, x := range m.Data {
		// It may be validated besides, as long as no catalog promises it.
		if n := d.up.Sent("/updates/41/" + x.Location); n != x.Size {
			t.Errorf("upstream sent %d bytes of %s, which has %d", n, x.Location, x.Size)
		}
	}
}

// TestUpstreamFails: what clients get when upstream does not answer as it should.
func TestUpstreamFails(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  testrepo.Fault
		status string           // with metadata stored
		err    func(error) bool // without
	}{
		{"refuses", testrepo.Refuse(), "hit; detail=upstream-unreachable", unreachable},
		{"overloaded", testrepo.Status(503), "hit; detail=upstream-unreachable", unreachable},
		{"gone", testrepo.Status(404), "hit; detail=gone-upstream", func(err error) bool { return errors.Is(err, fs.ErrNotExist) }},
		{"a portal", testrepo.Portal(), "hit; detail=upstream-failed", func(err error) bool { return errors.Is(err, cache.ErrWrongContent) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, time.Minute)
			d.publish(spec("a", "1"))
			d.up.On("*", c.fault)
			if _, _, err := d.ask(); !c.err(err) {
				t.Errorf("nothing is stored: %v", err)
			}
			d.up.Heal()
			d.pass(time.Hour)
			first := d.upstream()
			d.gets(first, "fwd=uri-miss; fwd-status=200; stored")
			if err := d.whole(first); err != nil {
				t.Fatal(err)
			}
			d.publish(spec("a", "2"))
			d.up.On("*", c.fault)
			d.gets(first, c.status)
			if err := d.whole(first); err != nil {
				t.Error(err)
			}
			d.up.Heal()
			d.pass(time.Hour)
			d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
		})
	}
	d := newDesk(t, time.Minute)
	if _, err := d.fresh.Get(t.Context(), cache.Key{Repo: "none", Path: "repodata/repomd.xml"}, client); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such repository: %v", err)
	}
}

func unreachable(err error) bool { return errors.As(err, new(*cache.UnreachableError)) }

// file is what a client gets for a file in repodata/, as the server asks for it.
func (d *desk) file(name, client string) (string, error) {
	k, err := d.root.Key("repodata/" + name)
	if err != nil {
		return "", err
	}
	o, err := d.fresh.Sibling(d.Context(), k)
	if o == nil && err == nil {
		o, err = d.fresh.Begun(d.Context(), k, client)
	}
	if o == nil && err == nil {
		o, err = d.cache.Get(d.Context(), k)
	}
	if err != nil {
		return "", err
	}
	return read(o)
}

// TestSessions: a client that began with one repomd.xml gets what goes with it,
// also where the next has taken the names.
func TestSessions(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.simple = true
	check := func(client, name, want string) {
		t.Helper()
		if got, err := d.file(name, client); err != nil || got != want {
			t.Errorf("%s gets %d bytes of %s, want %d: %v", client, len(got), name, len(want), err)
		}
	}
	primary := func() string {
		b, err := os.ReadFile(filepath.Join(d.files, "repodata", "primary.xml.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	ask := func(client string) {
		t.Helper()
		o, err := d.fresh.Get(t.Context(), d.entry(), client)
		if err == nil {
			var body string
			if body, err = read(o); body != d.upstream() {
				t.Errorf("%s gets other metadata", client)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	d.publish(spec("a", "1"))
	d.sign("one")
	first := primary()
	ask("early")
	check("early", "repomd.xml.asc", "one")

	// A mirror that has the new metadata and not its signature yet is not whole.
	d.publish(spec("a", "2"), spec("b", "1"))
	d.sign("one")
	old := d.upstream()
	if body, status, err := d.ask(); err != nil || body == old || status != "hit; detail=metadata-incomplete" {
		t.Errorf("metadata without its signature: %q, %v", status, err)
	}
	d.pass(2 * time.Minute)
	d.sign("two")
	ask("late")
	second := primary()
	check("late", "repomd.xml.asc", "two")
	check("late", "primary.xml.gz", second)
	check("never", "repomd.xml.asc", "two")

	// The one that is late gets what the next takes away, for a while.
	d.publish(spec("a", "3"))
	d.sign("three")
	ask("new")
	check("late", "repomd.xml.asc", "two")
	check("late", "primary.xml.gz", second)
	check("new", "repomd.xml.asc", "three")
	check("new", "primary.xml.gz", primary())
	d.pass(time.Hour)
	check("late", "primary.xml.gz", primary())
	if first == second || second == primary() {
		t.Error("the generations are one")
	}

	// Upstream signs no more.
	d.publish(spec("a", "4"))
	if err := os.Remove(filepath.Join(d.files, "repodata", "repomd.xml.asc")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	ask("new")
	if got, err := d.file("repomd.xml.asc", "new"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a signature that upstream does not have: %q, %v", got, err)
	}
}

// TestOneQuestion: however many clients ask at once, upstream is asked once.
func TestOneQuestion(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"))
	d.up.On("*/repomd.xml", testrepo.Hang().Times(1))
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if body, _, err := d.ask(); err != nil || body != d.upstream() {
				t.Errorf("%d bytes, %v", len(body), err)
			}
		})
	}
	if err := d.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	for d.fresh.Waiting(d.root) < 20 {
		time.Sleep(time.Millisecond)
	}
	d.up.Heal()
	wg.Wait()
	if n := d.up.Count("", "*/repomd.xml"); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
}

// TestOvertaken: metadata that was asked for before what is current now does not
// take clients back.
func TestOvertaken(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.publish(spec("a", "1"))
	first := d.upstream()
	d.gets(first, "fwd=uri-miss; fwd-status=200; stored")
	d.publish(spec("a", "2"))
	slow, err := d.store.Stage(t.Context(), d.cache, d.root, d.mirrors.Grab())
	if err != nil {
		t.Fatal(err)
	}
	d.publish(spec("a", "3"))
	d.gets(d.upstream(), "fwd=stale; fwd-status=200; stored")
	if err := d.store.Flip(slow.Generation); !errors.Is(err, generation.ErrOvertaken) {
		t.Errorf("flipped back: %v", err)
	}
	d.gets(d.upstream(), "fwd=stale; fwd-status=304")
}

// TestSyncingMirror: a mirror goes through a row of generations, each of which it
// publishes in the worst order: repomd.xml first, then what that lists, file by
// file, while it removes the old. No client ever gets a repomd.xml whose files
// are not there.
func TestSyncingMirror(t *testing.T) {
	d := newDesk(t, time.Minute)
	const generations = 6
	stages := make([]string, generations)
	for i := range stages {
		stages[i] = t.TempDir()
		d.pass(time.Hour)
		specs := []testrepo.Spec{spec("a", fmt.Sprint(i)), spec("b", fmt.Sprint(i), "a")}
		if err := testrepo.Build(stages[i], specs, testrepo.BuildOptions{Time: d.now()}); err != nil {
			t.Fatal(err)
		}
	}
	put := func(dir, name string) {
		b, err := os.ReadFile(filepath.Join(dir, "repodata", name))
		if err == nil {
			err = d.up.Put("/updates/41/repodata/"+name, b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	names := func(dir string) (list []string) {
		entries, err := os.ReadDir(filepath.Join(dir, "repodata"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "repomd.xml" {
				list = append(list, e.Name())
			}
		}
		return list
	}
	for _, dir := range stages {
		// Packages come before all metadata; TestMissingPackages is about the others.
		if err := os.CopyFS(filepath.Join(d.files, "Packages"), os.DirFS(filepath.Join(dir, "Packages"))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range append(names(stages[0]), "repomd.xml") {
		put(stages[0], name)
	}
	if _, _, err := d.ask(); err != nil {
		t.Fatal(err)
	}
	clients := newCrowd(t, 6, func(string) error {
		body, _, err := d.ask()
		if err == nil {
			err = d.whole(body)
		}
		return err
	})
	step := func() {
		clients.meet()
		d.pass(2 * time.Minute)
	}
	for i := 1; i < generations; i++ {
		put(stages[i], "repomd.xml")
		step()
		for _, name := range names(stages[i-1]) {
			if err := os.Remove(filepath.Join(d.files, "repodata", name)); err != nil {
				t.Error(err)
			}
			step()
		}
		for _, name := range names(stages[i]) {
			put(stages[i], name)
			step()
		}
		step()
	}
	clients.leave()
	d.pass(2 * time.Minute)
	if body, _, err := d.ask(); err != nil || body != d.upstream() {
		t.Errorf("in the end: %d bytes, %v", len(body), err)
	}
}

func TestRootOf(t *testing.T) {
	for path, want := range map[string]string{
		"updates/41/Everything/x86_64/repodata/repomd.xml": "updates/41/Everything/x86_64",
		"repodata/repomd.xml":                              "",
	} {
		if r, ok := generation.RootOf(cache.Key{Repo: "r", Path: path}); !ok || r != (generation.Root{Repo: "r", Path: want}) {
			t.Errorf("%s: %+v, %v", path, r, ok)
		}
	}
	for _, path := range []string{"repomd.xml", "x/repomd.xml", "x/repodata/repomd.xml.asc", "x/repodata/primary.xml.gz", "x/repodata/repomd.xml/x"} {
		if r, ok := generation.RootOf(cache.Key{Repo: "r", Path: path}); ok {
			t.Errorf("%s is taken for %+v's", path, r)
		}
	}
}
