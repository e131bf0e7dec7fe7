package cache

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// keep has a file of a shelf at hand.
func keep(t *testing.T, c *Cache, name string) *Entry {
	t.Helper()
	repo, path, _ := strings.Cut(name, "/")
	k := Key{repo, path}
	st, err := c.tree.open(k)
	if err != nil {
		t.Fatal(err)
	}
	f := st.facts
	f.Validated = c.o.Now()
	if err := st.setFacts(f); err != nil {
		t.Fatal(err)
	}
	st.file.Close()
	o, err := c.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	e := c.Keep(k, o)
	if e == nil {
		t.Fatalf("%s can't be kept", name)
	}
	return e
}

// What is at hand is evicted as if it were not, but while somebody reads it.
func TestEvictWhatIsAtHand(t *testing.T) {
	s := newShelf(t, block)
	names := []string{"r/large-idle.rpm", "r/large-read.rpm", "r/small-idle.rpm", "r/small-read.rpm"}
	for _, n := range names {
		blocks := 1
		if strings.Contains(n, "large") {
			blocks = 1 + smallFile/block
		}
		s.put(n, blocks)
	}
	c := s.open()
	for _, n := range names {
		e := keep(t, c, n)
		if strings.Contains(n, "read") && !c.Current(e) {
			t.Fatalf("%s is not current", n)
		}
		if strings.Contains(n, "large") != (e.File() != nil) || (e.File() == nil) != (e.Body() != nil) {
			t.Errorf("%s: file %v, %d bytes in memory", n, e.File(), len(e.Body()))
		}
	}
	// A small one is in memory: nobody has the file.
	got := paths(s.evict(c))
	slices.Sort(got)
	if want := []string{"r/large-idle.rpm", "r/small-idle.rpm", "r/small-read.rpm"}; !slices.Equal(got, want) {
		t.Errorf("evicted %q, want %q", got, want)
	}
}

func TestEntries(t *testing.T) {
	s := newShelf(t, 1<<30)
	for i := range 3 {
		s.put(fmt.Sprintf("r/%d.rpm", i), 1+smallFile/block)
	}
	c := s.open()
	e := keep(t, c, "r/0.rpm")
	if !c.Current(e) {
		t.Fatal("not current")
	}
	c.entries.forget(e.key)
	if c.Current(e) {
		t.Error("what was forgotten is current")
	}
	b := make([]byte, e.Size())
	if _, err := io.ReadFull(io.NewSectionReader(e.File(), 0, e.Size()), b); err != nil {
		t.Errorf("who holds it can't read it: %v", err)
	}
	e.Release()
	if _, err := e.File().ReadAt(b[:1], 0); err == nil {
		t.Error("nobody holds it, and it is open")
	}

	// The second of a key takes the place of the first.
	first, second := keep(t, c, "r/1.rpm"), keep(t, c, "r/1.rpm")
	if c.Current(first) || !c.Current(second) {
		t.Error("the first of two is current, or the second not")
	}
	second.Release()
	if n := len(c.entries.list); n != 1 || c.entries.files != 1 || c.entries.bodies != 0 {
		t.Errorf("%d entries, %d files, %d bytes", n, c.entries.files, c.entries.bodies)
	}
	if err := os.Chtimes(filepath.Join(s.dir, "r/1.rpm"), time.Time{}, noon.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	now := c.o.Now()
	c.o.Now = func() time.Time { return now.Add(lookAgain) }
	if c.Current(second) {
		t.Error("what was changed on the disk is current")
	}
}

// What was purged is not answered from memory, by its own name or a directory's.
func TestPurgeWhatIsAtHand(t *testing.T) {
	s := newShelf(t, 1<<30)
	for _, name := range []string{"r/small.rpm", "r/below/small.rpm"} {
		s.put(name, 1)
	}
	c := s.open()
	file, below := keep(t, c, "r/small.rpm"), keep(t, c, "r/below/small.rpm")
	for _, name := range []string{"r/small.rpm", "r/below"} {
		if _, _, err := c.Purge(name); err != nil {
			t.Fatal(err)
		}
	}
	if c.Current(file) || c.Current(below) {
		t.Error("what was purged is current")
	}
}

// What was let go takes no memory, whoever still remembers that it was at hand.
func TestReleasedBody(t *testing.T) {
	s := newShelf(t, 1<<30)
	s.put("r/small.rpm", 1)
	c := s.open()
	e := keep(t, c, "r/small.rpm")
	if !c.Current(e) {
		t.Fatal("not current")
	}
	c.entries.forget(e.key)
	if len(e.Body()) != block {
		t.Errorf("who holds it has %d bytes", len(e.Body()))
	}
	e.Release()
	if e.body != nil {
		t.Errorf("nobody holds it, and it has %d bytes", len(e.body))
	}
}

// What is at hand is bounded, and what nobody asks for is let go.
func TestEntriesBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s entries
		add := func(i int, size int) *Entry {
			e := &Entry{key: Key{"r", fmt.Sprint(i)}, body: make([]byte, size)}
			e.holders.Store(1)
			e.used.Store(true)
			s.add(e)
			return e
		}
		state := func() (n, bytes int) {
			s.mu.Lock()
			defer s.mu.Unlock()
			return len(s.list), s.bodies
		}
		const size = maxBodies / 10
		used := add(0, size)
		for i := range 30 {
			used.again.Store(true)
			last := add(1+i, size)
			if n, bytes := state(); n < 2 || bytes > maxBodies {
				t.Fatalf("%d entries with %d bytes", n, bytes)
			}
			if !used.hold() || !last.hold() {
				t.Fatal("what was asked for last is not at hand")
			}
			used.Release()
			last.Release()
		}
		for range 2 {
			used.used.Store(true)
			time.Sleep(sweepEvery)
			synctest.Wait()
		}
		if n, bytes := state(); n != 1 || bytes != size {
			t.Errorf("%d entries with %d bytes are left", n, bytes)
		}
		time.Sleep(2 * sweepEvery)
		synctest.Wait()
		if n, bytes := state(); n != 0 || bytes != 0 {
			t.Errorf("%d entries with %d bytes are left, which nobody has asked for", n, bytes)
		}
	})
}
