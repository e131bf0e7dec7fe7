package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// listed is a Catalog of what it lists, and of what has which digest.
type listed map[cache.Key]cache.Want

func (l listed) Lookup(k cache.Key) (cache.Want, bool) { w, ok := l[k]; return w, ok && w.Known() }

func (l listed) twins(d cache.Digest) (names []cache.Key) {
	for k, w := range l {
		if w.Digest == d {
			names = append(names, k)
		}
	}
	return names
}

// knows is a listed that says which files are one, and promises nothing.
type knows struct{ listed }

func (knows) Lookup(cache.Key) (cache.Want, bool) { return cache.Want{}, false }

var (
	here  = cache.Key{Repo: "r", Path: "41/Packages/a-1-1.noarch.rpm"}
	there = cache.Key{Repo: "s", Path: "42/os/a-1-1.noarch.rpm"}
	other = cache.Key{Repo: cache.Strangers, Path: "host/x/a-1-1.noarch.rpm"}
)

// openListed opens the cache of a site with what c lists; a file's mirror has it below
// its repo.
func (s *site) openListed(c interface {
	cache.Catalog
	twins(cache.Digest) []cache.Key
}, checks map[string]*cache.Check) *cache.Cache {
	m := s.mirrors()
	opened, err := cache.Open(cache.Options{
		Dir: s.dir, Catalog: c, Twins: c.twins,
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path), Metadata: strings.Contains(k.Path, "repodata/"), Check: checks[k.Repo]}
		},
		Source:    func(string) cache.Source { return m },
		Committed: s.committed,
		Now:       func() time.Time { return time.Unix(0, s.now.Load()) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { opened.Close() })
	return opened
}

// mustGet is what a client gets of k.
func (s *site) mustGet(c *cache.Cache, k cache.Key, want []byte) cache.Status {
	s.t.Helper()
	got, status, err := get(c, k)
	if err != nil || !bytes.Equal(got, want) {
		s.t.Fatalf("%s: %d bytes, %v", k, len(got), err)
	}
	return status
}

// inode is which file has the name of k, and how many names it has.
func (s *site) inode(k cache.Key) (ino, names uint64) {
	s.t.Helper()
	fi, err := os.Stat(filepath.Join(s.dir, k.String()))
	if err != nil {
		s.t.Fatal(err)
	}
	st := fi.Sys().(*syscall.Stat_t)
	return st.Ino, uint64(st.Nlink)
}

// oneFile checks that these names are of one file.
func (s *site) oneFile(names ...cache.Key) {
	s.t.Helper()
	first, links := s.inode(names[0])
	for _, k := range names[1:] {
		if ino, _ := s.inode(k); ino != first {
			s.t.Errorf("%s and %s are two files", names[0], k)
		}
	}
	if links != uint64(len(names)) {
		s.t.Errorf("%s has %d names, want %d", names[0], links, len(names))
	}
}

// noPartials checks that nothing is left of downloads.
func (s *site) noPartials() {
	s.t.Helper()
	left, err := os.ReadDir(filepath.Join(s.dir, ".im/partial"))
	if err != nil || len(left) > 0 {
		s.t.Errorf("left over: %v, %v", left, err)
	}
}

