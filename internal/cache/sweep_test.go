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
	if gone, err := c.Sweep(2*time.Hour, false); len(gone) != 0 || err != nil {
		t.Errorf("young files: %v removed, %v", gone, err)
	}
	s.pass(24 * time.Hour)
	if gone, err := c.Sweep(2*time.Hour, true); len(gone) != 2 || err != nil {
		t.Errorf("a rehearsal: %v removed, %v", gone, err)
	}
	if gone, err := c.Sweep(2*time.Hour, false); len(gone) != 1 || err != nil || gone[0].Path != ".im/partial/left" || gone[0].Bytes == 0 {
		t.Errorf("%v removed, %v", gone, err)
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
