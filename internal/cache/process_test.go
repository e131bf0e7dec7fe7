package cache_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// childEnv holds, for a process that this test starts of itself, what it is to do.
const childEnv = "INTELLIGENTMIRROR_CACHE_TEST_CHILD"

// errand is what a child does: bring files into a cache, as imsync does.
type errand struct {
	Dir, URL string
	Files    []promisedFile
}

type promisedFile struct {
	Key  cache.Key
	Want cache.Want
}

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var e errand
	err := json.Unmarshal([]byte(text), &e)
	if err == nil {
		err = e.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run prefetches the files, two at a time.
func (e errand) run() error {
	c, m, err := openAt(e.Dir, e.URL)
	if err != nil {
		return err
	}
	defer c.Close()
	work := make(chan promisedFile)
	errs := make([]error, 2)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			for f := range work {
				if _, err := c.Prefetch(context.Background(), f.Key, f.Want, m.Grab()); err != nil {
					errs[i] = errors.Join(errs[i], fmt.Errorf("%s: %w", f.Key, err))
				}
			}
		})
	}
	for _, f := range e.Files {
		work <- f
	}
	close(work)
	wg.Wait()
	return errors.Join(errs...)
}

func openAt(dir, url string) (*cache.Cache, *upstream.Mirrors, error) {
	m := upstream.New(upstream.Options{UserAgent: "test/1", Connect: time.Minute, Header: time.Minute, Idle: time.Minute}).Mirrors("r", []string{url})
	c, err := cache.Open(cache.Options{
		Dir:    dir,
		Policy: func(k cache.Key) cache.Policy { return cache.Policy{MaxAge: time.Hour, Format: cache.FormatOf(k.Path)} },
		Source: func(string) cache.Source { return m },
	})
	return c, m, err
}

// counted is an upstream that counts the bytes of bodies that it has sent, and
// says when there are as many as somebody waits for. It holds each request
// against what left says is on disk of the file.
type counted struct {
	*httptest.Server
	bodies map[string][]byte // by path
	left   func(path string) int64

	mu   sync.Mutex
	sent int64
	odd  []string // requests for bytes that were on disk already
	when int64    // 0: nobody waits
	then chan struct{}
}

func newCounted(t *testing.T, bodies map[string][]byte, dir string) *counted {
	c, _, err := openAt(dir, "http://127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	u := &counted{bodies: bodies, left: func(path string) int64 { return c.Left(cache.Key{Repo: "r", Path: path[1:]}) }}
	u.Server = httptest.NewUnstartedServer(u)
	u.Listener = smallBuffers{u.Listener}
	u.Start()
	t.Cleanup(u.Close)
	return u
}

// smallBuffers keeps what has been sent and not received small, as on a real line.
type smallBuffers struct{ net.Listener }

func (l smallBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil {
		err = c.(*net.TCPConn).SetWriteBuffer(16 << 10)
	}
	return c, err
}

func (u *counted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, ok := u.bodies[r.URL.Path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	tag := fmt.Sprintf(`"%d"`, len(body))
	w.Header().Set("ETag", tag)
	from := "bytes=" + strconv.FormatInt(u.left(r.URL.Path), 10) + "-"
	if got := cmp.Or(r.Header.Get("Range"), "bytes=0-"); got != from && r.Header.Get("If-None-Match") != tag {
		u.mu.Lock()
		u.odd = append(u.odd, fmt.Sprintf("%s: %s, %s is missing", r.URL.Path, got, from))
		u.mu.Unlock()
	}
	http.ServeContent(&counting{w, u}, r, "", day1, bytes.NewReader(body))
}

// counting is a ResponseWriter without ReadFrom.
type counting struct {
	http.ResponseWriter
	u *counted
}

func (w *counting) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.u.mu.Lock()
	defer w.u.mu.Unlock()
	w.u.sent += int64(n)
	if w.u.when > 0 && w.u.sent >= w.u.when {
		close(w.u.then)
		w.u.when = 0
	}
	return n, err
}

// wentOn checks that each request was for the bytes that were not on disk. What
// a killed process had not written yet is lost, and however much that is depends
// on the machine.
func (u *counted) wentOn(t *testing.T) {
	t.Helper()
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, s := range u.odd {
		t.Error(s)
	}
}

// total is how many bytes have been sent.
func (u *counted) total() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.sent
}