// TestShared: what is promised to be what another name has already is not downloaded,
// whoever wants it.
func TestShared(t *testing.T) {
	body := rpm(70_000, 41)
	for _, by := range []struct {
		name  string
		bring func(*site, *cache.Cache, cache.Source)
	}{
		{"a client", func(s *site, c *cache.Cache, _ cache.Source) {
			if status := s.mustGet(c, there, body); !status.Hit {
				t.Errorf("the answer says %+v", status)
			}
		}},
		{"a run", func(s *site, c *cache.Cache, m cache.Source) {
			if out, err := c.Prefetch(waiting(t), there, want(body), m); err != nil || !out.Stored || out.Fetched != 0 || out.Facts.Prefetched.IsZero() {
				t.Errorf("%+v, %v", out, err)
			}
		}},
		{"an import", func(s *site, c *cache.Cache, m cache.Source) {
			if out, err := c.Bring(waiting(t), there, want(body), m); err != nil || !out.Stored {
				t.Errorf("%+v, %v", out, err)
			}
		}},
	} {
		for _, before := range []string{"nothing", "an older file", "a part of a download"} {
			t.Run(by.name+" before "+before, func(t *testing.T) {
				s := newSite(t, file(body, day1))
				c := s.openListed(listed{here: want(body), there: want(body)}, nil)
				s.mustGet(c, here, body)
				switch name := filepath.Join(s.dir, there.String()); before {
				case "an older file":
					if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("old"), 0o644)); err != nil {
						t.Fatal(err)
					}
				case "a part of a download":
					ctx, cancel := context.WithCancel(waiting(t))
					s.answer(func(w http.ResponseWriter, _ *http.Request) {
						w.Header().Set("Content-Length", fmt.Sprint(len(body)))
						w.Write(body[:30_000])
						cancel()
						panic(http.ErrAbortHandler)
					})
					// With nothing that is known of twins, as by an older catalog.
					if _, err := s.openListed(listed{there: want(body)}, nil).Prefetch(ctx, there, want(body), s.mirrors()); err == nil {
						t.Fatal("it came as a whole")
					}
				}
				s.answer(http.NotFound)
				before := s.gets.Load()
				by.bring(s, c, s.mirrors())
				if n := s.gets.Load() - before; n != 0 {
					t.Errorf("upstream was asked %d times", n)
				}
				s.oneFile(here, there)
				s.noPartials()
				// It is told of as one that has come: the bucket has it by its own name.
				if told := []string{here.String() + " " + string(want(body).Digest), there.String() + " " + string(want(body).Digest)}; !slices.Equal(s.told, told) {
					t.Errorf("committed: %q, want %q", s.told, told)
				}
				s.mustGet(s.openListed(listed{}, nil), here, body)
				if again := s.openListed(listed{here: want(body), there: want(body)}, nil); s.gets.Load() != before || !again.Holds(there, want(body)) {
					t.Error("another process does not take the file for what is promised")
				}
				var names []cache.Key
				if err := c.Walk(waiting(t), func(k cache.Key, f cache.Facts) error {
					if f.SHA256 != want(body).Digest {
						t.Errorf("%s is listed with %q", k, f.SHA256)
					}
					names = append(names, k)
					return nil
				}); err != nil || !slices.Equal(names, []cache.Key{here, there}) {
					t.Errorf("the manifest lists %v, %v", names, err)
				}
			})
		}
	}
}

// TestSharedAtCommit: a file of which the digest is known only when it has come is
// stored as a link, and those who read it while it came get it all.
func TestSharedAtCommit(t *testing.T) {
	body := rpm(3<<20, 42)
	s := newSite(t, file(body, day1))
	c := s.openListed(knows{listed{here: want(body), there: want(body)}}, nil)
	s.mustGet(c, here, body)
	if status := s.mustGet(c, there, body); !status.Stored || status.Hit {
		t.Errorf("the answer says %+v", status)
	}
	c.Settled()
	if s.gets.Load() != 2 {
		t.Errorf("upstream was asked %d times", s.gets.Load())
	}
	s.oneFile(here, there)
	s.noPartials()
	if status := s.mustGet(c, there, body); !status.Hit {
		t.Errorf("again: %+v", status)
	}
	// What each mirror has said of its name is kept.
	s.pass(time.Hour)
	if status := s.mustGet(c, there, body); status.FwdStatus != 304 {
		t.Errorf("an hour later: %+v", status)
	}
}

// TestReplacedBesideItsTwin: the next version of one name changes no other.
func TestReplacedBesideItsTwin(t *testing.T) {
	body, next := rpm(50_000, 43), rpm(60_000, 44)
	s := newSite(t, file(body, day0))
	l := listed{here: want(body), there: want(body)}
	c := s.openListed(l, nil)
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)
	s.oneFile(here, there)
	s.answer(file(next, day1))
	l[there] = want(next)
	s.mustGet(c, there, next)
	c.Settled()
	s.oneFile(here)
	s.oneFile(there)
	s.mustGet(c, here, body)
	l[there] = want(body)
	s.answer(http.NotFound)
	s.mustGet(c, there, body)
	s.oneFile(here, there)
}

