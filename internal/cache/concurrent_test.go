package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// big is a file of which the first bytes leave before the last have come,
// promised or not.
var big = rpm(3<<20, 31)

// patience is how long a test waits for what has to happen.
const patience = 2 * time.Minute

func waiting(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// room is a buffer that takes n bytes without growing, which costs more than the rest.
func room(n int) *bytes.Buffer { return bytes.NewBuffer(make([]byte, 0, n+bytes.MinRead)) }

// noDescriptors checks that nothing below dir is open any more.
func noDescriptors(t *testing.T, dir string) {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range open {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, dir) {
			t.Errorf("%s is still open", to)
		}
	}
}

// TestGetsDuringPrefetch: clients read what the agent fetches in the same
// process, with one request upstream.
func TestGetsDuringPrefetch(t *testing.T) {
	for _, w := range []cache.Want{{}, want(big)} {
		b := newBench(t, pkg, mirror{body: big, faults: []testrepo.Fault{testrepo.Stall(1 << 20)}})
		c, m := b.open(w)
		ctx := waiting(t)
		var wg, reading sync.WaitGroup
		wg.Go(func() {
			if out, err := c.Prefetch(ctx, pkg, want(big), m.Grab()); err != nil || out.Fetched != int64(len(big)) {
				t.Errorf("%+v, %v", out, err)
			}
		})
		if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			reading.Add(1)
			wg.Go(func() {
				part := int64(1 << 19)
				if w.Known() != (i%2 == 0) {
					part = 1 << 18
				}
				got := room(len(big))
				o, err := c.Get(ctx, pkg)
				if err == nil {
					defer o.Close()
					_, err = o.SendTo(ctx, got, 0, part)
				}
				reading.Done() // with bytes, while the rest has not left upstream
				if err == nil {
					_, err = o.SendTo(ctx, got, part, -1)
				}
				if err != nil || !bytes.Equal(got.Bytes(), big) {
					t.Errorf("%d bytes, %v", got.Len(), err)
				}
			})
		}
		reading.Wait()
		b.mirrors[0].Release()
		wg.Wait()
		if n := b.mirrors[0].Count("", "*"); n != 1 {
			t.Errorf("upstream saw %d requests", n)
		}
		c.Close()
		noDescriptors(t, b.dir)
	}
}

// TestPrefetchCalledOff: a request that waits for a prefetch outlives it.
func TestPrefetchCalledOff(t *testing.T) {
	b := newBench(t, pkg, mirror{body: big, faults: []testrepo.Fault{testrepo.Hang().Times(1)}})
	c, m := b.open(cache.Want{})
	defer c.Close()
	ctx := waiting(t)
	sync, callOff := context.WithCancel(ctx)
	off := make(chan error, 1)
	go func() {
		_, err := c.Prefetch(sync, pkg, want(big), m.Grab())
		off <- err
	}()
	if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		body, _, err := get(c, pkg)
		if err == nil && !bytes.Equal(body, big) {
			err = fmt.Errorf("%d bytes", len(body))
		}
		got <- err
	}()
	c.AwaitReaders(pkg, 2)
	callOff()
	if err := <-off; !errors.Is(err, context.Canceled) {
		t.Errorf("prefetch: %v", err)
	}
	if err := <-got; err != nil {
		t.Errorf("get: %v", err)
	}
}

// TestPromiseDuringDownload: a file is promised while another version of it
// arrives. A request from then on gets what is promised.
func TestPromiseDuringDownload(t *testing.T) {
	old := rpm(len(big), 32)
	b := newBench(t, pkg, mirror{body: old, faults: []testrepo.Fault{testrepo.Stall(2 << 20).Times(1)}})
	promised := &changing{}
	c := b.openWith(promised)
	defer c.Close()
	ctx := waiting(t)
	first, err := c.Get(ctx, pkg)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
		t.Fatal(err)
	}
	promised.set(want(big))
	second := make(chan error, 1)
	go func() {
		body, _, err := get(c, pkg)
		if err == nil && !bytes.Equal(body, big) {
			err = fmt.Errorf("%d bytes, the old version's: %v", len(body), bytes.Equal(body, old))
		}
		second <- err
	}()
	c.AwaitReaders(pkg, 1)
	b.put(0, big, day1.Add(time.Hour))
	b.mirrors[0].Release()
	var got bytes.Buffer
	if _, err := first.SendTo(ctx, &got, 0, -1); err != nil || !bytes.Equal(got.Bytes(), old) {
		t.Errorf("the first client: %d bytes, %v", got.Len(), err)
	}
	if err := <-second; err != nil {
		t.Error(err)
	}
	onDisk(t, b.dir, pkg, big)
}

// changing is a Catalog whose promise for every file changes.
type changing struct {
	mu sync.Mutex
	w  cache.Want
}

func (c *changing) set(w cache.Want) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.w = w
}

func (c *changing) Lookup(cache.Key) (cache.Want, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.w, c.w.Known()
}

