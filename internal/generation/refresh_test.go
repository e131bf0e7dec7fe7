package generation_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
)

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
		d.publish(spec("a", "2"))
		d.up.On("*-filelists.xml.gz", testrepo.Status(404))
		d.withdrawn.Store(sha256Of(old))
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

// TestSessions: a client that began with one repomd.xml gets what goes with it,
// also where the next has taken the names.
func TestSessions(t *testing.T) {
	d := newDesk(t, time.Minute)
	d.simple = true
	primary := func() string {
		b, err := os.ReadFile(filepath.Join(d.files, "repodata", "primary.xml.gz"))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	d.publish(spec("a", "1"))
	d.sign("one")
	first := primary()
	d.begins("early")
	d.gives("early", "repomd.xml.asc", "one")

	// A mirror that has the new metadata and not its signature yet is not whole.
	d.publish(spec("a", "2"), spec("b", "1"))
	d.sign("one")
	old := d.upstream()
	if body, status, err := d.ask(); err != nil || body == old || status != "hit; detail=metadata-incomplete" {
		t.Errorf("metadata without its signature: %q, %v", status, err)
	}
	d.pass(2 * time.Minute)
	d.sign("two")
	d.begins("late")
	second := primary()
	d.gives("late", "repomd.xml.asc", "two")
	d.gives("late", "primary.xml.gz", second)
	d.gives("never", "repomd.xml.asc", "two")

	// The one that is late gets what the next takes away, for a while.
	d.publish(spec("a", "3"))
	d.sign("three")
	d.begins("new")
	d.gives("late", "repomd.xml.asc", "two")
	d.gives("late", "primary.xml.gz", second)
	d.gives("new", "repomd.xml.asc", "three")
	d.gives("new", "primary.xml.gz", primary())
	d.pass(time.Hour)
	d.gives("late", "primary.xml.gz", primary())
	if first == second || second == primary() {
		t.Error("the generations are one")
	}

	// Upstream signs no more.
	d.publish(spec("a", "4"))
	if err := os.Remove(filepath.Join(d.files, "repodata", "repomd.xml.asc")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	d.begins("new")
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
