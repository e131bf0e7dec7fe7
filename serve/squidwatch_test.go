package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// fakeMirror is what the helper watches, without a network: each dial gets one end
// of a pipe. It is for one bubble of synctest.
type fakeMirror struct {
	mu     sync.Mutex
	away   bool   // no dial succeeds
	status int    // of /-/readyz
	claims string // of /-/claims; "" is for administrators only
	mute   bool   // nothing is answered
	last   bool   // each answer is its connection's last
	conns  []net.Conn
	asked  []string
}

func (f *fakeMirror) dial(context.Context, string, string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.away {
		return nil, errors.New("connection refused")
	}
	ours, theirs := net.Pipe()
	f.conns = append(f.conns, theirs)
	go f.serve(theirs)
	return ours, nil
}

func (f *fakeMirror) serve(c net.Conn) {
	defer c.Close()
	from := bufio.NewReader(c)
	for {
		req, err := http.ReadRequest(from)
		if err != nil {
			return
		}
		f.mu.Lock()
		f.asked = append(f.asked, req.URL.Path)
		w := httptest.NewRecorder()
		switch {
		case f.mute:
			f.mu.Unlock()
			continue
		case req.URL.Path == "/-/readyz":
			w.WriteHeader(f.status)
		case f.claims == "":
			w.WriteHeader(http.StatusForbidden)
		default:
			_, _ = w.WriteString(f.claims) // a recorder takes all
		}
		resp := w.Result()
		resp.ContentLength, resp.Close = int64(w.Body.Len()), f.last
		f.mu.Unlock()
		if resp.Write(c) != nil || resp.Close {
			return
		}
	}
}

// set changes the mirror, and then, in its time, what the helper knows.
func (f *fakeMirror) set(change func(*fakeMirror)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// die ends all connections, as a process does that is killed.
func (f *fakeMirror) die() {
	f.set(func(f *fakeMirror) {
		f.away = true
		for _, c := range f.conns {
			c.Close()
		}
		f.conns = nil
	})
}

func (f *fakeMirror) count(path string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, p := range f.asked {
		if p == path {
			n++
		}
	}
	return n
}

// watching runs test in a bubble with a helper's watch over a mirror that is there.
func watching(t *testing.T, f *fakeMirror, test func(t *testing.T, w *squidWatch, log *testrepo.Buffer)) {
	synctest.Test(t, func(t *testing.T) {
		log := &testrepo.Buffer{}
		w := newSquidWatch(&url.URL{Scheme: "http", Host: "m.test:3180"}, f.dial, slog.New(slog.NewTextHandler(log, nil)))
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			w.run(ctx)
		}()
		synctest.Wait()
		test(t, w, log)
		cancel()
		<-ended
		f.die()
		synctest.Wait()
	})
}

// TestSquidWatch holds that the end of imserve is noticed at once, without a clock,
// and its return within a moment; and that what it had learnt is kept meanwhile.
func TestSquidWatch(t *testing.T) {
	f := &fakeMirror{status: 200, claims: `{"repos":["r"],"learnt":{"m.test":[{"path":"/x","repo":"r","rest":"y"}]}}`}
	watching(t, f, func(t *testing.T, w *squidWatch, log *testrepo.Buffer) {
		m := w.now()
		if repo, rest, ok := m.learnt.Find("m.test", "/x/a"); !m.ready || !slices.Equal(m.repos, []string{"r"}) || !ok || repo != "r" || rest != "y/a" {
			t.Fatalf("%+v", m)
		}
		for i := range 3 {
			f.die()
			synctest.Wait()
			if m := w.now(); m.ready || m.learnt == nil {
				t.Fatalf("time %d: it has ended, and %+v", i, m)
			}
			time.Sleep(time.Minute)
			f.set(func(f *fakeMirror) { f.away = false })
			time.Sleep(retryEvery)
			synctest.Wait()
			if !w.now().ready {
				t.Fatalf("time %d: it is back, and not ready", i)
			}
		}
		if away, ready := strings.Count(log.String(), "imserve is away"), strings.Count(log.String(), "imserve is ready"); away != 3 || ready != 4 {
			t.Errorf("it was away 3 times and there 4 times:\n%s", log)
		}
	})
}

// TestSquidWatchAsks holds how often imserve is asked, and that it is believed when
// it says that it is not ready, or nothing.
func TestSquidWatchAsks(t *testing.T) {
	f := &fakeMirror{status: 200, claims: `{"repos":["r"]}`}
	watching(t, f, func(t *testing.T, w *squidWatch, _ *testrepo.Buffer) {
		time.Sleep(claimsEvery*readyEvery - time.Millisecond)
		synctest.Wait()
		if ready, claims := f.count("/-/readyz"), f.count(claimsPath); ready != claimsEvery || claims != 1 || len(f.conns) != 1 {
			t.Errorf("in the first minute it was asked %d times, and %d times for what it has learnt, over %d connections", ready, claims, len(f.conns))
		}
		f.set(func(f *fakeMirror) { f.claims = `{"repos":["r","s"]}` })
		time.Sleep(time.Second)
		synctest.Wait()
		if !w.now().has("s") {
			t.Error("what it has learnt is not asked for again")
		}
		f.set(func(f *fakeMirror) { f.status = 503 })
		time.Sleep(readyEvery)
		synctest.Wait()
		if w.now().ready {
			t.Error("it drains, and is taken for ready")
		}
		f.set(func(f *fakeMirror) { f.status = 200 })
		time.Sleep(time.Second)
		synctest.Wait()
		if !w.now().ready {
			t.Error("it is ready again")
		}
		f.set(func(f *fakeMirror) { f.mute = true })
		time.Sleep(readyEvery + readyWithin)
		synctest.Wait()
		if w.now().ready {
			t.Error("it stands still, and is taken for ready")
		}
	})
}

