package upstream

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// listed is a repository "r" with one upstream, one mirror, and a server of
// lists that names it.
type listed struct {
	*testing.T
	clock             *clock
	up, mirror, lists *testrepo.Server
	dir               string // of the saved lists
	repo              Repo
	client            *Client
	m                 *Mirrors
	cache             *cache.Cache
}

const (
	theRoot     = "updates/41"
	thePath     = theRoot + "/repodata/repomd.xml"
	theList     = "/list/" + theRoot
	thePatience = 2 * time.Minute
)

func newListed(t *testing.T) *listed {
	l := &listed{T: t, clock: newClock(), dir: filepath.Join(t.TempDir(), "lists")}
	l.up, l.mirror, l.lists = testrepo.Start(t, t.TempDir()), testrepo.Start(t, t.TempDir()), testrepo.Start(t, t.TempDir())
	find := func(path string) (root, address string, ok bool) {
		if path == theRoot || !strings.HasPrefix(path, theRoot+"/") {
			return "", "", false
		}
		return theRoot, l.lists.URL + theList, true
	}
	l.repo = Repo{Name: "r", Upstreams: []string{l.up.URL}, Metalink: find, Paths: []string{"/pub/r"}}
	return l
}

// open starts anew, with what is on the disk of lists.
func (l *listed) open() {
	l.Helper()
	l.client = patient(l, Options{UserAgent: "agent/1", Lists: l.dir, Now: l.clock.now})
	l.m = l.client.Repo(l.repo)
	l.cache = store(l.T, l.m, l.clock.now)
}

// publish makes a file one of the upstream's and of the mirror's.
func (l *listed) publish(path, text string) {
	l.Helper()
	for _, s := range []*testrepo.Server{l.up, l.mirror} {
		l.put(s, path, text)
	}
}

func (l *listed) put(s *testrepo.Server, path, text string) {
	l.Helper()
	if err := s.Put("/"+path, []byte(text)); err != nil {
		l.Fatal(err)
	}
}

// list makes the metalink one that names these as the current and alternate
// repomd.xml, and the mirror.
func (l *listed) list(current string, alternates ...string) {
	l.Helper()
	m := testrepo.Metalink{Current: []byte(current), Mirrors: []string{l.mirror.URL + "/" + theRoot}, Time: l.clock.now()}
	for _, a := range alternates {
		m.Alternates = append(m.Alternates, []byte(a))
	}
	l.put(l.lists, theList[1:], string(m.Bytes()))
}

// settled waits until nothing goes on in the background.
func (l *listed) settled() {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), thePatience)
	defer cancel()
	wait(ctx, l.m.lists.byRoot[theRoot].fetching(), thePatience)
	if ctx.Err() != nil {
		l.Fatal("a list is fetched for ever")
	}
}

// fetching is closed when no fetch is under way; nil says so at once.
func (l *list) fetching() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.under
}

