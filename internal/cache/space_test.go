package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// fetch is a Source made of steps.
type fetch func(p *Partial) error

func (f fetch) Fetch(_ context.Context, _ Request, p *Partial) error { return f(p) }

// TestAccount: what both programs account for is what a walk finds, however a
// download ends.
func TestAccount(t *testing.T) {
	body := strings.Repeat("body of a package ", 10_000)
	broken := errors.New("the connection broke")
	begin := func(p *Partial) error { return p.Begin(Head{Length: int64(len(body)), URL: "u"}) }
	half := func(p *Partial) error { return errors.Join(begin(p), write(p, body[:len(body)/2])) }
	s := newShelf(t, 1<<40)
	s.put("r/adopted", 3)
	s.twins = func(Digest) []Key { return []Key{{"r", "a"}} }
	for _, tt := range []struct {
		name  string
		key   string
		steps fetch
		fails bool
	}{
		{"a download", "a", func(p *Partial) error { return errors.Join(begin(p), write(p, body), p.Complete()) }, false},
		{"one of unknown length", "b", func(p *Partial) error {
			return errors.Join(p.Begin(Head{Length: -1, URL: "u"}), write(p, body), p.Complete())
		}, false},
		{"one that replaces a larger file", "adopted", func(p *Partial) error {
			return errors.Join(p.Begin(Head{Length: 4, URL: "u"}), write(p, "body"), p.Complete())
		}, false},
		{"one that is broken off", "c", func(p *Partial) error { return errors.Join(half(p), broken) }, true},
		{"and goes on", "c", func(p *Partial) error {
			n, h := p.Resume()
			return errors.Join(p.Continue(h.Length), write(p, body[n:]), p.Complete())
		}, false},
		{"one that is wrong", "d", func(p *Partial) error { p.Reject(); return errors.Join(half(p), broken) }, true},
		{"one that starts over", "d", func(p *Partial) error {
			err := half(p)
			p.Reject()
			return errors.Join(err, begin(p), write(p, body), p.Complete())
		}, false},
		{"one that is here under another name", "f", func(p *Partial) error { return errors.Join(begin(p), write(p, body), p.Complete()) }, false},
		{"and one in place of the name", "f", func(p *Partial) error {
			return errors.Join(p.Begin(Head{Length: 4, URL: "u"}), write(p, "body"), p.Complete())
		}, false},
		{"and the twin again, in place of that", "f", func(p *Partial) error { return errors.Join(begin(p), write(p, body), p.Complete()) }, false},
		{"one that never began", "e", func(p *Partial) error { return broken }, true},
	} {
		c := s.open()
		if _, err := c.Evict(t.Context(), false); err != nil { // sets the account
			t.Fatal(err)
		}
		_, err := c.Prefetch(t.Context(), Key{"r", tt.key}, Want{}, tt.steps)
		if tt.fails != errors.Is(err, broken) || !tt.fails && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		got, walked, err := c.usage.get()
		found, werr := walk(t.Context(), s.dir)
		if err != nil || werr != nil || got != found.bytes || walked.IsZero() {
			t.Errorf("%s: %d bytes are accounted for, there are %d (%v, %v)", tt.name, got, found.bytes, err, werr)
		}
	}
}

// TestAccountOfDeletions: what a hand or the night deletes is not accounted for any more.
func TestAccountOfDeletions(t *testing.T) {
	for _, tt := range []struct {
		name   string
		delete func(*Cache) error
	}{
		{"a file is purged", func(c *Cache) error { _, _, err := c.Purge("r/a"); return err }},
		{"a directory is purged", func(c *Cache) error { _, _, err := c.Purge("r/below"); return err }},
		{"one of two names is purged", func(c *Cache) error { _, _, err := c.Purge("r/linked"); return err }},
		{"leftovers are swept", func(c *Cache) error { _, err := c.Sweep(time.Hour, false); return err }},
	} {
		s := newShelf(t, 1<<40)
		for _, name := range []string{"r/a", "r/below/b", "r/below/c", "r/d", ownDir + "/partial/left", ownDir + "/.new-left"} {
			s.put(name, 3)
		}
		if err := os.Link(filepath.Join(s.dir, "r/d"), filepath.Join(s.dir, "r/linked")); err != nil {
			t.Fatal(err)
		}
		c := s.open()
		if _, err := c.Evict(t.Context(), false); err != nil { // sets the account
			t.Fatal(err)
		}
		if err := tt.delete(c); err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		got, _, err := c.usage.get()
		found, werr := walk(t.Context(), s.dir)
		if err != nil || werr != nil || got != found.bytes {
			t.Errorf("%s: %d bytes are accounted for, there are %d (%v, %v)", tt.name, got, found.bytes, err, werr)
		}
	}
}

// TestDisk: a file system's sizes are of its blocks, however much it likes to move at once;
// one that does not say them is not taken to be full.
func TestDisk(t *testing.T) {
	size, free := sizesOf(&unix.Statfs_t{Bsize: 1 << 20, Frsize: 4096, Blocks: 1000, Bfree: 500, Bavail: 400})
	if size != 1000*4096 || free != 400*4096 {
		t.Errorf("%d bytes, %d free", size, free)
	}
	s := newShelf(t, 0)
	c := s.open()
	c.o.MinFree = 1
	if p := c.Problem(); p != "" {
		t.Errorf("a sound disk: %s", p)
	}
	c.tree.dir = filepath.Join(s.dir, "nowhere")
	if p := c.Space(t.Context()).Problem; p == "" || strings.Contains(p, "full") {
		t.Errorf("a disk that is gone: %q", p)
	}
}

