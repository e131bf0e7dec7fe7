package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// newLocked is the partial file of k in a new cache, locked.
func newLocked(t *testing.T, k Key, w Want) (*Cache, *Partial) {
	t.Helper()
	c, err := Open(Options{
		Dir:    t.TempDir(),
		Policy: func(Key) Policy { return Policy{Format: AnyFormat} },
		Source: func(string) Source { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, lockAgain(t, c, k, w)
}

func lockAgain(t *testing.T, c *Cache, k Key, w Want) *Partial {
	t.Helper()
	path := c.partials.path(k)
	file, held, err := c.partials.lock(path)
	if err != nil || !held {
		t.Fatal(held, err)
	}
	p, err := newPartial(&c.partials, file, path, w, AnyFormat)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

var testKey = Key{Repo: "r", Path: "x/y"}

// TestFollowTheLastMoment: a process that begins to follow another when that has
// already committed learns how long the file is before any client can be told.
func TestFollowTheLastMoment(t *testing.T) {
	c, p := newLocked(t, testKey, Want{})
	body := strings.Repeat("body", 1000)
	if err := errors.Join(p.Begin(Head{Length: int64(len(body)), URL: "u"}), write(p, body), p.Complete()); err != nil {
		t.Fatal(err)
	}
	theirs, held, err := c.partials.lock(p.path)
	if err != nil || held {
		t.Fatal(held, err)
	}
	if _, err := c.tree.seal(p, p.facts()); err != nil {
		t.Fatal(err)
	}
	if _, err := c.tree.commit(p, testKey.String()); err != nil {
		t.Fatal(err)
	}
	p.committed = true
	p.release(false)

	f := newFill(testKey, Want{}, nil)
	f.enter()
	_, end, err := c.follow(t.Context(), f, theirs, p.path)
	if err != nil || end.answer != Changed || !end.joined {
		t.Fatalf("%+v, %v", end, err)
	}
	file, now, err := f.attach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := arriving(f, file, now, Status{})
	defer o.Close()
	if o.Size() != int64(len(body)) {
		t.Errorf("a client is told of %d bytes, of %d", o.Size(), len(body))
	}
	f.finish(end)
	var got strings.Builder
	if _, err := o.SendTo(t.Context(), &got, 0, -1); err != nil || got.String() != body {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	f.leave()
}

func write(w io.Writer, s string) error {
	_, err := io.WriteString(w, s)
	return err
}

// TestBeside: a Source that writes the file by itself is believed no byte that is not
// there, and what it has told of is not read again.
func TestBeside(t *testing.T) {
	const body = "all of the body"
	for _, c := range []struct {
		name          string
		there         string // from an earlier try
		written, told string // now
		err           error
		again         bool // the file is read again
	}{
		{"whole", "", body, body, nil, false},
		{"the rest", body[:5], body[5:], body[5:], nil, false},
		{"wrong bytes", "", "all of the b0dy", "all of the b0dy", ErrWrongContent, false},
		{"not all could be written", "", body[:9], body, io.ErrUnexpectedEOF, true},
		{"not all was told", "", body, body[:9], nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sum := Digest("sha256:").New()
			io.WriteString(sum, body)
			w := Want{Digest: SHA256(sum.Sum(nil)), Size: int64(len(body))}
			_, p := newLocked(t, testKey, w)
			if err := p.Begin(Head{Length: w.Size, URL: "u"}); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p.Path(), []byte(c.there), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := p.Measure(); err != nil {
				t.Fatal(err)
			}
			digest, err := p.Beside()
			if err != nil {
				t.Fatal(err)
			}
			file, err := os.OpenFile(p.Path(), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(write(file, c.written), write(digest, c.told), file.Close(), p.Measure()); err != nil {
				t.Fatal(err)
			}
			if again := p.hashed != p.size; again != c.again {
				t.Errorf("%d of %d bytes are hashed", p.hashed, p.size)
			}
			if err := p.Complete(); !errors.Is(err, c.err) {
				t.Errorf("%v, want %v", err, c.err)
			}
		})
	}
}

// TestNobodyIsToldOfNothing: between the end of one inode and the first bytes of
// the next there is nothing that a client could be told.
func TestNobodyIsToldOfNothing(t *testing.T) {
	_, p := newLocked(t, testKey, Want{})
	defer p.release(true)
	f := newFill(testKey, Want{}, nil)
	f.enter()
	p.grown = f.grow
	if err := errors.Join(p.Begin(Head{Length: 4000}), write(p, strings.Repeat("x", 1000))); err != nil {
		t.Fatal(err)
	}
	if err := p.Begin(Head{Length: 4000}); err != nil { // it starts over
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if file, now, err := f.attach(ctx); file != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("a client may read %d bytes of %d, %v", now.size, now.head.Length, err)
	}
	for _, end := range []ending{{answer: Gone}, {answer: Changed, err: io.ErrUnexpectedEOF}, {answer: Same}, {answer: Unreachable, err: errAnother}} {
		f := newFill(testKey, Want{}, nil)
		f.enter()
		p.grown = f.grow
		if err := write(p, strings.Repeat("x", 600)); err != nil {
			t.Fatal(err)
		}
		file, now, err := f.attach(t.Context())
		if err != nil || file == nil {
			t.Fatal(err)
		}
		o := arriving(f, file, now, Status{})
		f.now.file = nil // p's
		f.finish(end)
		if n, err := o.SendTo(t.Context(), io.Discard, 0, -1); err == nil {
			t.Errorf("after %+v %d bytes look whole", end, n)
		}
		o.Close()
		if file, _, err := f.attach(t.Context()); file != nil || err != nil {
			t.Errorf("after %+v a client gets %v, %v", end, file, err)
		}
	}
}

var errAnother = errors.New("another")

// TestPartialSurvives: what a killed process leaves is gone on with where it can
// be, at each step.
func TestPartialSurvives(t *testing.T) {
	body := strings.Repeat("0123456789", 100)
	h := Head{Length: 1000, URL: "http://m.test/x", ETag: `"e"`, LastModified: "Sat, 21 Nov 2026 00:00:00 GMT"}
	sum := Want{Digest: "sha256:" + Digest(strings.Repeat("a", 64)), Size: 1000}
	for _, tt := range []struct {
		name  string
		first Want
		steps func(c *Cache, p *Partial) error
		then  Want
		size  int64
		head  Head
	}{
		{"begun", Want{}, func(_ *Cache, p *Partial) error { return p.Begin(h) }, Want{}, 0, Head{}},
		{"some bytes", Want{}, func(_ *Cache, p *Partial) error { return errors.Join(p.Begin(h), write(p, body[:500])) }, Want{}, 500, h},
		{"some bytes, promised now", Want{}, func(_ *Cache, p *Partial) error { return errors.Join(p.Begin(h), write(p, body[:500])) }, sum, 500, h},
		{"some bytes, promised too short now", Want{}, func(_ *Cache, p *Partial) error { return errors.Join(p.Begin(h), write(p, body[:500])) }, Want{Digest: sum.Digest, Size: 499}, 0, Head{}},
		{"some bytes, something else is promised now", sum, func(_ *Cache, p *Partial) error { return errors.Join(p.Begin(h), write(p, body[:500])) },
			Want{Digest: "sha256:" + Digest(strings.Repeat("b", 64)), Size: 1000}, 0, Head{}},
		{"some bytes without an attribute", Want{}, func(_ *Cache, p *Partial) error {
			return errors.Join(p.Begin(h), write(p, body[:500]), removeAttr(p.file, partialAttr))
		}, Want{}, 0, Head{}},
		{"complete", Want{}, func(_ *Cache, p *Partial) error { return errors.Join(p.Begin(h), write(p, body), p.Complete()) }, Want{}, 1000, h},
		{"in the middle of the commit", Want{}, func(c *Cache, p *Partial) error {
			// The rename fails: in its place is a directory.
			err := errors.Join(p.Begin(h), write(p, body), p.Complete(), c.tree.root.MkdirAll("r/x/y/z", 0o755))
			_, serr := c.tree.seal(p, p.facts())
			if _, cerr := c.tree.commit(p, "r/x/y"); cerr == nil {
				return errors.New("a directory was replaced")
			}
			return errors.Join(err, serr)
		}, Want{}, 1000, h},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, p := newLocked(t, testKey, tt.first)
			if err := tt.steps(c, p); err != nil {
				t.Fatal(err)
			}
			p.file.Close() // killed: nothing is released but the lock
			p = lockAgain(t, c, testKey, tt.then)
			defer p.release(false)
			tt.head.Want = tt.first
			if tt.size == 0 {
				tt.head.Want = Want{}
			}
			if size, head := p.Resume(); size != tt.size || head != tt.head {
				t.Errorf("%d bytes of %+v, want %d of %+v", size, head, tt.size, tt.head)
			}
		})
	}
}

// TestRoomForUnknownLength: a body that does not say how long it is ends where
// the room does.
func TestRoomForUnknownLength(t *testing.T) {
	c, p := newLocked(t, testKey, Want{})
	defer p.release(false)
	if err := p.Begin(Head{Length: -1}); err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	if _, err := p.Write(block); err != nil {
		t.Fatal(err)
	}
	c.space.minFree = 1 << 60 // somebody else fills the disk
	for n := 1; ; n++ {
		_, err := p.Write(block)
		if errors.Is(err, ErrUnstorable) {
			break
		}
		if err != nil || n > 2*roomEvery>>20 {
			t.Fatalf("after %d MiB: %v", n, err)
		}
	}
}

func TestReserve(t *testing.T) {
	c, p := newLocked(t, testKey, Want{})
	defer p.release(false)
	if err := p.Begin(Head{Length: 1 << 20}); err != nil {
		t.Fatal(err)
	}
	fi, err := p.file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if st := fi.Sys().(*syscall.Stat_t); fi.Size() != 0 || st.Blocks*512 < 1<<20 {
		t.Errorf("%d bytes on %d blocks: nothing was reserved", fi.Size(), st.Blocks)
	}
	for _, n := range []int64{-1, 0, 1} {
		c.space.minFree = 1 << 60
		if err := p.reserve(n); !errors.Is(err, ErrUnstorable) {
			t.Errorf("%d bytes: %v", n, err)
		}
		c.space.minFree = 0
		if err := p.reserve(n); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := p.reserve(1 << 60); !errors.Is(err, ErrUnstorable) {
		t.Errorf("more than any disk has: %v", err)
	}
}

// TestStoreError: no error of the disk says that upstream has no such file.
func TestStoreError(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOENT, syscall.ENOSPC, syscall.EDQUOT, syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EIO, syscall.EMFILE, syscall.ENOTDIR, syscall.EFBIG} {
		err := storeError(fmt.Errorf("try: %w", &fs.PathError{Op: "open", Path: "x", Err: errno}))
		if !errors.Is(err, ErrUnstorable) || errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), errno.Error()) {
			t.Errorf("%v: %v", errno, err)
		}
		if again := storeError(err); again != err {
			t.Errorf("%v is wrapped twice", again)
		}
	}
	for _, err := range []error{nil, io.ErrUnexpectedEOF, context.Canceled} {
		if got := storeError(err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

func TestBounded(t *testing.T) {
	h := Head{Length: 7, URL: "http://m.test/x", ETag: `W/"é"`, LastModified: strings.Repeat("x", 300), Want: Want{Size: 1}}
	if got, want := h.bounded(), (Head{Length: 7, URL: "http://m.test/x", Want: Want{Size: 1}}); got != want {
		t.Errorf("%+v", got)
	}
	h = Head{URL: "http://m.test/?" + strings.Repeat("&<>", 400), ETag: `"e"`, LastModified: "Sat"}
	if got, want := h.bounded(), (Head{LastModified: "Sat"}); got != want {
		t.Errorf("%+v", got)
	}
	// The longest that are kept fit into an attribute, beside digests of the longest kind.
	h = Head{
		URL: strings.Repeat("&", maxURL), ETag: strings.Repeat(`"`, maxValidator), LastModified: strings.Repeat("x", maxValidator),
		Want: Want{Digest: testDigest("sha512", 'a'), Size: 1 << 60},
	}
	_, p := newLocked(t, testKey, Want{})
	defer p.release(false)
	if err := writeAttr(p.file, partialAttr, h.bounded()); err != nil || h.bounded() != h {
		t.Error(err)
	}
	p.head = h
	f := p.facts()
	f.SHA256, f.Met, f.Size = testDigest("sha256", 'a'), testDigest("sha512", 'a'), 1<<60
	f.ModTime, f.Validated, f.Prefetched = time.Now(), time.Now(), time.Now()
	if err := errors.Join(removeAttr(p.file, partialAttr), writeAttr(p.file, factsAttr, f)); err != nil {
		t.Error(err)
	}
}

// TestNoAttributes: where the file system has none, that is no error.
func TestNoAttributes(t *testing.T) {
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(writeAttr(f, factsAttr, Facts{}), removeAttr(f, factsAttr)); err != nil {
		t.Error(err)
	}
	if facts := readFacts(f, fi); facts != nil {
		t.Errorf("%+v", facts)
	}
}

// TestVoidFacts: an attribute that can't be this file's is none.
func TestVoidFacts(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	right := Facts{Size: 4, ModTime: fi.ModTime().UTC(), SHA256: testDigest("sha256", 'a')}
	for want, v := range map[bool][]any{
		true:  {right},
		false: {"text", []int{1}, Facts{Size: 5, ModTime: right.ModTime}, Facts{Size: 4, ModTime: right.ModTime.Add(1)}, Facts{}},
	} {
		for _, v := range v {
			if err := writeAttr(f, factsAttr, v); err != nil {
				t.Fatal(err)
			}
			if got := readFacts(f, fi); (got != nil) != want {
				t.Errorf("%+v: %+v", v, got)
			}
		}
	}
	if err := writeAttr(f, factsAttr, strings.Repeat("x", maxAttr)); err == nil {
		t.Error("an attribute that is too long was written")
	}
}

// TestLock: the lock follows the name, not the inode.
func TestLock(t *testing.T) {
	c, p := newLocked(t, testKey, Want{})
	if err := errors.Join(p.Begin(Head{Length: 10}), write(p, "12345")); err != nil {
		t.Fatal(err)
	}
	old, held, err := c.partials.lock(p.path)
	if err != nil || held {
		t.Fatalf("the lock was had twice: %v, %v", held, err)
	}
	defer old.Close()
	if err := p.Begin(Head{Length: 10}); err != nil { // a new inode
		t.Fatal(err)
	}
	if held, err := tryLock(old); err != nil || !held || sameFile(old, p.path) {
		t.Errorf("the inode that was given up: %v, %v", held, err)
	}
	if file, held, err := c.partials.lock(p.path); err != nil || held {
		t.Errorf("the new inode is not locked: %v, %v", held, err)
	} else {
		file.Close()
	}
	p.Reject()
	p.release(false)
	if _, err := os.Stat(p.path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was rejected is still there: %v", err)
	}
	if p := lockAgain(t, c, testKey, Want{}); p.size != 0 {
		t.Errorf("%d bytes of a removed file", p.size)
	} else {
		p.release(false)
	}
}