// get asks for a file and checks its bytes, and how often each server was asked
// since the last call: the upstream, the mirror, the server of lists.
func (l *listed) get(path, want string, asked ...int) {
	l.Helper()
	got, err := fetch(l.T, l.cache, path)
	l.settled()
	if err != nil || got != want {
		l.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
	l.asked(path, asked...)
}

// getBefore is get for a file that comes before the list which it has fetched.
func (l *listed) getBefore(path, want string, asked ...int) {
	l.Helper()
	l.lists.On("*", testrepo.Hang().Times(1))
	if got, err := fetch(l.T, l.cache, path); err != nil || got != want {
		l.Errorf("%s: %q, %v; want %q", path, got, err, want)
	}
	ctx, cancel := context.WithTimeout(l.Context(), thePatience)
	defer cancel()
	if err := l.lists.AwaitStalled(ctx, 1); err != nil {
		l.Fatal(err)
	}
	l.lists.Heal()
	l.settled()
	l.asked(path, asked...)
}

func (l *listed) asked(path string, asked ...int) {
	l.Helper()
	var counts []int
	for _, s := range []*testrepo.Server{l.up, l.mirror, l.lists} {
		counts = append(counts, s.Count("", "*"))
		s.Forget()
	}
	if !slices.Equal(counts, asked) {
		l.Errorf("%s: upstream, mirror and lists were asked %v times, want %v", path, counts, asked)
	}
}

const (
	oneXML   = "<repomd>one</repomd>"
	twoXML   = "<repomd>two</repomd>"
	threeXML = "<repomd>three</repomd>"
)

// TestListLater: no list is fetched before a file of its root is asked for, and
// no request waits for one while a configured upstream answers.
func TestListLater(t *testing.T) {
	l := newListed(t)
	l.publish(theRoot+"/a.rpm", "a")
	l.publish("elsewhere/b.rpm", "b")
	l.list(oneXML)
	l.lists.On("*", testrepo.Hang().Times(1))
	l.open()
	if got, err := fetch(t, l.cache, "elsewhere/b.rpm"); err != nil || got != "b" {
		t.Errorf("%q, %v", got, err)
	}
	l.asked("a file of no root", 1, 0, 0)
	if got, err := fetch(t, l.cache, theRoot+"/a.rpm"); err != nil || got != "a" {
		t.Errorf("while the list hangs: %q, %v", got, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), thePatience)
	defer cancel()
	if err := l.lists.AwaitStalled(ctx, 1); err != nil {
		t.Fatal(err)
	}
	l.lists.Release()
	l.settled()
	l.asked("a file of the root", 1, 0, 1)
	if repo, rest, ok := l.client.Claims().Find(l.mirror.Addr, "/"+theRoot+"/x"); !ok || repo != "r" || rest != theRoot+"/x" {
		t.Errorf("claimed: %s, %s, %v", repo, rest, ok)
	}
}

// TestListWaitedFor: where no configured upstream answers, the first request
// waits for the list, and is answered by its mirror.
func TestListWaitedFor(t *testing.T) {
	l := newListed(t)
	l.publish(theRoot+"/a.rpm", "a")
	l.list(oneXML)
	l.up.Stop()
	l.open()
	l.get(theRoot+"/a.rpm", "a", 0, 1, 1)

	// The next start is without the server of lists; what it said is on the disk.
	l.lists.Stop()
	l.client.Close()
	l.publish(theRoot+"/b.rpm", "b")
	l.open()
	l.get(theRoot+"/b.rpm", "b", 0, 1, 0)
	// With another list configured it is not this root's any more.
	find := l.repo.Metalink
	l.repo.Metalink = func(path string) (string, string, bool) {
		root, address, ok := find(path)
		return root, address + "?v=2", ok
	}
	l.client.Close()
	l.open()
	var u *cache.UnreachableError
	if _, err := fetch(t, l.cache, theRoot+"/c.rpm"); !errors.As(err, &u) {
		t.Errorf("a list of another address is used: %v", err)
	}
}

// TestListAge: a list is looked at again by its age, with a condition, its
// changes count, and it is used while its server is out of reach, which is left
// alone for a while.
func TestListAge(t *testing.T) {
	l := newListed(t)
	l.list(oneXML)
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		l.publish(theRoot+"/"+name+".rpm", name)
	}
	l.up.Stop()
	l.open()
	l.get(theRoot+"/a.rpm", "a", 0, 1, 1)
	l.clock.pass(listMaxAge - 1)
	l.get(theRoot+"/b.rpm", "b", 0, 1, 0)
	l.clock.pass(1)
	l.get(theRoot+"/c.rpm", "c", 0, 1, 1)
	l.clock.pass(listMaxAge)
	before := l.lists.Count("", "*")
	if got, err := fetch(t, l.cache, theRoot+"/c.rpm"); err != nil || got != "c" {
		t.Errorf("%q, %v", got, err)
	}
	l.settled()
	if lines := l.lists.Lines("", "*"); len(lines) != before+1 || !strings.HasSuffix(lines[before], " if 304") {
		t.Errorf("the list was asked for by %q", lines)
	}
	for _, s := range []*testrepo.Server{l.up, l.mirror, l.lists} {
		s.Forget()
	}

	l.lists.Stop()
	l.clock.pass(listMaxAge)
	l.get(theRoot+"/d.rpm", "d", 0, 1, 0)
	if err := l.lists.Restart(); err != nil {
		t.Fatal(err)
	}
	l.clock.pass(listRetry - 1)
	l.get(theRoot+"/e.rpm", "e", 0, 1, 0)

	// The list names another mirror by now.
	old := l.mirror
	l.mirror = testrepo.Start(t, t.TempDir())
	l.list(oneXML)
	l.publish(theRoot+"/g.rpm", "g")
	l.clock.pass(1)
	l.getBefore(theRoot+"/f.rpm", "f", 0, 0, 1)
	if n := old.Count("", "*"); n == 0 {
		t.Error("the old list was not used while the new one came")
	}
	l.get(theRoot+"/g.rpm", "g", 0, 1, 0)
	if _, _, ok := l.client.Claims().Find(old.Addr, "/"+theRoot+"/x"); ok {
		t.Error("what no list names is still claimed")
	}
}

// TestListOverJumps: a list that was fetched by a clock which was ahead is asked for again
// once that is right, though it is not old, and is believed no longer than any other while
// its server is out of reach.
func TestListOverJumps(t *testing.T) {
	for name, jump := range map[string]time.Duration{
		"an hour back": listMaxAge, "a year back": 365 * 24 * time.Hour, "to 1970": 56 * 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			l := newListed(t)
			l.list(oneXML)
			for _, name := range []string{"a", "b", "c"} {
				l.publish(theRoot+"/"+name+".rpm", name)
			}
			l.open()
			if _, err := fetch(t, l.cache, theRoot+"/a.rpm"); err != nil {
				t.Fatal(err)
			}
			l.settled()
			of := l.m.lists.byRoot[theRoot]
			if of.digests() == nil {
				t.Fatal("the list that has just come is not believed")
			}
			l.lists.Stop()
			l.clock.pass(-jump)
			if _, err := fetch(t, l.cache, theRoot+"/b.rpm"); err != nil {
				t.Fatal(err)
			}
			l.settled()
			if believed := of.digests() != nil; believed != (jump < listTrust) {
				t.Errorf("the list of a clock that was %v ahead is believed: %v", jump, believed)
			}
			if err := l.lists.Restart(); err != nil {
				t.Fatal(err)
			}
			l.lists.Forget()
			l.clock.pass(listMaxAge)
			if _, err := fetch(t, l.cache, theRoot+"/c.rpm"); err != nil {
				t.Fatal(err)
			}
			l.settled()
			want := 1
			if jump == listMaxAge {
				want = 0 // it is fetched just now, as the right clock has it
			}
			if n := l.lists.Count("", "*"); n != want {
				t.Errorf("the list was asked for %d times by the right clock, want %d", n, want)
			}
			if of.digests() == nil {
				t.Error("the list of the right clock is not believed")
			}
		})
	}
}

