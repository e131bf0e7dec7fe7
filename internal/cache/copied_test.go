package cache_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// copied is a Source that brings a body as it is stored in another cache.
type copied struct {
	body []byte
	head cache.Head
}

func (c copied) Fetch(_ context.Context, _ cache.Request, p *cache.Partial) error {
	if err := p.Begin(cache.Head{Length: int64(len(c.body)), URL: "http://other/x"}); err != nil {
		return err
	}
	p.Describe(c.head)
	if _, err := p.Write(c.body); err != nil {
		return err
	}
	return p.Complete()
}

func openCopy(t *testing.T, now time.Time) (c *cache.Cache, dir string) {
	t.Helper()
	dir = t.TempDir()
	c, err := cache.Open(cache.Options{
		Dir: dir, Now: func() time.Time { return now },
		Policy: func(k cache.Key) cache.Policy { return cache.Policy{MaxAge: time.Hour, Format: cache.FormatOf(k.Path)} },
		Source: func(string) cache.Source { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, dir
}

// TestCopied holds that a copy has what the other cache knows of the file: who gave
// it, its validators, its time, and when upstream was asked for it last.
func TestCopied(t *testing.T) {
	now := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	c, dir := openCopy(t, now)
	body := rpm(3000, 7)
	sum := sha256.Sum256(body)
	want := cache.Want{Digest: cache.SHA256(sum[:]), Size: 3000}
	head := cache.Head{
		URL: "https://mirror/pkg", ETag: `"tag"`, LastModified: "Sun, 01 Nov 2026 00:00:00 GMT",
		ModTime: now.Add(-48*time.Hour + 5*time.Nanosecond), Validated: now.Add(-30 * time.Minute),
	}
	if _, err := c.Prefetch(t.Context(), pkg, want, copied{body, head}); err != nil {
		t.Fatal(err)
	}
	f, err := c.Known(pkg)
	if err != nil || f.URL != head.URL || f.ETag != head.ETag || f.LastModified != head.LastModified ||
		!f.ModTime.Equal(head.ModTime) || !f.Validated.Equal(head.Validated) || f.SHA256 != want.Digest {
		t.Errorf("%v, %+v", err, f)
	}
	fi, err := os.Stat(filepath.Join(dir, pkg.String()))
	if err != nil || !fi.ModTime().Equal(head.ModTime) {
		t.Errorf("its time on the disk: %v, %v", fi.ModTime(), err)
	}
	if got := f.Head(); got.URL != head.URL || !got.ModTime.Equal(head.ModTime) || !got.Validated.Equal(head.Validated) {
		t.Errorf("what the copy tells of it: %+v", got)
	}
}

// TestSum holds that a digest which nobody knew is computed once, and kept.
func TestSum(t *testing.T) {
	c, dir := openCopy(t, time.Now())
	name := filepath.Join(dir, "r", "adopted.rpm")
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte("text"))
	for range 2 {
		f, err := c.Sum(t.Context(), "r/adopted.rpm")
		if err != nil || f.SHA256 != cache.SHA256(sum[:]) || f.Size != 4 {
			t.Errorf("%+v, %v", f, err)
		}
	}
	if f, err := c.Known(cache.Key{Repo: "r", Path: "adopted.rpm"}); err != nil || f.SHA256 == "" || !f.Validated.IsZero() {
		t.Errorf("kept: %+v, %v", f, err)
	}
	if _, err := c.Sum(t.Context(), "r/nothing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of nothing: %v", err)
	}
}

// TestDiscard holds that only the file goes which the other cache had, and nothing
// that a client reads.
func TestDiscard(t *testing.T) {
	c, dir := openCopy(t, time.Now())
	body := rpm(3000, 7)
	sum := sha256.Sum256(body)
	want := cache.Want{Digest: cache.SHA256(sum[:]), Size: 3000}
	if _, err := c.Prefetch(t.Context(), pkg, want, copied{body: body}); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.Discard(pkg, cache.SHA256(make([]byte, 32))); ok || err != nil {
		t.Errorf("another one's: %t, %v", ok, err)
	}
	o, err := c.Placed(pkg.String(), cache.Status{})
	if err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.Discard(pkg, want.Digest); ok || !errors.Is(err, cache.ErrInUse) {
		t.Errorf("while it is read: %t, %v", ok, err)
	}
	o.Close()
	onDisk(t, dir, pkg, body)
	if freed, ok, err := c.Discard(pkg, want.Digest); !ok || err != nil || freed <= 0 {
		t.Errorf("%d bytes, %t, %v", freed, ok, err)
	}
	if _, ok, err := c.Discard(pkg, want.Digest); ok || err != nil {
		t.Errorf("what is gone: %t, %v", ok, err)
	}
	if _, err := c.Known(pkg); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