// TestForeignDownloadIsNotTrusted: another process, to which nothing is
// promised, downloads wrong bytes; this one knows better.
func TestForeignDownloadIsNotTrusted(t *testing.T) {
	bad := rpm(len(big), 33)
	b := newBench(t, pkg, mirror{body: bad, faults: []testrepo.Fault{testrepo.Stall(2 << 20).Times(1)}})
	theirs, _ := b.open(cache.Want{})
	defer theirs.Close()
	ours, _ := b.open(want(big))
	defer ours.Close()
	ctx := waiting(t)
	o, err := theirs.Get(ctx, pkg)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
		t.Fatal(err)
	}
	got := make(chan error, 1)
	go func() {
		body, _, err := get(ours, pkg)
		if err == nil && !bytes.Equal(body, big) {
			err = fmt.Errorf("%d bytes, the wrong ones: %v", len(body), bytes.Equal(body, bad))
		}
		got <- err
	}()
	ours.AwaitReaders(pkg, 1)
	b.put(0, big, day1.Add(time.Hour))
	b.mirrors[0].Release()
	if _, err := o.SendTo(ctx, io.Discard, 0, -1); err != nil {
		t.Errorf("the other: %v", err)
	}
	if err := <-got; err != nil {
		t.Error(err)
	}
	onDisk(t, b.dir, pkg, big)
}

// TestRestartUnderReaders: what arrived is given up for another version. Who has
// read of the first gets an error, never bytes of both; who comes then gets the
// second.
func TestRestartUnderReaders(t *testing.T) {
	old := rpm(len(big), 34)
	for _, processes := range []int{1, 2} {
		t.Run(fmt.Sprint(processes), func(t *testing.T) {
			b := newBench(t, pkg, mirror{body: big})
			writer, _ := b.open(cache.Want{})
			readers := writer
			if processes == 2 {
				readers, _ = b.open(cache.Want{})
				defer readers.Close()
			}
			defer writer.Close()
			half, restart, restarted, finish := make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})
			done := make(chan error, 1)
			go func() {
				_, err := writer.Prefetch(context.Background(), pkg, cache.Want{}, source(func(_ context.Context, _ cache.Request, p *cache.Partial) error {
					write := func(h cache.Head, b []byte) error {
						err := p.Begin(h)
						if err == nil {
							_, err = p.Write(b)
						}
						return err
					}
					if err := write(cache.Head{Length: int64(len(old)), URL: "old"}, old[:2<<20]); err != nil {
						return err
					}
					close(half)
					<-restart
					if err := write(cache.Head{Length: int64(len(big)), URL: "new"}, big[:1<<20]); err != nil {
						return err
					}
					close(restarted)
					<-finish
					if _, err := p.Write(big[1<<20:]); err != nil {
						return err
					}
					return p.Complete()
				}))
				done <- err
			}()
			<-half
			ctx := waiting(t)
			var wg, reading sync.WaitGroup
			for range 10 {
				reading.Add(1)
				wg.Go(func() {
					got := room(len(big))
					o, err := readers.Get(ctx, pkg)
					if err == nil {
						defer o.Close()
						_, err = o.SendTo(ctx, got, 0, 1<<20)
					}
					reading.Done()
					if err != nil {
						t.Error(err)
						return
					}
					if _, err := o.SendTo(ctx, got, 1<<20, -1); err == nil || ctx.Err() != nil {
						t.Errorf("a client of a version that was given up got %d bytes, %v", got.Len(), err)
					}
					if !bytes.HasPrefix(old, got.Bytes()) {
						t.Error("a client got bytes of two versions")
					}
				})
			}
			reading.Wait()
			close(restart)
			<-restarted
			wg.Wait()
			late := make(chan error, 1)
			go func() {
				body, _, err := get(readers, pkg)
				if err == nil && !bytes.Equal(body, big) {
					err = fmt.Errorf("%d bytes of another version", len(body))
				}
				late <- err
			}()
			close(finish)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := <-late; err != nil {
				t.Errorf("who came late: %v", err)
			}
			onDisk(t, b.dir, pkg, big)
		})
	}
}

