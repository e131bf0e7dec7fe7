package upstream

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// TestHealthOfHost: a server that fails for one repository rests for all, by
// whichever of its names' spellings.
func TestHealthOfHost(t *testing.T) {
	ck := newClock()
	c := patient(t, Options{Now: ck.now})
	a := c.Mirrors("a", []string{"https://h.test/a", "https://other.test/a"})
	b := c.Mirrors("b", []string{"http://H.test:80/b", "http://h.test:8080/b"})
	a.list[0].failed(ck.now(), time.Minute)
	for name, tt := range map[string]struct {
		x    *mirror
		want health
	}{
		"itself": {a.list[0], resting}, "another server": {a.list[1], well},
		"by http": {b.list[0], resting}, "on another port": {b.list[1], well},
	} {
		if got := tt.x.health(ck.now()); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}

// TestProbe: whether a mirror that took long to fail is back is found out by a
// probe, and no client's request is sent there before.
func TestProbe(t *testing.T) {
	ck := newClock()
	up := status(http.StatusServiceUnavailable)
	a, b := newAnswers(t, up), newAnswers(t, text("b"))
	client := patient(t, Options{Now: ck.now})
	m := client.Mirrors("r", []string{a.URL, b.URL})
	c := store(t, m, ck.now)
	// get lets a client ask, waits for the probe, and says what the first mirror
	// was asked.
	get := func(name, want string) (asked []string) {
		t.Helper()
		if got, err := fetch(t, c, name); err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", name, got, err, want)
		}
		client.under.Wait()
		for range len(a.asked) {
			asked = append(asked, (<-a.asked).Method)
		}
		return asked
	}
	check := func(name, want, asked string) {
		t.Helper()
		if got := fmt.Sprint(get(name, want)); got != asked {
			t.Errorf("%s: the mirror was asked %s, want %s", name, got, asked)
		}
	}
	m.list[0].failed(ck.now(), time.Second)
	check("1", "b", "[]")
	ck.pass(maxRest)
	check("2", "b", "[HEAD]")
	check("3", "b", "[]") // it rests again
	a.set(text("a"))
	ck.pass(maxRest)
	check("4", "b", "[HEAD]")
	check("5", "a", "[GET]")

	// Who has no other to ask asks it itself.
	a.set(text("a"))
	m.list[0].failed(ck.now(), time.Second)
	m.list[1].failed(ck.now(), time.Hour)
	ck.pass(100 * time.Second)
	check("6", "a", "[GET]")
}

// TestSpread: the agent has a few files from one server at a time, and others
// from the next mirror meanwhile.
func TestSpread(t *testing.T) {
	const files = 2*perHost + 3
	body := strings.Repeat("x", 10_000)
	ups := []*testrepo.Server{testrepo.Start(t, t.TempDir()), testrepo.Start(t, t.TempDir())}
	for _, up := range ups {
		for i := range files {
			if err := up.Put(fmt.Sprintf("/%d", i), []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
		up.On("*", testrepo.Hang())
	}
	client := patient(t, Options{Header: 5 * time.Minute, Idle: 5 * time.Minute})
	m := client.Mirrors("r", []string{ups[0].URL, ups[1].URL})
	c := store(t, m, nil)
	w := promise(body).want
	var all sync.WaitGroup
	for i := range files {
		all.Go(func() {
			if _, err := c.Prefetch(t.Context(), cache.Key{Repo: "r", Path: fmt.Sprint(i)}, w, m.Grab()); err != nil {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), thePatience)
	defer cancel()
	for _, up := range ups {
		if err := up.AwaitStalled(ctx, perHost); err != nil {
			t.Error(err)
		}
	}
	for _, up := range ups {
		if n := up.Count("", "*"); n != perHost {
			t.Errorf("a mirror was asked for %d files at a time, want %d", n, perHost)
		}
		up.Heal()
	}
	all.Wait()
	if n := ups[0].Count("", "*") + ups[1].Count("", "*"); n != files {
		t.Errorf("%d requests for %d files", n, files)
	}
	for _, x := range m.list {
		if len(x.slots) != 0 {
			t.Errorf("%s: %d downloads are counted that are over", x.base, len(x.slots))
		}
	}
}

// TestProxy: a repository with a proxy is reached by it, files, lists and what
// is relayed; another is not.
func TestProxy(t *testing.T) {
	var mu sync.Mutex
	var through []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		through = append(through, r.URL.String())
		mu.Unlock()
		text("by proxy")(w, r)
	}))
	defer proxy.Close()
	direct := newAnswers(t, text("direct"))
	by, err := url.Parse(proxy.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := patient(t, Options{})
	m := client.Repo(Repo{Name: "r", Upstreams: []string{"http://m.invalid"}, Proxy: by, Mirrorlist: func(string) (string, string, bool) {
		return "", "http://lists.invalid/l", true
	}})
	if got, err := fetch(t, store(t, m, nil), "f"); err != nil || got != "by proxy" {
		t.Errorf("%q, %v", got, err)
	}
	client.under.Wait()
	resp, err := m.Relay(t.Context(), &http.Request{Method: http.MethodGet, Header: http.Header{}}, "g")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	mu.Lock()
	for _, want := range []string{"http://m.invalid/f", "http://lists.invalid/l", "http://m.invalid/g"} {
		if !strings.Contains(strings.Join(through, " "), want) {
			t.Errorf("%s did not go by the proxy: %q", want, through)
		}
	}
	n := len(through)
	mu.Unlock()
	if got, err := fetch(t, store(t, client.Mirrors("s", []string{direct.URL}), nil), "f"); err != nil || got != "direct" {
		t.Errorf("%q, %v", got, err)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(through) != n {
		t.Errorf("another repository's file went by the proxy: %q", through[n:])
	}
}

// TestCrowded: clients' downloads from one server are bounded, and the next mirror
// has the others.
func TestCrowded(t *testing.T) {
	ups := []*testrepo.Server{testrepo.Start(t, t.TempDir()), testrepo.Start(t, t.TempDir())}
	for _, up := range ups {
		for i := range perHostForClients + 2 {
			if err := up.Put(fmt.Sprintf("/%d", i), []byte("body")); err != nil {
				t.Fatal(err)
			}
		}
	}
	ups[0].On("*", testrepo.Hang())
	client := patient(t, Options{Connect: 3 * time.Second, Header: 5 * time.Minute, Idle: 5 * time.Minute})
	m := client.Mirrors("r", []string{ups[0].URL, ups[1].URL})
	c := store(t, m, nil)
	get := func(i int) {
		if _, err := c.Prefetch(t.Context(), cache.Key{Repo: "r", Path: fmt.Sprint(i)}, cache.Want{}, m); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	var all sync.WaitGroup
	for i := range perHostForClients {
		all.Go(func() { get(i) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), thePatience)
	defer cancel()
	if err := ups[0].AwaitStalled(ctx, perHostForClients); err != nil {
		t.Fatal(err)
	}
	get(perHostForClients)
	if n := ups[1].Count("", "*"); n != 1 {
		t.Errorf("the next mirror was asked for %d files, want 1", n)
	}
	ups[0].Heal()
	all.Wait()
	get(perHostForClients + 1) // the first has room again
	if n := ups[0].Count("", "*"); n != perHostForClients+1 {
		t.Errorf("the first mirror was asked for %d files, want %d", n, perHostForClients+1)
	}
}