// TestSquidWatchOdd holds what becomes of a mirror that does not answer as ours does.
func TestSquidWatchOdd(t *testing.T) {
	for _, tt := range []struct {
		name   string
		mirror *fakeMirror
		ready  bool
		log    string
	}{
		{"it is away", &fakeMirror{away: true}, false, "connection refused"},
		{"it is no imserve", &fakeMirror{status: 404}, false, "it is not ready: 404"},
		{"it tells administrators only", &fakeMirror{status: 200}, true, "let this host be one of its serve.admins"},
		{"it tells nonsense", &fakeMirror{status: 200, claims: "<html>"}, false, "read /-/claims: invalid character"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			watching(t, tt.mirror, func(t *testing.T, w *squidWatch, log *testrepo.Buffer) {
				w.await(t.Context(), time.Hour)
				time.Sleep(time.Minute)
				if m := w.now(); m.ready != tt.ready || !m.has("any") {
					t.Errorf("%+v", m)
				}
				if n := strings.Count(log.String(), tt.log); n != 1 {
					t.Errorf("%q was logged %d times:\n%s", tt.log, n, log)
				}
			})
		})
	}
	t.Run("each answer is the last", func(t *testing.T) {
		f := &fakeMirror{status: 200, last: true}
		watching(t, f, func(t *testing.T, _ *squidWatch, _ *testrepo.Buffer) {
			time.Sleep(time.Minute)
			if n := f.count("/-/readyz"); n > int(time.Minute/retryEvery)+1 {
				t.Errorf("it was asked %d times in a minute", n)
			}
		})
	})
}

// TestSquidFirstWord holds that the first question waits for what is known of
// imserve, and not for long.
func TestSquidFirstWord(t *testing.T) {
	const question, known = "http://x.test/pub/r/a.rpm\n", "OK rewrite-url=\"http://127.0.0.1:3180/r/a.rpm\"\n"
	for _, tt := range []struct {
		name   string
		mirror *fakeMirror
		want   string
		within time.Duration
	}{
		{"it is ready", &fakeMirror{status: 200}, known, 0},
		{"it is away", &fakeMirror{away: true}, "ERR\n", 0},
		{"it says nothing", &fakeMirror{mute: true}, "ERR\n", firstWord},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := NewSquidHelper(SquidHelperOptions{
					Config: parsedConfig(t, squidConfig), Mirror: &url.URL{Scheme: "http", Host: "127.0.0.1:3180"}, Dial: tt.mirror.dial,
				})
				var out strings.Builder
				began := time.Now()
				if err := h.Run(t.Context(), strings.NewReader(question), &out); err != nil || out.String() != tt.want {
					t.Errorf("%q, %v; want %q", &out, err, tt.want)
				}
				if d := time.Since(began); d != tt.within {
					t.Errorf("it took %v, want %v", d, tt.within)
				}
				tt.mirror.die()
			})
		})
	}
}

// TestClaimsPage holds what imserve tells its helpers, and whom else.
func TestClaimsPage(t *testing.T) {
	m := newMirror(t, setup{learnt: upstream.Claims{"m.test": {{Path: "/x", Repo: "r", Rest: "y"}}}})
	want := fmt.Sprintf(`{"repos":[%s],"learnt":{"m.test":[{"path":"/x","repo":"r","rest":"y"}]}}`, func() string {
		var names []string
		for _, r := range m.server.o.Config.Repos {
			names = append(names, `"`+r.Name+`"`)
		}
		return strings.Join(names, ",")
	}())
	if r := m.get(claimsPath); r.StatusCode != 200 || string(r.body) != want+"\n" {
		t.Errorf("%s %s, want %s", r.Status, r.body, want)
	}
	if r := m.get(claimsPath, "X-Forwarded-For", "10.1.2.3"); r.StatusCode != 403 || strings.Contains(string(r.body), "m.test") {
		t.Errorf("for a client of a proxy: %s %s", r.Status, r.body)
	}
	// The helper reads what the server says.
	w := newSquidWatch(&url.URL{Scheme: "http", Host: m.addr}, new(net.Dialer).DialContext, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.run(ctx)
	}()
	for !w.now().ready { // a machine with much to do may take more than one try
		time.Sleep(time.Millisecond)
	}
	if s := w.now(); !s.has("r") || s.has("x") || len(s.learnt) != 1 {
		t.Errorf("%+v", s)
	}
	cancel()
	<-ended
}