// TestOwnFacts: that one name was validated says nothing of its twin's upstream, and
// no time of one is a condition for the other.
func TestOwnFacts(t *testing.T) {
	body, next := rpm(50_000, 45), rpm(50_001, 46)
	s := newSite(t, file(body, day1))
	l := listed{here: want(body), there: want(body)}
	c := s.openListed(l, nil)
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)

	// Nothing is promised any more. The one's upstream has what it had; the other's has
	// another file now, that is older.
	clear(l)
	both := func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "42/os") {
			file(next, day0)(w, r)
			return
		}
		file(body, day1)(w, r)
	}
	s.answer(both)
	s.pass(time.Hour)
	if status := s.mustGet(c, here, body); status.FwdStatus != 304 {
		t.Errorf("the first name: %+v", status)
	}
	s.mustGet(c, there, next)
	c.Settled()
	s.mustGet(c, here, body)
	s.oneFile(here)

	// Invalidated, one name is asked for and the other is not.
	l[here], l[there] = want(body), want(body)
	s.mustGet(c, there, body)
	s.oneFile(here, there)
	clear(l)
	if err := c.Invalidate(there); err != nil {
		t.Fatal(err)
	}
	n := s.gets.Load()
	s.mustGet(c, here, body)
	if s.gets.Load() != n {
		t.Error("the other name was invalidated too")
	}
	s.mustGet(c, there, next)
	if s.gets.Load() == n {
		t.Error("the name is served as if nothing had been said")
	}
}

// TestChecksOfTwins: each name has to pass its own repository's check, once.
func TestChecksOfTwins(t *testing.T) {
	body := rpm(50_000, 47)
	s := newSite(t, file(body, day1))
	l := listed{here: want(body), there: want(body), other: want(body)}
	var mu sync.Mutex
	done := map[string]int{}
	check := func(repo string, err error) *cache.Check {
		return &cache.Check{ID: "keys of " + repo, Expected: "what " + repo + " signs", Do: func(io.ReaderAt, int64) error {
			mu.Lock()
			defer mu.Unlock()
			done[repo]++
			return err
		}}
	}
	refused := errors.New("not signed")
	c := s.openListed(l, map[string]*cache.Check{"r": check("r", nil), "s": check("s", nil), cache.Strangers: check("x", refused)})
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)
	for range 3 {
		s.mustGet(c, here, body)
		s.mustGet(c, there, body)
	}
	s.oneFile(here, there)
	if done["r"] != 1 || done["s"] != 1 {
		t.Errorf("checked %v times", done)
	}
	if _, _, err := get(c, other); !errors.Is(err, refused) {
		t.Errorf("by the third repository's keys: %v", err)
	}
	s.oneFile(here, there)
}

// TestDamagedTwin: a file that is not what it says gets no other name.
func TestDamagedTwin(t *testing.T) {
	body := rpm(50_000, 48)
	s := newSite(t, file(body, day1))
	l := listed{here: want(body), there: want(body)}
	c := s.openListed(l, nil)
	s.mustGet(c, here, body)
	rot := func(k cache.Key) {
		t.Helper()
		name := filepath.Join(s.dir, k.String())
		bad := bytes.Clone(body)
		bad[20_000] ^= 1
		if err := errors.Join(os.WriteFile(name, bad, 0o644), os.Chtimes(name, day1, day1)); err != nil {
			t.Fatal(err)
		}
	}
	rot(here)
	s.mustGet(c, there, body)
	c.Settled()
	s.oneFile(there)

	// Repaired, as imsync verify --repair does it, from the one that is right, and not
	// from upstream.
	s.answer(http.NotFound)
	repair := func() (wrong int) {
		t.Helper()
		err := c.Audit(waiting(t), "", func(context.Context, int) error { return nil }, func(f cache.Finding) error {
			if f.Wrong == nil {
				return nil
			}
			wrong++
			err := c.PutAside(f)
			if err == nil {
				_, err = c.Bring(waiting(t), f.Key, want(body), s.mirrors())
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return wrong
	}
	if n := repair(); n != 1 {
		t.Errorf("%d files were wrong", n)
	}
	s.oneFile(here, there)

	// Damaged it is damaged under both names, and both are repaired, with one download.
	rot(there)
	s.answer(file(body, day1))
	n := s.gets.Load()
	if wrong := repair(); wrong != 2 {
		t.Errorf("%d names were wrong", wrong)
	}
	if s.gets.Load() == n {
		t.Error("nothing was fetched")
	}
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)
	s.oneFile(here, there)
	if wrong := repair(); wrong != 0 {
		t.Errorf("%d are wrong still", wrong)
	}
}

// TestTwinsAtOnce: files of one digest that are downloaded under many names at the
// same time, by two programs, become one.
func TestTwinsAtOnce(t *testing.T) {
	body := rpm(200_000, 49)
	gate := make(chan struct{})
	var arrived sync.WaitGroup
	const names = 8
	arrived.Add(names)
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		arrived.Done()
		<-gate
		file(body, day1)(w, r)
	})
	l := listed{}
	var keys []cache.Key
	for i := range names {
		k := cache.Key{Repo: "r", Path: fmt.Sprintf("%d/a.rpm", i)}
		keys = append(keys, k)
		l[k] = want(body)
	}
	programs := []*cache.Cache{s.openListed(l, nil), s.openListed(l, nil)}
	var clients sync.WaitGroup
	for i, k := range keys {
		clients.Go(func() {
			if got, _, err := get(programs[i%2], k); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%s: %d bytes, %v", k, len(got), err)
			}
		})
	}
	arrived.Wait()
	close(gate)
	clients.Wait()
	for _, c := range programs {
		c.Settled()
	}
	s.oneFile(keys...)
	s.noPartials()
}

