package upstream

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// clock is a time that a test moves.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).UnixNano())
	return c
}

func (c *clock) now() time.Time       { return time.Unix(0, c.ns.Load()) }
func (c *clock) pass(d time.Duration) { c.ns.Add(int64(d)) }

// patient is a client that waits longer than a busy machine needs, wherever o does not say
// how long, and is closed when the test ends.
func patient(t testing.TB, o Options) *Client {
	for _, d := range []*time.Duration{&o.Connect, &o.Header, &o.Idle, &o.Sibling} {
		if *d == 0 {
			*d = time.Minute
		}
	}
	c := New(o)
	t.Cleanup(c.Close)
	return c
}

// TestHealth: how long a mirror rests, and who is asked meanwhile.
func TestHealth(t *testing.T) {
	c := newClock()
	m := patient(t, Options{Now: c.now}).Mirrors("r", []string{"http://a/", "http://b", "http://c"})
	a, b := m.list[0], m.list[1]
	check := func(when, asked, everyone string) {
		t.Helper()
		name := func(list []*mirror) (s string) {
			for _, x := range list {
				s += strings.TrimPrefix(x.base, "http://")
			}
			return s
		}
		if got := name(m.candidates(m.list)); got != asked {
			t.Errorf("%s: asked %q, want %q", when, got, asked)
		}
		if got := name(m.everyone(m.list)); got != everyone {
			t.Errorf("%s: the agent asks %q, want %q", when, got, everyone)
		}
	}
	check("at first", "abc", "abc")
	a.failed(c.now(), 10*time.Millisecond)
	check("after a cheap failure", "bca", "bca")
	c.pass(minRest)
	check("a second later", "abc", "abc")
	c.pass(10 * time.Millisecond)
	for range 20 {
		a.failed(c.now(), 10*time.Millisecond) // the first after its rest, the others with it
	}
	c.pass(2*minRest - 1)
	check("after a second failure that twenty requests met", "bca", "bca")
	c.pass(1)
	check("after twice a failure's rest", "abc", "abc")
	for range 20 {
		c.pass(maxCheapRest + 10*time.Millisecond)
		a.failed(c.now(), 10*time.Millisecond)
	}
	c.pass(maxCheapRest - 1)
	check("after many cheap failures", "bca", "bca")
	c.pass(1)
	check("after the longest rest of those", "abc", "abc")
	a.worked()
	a.failed(c.now(), 2*time.Second)
	check("after a failure that took long", "bc", "bca")
	c.pass(restFactor*2*time.Second - 1)
	check("just before the end of its rest", "bc", "bca")
	c.pass(1)
	check("at the end of its rest, when a client's request is not the one to find out", "bca", "bca")
	a.worked()
	check("when it has answered a probe", "abc", "abc")
	a.failed(c.now(), 2*time.Second)
	for range 20 {
		a.failed(c.now(), 3*time.Second)
	}
	c.pass(restFactor*3*time.Second - 1)
	check("after a failure that many requests met, the last of them for long", "bc", "bca")
	c.pass(1)
	check("after its rest", "bca", "bca")
	for range 20 {
		c.pass(maxRest + time.Minute)
		a.failed(c.now(), time.Minute)
	}
	c.pass(maxRest - 1)
	check("after many failures that took long", "bc", "bca")
	c.pass(1)
	check("after the longest rest", "bca", "bca")
	a.failed(c.now(), time.Minute)
	a.worked()
	check("when it has answered all the same", "abc", "abc")
	for _, x := range m.list {
		x.failed(c.now(), time.Minute)
	}
	check("when all rest", "", "abc")
	c.pass(-time.Hour)
	b.worked()
	check("with the clock set back", "b", "bac")
}

// answers is a mirror that answers as its test says, and keeps what it was asked.
type answers struct {
	*httptest.Server
	handler atomic.Pointer[http.HandlerFunc]
	asked   chan *http.Request
}

func newAnswers(t *testing.T, h http.HandlerFunc) *answers {
	a := &answers{asked: make(chan *http.Request, 1000)}
	a.handler.Store(&h)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.asked <- r
		(*a.handler.Load())(w, r)
	}))
	t.Cleanup(a.Close)
	return a
}