// TestListsFirst: whose upstreams nobody chose is asked for them last.
func TestListsFirst(t *testing.T) {
	l := newListed(t)
	l.repo.ListsFirst = true
	l.list(oneXML)
	l.publish(theRoot+"/a.rpm", "a")
	l.publish(theRoot+"/b.rpm", "b")
	l.open()
	l.getBefore(theRoot+"/a.rpm", "a", 1, 0, 1)
	l.get(theRoot+"/b.rpm", "b", 0, 1, 0)
}

// TestListedTwice: an upstream that a list names too is asked once.
func TestListedTwice(t *testing.T) {
	l := newListed(t)
	m := testrepo.Metalink{Current: []byte(oneXML), Mirrors: []string{l.up.URL + "/" + theRoot, l.mirror.URL + "/" + theRoot}, Time: l.clock.now()}
	l.put(l.lists, theList[1:], string(m.Bytes()))
	l.publish(theRoot+"/a.rpm", "a")
	l.put(l.mirror, theRoot+"/b.rpm", "b")
	l.open()
	l.get(theRoot+"/a.rpm", "a", 1, 0, 1)
	l.get(theRoot+"/b.rpm", "b", 1, 1, 0)
}

// TestGoneFromLaggards: mirrors of a list that lag do not make a file gone that
// a configured upstream has, however many they are.
func TestGoneFromLaggards(t *testing.T) {
	l := newListed(t)
	l.repo.ListsFirst = true
	l.list(oneXML)
	m := testrepo.Metalink{Current: []byte(oneXML), Time: l.clock.now()}
	for range 4 {
		m.Mirrors = append(m.Mirrors, testrepo.Start(t, t.TempDir()).URL+"/"+theRoot)
	}
	l.put(l.lists, theList[1:], string(m.Bytes()))
	l.publish(theRoot+"/a.rpm", "a")
	l.put(l.up, theRoot+"/b.rpm", "b")
	l.open()
	l.get(theRoot+"/a.rpm", "a", 1, 0, 1)
	l.get(theRoot+"/b.rpm", "b", 1, 0, 0)
	if _, err := fetch(t, l.cache, theRoot+"/c.rpm"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what nobody has: %v", err)
	}
}

func TestOrder(t *testing.T) {
	got := order([]string{
		"rsync://a.test/x", "http://a.test/x/", "http://b.test:80/y", "ftp://c.test/", "https://c.test/z//", "https://a.test/other",
		"https://u:p@d.test/", "https://e.test/?x", "https:///", "::", "http://f.test",
	})
	want := []string{"https://c.test/z", "https://a.test/other", "http://b.test:80/y", "http://f.test"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestListsAreBounded: strangers' roots don't grow the memory without end, and
// what nobody can read on the disk is no list.
func TestListsAreBounded(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "odd.json"), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	gone := testrepo.Start(t, t.TempDir())
	c := patient(t, Options{Lists: dir})
	m := c.Repo(Repo{Name: "r", Upstreams: []string{gone.URL}, Metalink: func(path string) (string, string, bool) {
		root, _, _ := strings.Cut(path, "/")
		return root, gone.URL + "/" + root, true
	}})
	for i := range maxLists + 10 {
		l := m.lists.of(strings.Repeat("x", 1+i/26) + string(rune('a'+i%26)) + "/f")
		if l == nil {
			t.Fatalf("no room for root %d", i)
		}
		wait(t.Context(), l.fetching(), thePatience)
	}
	if n := len(m.lists.byRoot); n != maxLists {
		t.Errorf("%d lists, want %d", n, maxLists)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v: what could not be had is kept", names, err)
	}
}

// TestNoDowngrade: a list with https comes by https.
func TestNoDowngrade(t *testing.T) {
	for _, tt := range []struct {
		from, to string
		follows  bool
	}{{"https", "https", true}, {"http", "https", true}, {"http", "http", true}, {"https", "http", false}} {
		request := func(scheme string) *http.Request {
			r, err := http.NewRequest(http.MethodGet, scheme+"://h.test/", nil)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		if err := noDowngrade(request(tt.to), []*http.Request{request(tt.from)}); (err == nil) != tt.follows {
			t.Errorf("%s to %s: %v", tt.from, tt.to, err)
		}
	}
}
