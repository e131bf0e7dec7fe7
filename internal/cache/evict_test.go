package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const block = 4096

// shelf is a cache directory of some size, with a clock that is ahead of the
// files' times.
type shelf struct {
	t       testing.TB
	dir     string
	size    int64
	ledger  *Ledger
	catalog Catalog
	twins   func(Digest) []Key
	now     atomic.Int64 // Unix nanoseconds; the ledger asks for it whenever it comes to write
}

func newShelf(t testing.TB, size int64) *shelf {
	s := &shelf{t: t, dir: t.TempDir(), size: size}
	s.set(time.Now().Add(30 * day))
	return s
}

// time is the shelf's clock, and set sets it.
func (s *shelf) time() time.Time  { return time.Unix(0, s.now.Load()) }
func (s *shelf) set(at time.Time) { s.now.Store(at.UnixNano()) }

func (s *shelf) account() {
	s.t.Helper()
	l, err := OpenLedger(filepath.Join(s.t.TempDir(), "cache.db"), s.time, slog.New(slog.DiscardHandler))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	s.ledger = l
}

// open opens the directory as each of the two programs does.
func (s *shelf) open() *Cache {
	s.t.Helper()
	c, err := Open(Options{
		Dir: s.dir, Size: s.size, Ledger: s.ledger, Catalog: s.catalog, Twins: s.twins,
		Policy: func(k Key) Policy {
			return Policy{MaxAge: time.Hour, Metadata: strings.Contains(k.Path, "repodata/"), Anchor: strings.HasSuffix(k.Path, "repomd.xml")}
		},
		Source: func(string) Source { return nil },
		Now:    s.time,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// put adopts a file of so many blocks.
func (s *shelf) put(name string, blocks int) {
	s.t.Helper()
	p := filepath.Join(s.dir, name)
	err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, make([]byte, blocks*block), 0o644))
	if err != nil {
		s.t.Fatal(err)
	}
}

// own is what the cache's own files take.
func (s *shelf) own() int64 {
	s.t.Helper()
	c, err := walk(s.t.Context(), s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	n := c.bytes
	for _, f := range c.files {
		n -= f.bytes
	}
	return n
}

// names are the stored files, sorted.
func (s *shelf) names() []string {
	s.t.Helper()
	c, err := walk(s.t.Context(), s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	var all []string
	for _, f := range c.files {
		all = append(all, f.names...)
	}
	slices.Sort(all)
	return all
}

func (s *shelf) evict(c *Cache) Eviction {
	s.t.Helper()
	e, err := c.Evict(s.t.Context(), false)
	if err != nil {
		s.t.Fatal(err)
	}
	return e
}

func paths(e Eviction) (all []string) {
	for _, f := range e.Files {
		all = append(all, f.Path)
	}
	return all
}

type listed map[string]struct {
	want Want
	held bool
}

func (l listed) Lookup(k Key) (Want, bool) { return l[k.String()].want, l[k.String()].held }

// TestEvict: from the high mark down to the low one, the least valuable first,
// adopted files like all, and the directories that are empty then with them.
func TestEvict(t *testing.T) {
	s := newShelf(t, 0)
	s.account()
	names := []string{"r/a/kernel.rpm", "r/b/c/used.rpm", "r/b/c/old.rpm", "r/new.rpm", "r/seed.rpm", "r/x/repodata/primary.xml", "r/x/repodata/repomd.xml", "other/tree/f.rpm", "r/gone.rpm"}
	for _, n := range names {
		s.put(n, 10)
	}
	s.put("r/tonight.rpm", 10)
	s.put("README", 10) // no file of a repository
	if err := os.Link(filepath.Join(s.dir, "r/new.rpm"), filepath.Join(s.t.TempDir(), "elsewhere")); err != nil {
		t.Fatal(err)
	}
	s.catalog = listed{"r/gone.rpm": {held: true}, "r/x/repodata/primary.xml": {want: Want{Size: 1, Digest: "sha256:1"}, held: true}}
	c := s.open()
	use := func(name string, at time.Time) {
		k, _ := keyOf(name)
		was := s.time()
		s.set(at)
		s.ledger.Served(k, 1, true)
		if err := s.ledger.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.set(was)
	}
	use("r/b/c/used.rpm", s.time().Add(-day))
	use("r/b/c/used.rpm", s.time().Add(-2*day))
	use("r/a/kernel.rpm", s.time().Add(-2*day))
	use("r/b/c/old.rpm", s.time().Add(-9*day))
	use("other/tree/f.rpm", s.time().Add(-8*day))
	use("r/seed.rpm", s.time().Add(-20*day))
	s.ledger.Fetched(Key{"r", "tonight.rpm"}, 10*block, true)
	if err := c.SetWanted([]Key{{"r", "not/here.rpm"}, {"r", "seed.rpm"}}); err != nil {
		t.Fatal(err)
	}
	order := []string{"r/b/c/old.rpm", "other/tree/f.rpm", "r/a/kernel.rpm", "r/b/c/used.rpm", "r/seed.rpm", "r/tonight.rpm", "r/gone.rpm", "r/x/repodata/primary.xml"}
	all := s.names()

	// Nothing below the high mark.
	s.evict(c)
	own := s.own()
	total := own + int64(len(all))*10*block
	c.space.size = total*slackParts/(slackParts-1) + block
	if e := s.evict(c); len(e.Files) != 0 || e.Before != total || e.Short != 0 {
		t.Errorf("below the high mark: %q of %d bytes, want none of %d", paths(e), e.Before, total)
	}
	c.space.size = (total - 25*block) * slackParts / (slackParts - 2)
	would, err := c.Evict(t.Context(), true)
	if err != nil || len(s.names()) != len(all) {
		t.Fatalf("a rehearsal: %v, %d of %d files are left", err, len(s.names()), len(all))
	}
	e := s.evict(c)
	if !slices.Equal(paths(e), order[:3]) || !slices.Equal(paths(would), order[:3]) {
		t.Fatalf("evicted %q, rehearsed %q, want %q", paths(e), paths(would), order[:3])
	}
	if got, _, err := c.usage.get(); err != nil || got != e.After || e.After != total-30*block || e.Short != 0 {
		t.Errorf("the account says %d bytes, %d are left, %v", got, e.After, err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, "other")); err != nil {
		t.Errorf("a repository's directory: %v", err)
	}
	for _, empty := range []string{"other/tree", "r/a"} {
		if _, err := os.Stat(filepath.Join(s.dir, empty)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an empty directory is left: %v", err)
		}
	}
	// As much as can be, and not what may not.
	c.space.size = block
	e = s.evict(c)
	if !slices.Equal(paths(e), order[3:]) || e.Short <= 0 {
		t.Errorf("then %q (%d bytes too many), want %q", paths(e), e.Short, order[3:])
	}
	if got, want := s.names(), []string{"README", "r/new.rpm", "r/x/repodata/repomd.xml"}; !slices.Equal(got, want) {
		t.Errorf("left: %q, want %q", got, want)
	}
	if err := s.ledger.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files, bytes, err := s.ledger.EvictedSince(t.Context(), s.time().Add(-time.Minute)); err != nil || files != 8 || bytes != 80*block {
		t.Errorf("accounted: %d files, %d bytes, %v", files, bytes, err)
	}
	if again := s.evict(c); len(again.Files) != 0 {
		t.Errorf("and again: %q", paths(again))
	}
}

// TestEvictLinks: a file that has several names goes with all of them.
func TestEvictLinks(t *testing.T) {
	s := newShelf(t, block)
	s.put("r/a/1.rpm", 10)
	if err := errors.Join(os.MkdirAll(filepath.Join(s.dir, "r/b"), 0o755), os.Link(filepath.Join(s.dir, "r/a/1.rpm"), filepath.Join(s.dir, "r/b/1.rpm"))); err != nil {
		t.Fatal(err)
	}
	c := s.open()
	e := s.evict(c)
	if len(e.Files) != 1 || e.Bytes != 10*block || len(s.names()) != 0 {
		t.Errorf("%+v, left: %q", e, s.names())
	}
}

// TestEvictLinksInUse: a file stays with all of its names while somebody has it open
// or is downloading it by any of them, or when it has got one more.
func TestEvictLinksInUse(t *testing.T) {
	s := newShelf(t, block)
	s.put("r/a/1.rpm", 10)
	names := []string{"r/a/1.rpm", "r/b.rpm"}
	link := func(name string) {
		t.Helper()
		if err := os.Link(filepath.Join(s.dir, names[0]), filepath.Join(s.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	link(names[1])
	c := s.open()
	stays := func(why string) {
		t.Helper()
		if e := s.evict(c); len(e.Files) != 0 || !slices.Equal(s.names(), names) {
			t.Errorf("%s: evicted %q, left %q", why, paths(e), s.names())
		}
	}
	reader, err := os.Open(filepath.Join(s.dir, names[1]))
	if err != nil {
		t.Fatal(err)
	}
	stays("open by its second name")
	reader.Close()
	file, held, err := c.partials.lock(c.partials.path(Key{"r", "b.rpm"}))
	if err != nil || !held {
		t.Fatal(held, err)
	}
	stays("being replaced by its second name")
	file.Close()

	found, _, err := c.count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	was := c.judge(t.Context(), found.files, nil)[0]
	names = append(names, "r/c.rpm")
	link(names[2])
	if err := c.drop(was, true); !errors.Is(err, ErrInUse) || !slices.Equal(s.names(), names) {
		t.Errorf("with a third name: %v, left %q", err, s.names())
	}
	if e := s.evict(c); e.Bytes != 10*block || len(s.names()) != 0 {
		t.Errorf("then %+v, left %q", e, s.names())
	}
	if got, _, err := c.usage.get(); err != nil || got != s.own() {
		t.Errorf("the account says %d bytes, %d are left, %v", got, s.own(), err)
	}
}

// TestEvictSparesWhatIsInUse: neither what a client reads, in this process or in
// another, nor what is being downloaded, nor what has changed meanwhile.
func TestEvictSparesWhatIsInUse(t *testing.T) {
	s := newShelf(t, block)
	for _, n := range []string{"r/read.rpm", "r/arriving.rpm", "r/idle.rpm"} {
		s.put(n, 10)
	}
	c, other := s.open(), s.open()
	reader, err := os.Open(filepath.Join(s.dir, "r/read.rpm")) // as imserve does, or any static server
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	file, held, err := other.partials.lock(other.partials.path(Key{"r", "arriving.rpm"}))
	if err != nil || !held {
		t.Fatal(held, err)
	}
	e := s.evict(c)
	if !slices.Equal(paths(e), []string{"r/idle.rpm"}) || e.Short <= 0 {
		t.Errorf("evicted %q, %d bytes too many", paths(e), e.Short)
	}
	file.Close()
	if e := s.evict(c); !slices.Equal(paths(e), []string{"r/arriving.rpm"}) {
		t.Errorf("then %q", paths(e))
	}
	if entries, err := os.ReadDir(c.partials.dir); err != nil || len(entries) != 0 {
		t.Errorf("%d partial files are left, %v", len(entries), err)
	}
}

// TestEvictWhatWasReplaced: a file that was committed between the walk and the
// deletion is another one.
func TestEvictWhatWasReplaced(t *testing.T) {
	s := newShelf(t, block)
	s.put("r/a.rpm", 10)
	c := s.open()
	found, _, err := c.count(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	was := c.judge(t.Context(), found.files, nil)[0]
	if err := os.Remove(filepath.Join(s.dir, "r/a.rpm")); err != nil {
		t.Fatal(err)
	}
	if err := c.drop(was, true); !errors.Is(err, ErrInUse) {
		t.Errorf("what has gone: %v", err)
	}
	s.put("r/new", 20)
	if err := os.Rename(filepath.Join(s.dir, "r/new"), filepath.Join(s.dir, "r/a.rpm")); err != nil {
		t.Fatal(err)
	}
	if err := c.drop(was, true); !errors.Is(err, ErrInUse) {
		t.Errorf("what was replaced: %v", err)
	}
	if got := s.names(); !slices.Equal(got, []string{"r/a.rpm"}) {
		t.Errorf("left: %q", got)
	}
}

// TestOpenWhileEvicted: who asks for a file at the moment at which it is made
// sure that nobody reads it takes it for gone.
func TestOpenWhileEvicted(t *testing.T) {
	s := newShelf(t, block)
	s.put("r/a.rpm", 1)
	c := s.open()
	st, err := c.tree.open(Key{"r", "a.rpm"})
	if err != nil {
		t.Fatal(err)
	}
	if !alone(st.file) {
		t.Fatal("the file is open elsewhere")
	}
	if again, err := c.tree.open(Key{"r", "a.rpm"}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, %v", again, err)
	}
	st.file.Close()
	again, err := c.tree.open(Key{"r", "a.rpm"})
	if err != nil {
		t.Fatal(err)
	}
	again.file.Close()
}

// TestEvictWithoutLedger: that a file was prefetched tonight stands in its facts
// as well.
func TestEvictWithoutLedger(t *testing.T) {
	s := newShelf(t, 0)
	for _, n := range []string{"r/ahead.rpm", "r/late.rpm"} {
		s.put(n, 10)
	}
	c := s.open()
	facts := func(name string, ago time.Duration) {
		k, _ := keyOf(name)
		st, err := c.tree.open(k)
		if err != nil {
			t.Fatal(err)
		}
		defer st.file.Close()
		f := st.facts
		f.Prefetched = s.time().Add(-ago)
		if err := st.setFacts(f); err != nil {
			t.Fatal(err)
		}
	}
	facts("r/ahead.rpm", 9*time.Hour)
	facts("r/late.rpm", 3*day)
	s.evict(c) // makes the cache's own files
	c.space.size = (s.own() + 11*block) * slackParts / (slackParts - 2)
	if e := s.evict(c); !slices.Equal(paths(e), []string{"r/late.rpm"}) {
		t.Errorf("evicted %q", paths(e))
	}
	c.space.size = block
	if e, err := c.MakeRoom(t.Context(), 0); err != nil || len(e.Files) != 0 {
		t.Errorf("for others %q, %v", paths(e), err)
	}
	if e := s.evict(c); !slices.Equal(paths(e), []string{"r/ahead.rpm"}) {
		t.Errorf("evicted %q", paths(e))
	}
}

// TestRoom: what may be prefetched is what there is room for beside what is
// wanted, and making that room touches nothing else.
func TestRoom(t *testing.T) {
	s := newShelf(t, 0)
	for i := range 10 {
		s.put(fmt.Sprintf("r/old%d.rpm", i), 10)
	}
	s.put("r/wanted.rpm", 50)
	c := s.open()
	wanted := []Key{{"r", "wanted.rpm"}}
	if err := c.SetWanted(wanted); err != nil {
		t.Fatal(err)
	}
	s.evict(c)
	own := s.own()
	c.space.size = own + 200*block
	room, err := c.Room(t.Context(), wanted)
	if want := c.space.size - 2*(c.space.size/slackParts) - own - 50*block; err != nil || room != want {
		t.Fatalf("room for %d bytes, %v; want %d", room, err, want)
	}
	e, err := c.MakeRoom(t.Context(), room)
	if err != nil || e.Short != 0 || len(e.Files) != 10 {
		t.Errorf("%d evicted, %d bytes short, %v", len(e.Files), e.Short, err)
	}
	if got := s.names(); !slices.Equal(got, []string{"r/wanted.rpm"}) {
		t.Errorf("left: %q", got)
	}
	if e, err := c.MakeRoom(t.Context(), room+50*block); err != nil || len(e.Files) != 0 || e.Short == 0 {
		t.Errorf("more than there is: %d evicted, %d bytes short, %v", len(e.Files), e.Short, err)
	}
	// A plan of long ago has no say.
	s.set(s.time().Add(wantedFor))
	if e, err := c.MakeRoom(t.Context(), room+20*block); err != nil || e.Short != 0 || len(e.Files) != 1 {
		t.Errorf("after a month: %d evicted, %d bytes short, %v", len(e.Files), e.Short, err)
	}
}

// TestEvictByTwo: two programs that evict at once delete what one would have.
func TestEvictByTwo(t *testing.T) {
	s := newShelf(t, 0)
	for i := range 100 {
		s.put(fmt.Sprintf("r/%d/%d.rpm", i, i), 1)
	}
	a, b := s.open(), s.open()
	s.evict(a)
	size := s.own() + 50*block
	a.space.size, b.space.size = size, size
	var wg sync.WaitGroup
	both := make([]Eviction, 2)
	for i, c := range []*Cache{a, b} {
		wg.Go(func() {
			var err error
			if both[i], err = c.Evict(context.Background(), false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	low := size - 2*(size/slackParts)
	if after := s.own() + int64(len(s.names()))*block; after > low || after <= low-block {
		t.Errorf("%d bytes are left, the low mark is %d", after, low)
	}
	if n := len(both[0].Files) + len(both[1].Files); n != 100-len(s.names()) {
		t.Errorf("%d are said to have gone, %d are left of 100", n, len(s.names()))
	}
	if got, _, err := a.usage.get(); err != nil || got != s.own()+int64(len(s.names()))*block {
		t.Errorf("the account says %d, %v", got, err)
	}
}

// TestCommitIntoATidiedDirectory: the directory of a file that is being
// committed may be removed by an eviction that has emptied it.
func TestCommitIntoATidiedDirectory(t *testing.T) {
	s := newShelf(t, 0)
	c := s.open()
	k := Key{"r", "a/b/c/d.rpm"}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				c.tree.tidy(k)
			}
		}
	})
	for i := range 50 {
		_, err := c.Prefetch(t.Context(), k, Want{}, sourceOf("body"))
		if err == nil {
			err = c.tree.root.Remove(k.String())
		}
		if err != nil {
			t.Errorf("commit %d: %v", i, err)
			break
		}
	}
	close(stop)
	wg.Wait()
}

// sourceOf sends its text for whatever it is asked.
type sourceOf string

func (s sourceOf) Fetch(_ context.Context, _ Request, p *Partial) error {
	if err := p.Begin(Head{Length: int64(len(s)), URL: "u"}); err != nil {
		return err
	}
	if _, err := p.Write([]byte(s)); err != nil {
		return err
	}
	return p.Complete()
}
