package cache_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestSweepUnfinished: what a program that was killed had written, and not yet given
// its name, goes after a while; what has a name of its own stays, and what is young.
func TestSweepUnfinished(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	c := s.open(nil)
	own := filepath.Join(s.dir, ".im")
	write := func(name string) {
		t.Helper()
		path := filepath.Join(own, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("text"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	goes := []string{".im/.new-1", ".im/gen/.abcd-primary.xml.gz", ".im/gen/.new-1", ".im/gen/abcd/.new-1", ".im/lists/.new-1", ".im/tombstones/.new-1"}
	stays := []string{"gen/abcd.root", "gen/abcd/primary.xml.gz", "tombstones/r/.treeinfo", "tombstones/r/.new-1", "usage"}
	for _, name := range goes {
		write(strings.TrimPrefix(name, ".im/"))
	}
	for _, name := range stays {
		write(name)
	}
	// As links to metadata have it, which is older than anything that is under way.
	old := time.Now().AddDate(-1, 0, 0)
	if err := os.Chtimes(filepath.Join(own, "gen/.abcd-primary.xml.gz"), old, old); err != nil {
		t.Fatal(err)
	}
	s.now.Store(time.Now().Add(time.Hour).UnixNano())
	if gone, err := c.Sweep(2*time.Hour, false); len(gone) != 0 || err != nil {
		t.Errorf("young files: %v removed, %v", gone, err)
	}
	s.pass(24 * time.Hour)
	for _, rehearse := range []bool{true, false} {
		gone, err := c.Sweep(2*time.Hour, rehearse)
		var names []string
		for _, l := range gone {
			names = append(names, l.Path)
		}
		slices.Sort(names)
		if err != nil || !slices.Equal(names, goes) {
			t.Errorf("rehearsal %t: %q removed, %v, want %q", rehearse, names, err, goes)
		}
	}
	for _, name := range goes {
		if _, err := os.Stat(filepath.Join(s.dir, name)); !os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range stays {
		if _, err := os.Stat(filepath.Join(own, name)); err != nil {
			t.Error(err)
		}
	}
}
