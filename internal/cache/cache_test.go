package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// site is a cache in front of one upstream whose files a test controls.
type site struct {
	t    *testing.T
	dir  string
	now  atomic.Int64
	up   *httptest.Server
	gets atomic.Int64 // requests that upstream saw

	mu    sync.Mutex
	serve http.HandlerFunc
	told  []string // what was committed, by the names that it was stored under
}

// committed notes what the cache tells of.
func (s *site) committed(_ cache.Key, name string, f cache.Facts) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, name+" "+string(f.SHA256))
}

// newSite starts an upstream that answers with serve.
func newSite(t *testing.T, serve http.HandlerFunc) *site {
	s := &site{t: t, dir: t.TempDir(), serve: serve}
	s.now.Store(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).UnixNano())
	s.up = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.gets.Add(1)
		s.mu.Lock()
		h := s.serve
		s.mu.Unlock()
		h(w, r)
	}))
	t.Cleanup(s.up.Close)
	return s
}

func (s *site) answer(h http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve = h
}

func (s *site) pass(d time.Duration) { s.now.Add(int64(d)) }

func (s *site) mirrors() *upstream.Mirrors {
	c := upstream.New(upstream.Options{UserAgent: "test/1", Header: time.Minute, Idle: time.Minute})
	s.t.Cleanup(c.Close)
	return c.Mirrors("r", []string{s.up.URL})
}

// open opens the cache directory, as each of the two programs would.
func (s *site) open(catalog cache.Catalog) *cache.Cache {
	m := s.mirrors()
	c, err := cache.Open(cache.Options{
		Dir:     s.dir,
		Catalog: catalog,
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path), Anchor: strings.HasSuffix(k.Path, "repomd.xml")}
		},
		Source: func(string) cache.Source { return m },
		Now:    func() time.Time { return time.Unix(0, s.now.Load()) },
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

// file answers with body, as a static server does.
func file(body []byte, modified time.Time) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body)))
		http.ServeContent(w, r, "", modified, bytes.NewReader(body))
	}
}

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(seed)})
	r.Read(b)
	return b
}

func rpm(n int, seed uint64) []byte { return append([]byte("\xed\xab\xee\xdb"), random(n-4, seed)...) }

func want(b []byte) cache.Want {
	sum := sha256.Sum256(b)
	return cache.Want{Digest: cache.SHA256(sum[:]), Size: int64(len(b))}
}

// get reads all of k through c.
func get(c *cache.Cache, k cache.Key) ([]byte, cache.Status, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	o, err := c.Get(ctx, k)
	if err != nil {
		return nil, cache.Status{}, err
	}
	defer o.Close()
	var b bytes.Buffer
	_, err = o.SendTo(ctx, &b, 0, -1)
	return b.Bytes(), o.Status, err
}

// promises is a Catalog for one key.
type promises struct {
	key  cache.Key
	want cache.Want
	held bool
}

func (p promises) Lookup(k cache.Key) (cache.Want, bool) {
	if k != p.key {
		return cache.Want{}, false
	}
	return p.want, p.held
}

var (
	day0 = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	day1 = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	pkg  = cache.Key{Repo: "r", Path: "x/Packages/a-1-1.noarch.rpm"}
)

// TestTable holds the design's table: what is stored against what upstream says.
func TestTable(t *testing.T) {
	one, two := rpm(5000, 1), rpm(7000, 2)
	gone := http.NotFound
	down := func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }
	broken := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "7000")
		w.Write(two[:3000])
		panic(http.ErrAbortHandler)
	}
	for _, tt := range []struct {
		name   string
		stored bool
		held   bool
		key    cache.Key
		then   http.HandlerFunc
		body   []byte
		status string
		err    func(error) bool
		kept   []byte // stored afterwards
	}{
		{name: "stored, same", stored: true, then: file(one, day0), body: one, status: "imserve; fwd=stale; fwd-status=304", kept: one},
		{name: "stored, newer than upstream", stored: true, then: file(two, day0.Add(-time.Hour)), body: one, status: "imserve; fwd=stale; fwd-status=304", kept: one},
		{name: "stored, older", stored: true, then: file(two, day1), body: two, status: "imserve; fwd=stale; fwd-status=200; stored", kept: two},
		{name: "stored, gone", stored: true, then: gone, err: notExist},
		{name: "stored, gone, held", stored: true, held: true, then: gone, body: one, status: "imserve; hit; detail=gone-upstream", kept: one},
		{name: "stored, unreachable", stored: true, then: down, body: one, status: "imserve; hit; detail=upstream-unreachable", kept: one},
		{name: "stored, older, the download fails", stored: true, then: broken, err: anyError, kept: one},
		{name: "not stored", then: file(two, day1), body: two, status: "imserve; fwd=uri-miss; stored", kept: two},
		{name: "not stored, gone", then: gone, err: notExist},
		{name: "not stored, unreachable", then: down, err: unreachable},
		{name: "not stored, the download fails", then: broken, err: anyError},
		{name: "not stored, a captive portal", then: file([]byte("<html>log in</html>"), day1), err: wrong},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, file(one, day0))
			c := s.open(promises{key: pkg, held: tt.held})
			if tt.stored {
				if b, st, err := get(c, pkg); err != nil || !bytes.Equal(b, one) || st.String() != "imserve; fwd=uri-miss; stored" {
					t.Fatalf("first: %d bytes, %s, %v", len(b), st, err)
				}
				if _, st, err := get(c, pkg); err != nil || st.String() != "imserve; hit" {
					t.Fatalf("fresh: %s, %v", st, err)
				}
				s.pass(time.Hour)
			}
			s.answer(tt.then)
			b, st, err := get(c, pkg)
			switch {
			case tt.err != nil:
				if !tt.err(err) {
					t.Errorf("err = %v", err)
				}
			case err != nil || !bytes.Equal(b, tt.body) || st.String() != tt.status:
				t.Errorf("got %d bytes, %q, %v; want %d, %q", len(b), st, err, len(tt.body), tt.status)
			}
			onDisk(t, s.dir, pkg, tt.kept)
		})
	}
}

