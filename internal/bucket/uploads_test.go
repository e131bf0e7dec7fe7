package bucket

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// depot is a cache whose files come from a directory.
type depot struct {
	*cache.Cache
	dir  string
	from string
	src  cache.Source
}

func newDepot(t *testing.T) *depot {
	t.Helper()
	d := &depot{dir: t.TempDir(), from: t.TempDir()}
	root, err := os.OpenRoot(d.from)
	if err != nil {
		t.Fatal(err)
	}
	d.src = upstream.Directory(root)
	d.Cache, err = cache.Open(cache.Options{
		Dir: d.dir, Source: func(string) cache.Source { return d.src },
		Policy: func(cache.Key) cache.Policy { return cache.Policy{MaxAge: time.Hour} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(); root.Close() })
	return d
}

// store stores a file, and tells u.
func (d *depot) store(t *testing.T, u *Uploads, name, body string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(d.from, name), []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
	k := cache.Key{Repo: "r", Path: name}
	out, err := d.Prefetch(t.Context(), k, cache.Want{}, d.src)
	if err != nil {
		t.Fatal(err)
	}
	u.Note(k, k.String(), out.Facts)
}

// uploadsOf is the uploads from a cache to a bucket.
func uploadsOf(t *testing.T, d *depot, b *Bucket) *Uploads {
	t.Helper()
	u, err := NewUploads(UploadOptions{Bucket: b, Cache: d.Cache, Wanted: func(k cache.Key, _ cache.Facts) bool { return k.Path != "private" }})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// TestUploadIsBrokenOff: that the program stops while it reads a file back says nothing of
// that file.
func TestUploadIsBrokenOff(t *testing.T) {
	b := open(t, testrepo.StartBucket(t), "")
	d := newDepot(t)
	u := uploadsOf(t, d, b)
	var log bytes.Buffer
	u.o.Log = slog.New(slog.NewTextHandler(&log, nil))
	k := cache.Key{Repo: "r", Path: "a.rpm"}
	d.store(t, u, k.Path, "bytes")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	sent, err := u.upload(ctx, waiting{Repo: k.Repo, Path: k.Path, At: k.String(), Anew: true})
	if sent > 0 || !errors.Is(err, context.Canceled) || log.Len() > 0 {
		t.Errorf("%d bytes, %v, log: %s", sent, err, &log)
	}
}

// TestUploads: what waits is uploaded once, by one, and outlives a server that is away.
func TestUploads(t *testing.T) {
	s := testrepo.StartBucket(t)
	b := open(t, s, "")
	d := newDepot(t)
	u := uploadsOf(t, d, b)
	status := func(waiting, uploaded int64, failing bool) {
		t.Helper()
		if got := u.Status(); got.Waiting != waiting || got.Uploaded != uploaded || failing != (got.Error != "") || failing == got.Since.IsZero() || got.Bucket != "s3://site" {
			t.Errorf("%+v, want %d waiting, %d uploaded, failing %v", got, waiting, uploaded, failing)
		}
	}

	d.store(t, u, "a.rpm", "one")
	d.store(t, u, "a.rpm", "one") // it is noted again
	d.store(t, u, "private", "two")
	if err := u.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	status(0, 1, false)
	if got := names(t, b); !slices.Equal(got, []string{"r/a.rpm 3"}) {
		t.Errorf("there are %q", got)
	}

	// What the bucket has already is not uploaded again, unless it is damaged there.
	k := cache.Key{Repo: "r", Path: "a.rpm"}
	f, err := d.Known(k)
	if err != nil {
		t.Fatal(err)
	}
	u.Note(k, k.String(), f)
	if err := u.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	status(0, 1, false)
	b.Damaged(k)
	u.Note(k, k.String(), f)
	if err := u.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	status(0, 2, false)

	// What is gone, withdrawn or damaged here does not go there.
	d.store(t, u, "gone.rpm", "gone")
	d.store(t, u, "withdrawn.rpm", "withdrawn")
	d.store(t, u, "damaged.rpm", "damaged")
	if _, _, err := d.Purge("r/gone.rpm"); err != nil {
		t.Fatal(err)
	}
	if ok, err := d.Withdraw(cache.Key{Repo: "r", Path: "withdrawn.rpm"}, "a test", false); !ok || err != nil {
		t.Fatal(ok, err)
	}
	name := filepath.Join(d.dir, "r", "damaged.rpm")
	fi, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.WriteFile(name, []byte("DAMAGED"), 0o644), os.Chtimes(name, fi.ModTime(), fi.ModTime())); err != nil {
		t.Fatal(err)
	}
	if err := u.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	status(0, 2, false)

	// A server that is away loses nothing; a second process takes it up.
	s.Kill()
	d.store(t, u, "b.rpm", "four")
	if err := u.Drain(t.Context()); err == nil {
		t.Error("no error without a server")
	}
	status(1, 2, true)
	s.Start()
	u = uploadsOf(t, d, b)
	status(1, 0, false)
	unlock, err := u.queue.lock()
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Drain(t.Context()); !errors.Is(err, errElsewhere) {
		t.Errorf("while another uploads: %v", err)
	}
	unlock()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); u.Tend(ctx) }()
	await(t, "an upload of what was left", func() bool { return u.Status().Uploaded == 1 })
	d.store(t, u, "c.rpm", "five!")
	await(t, "an upload of what has come", func() bool { return u.Status().Uploaded == 2 })
	stop()
	<-ended
	if got, want := names(t, b), []string{"r/a.rpm 3", "r/b.rpm 4", "r/c.rpm 5"}; !slices.Equal(got, want) {
		t.Errorf("there are %q, want %q", got, want)
	}
}

