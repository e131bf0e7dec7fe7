package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// seal is what a file has to end in to pass the tests' check.
var seal = []byte("sealed")

var errNoSeal = errors.New("no seal")

// sealed is a file that passes, and broken one that does not.
func sealed(n int, seed uint64) []byte { return append(rpm(n-len(seal), seed), seal...) }

func broken(n int, seed uint64) []byte { return append(rpm(n-len(seal), seed), "SEALED"...) }

// checking is the tests' check; it counts how often it was made.
func checking(id string, count *atomic.Int64) *cache.Check {
	return &cache.Check{ID: id, Expected: "a seal", Do: func(file io.ReaderAt, size int64) error {
		count.Add(1)
		end := make([]byte, len(seal))
		if _, err := file.ReadAt(end, size-int64(len(end))); err != nil {
			return err
		}
		if !bytes.Equal(end, seal) {
			return errNoSeal
		}
		return nil
	}}
}

// refused is an error of bytes that the check did not let pass.
func refused(err error) bool {
	var wrong *cache.WrongContentError
	return errors.As(err, &wrong) && wrong.Expected == "a seal" && errors.Is(err, errNoSeal) && errors.Is(err, cache.ErrWrongContent)
}

// TestCheckScenarios: what does not pass the check is not stored, whichever way
// it comes, and the next mirror is asked.
func TestCheckScenarios(t *testing.T) {
	good, bad := sealed(200_000, 41), broken(200_000, 42)
	from := func(bodies ...[]byte) (list []mirror) {
		for _, b := range bodies {
			list = append(list, mirror{body: b})
		}
		return list
	}
	faulty := func(body []byte, f ...testrepo.Fault) []mirror { return []mirror{{body: body, faults: f}} }
	all, none := end{stored: good}, end{err: refused}
	for _, tt := range []struct {
		name    string
		mirrors []mirror
		before  func(b *bench, e entry)
		promise []byte // whose digest is promised; nil: nothing
		want    end
		sample  []byte // in the quarantine
	}{
		{name: "good", mirrors: from(good), want: all},
		{name: "good, promised", mirrors: from(good), promise: good, want: all},
		{name: "good, chunked", mirrors: faulty(good, testrepo.Chunked()), want: all},
		{name: "bad", mirrors: from(bad), want: none, sample: bad},
		{name: "bad, promised", mirrors: from(bad), promise: bad, want: none, sample: bad},
		{name: "bad, chunked", mirrors: faulty(bad, testrepo.Chunked()), want: none, sample: bad},
		{name: "bad, promised, of two mirrors", mirrors: from(bad, bad), promise: bad, want: end{err: refused, sent: len(bad)}, sample: bad},
		{name: "bad everywhere", mirrors: from(bad, bad), want: none, sample: bad},
		{name: "bad, then an honest mirror", mirrors: from(bad, good), want: all, sample: bad},
		{name: "another than is promised, then an honest mirror", mirrors: from(bad, good), promise: good, want: all, sample: bad},
		{name: "good, cut, continued", mirrors: from(good), want: all, before: func(b *bench, e entry) { b.cut(e, cache.Want{}, 80_000) }},
		{name: "good, cut, continued, promised", mirrors: from(good), promise: good, want: all, before: func(b *bench, e entry) { b.cut(e, want(good), 80_000) }},
		{name: "bad, cut, continued, promised", mirrors: from(bad), promise: bad, want: none, sample: bad, before: func(b *bench, e entry) { b.cut(e, want(bad), 80_000) }},
		{name: "good, complete, not committed", mirrors: from(good), promise: good, want: all, before: func(b *bench, _ entry) {
			b.leave(cache.Head{Length: int64(len(good)), URL: b.url(0), LastModified: day1.Format(http.TimeFormat)}, want(good), good)
		}},
		{name: "bad, complete, not committed", mirrors: from(bad, good), want: all, before: func(b *bench, _ entry) {
			b.leave(cache.Head{Length: int64(len(bad)), URL: b.url(0), ETag: b.etag(0)}, cache.Want{}, bad)
		}, sample: bad},
		{name: "good stored before", mirrors: from(good), want: all, before: func(b *bench, e entry) {
			b.unchecked(good, e)
			b.mirrors[0].On("*", testrepo.Status(http.StatusTeapot)) // not asked
		}},
		{name: "bad stored before, upstream is down", mirrors: from(bad), want: end{err: unreachable, stored: bad}, before: func(b *bench, e entry) {
			b.unchecked(bad, e)
			b.mirrors[0].On("*", testrepo.Status(http.StatusServiceUnavailable))
		}},
		{name: "bad stored before, gone", mirrors: from(bad), want: end{err: notExist, stored: bad}, before: func(b *bench, e entry) {
			b.unchecked(bad, e)
			b.put(0, nil, day1)
		}},
		{name: "bad stored before, upstream's still", mirrors: from(bad), want: end{err: refused, stored: bad}, sample: bad, before: func(b *bench, e entry) { b.unchecked(bad, e) }},
		{name: "bad stored before, upstream has a good one", mirrors: from(good), want: all, before: func(b *bench, e entry) {
			b.unchecked(bad, e)
			b.put(0, good, day1)
		}},
		{name: "good stored before, upstream's new one is bad", mirrors: from(good), promise: bad, want: end{err: maybeRefused, stored: good}, sample: bad,
			before: func(b *bench, e entry) {
				b.unchecked(good, e)
				b.put(0, bad, day1)
			}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			disks := map[entry]disk{}
			for _, e := range []entry{onDemand, ahead} {
				t.Run(string(e), func(t *testing.T) {
					b := newBench(t, pkg, tt.mirrors...)
					if tt.before != nil {
						tt.before(b, e)
					}
					var w cache.Want
					if tt.promise != nil {
						w = want(tt.promise)
					}
					b.check = checking("seals", new(atomic.Int64))
					err := b.run(e, w, true)
					if tt.want.err == nil && err != nil || tt.want.err != nil && !tt.want.err(err) {
						t.Errorf("err = %v", err)
					}
					d := b.disk()
					if got, ok := d.Files[pkg.String()]; ok != (tt.want.stored != nil) || got != string(tt.want.stored) {
						t.Errorf("stored: %v, %d bytes; want %d", ok, len(got), len(tt.want.stored))
					}
					if tt.want.err == nil && !strings.Contains(d.Facts[pkg.String()], `"checked":"seals"`) {
						t.Errorf("facts: %s", d.Facts[pkg.String()])
					}
					if n := b.sent(); tt.want.sent > 0 && n != int64(tt.want.sent) {
						t.Errorf("the mirrors sent %d bytes, want %d", n, tt.want.sent)
					}
					if len(d.Partials) > 0 {
						t.Errorf("%d partials left", len(d.Partials))
					}
					if (tt.sample != nil) != (len(d.Samples) == 1) || tt.sample != nil && d.Samples[0] != string(tt.sample) {
						t.Errorf("%d samples: %v", len(d.Samples), d.Texts)
					}
					d.Ahead = nil
					disks[e] = d
				})
			}
			if diff := cmp.Diff(disks[onDemand], disks[ahead], short); diff != "" {
				t.Errorf("on disk after get (-) and prefetch (+):\n%s", diff)
			}
		})
	}
}