func notExist(err error) bool    { return errors.Is(err, fs.ErrNotExist) }
func anyError(err error) bool    { return err != nil }
func wrong(err error) bool       { return errors.Is(err, cache.ErrWrongContent) }
func unreachable(err error) bool { return errors.As(err, new(*cache.UnreachableError)) }

// onDisk checks what is stored, nil for nothing.
func onDisk(t *testing.T, dir string, k cache.Key, want []byte) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, k.String()))
	switch {
	case want == nil && !errors.Is(err, fs.ErrNotExist):
		t.Errorf("%s is stored (%d bytes, %v)", k, len(b), err)
	case want != nil && !bytes.Equal(b, want):
		t.Errorf("%s on disk: %d bytes, %v; want %d", k, len(b), err, len(want))
	}
}

func TestManyClientsOneDownload(t *testing.T) {
	body := rpm(2<<20, 3)
	release := make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:1<<20])
		w.(http.Flusher).Flush()
		<-release
		w.Write(body[1<<20:])
	})
	c := s.open(nil)
	var wg sync.WaitGroup
	var started sync.WaitGroup
	for range 50 {
		wg.Add(1)
		started.Add(1)
		go func() {
			defer wg.Done()
			o, err := c.Get(context.Background(), pkg)
			if err != nil {
				started.Done()
				t.Error(err)
				return
			}
			defer o.Close()
			b := room(len(body))
			if _, err := o.SendTo(context.Background(), b, 0, 1<<19); err != nil {
				t.Error(err)
			}
			started.Done() // with bytes, while the rest has not left upstream
			if _, err := o.SendTo(context.Background(), b, 1<<19, -1); err != nil || !bytes.Equal(b.Bytes(), body) {
				t.Errorf("%d bytes, %v", b.Len(), err)
			}
		}()
	}
	started.Wait()
	close(release)
	wg.Wait()
	if n := s.gets.Load(); n != 1 {
		t.Errorf("upstream saw %d requests", n)
	}
	onDisk(t, s.dir, pkg, body)
}

// TestPromisedBytesAreVerifiedFirst: of a file whose digest is promised no wrong
// byte, or no last byte, leaves.
func TestPromisedBytesAreVerifiedFirst(t *testing.T) {
	for _, size := range []int{100 << 10, 3 << 20} {
		right, bad := rpm(size, 4), rpm(size, 5)
		s := newSite(t, file(bad, day1))
		c := s.open(promises{key: pkg, want: want(right)})
		b, _, err := get(c, pkg)
		if !wrong(err) {
			t.Errorf("%d: err = %v", size, err)
		}
		if size < 1<<20 && len(b) > 0 || len(b) >= size {
			t.Errorf("%d: %d bytes left before the verdict", size, len(b))
		}
		onDisk(t, s.dir, pkg, nil)
		s.answer(file(right, day1))
		if b, _, err := get(c, pkg); err != nil || !bytes.Equal(b, right) {
			t.Errorf("%d: %d bytes, %v from an honest mirror", size, len(b), err)
		}
	}
}