// TestClose: a download that is under way when the program ends is gone on with
// by the next.
func TestClose(t *testing.T) {
	for _, e := range []entry{onDemand, ahead} {
		b := newBench(t, pkg, mirror{body: big, faults: []testrepo.Fault{testrepo.Stall(1 << 20).Times(1)}})
		c, m := b.open(cache.Want{})
		ctx := waiting(t)
		ended := make(chan error, 1)
		go func() {
			var err error
			if e == onDemand {
				_, _, err = get(c, pkg)
			} else {
				_, err = c.Prefetch(context.Background(), pkg, want(big), m.Grab())
			}
			ended <- err
		}()
		if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
			t.Fatal(err)
		}
		for b.partial() < 1<<20 { // what the mirror sent has arrived
			if ctx.Err() != nil {
				t.Fatal(ctx.Err())
			}
			time.Sleep(time.Millisecond)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err == nil {
			t.Errorf("%s: a download that was broken off looks whole", e)
		}
		if _, err := c.Get(ctx, pkg); err == nil {
			t.Errorf("%s: a closed cache answers", e)
		}
		if _, err := c.Prefetch(ctx, pkg, want(big), m.Grab()); err == nil {
			t.Errorf("%s: a closed cache fetches", e)
		}
		noDescriptors(t, b.dir)
		b.mirrors[0].Forget()
		if err := b.run(e, cache.Want{}, false); err != nil {
			t.Fatal(err)
		}
		onDisk(t, b.dir, pkg, big)
		if n := b.sent(); n != int64(len(big)-1<<20) {
			t.Errorf("%s: %d bytes were sent after the restart", e, n)
		}
	}
}

// partial is the size of the partial file.
func (b *bench) partial() (n int64) {
	b.t.Helper()
	dir := filepath.Join(b.dir, ".im", "partial")
	names, err := os.ReadDir(dir)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range names {
		if fi, err := e.Info(); err == nil {
			n += fi.Size()
		}
	}
	return n
}

// TestFlaky: many clients of two processes ask for some files of a mirror that
// fails in all ways. An answer that ends well is the file; so is what is stored.
func TestFlaky(t *testing.T) {
	const keys, clients = 20, 200
	b := newBench(t, pkg, mirror{}, mirror{})
	files, promises := map[cache.Key][]byte{}, all{}
	var list []cache.Key
	for i := range keys {
		k := cache.Key{Repo: "r", Path: fmt.Sprintf("x/Packages/f%d-1-1.noarch.rpm", i)}
		size := 20_000 + i*15_000
		if i%8 == 0 {
			size = 1<<20 + i*50_000
		}
		list, files[k] = append(list, k), rpm(size, uint64(100+i))
		if i%2 == 0 {
			promises[k] = want(files[k])
		}
		for m := range b.mirrors {
			b.key = k
			b.put(m, files[k], day1)
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		k := list[r.IntN(keys)]
		n := int64(r.IntN(len(files[k])))
		b.mirrors[r.IntN(2)].On("/"+k.Path, []testrepo.Fault{
			testrepo.Cut(n), testrepo.Reset(n), testrepo.Status(http.StatusServiceUnavailable), testrepo.Refuse(), testrepo.Portal(),
			testrepo.Chunked().With(testrepo.Cut(n)), testrepo.IgnoreRange(), testrepo.WrongRange(), testrepo.Gzipped(), testrepo.Overstate(100),
		}[r.IntN(10)].Times(1))
	}
	processes := []*cache.Cache{b.openWith(promises), b.openWith(promises)}
	_, m := b.open(cache.Want{})
	ctx := waiting(t)
	var wg sync.WaitGroup
	for i := range clients {
		seed := rand.New(rand.NewPCG(3, uint64(i)))
		wg.Go(func() {
			for range 3 {
				k, c := list[seed.IntN(keys)], processes[seed.IntN(2)]
				if w := promises[k]; w.Known() && seed.IntN(4) == 0 {
					if _, err := c.Prefetch(ctx, k, w, m.Grab()); err != nil && ctx.Err() != nil {
						t.Error(err)
					}
					continue
				}
				got := room(len(files[k]))
				o, err := c.Get(ctx, k)
				if err != nil {
					continue
				}
				size := o.Size()
				_, err = o.SendTo(ctx, got, 0, -1)
				if err == nil && (!bytes.Equal(got.Bytes(), files[k]) || size >= 0 && size != int64(got.Len())) {
					t.Errorf("%s: %d bytes of %d that were announced as whole, %d are right", k, got.Len(), size, len(files[k]))
				}
				if err != nil && !bytes.HasPrefix(files[k], got.Bytes()) {
					t.Errorf("%s: wrong bytes before the error %v", k, err)
				}
				o.Close()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		t.Fatal("it takes too long")
	}
	for _, m := range b.mirrors {
		m.Heal()
	}
	last := b.openWith(promises) // mirrors that are not thought to be down
	for _, k := range list {
		if body, _, err := get(last, k); err != nil || !bytes.Equal(body, files[k]) {
			t.Errorf("%s in the end: %d bytes, %v", k, len(body), err)
		}
	}
	for _, c := range append(processes, last) {
		c.Settled()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	d := b.disk()
	if len(d.Files) != keys || len(d.Partials) > 0 {
		t.Errorf("%d files, %d partials", len(d.Files), len(d.Partials))
	}
	for _, k := range list {
		onDisk(t, b.dir, k, files[k])
	}
	noDescriptors(t, b.dir)
}

// all is a Catalog of many files.
type all map[cache.Key]cache.Want

func (a all) Lookup(k cache.Key) (cache.Want, bool) {
	w, ok := a[k]
	return w, ok
}