// maybeRefused accepts what Get makes good by the stored copy.
func maybeRefused(err error) bool { return err == nil || refused(err) }

// unchecked stores body by way of the first mirror, as it was before anything
// was checked.
func (b *bench) unchecked(body []byte, e entry) {
	b.t.Helper()
	check := b.check
	b.check = nil
	b.keep(0, body, day0, e, cache.Want{})
	b.check = check
}

// TestSampleText: the text beside a sample says what was expected, what came,
// from where and when.
func TestSampleText(t *testing.T) {
	bad, other := broken(200_000, 42), sealed(200_000, 43)
	for _, tt := range []struct {
		name     string
		promised cache.Want
		expected string
		came     string
	}{
		{"a check", cache.Want{}, "a seal", "no seal, in " + string(want(bad).Digest) + " of 200000 bytes"},
		{"a digest", want(other), string(want(other).Digest) + " of 200000 bytes, as the metadata promises", string(want(bad).Digest) + " of 200000 bytes"},
	} {
		b := newBench(t, pkg, mirror{body: bad})
		b.check = checking("seals", new(atomic.Int64))
		err := b.run(onDemand, tt.promised, false)
		var wrong *cache.WrongContentError
		if !errors.As(err, &wrong) || wrong.Expected != tt.expected || wrong.Came != tt.came || wrong.URL != b.url(0) {
			t.Errorf("%s: %v, %+v", tt.name, err, wrong)
		}
		want := fmt.Sprintf("file:     r/x/Packages/a-1-1.noarch.rpm\nfrom:     mirror0:/x/Packages/a-1-1.noarch.rpm\nwhen:     2026-11-22T03:00:00Z\n"+
			"expected: %s\ncame:     %s\nsample:   the file beside this one\n", tt.expected, tt.came)
		if diff := cmp.Diff([]string{want}, b.disk().Texts); diff != "" {
			t.Errorf("%s: want (-), got (+):\n%s", tt.name, diff)
		}
	}
}

// TestCheckedBytesAreHeldBack: of a small file that has to pass a check no byte
// leaves before it has, of a large one not the last, whether its length is known
// or not.
func TestCheckedBytesAreHeldBack(t *testing.T) {
	for _, size := range []int{100 << 10, 3 << 20} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes, chunked %v", size, chunked), func(t *testing.T) {
				bad := broken(size, 44)
				release := make(chan struct{})
				var begun sync.Once
				s := newSite(t, func(w http.ResponseWriter, _ *http.Request) {
					if !chunked {
						w.Header().Set("Content-Length", fmt.Sprint(size))
					}
					w.Write(bad[:size-1])
					w.(http.Flusher).Flush()
					<-release
					w.Write(bad[size-1:])
				})
				defer begun.Do(func() { close(release) })
				c := s.openWith(checking("seals", new(atomic.Int64)))
				ctx := waiting(t)
				if size < 1<<20 {
					// Nothing will leave before its end has come.
					begun.Do(func() { close(release) })
				}
				var got bytes.Buffer
				o, err := c.Get(ctx, pkg)
				if err == nil {
					defer o.Close()
					// More than half of a large one leaves before its end has come.
					if _, err = o.SendTo(ctx, &got, 0, int64(size)/2); err != nil {
						t.Fatal(err)
					}
					begun.Do(func() { close(release) })
					_, err = o.SendTo(ctx, &got, int64(size)/2, -1)
				}
				if !refused(err) {
					t.Errorf("err = %v", err)
				}
				if size < 1<<20 && got.Len() > 0 || got.Len() >= size {
					t.Errorf("%d bytes left before the verdict", got.Len())
				}
				onDisk(t, s.dir, pkg, nil)
			})
		}
	}
}