// TestUndeclared: a body whose length nobody says is refused where it has become longer
// than a file may be, nothing of it stays, and the next mirror's file is stored.
func TestUndeclared(t *testing.T) {
	for size, want := range map[int64]int64{0: 16 << 30, 100 << 30: 16 << 30, 4 << 30: 1 << 30} {
		if got := newSpace(size, 0).undeclared(); got != want {
			t.Errorf("cache_size %d: %d bytes, want %d", size, got, want)
		}
	}
	const most = 2 << 20
	body := strings.Repeat("x", most+1)
	for _, tt := range []struct {
		name    string
		length  int64 // that is announced
		n       int   // bytes that come
		refused bool
	}{
		{"as long as it may be", -1, most, false},
		{"longer", -1, most + 1, true},
		{"longer, and it says so", most + 1, most + 1, false},
	} {
		s := newShelf(t, undeclaredParts*most)
		c := s.open()
		_, err := c.Prefetch(t.Context(), Key{"r", "a"}, Want{}, fetch(func(p *Partial) error {
			return errors.Join(p.Begin(Head{Length: tt.length, URL: "u"}), write(p, body[:tt.n]), p.Complete())
		}))
		if refused := errors.Is(err, ErrWrongContent) && ReasonOf(err) == WrongLength; refused != tt.refused || !refused && err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if names, err := filepath.Glob(filepath.Join(s.dir, ownDir, "partial", "*")); err != nil || len(names) != 0 {
			t.Errorf("%s: left behind: %q, %v", tt.name, names, err)
		}
		if _, err := c.Prefetch(t.Context(), Key{"r", "a"}, Want{}, fetch(func(p *Partial) error {
			return errors.Join(p.Begin(Head{Length: -1, URL: "v"}), write(p, "body"), p.Complete())
		})); err != nil {
			t.Errorf("%s: the next: %v", tt.name, err)
		}
	}
}

// TestUsage: two programs change one number, and a damaged one is set right by
// the next walk.
func TestUsage(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, ownDir), 0o755); err != nil {
		t.Fatal(err)
	}
	a, b := openUsage(dir), openUsage(dir)
	var wg sync.WaitGroup
	for _, u := range []*usage{a, b, a, b} {
		wg.Go(func() {
			for range 200 {
				if _, err := u.add(3); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n, at, err := b.get(); n != 2400 || !at.IsZero() || err != nil {
		t.Errorf("%d of %s, %v", n, at, err)
	}
	// A walk that began at 2000 and found 1900: 400 came meanwhile, that it may have missed.
	if n, err := a.set(2000, 1900, noon); n != 2300 || err != nil {
		t.Errorf("after a walk: %d, %v", n, err)
	}
	if n, at, err := b.get(); n != 2300 || !at.Equal(noon) || err != nil {
		t.Errorf("%d of %s, %v", n, at, err)
	}
	if n, err := b.add(-5000); n != 0 || err != nil {
		t.Errorf("below nothing: %d, %v", n, err)
	}
	for _, text := range []string{"", "12", "no number", strings.Repeat("9", 100)} {
		if err := os.WriteFile(a.path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if n, err := a.add(7); n != 7 || err != nil {
			t.Errorf("%q: %d, %v", text, n, err)
		}
		if n, _, err := b.get(); n != 7 || err != nil {
			t.Errorf("%q, then: %d, %v", text, n, err)
		}
	}
}

// TestTend: it evicts at its start, when it is woken and each hour, but not over
// and over where that is of no use.
func TestTend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newShelf(t, 0)
		c := s.open()
		c.space.size = 40 * block
		ctx, cancel := context.WithCancel(t.Context())
		var done sync.WaitGroup
		left := func(want int) {
			t.Helper()
			synctest.Wait()
			if n := len(s.names()); n != want {
				t.Errorf("%d files are left, want %d", n, want)
			}
		}
		fill := func(n int) {
			for i := range n {
				s.put(filepath.Join("r", string(rune('a'+i))), 10)
			}
		}
		fill(5)
		done.Go(func() { c.Tend(ctx) })
		left(3)
		fill(5)
		time.Sleep(time.Minute)
		left(5) // others have put them there: nobody knows yet
		time.Sleep(recountEvery)
		left(3)
		fill(5)
		c.partials.account(100 * block) // as a download does
		left(3)

		// Something that must stay takes the room.
		s.put("README", 100)
		if !c.space.await(1) {
			t.Error("nobody has tried to make room")
		}
		left(1)
		if c.space.await(1) {
			t.Error("a download waits though it has just been of no use")
		}
		fill(2)
		c.space.rouse()
		left(3)
		time.Sleep(restFor)
		left(1)
		cancel()
		done.Wait()
		if c.space.await(1) {
			t.Error("a download waits though nobody evicts")
		}
	})
}
