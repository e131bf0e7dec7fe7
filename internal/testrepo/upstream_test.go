package testrepo

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
)

// content is n bytes in which every part can be told from every other.
func content(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i>>8) ^ byte(i*7)
	}
	return b
}

// start serves one file, /r/a.rpm, of n bytes.
func start(t *testing.T, n int) (*Server, []byte) {
	t.Helper()
	dir, body := t.TempDir(), content(n)
	if err := os.Mkdir(filepath.Join(dir, "r"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "r", "a.rpm"), body, 0o644); err != nil {
		t.Fatal(err)
	}
	return Start(t, dir), body
}

// answer is what a client got.
type answer struct {
	status int // 0: none
	header http.Header
	length int64 // Content-Length, -1: none
	body   []byte
	err    error // of the request, or of reading the body
}

// ask makes a request on a connection of its own. fields are names and values of
// the header.
func ask(ctx context.Context, method, url string, fields ...string) answer {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	tr := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, resp.ContentLength, body, err}
}

func TestHonestAnswers(t *testing.T) {
	up, body := start(t, 1000)
	first := ask(t.Context(), "GET", up.URL+"/r/a.rpm")
	etag, modified := first.header.Get("ETag"), first.header.Get("Last-Modified")
	if first.status != 200 || !bytes.Equal(first.body, body) || first.length != 1000 {
		t.Fatalf("got %+v", first)
	}
	if len(etag) < 10 || etag[0] != '"' || modified == "" || first.header.Get("Content-Type") != "application/x-rpm" {
		t.Errorf("header %v", first.header)
	}
	for _, tt := range []struct {
		name, method, path string
		fields             []string
		status             int
		body               []byte
		line               string
	}{
		{"HEAD", "HEAD", "/r/a.rpm", nil, 200, nil, "HEAD /r/a.rpm 200"},
		{"a range", "GET", "/r/a.rpm", []string{"Range", "bytes=900-"}, 206, body[900:], "GET /r/a.rpm bytes=900- 206"},
		{"If-Range of this file", "GET", "/r/a.rpm", []string{"Range", "bytes=5-9", "If-Range", etag}, 206, body[5:10], "GET /r/a.rpm bytes=5-9 206"},
		{"If-Range of another", "GET", "/r/a.rpm", []string{"Range", "bytes=5-9", "If-Range", `"x"`}, 200, body, "GET /r/a.rpm bytes=5-9 200"},
		{"a range behind the end", "GET", "/r/a.rpm", []string{"Range", "bytes=1000-"}, 416, nil, "GET /r/a.rpm bytes=1000- 416"},
		{"If-None-Match", "GET", "/r/a.rpm", []string{"If-None-Match", etag}, 304, nil, "GET /r/a.rpm if 304"},
		{"If-Modified-Since", "GET", "/r/a.rpm", []string{"If-Modified-Since", modified}, 304, nil, "GET /r/a.rpm if 304"},
		{"not there", "GET", "/r/b.rpm", nil, 404, nil, "GET /r/b.rpm 404"},
		{"a directory", "GET", "/r/", nil, 404, nil, "GET /r/ 404"},
		{"outside", "GET", "/../../../../etc/passwd", nil, 404, nil, "GET /../../../../etc/passwd 404"},
		{"another method", "PUT", "/r/a.rpm", nil, 405, nil, "PUT /r/a.rpm 405"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up.Forget()
			got := ask(t.Context(), tt.method, up.URL+tt.path, tt.fields...)
			if got.err != nil || got.status != tt.status || tt.body != nil && !bytes.Equal(got.body, tt.body) {
				t.Errorf("got %d, %d bytes, %v; want %d, %d bytes", got.status, len(got.body), got.err, tt.status, len(tt.body))
			}
			if diff := gocmp.Diff([]string{tt.line}, up.Lines("", "*")); diff != "" {
				t.Errorf("recorded (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	const size = 100_000
	whole := content(size)
	other := bytes.Repeat([]byte("other "), size/6+1)[:size]
	flip := bytes.Clone(whole)
	flip[500] ^= 0xff
	for _, tt := range []struct {
		name   string
		fault  Fault
		method string // "": GET
		rng    string
		status int
		length int64  // 0: that of the body
		body   []byte // as much as comes
		broken bool
		header string // "Name: value"
		next   []byte // what an honest request gets then; nil: whole
	}{
		{name: "none", status: 200, body: whole},
		{name: "refuse", fault: Refuse(), broken: true},
		{name: "status", fault: Status(503), status: 503, body: []byte("Service Unavailable\n")},
		{name: "delay", fault: Delay(time.Microsecond), status: 200, body: whole},
		{name: "cut", fault: Cut(40_000), status: 200, length: size, body: whole[:40_000], broken: true},
		{name: "cut at once", fault: Cut(0), status: 200, length: size, body: whole[:0], broken: true},
		{name: "cut behind the end", fault: Cut(size), status: 200, body: whole},
		{name: "cut of a range", fault: Cut(10), rng: "bytes=100-", status: 206, length: size - 100, body: whole[100:110], broken: true},
		{name: "reset", fault: Reset(1), status: 200, length: size, body: whole[:1], broken: true},
		{name: "truncate", fault: Truncate(777), status: 200, body: whole[:777]},
		{name: "truncate a range", fault: Truncate(7), rng: "bytes=100-", status: 206, body: whole[100:107], header: "Content-Range: bytes 100-99999/100000"},
		{name: "overstate", fault: Overstate(5), status: 200, length: size + 5, body: whole, broken: true},
		{name: "chunked", fault: Chunked(), status: 200, length: -1, body: whole},
		{name: "chunked and cut", fault: Chunked().With(Cut(3000)), status: 200, length: -1, body: whole[:3000], broken: true},
		{name: "close-delimited", fault: CloseDelimited(), status: 200, length: -1, body: whole},
		{name: "close-delimited and cut", fault: CloseDelimited().With(Cut(3000)), status: 200, length: -1, body: whole[:3000]},
		{name: "ignore range", fault: IgnoreRange(), rng: "bytes=100-", status: 200, body: whole},
		{name: "wrong range", fault: WrongRange(), rng: "bytes=100-", status: 206, body: whole, header: "Content-Range: bytes 0-99999/100000"},
		{name: "wrong range, none asked for", fault: WrongRange(), status: 200, body: whole},
		{name: "redirect", fault: Redirect("http://mirror.example/x.rpm"), status: 302, header: "Location: http://mirror.example/x.rpm"},
		{name: "redirect with path", fault: Redirect("http://mirror.example/pub/"), status: 302, header: "Location: http://mirror.example/pub/r/a.rpm"},
		{name: "portal", fault: Portal(), status: 200, header: "Content-Type: text/html; charset=utf-8"},
		{name: "gzipped", fault: Gzipped(), rng: "bytes=5-", status: 200, header: "Content-Encoding: gzip"},
		{name: "no head, HEAD", fault: NoHead(), method: "HEAD", status: 405, length: -1},
		{name: "no head, GET", fault: NoHead(), status: 200, body: whole},
		{name: "corrupt", fault: Corrupt(500), status: 200, body: flip},
		{name: "corrupt, a range", fault: Corrupt(500), rng: "bytes=490-509", status: 206, body: flip[490:510]},
		{name: "replace", fault: Replace(60_000, other), status: 200, body: append(bytes.Clone(whole[:60_000]), other[60_000:]...), next: other},
		{name: "replace, a range before", fault: Replace(60_000, other), rng: "bytes=0-99", status: 206, body: whole[:100]},
		{name: "replace by a shorter one", fault: Replace(60_000, other[:61_000]), status: 200, length: size,
			body: append(bytes.Clone(whole[:60_000]), other[60_000:61_000]...), broken: true, next: other[:61_000]},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up, _ := start(t, size)
			before := ask(t.Context(), "HEAD", up.URL+"/r/a.rpm")
			up.Forget()
			up.On("/r/*", tt.fault)
			method, fields := cmp.Or(tt.method, "GET"), []string(nil)
			if tt.rng != "" {
				fields = []string{"Range", tt.rng}
			}
			got := ask(t.Context(), method, up.URL+"/r/a.rpm", fields...)
			if got.status != tt.status {
				t.Errorf("status %d, %v; want %d", got.status, got.err, tt.status)
			}
			if (got.err != nil) != tt.broken {
				t.Errorf("error %v, want one: %v", got.err, tt.broken)
			}
			// A reset may overtake the bytes before it.
			if reset := strings.HasPrefix(tt.name, "reset"); tt.body != nil && !reset {
				if !bytes.Equal(got.body, tt.body) {
					t.Errorf("body: %d bytes that are not the %d expected", len(got.body), len(tt.body))
				}
				if want := cmp.Or(tt.length, int64(len(tt.body))); got.length != want {
					t.Errorf("length %d, want %d", got.length, want)
				}
			}
			if tt.header == "Content-Encoding: gzip" && !bytes.Equal(unpack(t, got.body, ".gz"), whole) {
				t.Error("what is packed is not the file")
			}
			if name, value, ok := strings.Cut(tt.header, ": "); ok && got.header.Get(name) != value {
				t.Errorf("%s: %q, want %q", name, got.header.Get(name), value)
			}
			if err := up.AwaitIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
			rec := up.Requests()[0]
			if rec.Status != tt.status || rec.Whole == (tt.broken || strings.HasSuffix(tt.name, "and cut")) {
				t.Errorf("recorded %+v", rec)
			}
			if method == "GET" && !strings.HasPrefix(tt.name, "reset") && rec.Sent != int64(len(got.body)) {
				t.Errorf("recorded %d bytes, got %d", rec.Sent, len(got.body))
			}

			up.Heal()
			want := whole
			if tt.next != nil {
				want = tt.next
			}
			after := ask(t.Context(), "GET", up.URL+"/r/a.rpm")
			if after.status != 200 || !bytes.Equal(after.body, want) {
				t.Errorf("healed: %d, %d bytes, %v", after.status, len(after.body), after.err)
			}
			for _, validator := range []string{"ETag", "Last-Modified"} {
				if same := after.header.Get(validator) == before.header.Get(validator); same != (tt.next == nil) {
					t.Errorf("%s was %s, is %s", validator, before.header.Get(validator), after.header.Get(validator))
				}
			}
		})
	}
}

// TestEndless: an answer without end begins with the file, and is over when the client
// has enough.
func TestEndless(t *testing.T) {
	up, body := start(t, 1000)
	up.On("*", Endless())
	resp, err := http.Get(up.URL + "/r/a.rpm")
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1<<20)
	_, err = io.ReadFull(resp.Body, got)
	resp.Body.Close()
	if err != nil || resp.ContentLength != -1 || !bytes.HasPrefix(got, body) || len(bytes.Trim(got[len(body):], " ")) > 0 {
		t.Errorf("length %d, %.20q..., %v", resp.ContentLength, got, err)
	}
	if err := up.AwaitIdle(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := up.Requests()[0]; r.Sent >= MaxEndless || r.Whole {
		t.Errorf("it goes on for a client that has left: %+v", r)
	}
}

func TestResetIsNoPlainEnd(t *testing.T) {
	up, _ := start(t, 1000)
	up.On("*", Chunked().With(Reset(0)))
	if got := ask(t.Context(), "GET", up.URL+"/r/a.rpm"); !errors.Is(got.err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset connection", got.err)
	}
}

func TestFaultsInOrder(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults []Fault
		want   []int // statuses of successive GETs, 0: none
		heads  []int // of HEADs after them
	}{
		{"for good", []Fault{Status(503)}, []int{503, 503, 503}, []int{503}},
		{"for some", []Fault{Status(503).Times(2)}, []int{503, 503, 200}, []int{200}},
		{"one after the other", []Fault{Status(503).Times(1), Status(404).Times(2)}, []int{503, 404, 404, 200}, nil},
		{"after some", []Fault{Status(503).After(1).Times(1)}, []int{200, 503, 200}, nil},
		{"one method", []Fault{Status(503).Only("HEAD")}, []int{200}, []int{503, 503}},
		{"what stands first counts", []Fault{Status(503), Status(404)}, []int{503, 503}, nil},
		{"the zero fault", []Fault{Fault{}.Times(1), Status(404)}, []int{200, 404}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			up, _ := start(t, 10)
			up.On("/r/a.rpm", tt.faults...)
			up.On("/elsewhere", Status(500))
			var got, heads []int
			for range tt.want {
				got = append(got, ask(t.Context(), "GET", up.URL+"/r/a.rpm").status)
			}
			for range tt.heads {
				heads = append(heads, ask(t.Context(), "HEAD", up.URL+"/r/a.rpm").status)
			}
			if diff := gocmp.Diff([][]int{tt.want, tt.heads}, [][]int{got, heads}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			if n := up.Count("GET", "/r/*"); n != len(tt.want) {
				t.Errorf("%d GETs counted", n)
			}
		})
	}
}

// TestShare: about so many requests meet the fault, the same with the same seed.
func TestShare(t *testing.T) {
	const n = 400
	met := func(seed uint64) (all []int) {
		up, _ := start(t, 10)
		up.On("*", Status(503).Share(0.25, seed))
		for i := range n {
			if ask(t.Context(), "GET", up.URL+"/r/a.rpm").status == 503 {
				all = append(all, i)
			}
		}
		return all
	}
	one := met(1)
	if len(one) < n/5 || len(one) > n/3 {
		t.Errorf("%d of %d, want a quarter", len(one), n)
	}
	if diff := gocmp.Diff(one, met(1)); diff != "" {
		t.Errorf("once more (-first +second)\n%s", diff)
	}
	if gocmp.Equal(one, met(2)) {
		t.Error("another seed draws the same")
	}
}

func TestStallAndHang(t *testing.T) {
	for _, tt := range []struct {
		name  string
		fault Fault
		sent  int64
	}{
		{"hang", Hang(), 0},
		{"stall", Stall(400), 400},
		{"stall, chunked", Chunked().With(Stall(400)), 400},
		{"trickle", Trickle(400), 400},
	} {
		t.Run(tt.name+" and release", func(t *testing.T) {
			up, body := start(t, 1000)
			up.On("*", tt.fault)
			got := make(chan answer)
			go func() { got <- ask(t.Context(), "GET", up.URL+"/r/a.rpm") }()
			if err := up.AwaitStalled(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if r := up.Requests()[0]; r.Sent < tt.sent || r.Sent > tt.sent && tt.name != "trickle" || r.Done {
				t.Errorf("held up at %+v", r)
			}
			up.Release()
			if a := <-got; a.err != nil || !bytes.Equal(a.body, body) {
				t.Errorf("released: %d, %d bytes, %v", a.status, len(a.body), a.err)
			}
		})
		t.Run(tt.name+" and leave", func(t *testing.T) {
			up, _ := start(t, 1000)
			up.On("*", tt.fault)
			ctx, leave := context.WithCancel(t.Context())
			got := make(chan answer)
			go func() { got <- ask(ctx, "GET", up.URL+"/r/a.rpm") }()
			if err := up.AwaitStalled(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			leave()
			<-got
			if err := up.AwaitIdle(t.Context()); err != nil {
				t.Fatal(err)
			}
			if r := up.Requests()[0]; r.Whole || !r.Done {
				t.Errorf("recorded as whole: %+v", r)
			}
		})
		t.Run(tt.name+" and stop", func(t *testing.T) {
			up, _ := start(t, 1000)
			up.On("*", tt.fault)
			got := make(chan answer)
			go func() { got <- ask(t.Context(), "GET", up.URL+"/r/a.rpm") }()
			if err := up.AwaitStalled(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			up.Stop()
			if a := <-got; a.err == nil {
				t.Errorf("stopped, the client got a whole answer: %d, %d bytes", a.status, len(a.body))
			}
		})
	}
}

// TestTrickle: what trickles goes on, by single bytes, and is held up all the same.
func TestTrickle(t *testing.T) {
	const at = 400
	up, body := start(t, 1000)
	up.On("*", Trickle(at).Times(1))
	resp, err := http.Get(up.URL + "/r/a.rpm")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got := make([]byte, at+2, len(body))
	if _, err := io.ReadFull(resp.Body, got); err != nil {
		t.Fatal(err)
	}
	if err := up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if r := up.Requests()[0]; r.Sent >= int64(len(body)) || r.Done {
		t.Errorf("it does not trickle: %+v", r)
	}
	up.Release()
	rest, err := io.ReadAll(resp.Body)
	if err != nil || !bytes.Equal(append(got, rest...), body) {
		t.Errorf("released: %d bytes more, %v", len(rest), err)
	}
}

func TestAwaitGivesUp(t *testing.T) {
	up := NewUpstream(t.TempDir())
	gone := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	for name, err := range map[string]error{
		"requests": up.AwaitRequests(ctx, "GET", "*", 1),
		"stalled":  up.AwaitStalled(ctx, 1),
	} {
		if !errors.Is(err, gone) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := up.AwaitIdle(ctx); err != nil {
		t.Errorf("nothing to wait for: %v", err)
	}
}

func TestStopAndRestart(t *testing.T) {
	up, body := start(t, 10)
	for round := range 3 {
		if got := ask(t.Context(), "GET", up.URL+"/r/a.rpm"); !bytes.Equal(got.body, body) {
			t.Fatalf("round %d: %v", round, got.err)
		}
		up.Stop()
		up.Stop()
		if got := ask(t.Context(), "GET", up.URL+"/r/a.rpm"); !errors.Is(got.err, syscall.ECONNREFUSED) {
			t.Fatalf("round %d, stopped: %v, want a refused connection", round, got.err)
		}
		for range 2 {
			if err := up.Restart(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := up.Count("", "*"); n != 3 {
		t.Errorf("%d requests counted over the restarts, want 3", n)
	}
	up.Close()
	if got := ask(t.Context(), "GET", up.URL+"/r/a.rpm"); got.err == nil {
		t.Error("closed, it answers")
	}
}

func TestRateAndLatencyDoNotChangeBytes(t *testing.T) {
	up, body := start(t, 50_000)
	up.SetRate(50_000_000)
	up.SetLatency(time.Microsecond)
	up.On("*", Slow(10_000_000).Times(1))
	for range 3 {
		if got := ask(t.Context(), "GET", up.URL+"/r/a.rpm"); !bytes.Equal(got.body, body) {
			t.Errorf("%d bytes, %v", len(got.body), got.err)
		}
	}
	if n := up.Sent("/r/a.rpm"); n != 150_000 {
		t.Errorf("%d bytes counted", n)
	}
}

func TestPut(t *testing.T) {
	up, _ := start(t, 10)
	seen := make(map[string]bool)
	for range 3 {
		for _, path := range []string{"/r/a.rpm", "/new/dir/b"} {
			if err := up.Put(path, []byte("ten bytes.")); err != nil {
				t.Fatal(err)
			}
			got := ask(t.Context(), "GET", up.URL+path)
			if string(got.body) != "ten bytes." {
				t.Errorf("%s: %q, %v", path, got.body, got.err)
			}
			if modified := path + got.header.Get("Last-Modified"); seen[modified] {
				t.Errorf("%s put again, but not modified: %v", path, got.header)
			} else {
				seen[modified] = true
			}
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	up, body := start(t, 20_000)
	up.On("*", Cut(100).Times(5), Stall(50).Times(5))
	var wg sync.WaitGroup
	var mu sync.Mutex
	whole := 0
	for range 30 {
		wg.Go(func() {
			got := ask(t.Context(), "GET", up.URL+"/r/a.rpm")
			mu.Lock()
			defer mu.Unlock()
			if got.err == nil && bytes.Equal(got.body, body) {
				whole++
			}
		})
	}
	if err := up.AwaitStalled(t.Context(), 5); err != nil {
		t.Fatal(err)
	}
	up.Release()
	wg.Wait()
	if whole != 25 || up.Count("GET", "*") != 30 {
		t.Errorf("%d whole answers of %d", whole, up.Count("GET", "*"))
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"/a", "/a", true}, {"/a", "/a/", false}, {"*", "", true}, {"*", "/a/b", true},
		{"/a*", "/a", true}, {"/a*", "/b", false}, {"*.rpm", "/x/y.rpm", true}, {"*.rpm", "/x/y.rpm.sig", false},
		{"/r/*/repomd.xml", "/r/a/b/repomd.xml", true}, {"/r/*/repomd.xml", "/r/repomd.xml", false},
		{"*a*b*", "xaxbx", true}, {"*a*b*", "xbxax", false}, {"a*a", "a", false}, {"*ab", "aab", true},
		{"/a.rpm", "/axrpm", false}, {"[a]*", "a", false}, {"**", "x", true}, {"a**b", "ab", true},
	} {
		if got := match(tt.pattern, tt.s); got != tt.want {
			t.Errorf("match(%q, %q) is %v", tt.pattern, tt.s, got)
		}
	}
}
