package cache_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"testing"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// TestNobodyWaits: a download whose clients have left goes on, if no more than
// the limit is missing; else it is stopped, and continued by the next request.
func TestNobodyWaits(t *testing.T) {
	const there = 2 << 20 // bytes, when the client leaves
	missing := int64(len(big) - there)
	for _, c := range []struct {
		name  string
		limit int64
		fault testrepo.Fault
		stops bool
	}{
		{"as much is missing as the limit has", missing, testrepo.Fault{}, false},
		{"a byte more is missing", missing - 1, testrepo.Fault{}, true},
		{"nothing may come for nobody", 0, testrepo.Fault{}, true},
		{"of unknown length, less comes than the limit has", int64(len(big)), testrepo.Chunked(), false},
	} {
		for _, w := range []cache.Want{{}, want(big)} {
			t.Run(fmt.Sprintf("%s, promised: %v", c.name, w.Known()), func(t *testing.T) {
				b := newBench(t, pkg, mirror{body: big, faults: []testrepo.Fault{c.fault.With(testrepo.Stall(there)).Times(1)}})
				b.limit = func() int64 { return c.limit }
				cc, _ := b.open(w)
				defer cc.Close()
				ctx := waiting(t)
				o, err := cc.Get(ctx, pkg)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := o.SendTo(ctx, io.Discard, 0, there); err != nil {
					t.Fatal(err)
				}
				o.Close()
				if !c.stops {
					b.mirrors[0].Release()
				}
				cc.Settled()
				stopped := cc.Activity().Abandoned
				if !c.stops {
					if stopped != 0 {
						t.Error("it was stopped")
					}
					onDisk(t, b.dir, pkg, big)
					return
				}
				if left := cc.Left(pkg); stopped != 1 || left != there {
					t.Fatalf("%d downloads were stopped; %d bytes are there", stopped, left)
				}
				got, _, err := get(cc, pkg)
				if err != nil || !bytes.Equal(got, big) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				last := b.mirrors[0].Lines("", "*")
				if want := fmt.Sprintf("GET /%s bytes=%d- 206", pkg.Path, there); len(last) != 2 || last[1] != want {
					t.Errorf("upstream was asked %q, want %q as the second", last, want)
				}
				cc.Close()
				noDescriptors(t, b.dir)
			})
		}
	}
}

// TestSomebodyWaits: as long as one client is left, or a run that fetches ahead, a
// download is not stopped.
func TestSomebodyWaits(t *testing.T) {
	for _, c := range []struct {
		name string
		wait func(context.Context, *cache.Cache, cache.Source) error
	}{
		{"a client", func(ctx context.Context, c *cache.Cache, _ cache.Source) error {
			got, _, err := get(c, pkg)
			if err == nil && !bytes.Equal(got, big) {
				err = fmt.Errorf("%d bytes", len(got))
			}
			return err
		}},
		{"a prefetch", func(ctx context.Context, c *cache.Cache, s cache.Source) error {
			out, err := c.Prefetch(ctx, pkg, want(big), s)
			if err == nil && !out.Joined {
				err = fmt.Errorf("%+v", out)
			}
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, pkg, mirror{body: big, faults: []testrepo.Fault{testrepo.Stall(2 << 20).Times(1)}})
			b.limit = func() int64 { return 0 }
			cc, m := b.open(want(big))
			defer cc.Close()
			ctx := waiting(t)
			o, err := cc.Get(ctx, pkg)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
				t.Fatal(err)
			}
			other := make(chan error, 1)
			go func() { other <- c.wait(ctx, cc, m.Grab()) }()
			cc.AwaitWanted(pkg, 2)
			o.Close()
			b.mirrors[0].Release()
			if err := <-other; err != nil {
				t.Error(err)
			}
			if a := cc.Activity(); a.Abandoned != 0 {
				t.Errorf("%+v", a)
			}
			if n := b.mirrors[0].Count("", "*"); n != 1 {
				t.Errorf("upstream saw %d requests", n)
			}
			onDisk(t, b.dir, pkg, big)
		})
	}
}

// TestClientsComeBack: clients that leave and come back while the download is
// being stopped get all of the file, whether they join or continue it.
func TestClientsComeBack(t *testing.T) {
	for _, w := range []cache.Want{{}, want(big)} {
		b := newBench(t, pkg, mirror{body: big})
		b.limit = func() int64 { return 0 }
		cc, _ := b.open(w)
		defer cc.Close()
		ctx := waiting(t)
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() {
				for range 5 {
					// Some leave before they have an answer, some with a part of it.
					hurried, leave := context.WithCancel(ctx)
					if i%2 == 0 {
						leave()
					}
					if o, err := cc.Get(hurried, pkg); err == nil {
						if _, err := o.SendTo(hurried, io.Discard, 0, 1<<16); err != nil && hurried.Err() == nil {
							t.Error(err)
						}
						o.Close()
					} else if hurried.Err() == nil {
						t.Error(err)
					}
					leave()
				}
				if got, _, err := get(cc, pkg); err != nil || !bytes.Equal(got, big) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
			})
		}
		wg.Wait()
		cc.Close()
		onDisk(t, b.dir, pkg, big)
		noDescriptors(t, b.dir)
	}
}

// TestNobodyWaitsHere: the download that one process stops goes on in the other,
// which has read along, from where it was.
func TestNobodyWaitsHere(t *testing.T) {
	const there = 2 << 20
	for _, how := range []entry{ahead, onDemand} {
		t.Run(fmt.Sprint(how), func(t *testing.T) {
			b := newBench(t, pkg, mirror{body: big, faults: []testrepo.Fault{testrepo.Stall(there).Times(1)}})
			b.limit = func() int64 { return 0 }
			ours, _ := b.open(want(big))
			defer ours.Close()
			theirs, m := b.open(want(big))
			defer theirs.Close()
			ctx := waiting(t)
			o, err := ours.Get(ctx, pkg)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := o.SendTo(ctx, io.Discard, 0, there); err != nil {
				t.Fatal(err)
			}
			other := make(chan error, 1)
			following := make(chan struct{})
			if how == ahead {
				go func() {
					_, err := theirs.Prefetch(ctx, pkg, want(big), m.Grab())
					other <- err
				}()
				theirs.AwaitWanted(pkg, 1)
				close(following)
			} else {
				go func() {
					p, err := theirs.Get(ctx, pkg)
					if err != nil {
						close(following)
						other <- err
						return
					}
					defer p.Close()
					var got bytes.Buffer
					_, err = p.SendTo(ctx, &got, 0, 1<<20)
					close(following) // it has read what the other process downloads
					if err == nil {
						_, err = p.SendTo(ctx, &got, 1<<20, -1)
					}
					if err == nil && !bytes.Equal(got.Bytes(), big) {
						err = fmt.Errorf("%d bytes", got.Len())
					}
					other <- err
				}()
			}
			<-following
			o.Close()
			ours.Settled()
			if err := <-other; err != nil {
				t.Error(err)
			}
			if a, b := ours.Activity().Abandoned, theirs.Activity().Abandoned; a != 1 || b != 0 {
				t.Errorf("here %d were stopped, there %d", a, b)
			}
			if n := b.mirrors[0].Sent("*"); n != int64(len(big)) {
				t.Errorf("upstream sent %d bytes", n)
			}
			onDisk(t, b.dir, pkg, big)
		})
	}
}
