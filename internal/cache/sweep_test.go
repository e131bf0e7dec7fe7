package cache_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestSweep: what a download that nobody went on with has left goes after a
// while; what is being downloaded stays, however old its file is.
func TestSweep(t *testing.T) {
	body := rpm(4000, 1)
	up := testrepo.Start(t, t.TempDir())
	if err := up.Put("/"+pkg.Path, body); err != nil {
		t.Fatal(err)
	}
	up.On("*", testrepo.Stall(2000))
	s := newSite(t, up.ServeHTTP)
	c := s.open(nil)
	dir := filepath.Join(s.dir, ".im", "partial")
	left := filepath.Join(dir, "left")
	if err := os.WriteFile(left, []byte("half a package"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := c.Prefetch(ctx, pkg, want(body), s.mirrors().Grab())
		done <- err
	}()
	if err := up.AwaitStalled(ctx, 1); err != nil {
		t.Fatal(err)
	}
	// The file's own time is the machine's; the cache's clock is far ahead of it.
	s.now.Store(time.Now().Add(time.Hour).UnixNano())
	if n, err := c.Sweep(2 * time.Hour); n != 0 || err != nil {
		t.Errorf("young files: %d removed, %v", n, err)
	}
	s.pass(24 * time.Hour)
	if n, err := c.Sweep(2 * time.Hour); n != 1 || err != nil {
		t.Errorf("%d removed, %v", n, err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("the old file: %v", err)
	}
	up.Heal()
	if err := <-done; err != nil {
		t.Error(err)
	}
	onDisk(t, s.dir, pkg, body)
}