// TestTwoProcesses: two caches over one directory are two programs; the lock on
// the partial file is all that they share.
func TestTwoProcesses(t *testing.T) {
	body := rpm(4<<20, 6)
	half := make(chan struct{})
	release := make(chan struct{})
	var once sync.Once
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			file(body, day1)(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body)))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:2<<20])
		w.(http.Flusher).Flush()
		once.Do(func() { close(half) })
		<-release
		w.Write(body[2<<20:])
	})
	a, b := s.open(nil), s.open(nil)
	sync1 := make(chan error, 1)
	go func() {
		out, err := a.Prefetch(context.Background(), pkg, want(body), s.mirrors().Grab())
		if err == nil && out.Fetched != int64(len(body)) {
			err = fmt.Errorf("fetched %d", out.Fetched)
		}
		sync1 <- err
	}()
	<-half
	o, err := b.Get(context.Background(), pkg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	var got bytes.Buffer
	if _, err := o.SendTo(context.Background(), &got, 0, 1<<20); err != nil {
		t.Fatal(err)
	}
	close(release)
	if _, err := o.SendTo(context.Background(), &got, 1<<20, -1); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Fatalf("%d bytes, %v", got.Len(), err)
	}
	if err := <-sync1; err != nil {
		t.Fatal(err)
	}
	if n := s.gets.Load(); n != 1 {
		t.Errorf("upstream saw %d requests", n)
	}
	out, err := b.Prefetch(context.Background(), pkg, want(body), s.mirrors().Grab())
	if err != nil || !out.Stored {
		t.Errorf("%+v, %v", out, err)
	}
}

// TestTheOtherTakesOver: the downloader ends in mid-body, as if killed; whoever
// followed it goes on at its byte.
func TestTheOtherTakesOver(t *testing.T) {
	body := rpm(4<<20, 7)
	half := make(chan struct{})
	var once sync.Once
	var ranges atomic.Int64
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Range") != "" {
			ranges.Add(1)
			file(body, day1)(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`"%x"`, sha256.Sum256(body)))
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:2<<20])
		w.(http.Flusher).Flush()
		once.Do(func() { close(half) })
		<-r.Context().Done()
	})
	a, b := s.open(nil), s.open(nil)
	ctx, kill := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		_, err := a.Prefetch(ctx, pkg, want(body), s.mirrors().Grab())
		done <- err
	}()
	<-half
	o, err := b.Get(context.Background(), pkg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	kill()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := o.SendTo(context.Background(), &got, 0, -1); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Fatalf("%d bytes, %v", got.Len(), err)
	}
	if ranges.Load() != 1 || s.gets.Load() != 2 {
		t.Errorf("%d range requests of %d", ranges.Load(), s.gets.Load())
	}
	onDisk(t, s.dir, pkg, body)
}

// TestChangedUnderTheDownload: what a broken-off try left belongs to another
// version than upstream's now; the two are never spliced.
func TestChangedUnderTheDownload(t *testing.T) {
	one, two := rpm(2<<20, 8), rpm(2<<20, 9)
	for _, entry := range []string{"get", "prefetch"} {
		t.Run(entry, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"one"`)
				w.Header().Set("Content-Length", fmt.Sprint(len(one)))
				w.Write(one[:1<<20])
				panic(http.ErrAbortHandler)
			})
			c := s.open(nil)
			if _, _, err := get(c, pkg); err == nil {
				t.Fatal("a broken download looks whole")
			}
			c.Settled() // it may have gone on without its client
			s.answer(file(two, day1))
			if entry == "get" {
				b, _, err := get(c, pkg)
				if err != nil || !bytes.Equal(b, two) {
					t.Fatalf("%d bytes, %v", len(b), err)
				}
			} else if out, err := c.Prefetch(context.Background(), pkg, want(two), s.mirrors().Grab()); err != nil {
				t.Fatalf("%+v, %v", out, err)
			}
			onDisk(t, s.dir, pkg, two)
			left, err := os.ReadDir(filepath.Join(s.dir, ".im", "partial"))
			if err != nil || len(left) != 0 {
				t.Errorf("partials left: %v, %v", left, err)
			}
		})
	}
}

func TestClientsThatLeaveDoNotEndTheDownload(t *testing.T) {
	body := rpm(2<<20, 10)
	half, release := make(chan struct{}), make(chan struct{})
	s := newSite(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body[:1<<20])
		w.(http.Flusher).Flush()
		close(half)
		<-release
		w.Write(body[1<<20:])
	})
	c := s.open(nil)
	ctx, leave := context.WithCancel(context.Background())
	o, err := c.Get(ctx, pkg)
	if err != nil {
		t.Fatal(err)
	}
	<-half
	leave()
	if _, err := o.SendTo(ctx, io.Discard, 0, -1); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	o.Close()
	close(release)
	b, st, err := get(c, pkg)
	if err != nil || !bytes.Equal(b, body) || s.gets.Load() != 1 {
		t.Errorf("%d bytes, %s, %v, %d requests", len(b), st, err, s.gets.Load())
	}
}