// at is closed when n bytes, or more, have been sent in all.
func (u *counted) at(n int64) <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.when, u.then = max(n, 1), make(chan struct{})
	if u.sent >= u.when {
		close(u.then)
		u.when = 0
	}
	return u.then
}

// child starts e in a process of its own. ended gets the error of its end.
func (e errand) child(t *testing.T) (p *exec.Cmd, ended <-chan error) {
	t.Helper()
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p = exec.CommandContext(waiting(t), self)
	p.Env = append(os.Environ(), childEnv+"="+string(text))
	var out bytes.Buffer
	p.Stdout, p.Stderr = &out, &out
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	end := make(chan error, 1)
	go func() {
		err := p.Wait()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, out.Bytes())
		}
		end <- err
	}()
	return p, end
}

// TestKilled: the agent is killed ten times at random moments. It ends with all
// files right and nothing left over, and asks for no byte that is on disk.
func TestKilled(t *testing.T) {
	const files, size = 12, 3 << 20
	bodies, e := map[string][]byte{}, errand{Dir: t.TempDir()}
	for i := range files {
		k := cache.Key{Repo: "r", Path: fmt.Sprintf("f%d.rpm", i)}
		body := rpm(size+i, uint64(i))
		bodies["/"+k.Path] = body
		e.Files = append(e.Files, promisedFile{k, want(body)})
	}
	u := newCounted(t, bodies, e.Dir)
	e.URL = u.URL
	r := rand.New(rand.NewPCG(5, 6))
	for kill := range 10 {
		moment := u.at(u.total() + r.Int64N(files*size/10))
		p, ended := e.child(t)
		select {
		case <-moment:
			if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
			<-ended
		case err := <-ended:
			// A machine that is slow to kill may have let the last of them get far.
			t.Logf("kill %d came too late", kill)
			if err != nil || kill == 0 {
				t.Fatalf("kill %d: it ended by itself: %v", kill, err)
			}
		}
	}
	_, ended := e.child(t)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for _, f := range e.Files {
		onDisk(t, e.Dir, f.Key, bodies["/"+f.Key.Path])
	}
	nothingLeft(t, e.Dir)
	u.wentOn(t)
}

// nothingLeft checks that there is no partial file.
func nothingLeft(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir + "/.im/partial")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("a partial file is left: %s", e.Name())
	}
}

// TestKilledUnderFollowers: the agent is killed in the middle of files that
// clients of another process read as they arrive. That one goes on; no client
// notices, and no byte that is on disk is asked for again.
func TestKilledUnderFollowers(t *testing.T) {
	const files, size = 6, 2 << 20
	r := rand.New(rand.NewPCG(7, 8))
	bodies, dir := map[string][]byte{}, t.TempDir()
	for i := range files {
		bodies[fmt.Sprintf("/f%d.rpm", i)] = rpm(size+i, uint64(50+i))
	}
	u := newCounted(t, bodies, dir)
	c, _, err := openAt(dir, u.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx := waiting(t)
	for i := range files {
		k := cache.Key{Repo: "r", Path: fmt.Sprintf("f%d.rpm", i)}
		body := bodies["/"+k.Path]
		e := errand{Dir: dir, URL: u.URL, Files: []promisedFile{{k, want(body)}}}
		before, first := u.total(), r.Int64N(size/2)
		moment := u.at(before + first)
		p, ended := e.child(t)
		<-moment
		// With the last byte on its way it may have ended before it is killed.
		moment = u.at(before + first + r.Int64N(size-first-size/8))
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				got := room(len(body))
				o, err := c.Get(ctx, k)
				if err == nil {
					defer o.Close()
					_, err = o.SendTo(ctx, got, 0, -1)
				}
				if err != nil || !bytes.Equal(got.Bytes(), body) {
					t.Errorf("%s: %d bytes, %v", k, got.Len(), err)
				}
			})
		}
		<-moment
		if i%4 != 3 { // one in four may live
			if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				t.Fatal(err)
			}
		}
		if err := <-ended; err != nil && i%4 == 3 {
			t.Error(err)
		}
		wg.Wait()
		c.Settled()
		onDisk(t, dir, k, body)
	}
	nothingLeft(t, dir)
	u.wentOn(t)
	noDescriptors(t, dir+"/r")
}