// openWith opens the cache directory as a program does that checks.
func (s *site) openWith(check *cache.Check) *cache.Cache {
	m := s.mirrors()
	c, err := cache.Open(cache.Options{
		Dir: s.dir,
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path), Check: check}
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

// TestStoredIsCheckedOnce: however many ask for a file that was stored before
// anything was checked, it is checked once; and again when something else is
// checked for.
func TestStoredIsCheckedOnce(t *testing.T) {
	body := sealed(200_000, 45)
	s := newSite(t, file(body, day0))
	if _, _, err := get(s.open(nil), pkg); err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	for i, id := range []string{"seals", "seals", "other seals"} {
		c := s.openWith(checking(id, &count))
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if b, st, err := get(c, pkg); err != nil || !bytes.Equal(b, body) || st.String() != "imserve; hit" {
					t.Errorf("%d bytes, %s, %v", len(b), st, err)
				}
			})
		}
		wg.Wait()
		if n, want := count.Load(), []int64{1, 1, 2}[i]; n != want {
			t.Errorf("%s: checked %d times, want %d", id, n, want)
		}
	}
	if n := s.gets.Load(); n != 1 {
		t.Errorf("upstream saw %d requests", n)
	}
}

// TestRefusedIsNotFetchedAgain: what was refused is not fetched for each
// request: for a minute, or as long as the same bytes are promised.
func TestRefusedIsNotFetchedAgain(t *testing.T) {
	bad, good := broken(200_000, 48), sealed(200_000, 49)
	for _, w := range []cache.Want{{}, want(bad)} {
		b := newBench(t, pkg, mirror{body: bad})
		b.check = checking("seals", new(atomic.Int64))
		promise := &changing{}
		promise.set(w)
		c := b.openWith(promise)
		for range 3 {
			if _, _, err := get(c, pkg); !refused(err) {
				t.Errorf("err = %v", err)
			}
			c.Settled()
			if w.Known() {
				b.now.Add(int64(time.Hour))
			}
		}
		if n := b.sent(); n != int64(len(bad)) {
			t.Errorf("the mirror sent %d bytes", n)
		}
		b.put(0, good, day1)
		if w.Known() {
			promise.set(want(good))
		} else {
			b.now.Add(int64(time.Minute))
		}
		if body, _, err := get(c, pkg); err != nil || !bytes.Equal(body, good) {
			t.Errorf("%d bytes, %v", len(body), err)
		}
		c.Close()
	}
}

// TestFollowedDownloadIsChecked: what a program without the check downloads, one
// with it checks before it hands out the end.
func TestFollowedDownloadIsChecked(t *testing.T) {
	for _, tt := range []struct {
		name string
		body []byte
		ok   bool
	}{{"good", sealed(3<<20, 46), true}, {"bad", broken(3<<20, 47), false}} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, pkg, mirror{body: tt.body, faults: []testrepo.Fault{testrepo.Stall(2 << 20).Times(1)}})
			other, m := b.open(cache.Want{})
			b.check = checking("seals", new(atomic.Int64))
			ours, _ := b.open(cache.Want{})
			defer ours.Close()
			defer other.Close()
			ctx := waiting(t)
			done := make(chan error, 1)
			go func() {
				_, err := other.Prefetch(context.Background(), pkg, want(tt.body), m.Grab())
				done <- err
			}()
			if err := b.mirrors[0].AwaitStalled(ctx, 1); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			o, err := ours.Get(ctx, pkg)
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			if _, err := o.SendTo(ctx, &got, 0, 1<<20); err != nil {
				t.Fatal(err)
			}
			b.mirrors[0].Release()
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			_, err = o.SendTo(ctx, &got, 1<<20, -1)
			if tt.ok && (err != nil || !bytes.Equal(got.Bytes(), tt.body)) || !tt.ok && (err == nil || got.Len() >= len(tt.body)) {
				t.Errorf("%d bytes, %v", got.Len(), err)
			}
			ours.Settled()
			again, _, err := get(ours, pkg)
			if tt.ok && (err != nil || !bytes.Equal(again, tt.body)) || !tt.ok && !refused(err) {
				t.Errorf("asked again: %d bytes, %v", len(again), err)
			}
		})
	}
}