// await waits for what another goroutine does.
func await(t *testing.T, what string, there func() bool) {
	t.Helper()
	end := time.After(2 * time.Minute)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !there() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// TestQueue: a file waits once, for one reader, and no more than may.
func TestQueue(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "queue")
	q, err := openQueue(dir, 2)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 26, 3, 0, 0, 0, time.UTC)
	a, b, c := waiting{Repo: "r", Path: "a", At: "r/a", Since: at}, waiting{Repo: "r", Path: "b", At: "r/b", Since: at}, waiting{Repo: "r", Path: "c", At: "r/c", Since: at}
	for _, w := range []waiting{a, b} {
		if err := q.add(w); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.add(c); !errors.Is(err, errFull) {
		t.Errorf("one too many: %v", err)
	}
	list, err := q.names()
	if err != nil || len(list) != 2 {
		t.Fatal(list, err)
	}
	w, ok := q.read(list[0])
	if !ok {
		t.Fatal("what was put in can't be read")
	}
	// It is stored anew while it is uploaded: it waits on.
	again := w
	again.Since = at.Add(time.Minute)
	q.n.Store(0)
	if err := q.add(again); err != nil {
		t.Fatal(err)
	}
	q.done(w)
	if now, ok := q.read(list[0]); !ok || !now.Since.Equal(again.Since) {
		t.Errorf("%+v, %v; want what has come last", now, ok)
	}
	q.done(again)
	if _, err := os.Stat(filepath.Join(dir, list[0])); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is done still waits: %v", err)
	}
	// What a crash has torn is not there.
	if err := os.WriteFile(filepath.Join(dir, list[1]), []byte(`{"repo":"r`), 0o644); err != nil {
		t.Fatal(err)
	}
	if w, ok := q.read(list[1]); ok {
		t.Errorf("half a file is read as %+v", w)
	}
	if list, err := q.names(); err != nil || len(list) != 0 {
		t.Errorf("%q still wait, %v", list, err)
	}
	// And somebody has tidied up.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if list, err := q.names(); err != nil || len(list) != 0 {
		t.Errorf("%q, %v", list, err)
	}
	if err := q.add(a); err != nil {
		t.Error(err)
	}
	if n, err := openQueue(dir, 2); err != nil || n.n.Load() != 1 {
		t.Errorf("one who comes later counts %d, %v", n.n.Load(), err)
	}
	unlock, err := q.lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := q.lock(); !errors.Is(err, errElsewhere) {
		t.Errorf("a second one: %v", err)
	}
	unlock()
	if unlock, err = q.lock(); err != nil {
		t.Fatal(err)
	}
	unlock()
}