// TestFollowWhoShares: a program that follows the download of the other gets the file
// which that one, at its end, stores as a link to another.
func TestFollowWhoShares(t *testing.T) {
	body := rpm(300_000, 52)
	begun, gate := make(chan struct{}), make(chan struct{})
	s := newSite(t, file(body, day1))
	l := knows{listed{here: want(body), there: want(body)}}
	one, two := s.openListed(l, nil), s.openListed(l, nil)
	s.mustGet(one, here, body)
	s.answer(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:100_000])
		http.NewResponseController(w).Flush()
		close(begun)
		<-gate
		w.Write(body[100_000:])
	})
	var clients sync.WaitGroup
	read := func(c *cache.Cache, started func()) {
		o, err := c.Get(waiting(t), there)
		if err != nil {
			t.Error(err)
			return
		}
		defer o.Close()
		var got bytes.Buffer
		_, err = o.SendTo(waiting(t), &got, 0, 50_000)
		started()
		if err == nil {
			_, err = o.SendTo(waiting(t), &got, 50_000, -1)
		}
		if err != nil || !bytes.Equal(got.Bytes(), body) {
			t.Errorf("%d bytes, %v", got.Len(), err)
		}
	}
	clients.Go(func() { read(one, func() {}) })
	<-begun
	clients.Go(func() { read(two, func() { close(gate) }) })
	clients.Wait()
	one.Settled()
	two.Settled()
	s.oneFile(here, there)
	s.noPartials()
}

// TestKilledWhileSharing: whatever a crash leaves of the steps, the next request ends
// with one file.
func TestKilledWhileSharing(t *testing.T) {
	body := rpm(50_000, 50)
	s := newSite(t, file(body, day1))
	c := s.openListed(listed{here: want(body), there: want(body)}, nil)
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)
	// What is known of the name is written, the link is made, and not renamed yet.
	link := c.LinkOf(there)
	if err := os.Rename(filepath.Join(s.dir, there.String()), link); err != nil {
		t.Fatal(err)
	}
	if got, _, err := get(s.openListed(listed{}, nil), there); err != nil || !bytes.Equal(got, body) {
		t.Errorf("nobody knows of twins: %d bytes, %v", len(got), err)
	}
	if err := os.Remove(filepath.Join(s.dir, there.String())); err != nil {
		t.Fatal(err)
	}
	s.answer(http.NotFound)
	s.mustGet(c, there, body)
	s.oneFile(here, there)
	s.noPartials()
	// The rename was done, and nobody was told: it is done again.
	if out, err := c.Bring(waiting(t), there, want(body), s.mirrors()); err != nil || !out.Stored {
		t.Errorf("%+v, %v", out, err)
	}
	s.oneFile(here, there)
}

// TestWithdrawnBesideItsTwin: the deletion of one name leaves the other, and does not
// wait until nobody reads that.
func TestWithdrawnBesideItsTwin(t *testing.T) {
	body := rpm(100_000, 51)
	s := newSite(t, file(body, day1))
	l := listed{here: want(body), there: want(body)}
	c := s.openListed(l, nil)
	s.mustGet(c, here, body)
	s.mustGet(c, there, body)
	o, err := c.Get(waiting(t), here)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	delete(l, there)
	if ok, err := c.Withdraw(there, "a test", true); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s.mustGet(c, here, body)
	if ok, err := c.Delete(there); !ok || err != nil {
		t.Errorf("deleted: %v, %v", ok, err)
	}
	s.oneFile(here)
	var got bytes.Buffer
	if _, err := o.SendTo(waiting(t), &got, 0, -1); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("who reads the other: %d bytes, %v", got.Len(), err)
	}
}