func (a *answers) set(h http.HandlerFunc) { a.handler.Store(&h) }

// count is how many requests have come since the last call.
func (a *answers) count() (n int) {
	for {
		select {
		case <-a.asked:
			n++
		default:
			return n
		}
	}
}

func text(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC), strings.NewReader(s))
	}
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// store is a cache over m of which nothing is promised, and nothing stays fresh.
func store(t *testing.T, m *Mirrors, now func() time.Time) *cache.Cache {
	t.Helper()
	return opened(t, m, cache.Options{Now: now, Policy: func(cache.Key) cache.Policy { return cache.Policy{} }})
}

// dayFresh is a cache over m of which a catalog promises files, and which stay fresh for a day.
func dayFresh(t *testing.T, m *Mirrors, catalog cache.Catalog, now func() time.Time) *cache.Cache {
	t.Helper()
	return opened(t, m, cache.Options{
		Catalog: catalog, Now: now, Policy: func(cache.Key) cache.Policy { return cache.Policy{MaxAge: 24 * time.Hour} },
	})
}

func opened(t *testing.T, m *Mirrors, o cache.Options) *cache.Cache {
	t.Helper()
	o.Dir, o.Source = t.TempDir(), func(string) cache.Source { return m }
	c, err := cache.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func fetch(t *testing.T, c *cache.Cache, name string) (string, error) {
	t.Helper()
	o, err := c.Get(t.Context(), cache.Key{Repo: "r", Path: name})
	if err != nil {
		return "", err
	}
	defer o.Close()
	var s strings.Builder
	_, err = o.SendTo(t.Context(), &s, 0, -1)
	return s.String(), err
}

// TestDownMirrorIsNotAskedAgain: what is known to be down is not tried for each
// request, and is asked again when its rest is over.
func TestDownMirrorIsNotAskedAgain(t *testing.T) {
	ck := newClock()
	a, b := newAnswers(t, status(500)), newAnswers(t, text("b"))
	client := patient(t, Options{Now: ck.now})
	m := client.Mirrors("r", []string{a.URL, b.URL})
	c := store(t, m, ck.now)
	get := func(name, want string, ofA, ofB int) {
		t.Helper()
		got, err := fetch(t, c, name)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
		if na, nb := a.count(), b.count(); na != ofA || nb != ofB {
			t.Errorf("%s: the mirrors were asked %d and %d times, want %d and %d", name, na, nb, ofA, ofB)
		}
	}
	get("1", "b", 1, 1)
	get("2", "b", 0, 1)
	ck.pass(maxRest)
	get("3", "b", 1, 1)
	a.set(text("a"))
	get("4", "b", 0, 1)
	ck.pass(maxRest)
	get("5", "a", 1, 0)
	get("6", "a", 1, 0)
}

// TestGoesOnByTime: a mirror that gives no tag is asked by its file's time for the rest of
// what broke off.
func TestGoesOnByTime(t *testing.T) {
	whole := strings.Repeat("0123456789", 100_000)
	a := newAnswers(t, func(w http.ResponseWriter, r *http.Request) {
		at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
		if r.Header.Get("Range") != "" {
			http.ServeContent(w, r, "", at, strings.NewReader(whole))
			return
		}
		w.Header().Set("Last-Modified", at.Format(http.TimeFormat))
		w.Header().Set("Content-Length", fmt.Sprint(len(whole)))
		_, _ = io.WriteString(w, whole[:len(whole)/2]) // cut off below
		panic(http.ErrAbortHandler)
	})
	c := store(t, patient(t, Options{}).Mirrors("r", []string{a.URL}), time.Now)
	if got, err := fetch(t, c, "1"); err != nil || got != whole {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	<-a.asked
	if len(a.asked) == 0 {
		t.Fatal("the rest was not asked for")
	}
	r := <-a.asked
	if got := r.Header.Get("If-Range"); got != "Sat, 21 Nov 2026 00:00:00 GMT" || r.Header.Get("Range") == "" {
		t.Errorf("asked for the rest with %q, If-Range: %q", r.Header.Get("Range"), got)
	}
}

// TestWrongContentIsNoOutage: one file that is wrong does not put its mirror, if
// it is the only one, out of reach for the others.
func TestWrongContentIsNoOutage(t *testing.T) {
	ck := newClock()
	a := newAnswers(t, text("<html>"))
	client := patient(t, Options{Now: ck.now})
	c := store(t, client.Mirrors("r", []string{a.URL}), ck.now)
	if _, err := fetch(t, c, "1"); !errors.Is(err, cache.ErrWrongContent) {
		t.Errorf("err = %v", err)
	}
	a.set(text("right"))
	if got, err := fetch(t, c, "2"); err != nil || got != "right" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestWrongContentRests: a mirror that has sent a page in place of a file is asked
// behind the others for a while; the request that met it gets the next one's file.
func TestWrongContentRests(t *testing.T) {
	ck := newClock()
	a, b := newAnswers(t, text("<html>")), newAnswers(t, text("right"))
	client := patient(t, Options{Now: ck.now})
	c := store(t, client.Mirrors("r", []string{a.URL, b.URL}), ck.now)
	for _, tt := range []struct {
		name, file string
		later      time.Duration
		asked      bool // the first mirror
	}{
		{"the first time", "1", 0, true}, {"while it rests", "2", 0, false}, {"when it has rested", "3", maxCheapRest, true}, {"again", "4", minRest, false},
	} {
		ck.pass(tt.later)
		if got, err := fetch(t, c, tt.file); err != nil || got != "right" {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		}
		if n := a.count(); n > 0 != tt.asked {
			t.Errorf("%s: it was asked %d times", tt.name, n)
		}
	}
}

// TestUnreachable: what is said when nobody can be asked, and whether that was
// for silence.
func TestUnreachable(t *testing.T) {
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	for _, tt := range []struct {
		name  string
		first http.HandlerFunc
		late  bool
	}{
		{"silent", hang, true},
		{"refuses", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, false},
		{"fails", status(503), false},
		{"forbids", status(403), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newAnswers(t, tt.first)
			patience := time.Minute
			if tt.late {
				patience = 50 * time.Millisecond
			}
			client := patient(t, Options{Header: patience})
			m := client.Mirrors("r", []string{a.URL})
			c := store(t, m, nil)
			for name, f := range map[string]func() error{
				"get": func() error { _, err := fetch(t, c, "x"); return err },
				"prefetch": func() error {
					_, err := c.Prefetch(t.Context(), cache.Key{Repo: "r", Path: "y"}, cache.Want{Digest: cache.SHA256(make([]byte, 32)), Size: 5}, m.Grab())
					return err
				},
			} {
				m.list[0].worked()
				var u *cache.UnreachableError
				if err := f(); !errors.As(err, &u) || u.TimedOut != tt.late || errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: err = %v", name, err)
				}
			}
		})
	}
}

// TestRelay: what is only passed on goes to the first mirror that answers,
// whatever it answers.
func TestRelay(t *testing.T) {
	down := testrepo.Start(t, t.TempDir())
	down.Stop() // and keeps its port, where else somebody else may listen
	b := newAnswers(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, r.Method+" "+r.RequestURI+" "+r.Header.Get("X-Of-Client"))
		io.Copy(w, r.Body)
	})
	client := patient(t, Options{})
	request := func(method string, body io.Reader) *http.Request {
		r, err := http.NewRequest(method, "http://client.invalid/", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Of-Client", "kept")
		return r
	}
	m := client.Mirrors("r", []string{down.URL, b.URL + "/base"})
	resp, err := m.Relay(t.Context(), request("GET", nil), "a%2Bb?q=1")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusTeapot || string(body) != "GET /base/a%2Bb?q=1 kept" {
		t.Errorf("%d %q, %v", resp.StatusCode, body, err)
	}
	// A body can be sent once. Another client knows nothing of the one that is down.
	client = patient(t, Options{})
	m = client.Mirrors("r", []string{down.URL, b.URL})
	var u *cache.UnreachableError
	if _, err := m.Relay(t.Context(), request("POST", strings.NewReader("body")), "x"); !errors.As(err, &u) {
		t.Errorf("err = %v", err)
	}
	if n := b.count(); n != 1 {
		t.Errorf("the second mirror was asked %d times", n)
	}
}
