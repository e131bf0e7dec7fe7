package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// disk mounts a small file system of its own for a test, so many bytes large.
// Who may not mount skips the test, but in CI.
func disk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0755", size))
	switch {
	case err != nil && os.Getenv("CI") == "true":
		t.Fatalf("a file system of the test's own can't be mounted: %v", err)
	case err != nil:
		t.Skipf("a file system of the test's own can't be mounted: %v", err)
	}
	t.Cleanup(func() {
		// The test has closed its files; a reader that is about to may hold it a moment longer.
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill takes all that is free on the disk of dir.
func fill(t *testing.T, dir string) (filler string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return f.Name()
}

// space is what the status says of the cache.
func (m *mirror) space() cache.Space {
	m.t.Helper()
	r := m.do(m.request("GET", "/-/status.json"))
	var status struct{ Cache cache.Space }
	if err := json.Unmarshal(r.body, &status); err != nil {
		m.t.Fatalf("%v: %s", err, r.body)
	}
	return status.Cache
}

// crowd asks for a file many times at once; each answer has to be whole.
func (m *mirror) crowd(path string, body []byte) {
	m.t.Helper()
	var wg sync.WaitGroup
	for range 8 {
		req := m.request("GET", path)
		wg.Go(func() {
			if r := m.try(req); r.err != nil || r.StatusCode != 200 || !bytes.Equal(r.body, body) {
				m.t.Errorf("%s: %s, %d bytes of %d, %v (%s)", path, r.Status, len(r.body), len(body), r.err, r.status())
			}
		})
	}
	wg.Wait()
}

// await waits until a file that has been asked for is stored: its clients have
// all bytes a moment before.
func (m *mirror) await(path string) {
	m.t.Helper()
	for m.get(path).status() != "imserve; hit" || m.cache.Activity().Downloads > 0 {
		runtime.Gosched()
	}
}

// TestDiskThatTakesNothing: where the disk is full or can't be written, each
// request is passed through, what is stored is served, and the status and the log
// say why; when it takes files again all is as it was.
func TestDiskThatTakesNothing(t *testing.T) {
	readOnly := func(t *testing.T, dir string, on uintptr) {
		t.Helper()
		if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|on, ""); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name    string
		minFree int64
		spoil   func(t *testing.T, dir string) (mend func())
		problem string
		page    string
	}{
		{"full", 0, func(t *testing.T, dir string) func() {
			name := fill(t, dir)
			return func() { os.Remove(name) }
		}, "The disk of cache_dir is full", ""},
		{"as full as it may be", 1 << 20, func(t *testing.T, dir string) func() {
			name := filepath.Join(dir, "filler")
			if err := os.WriteFile(name, make([]byte, 1_100_000), 0o644); err != nil {
				t.Fatal(err)
			}
			return func() { os.Remove(name) }
		}, "The disk of cache_dir is full", ""},
		{"read-only", 0, func(t *testing.T, dir string) func() {
			readOnly(t, dir, unix.MS_RDONLY)
			return func() { readOnly(t, dir, 0) }
		}, "cache_dir can", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			small, large := rpm(20_000, 1), rpm(600_000, 2)
			dir := disk(t, 2<<20)
			m := newMirror(t, setup{dir: filepath.Join(dir, "cache"), size: 1 << 30, minFree: tt.minFree, tend: true})
			m.put("a-1.rpm", small)
			m.put("b-1.rpm", large)
			m.crowd("a-1.rpm", small)
			m.await("a-1.rpm")
			if s := m.space(); s.Problem != "" || s.Size != 1<<30 || s.Disk != 2<<20 || s.Bytes < 20_000 {
				t.Errorf("before: %+v", s)
			}
			mend := tt.spoil(t, dir)
			for range 2 {
				m.crowd("b-1.rpm", large)
			}
			if r := m.do(m.request("GET", "b-1.rpm")); r.status() != "imserve; fwd=bypass; detail=unstorable" {
				t.Errorf("it says %q", r.status())
			}
			if r := m.do(m.request("GET", "b-1.rpm", "Range", "bytes=100-199")); r.StatusCode != 206 || !bytes.Equal(r.body, large[100:200]) {
				t.Errorf("a range: %s, %d bytes", r.Status, len(r.body))
			}
			m.up.On("/r/b-1.rpm", testrepo.Status(503).Times(1))
			if r := m.do(m.request("GET", "b-1.rpm")); r.StatusCode != 502 || !strings.HasPrefix(string(r.body), "No route to host") {
				t.Errorf("a mirror that is overloaded is out of reach: %s, %.200q", r.Status, r.body)
			}
			if r := m.do(m.request("GET", "a-1.rpm")); r.status() != "imserve; hit" || !bytes.Equal(r.body, small) {
				t.Errorf("what is stored: %s, %q", r.Status, r.status())
			}
			if s := m.space(); !strings.HasPrefix(s.Problem, tt.problem) || s.Refused == 0 {
				t.Errorf("the status: %+v", s)
			}
			if page := m.do(m.request("GET", "/-/")); !strings.Contains(string(page.body), `role="alert">`+tt.problem) {
				t.Errorf("the page does not say it: %s", page.body)
			}
			if n := strings.Count(m.log.String(), "a file can't be stored"); n != 1 {
				t.Errorf("%d warnings in the log, want one in this minute:\n%s", n, m.log)
			}
			mend()
			m.crowd("b-1.rpm", large)
			m.await("b-1.rpm")
			if !bytes.Equal(m.stored("b-1.rpm"), large) {
				t.Error("it is not stored when it can be")
			}
			if s := m.space(); s.Problem != "" {
				t.Errorf("then: %+v", s)
			}
		})
	}
}

// TestSmallDisk: a cache that is larger than its disk keeps min_free by evicting,
// and no request fails or goes past it meanwhile.
func TestSmallDisk(t *testing.T) {
	dir := disk(t, 4<<20)
	m := newMirror(t, setup{dir: filepath.Join(dir, "cache"), size: 1 << 30, minFree: 1 << 20, tend: true})
	for i := range 30 {
		name, body := fmt.Sprintf("%d/p-%d.rpm", i, i), rpm(256<<10, byte(i))
		m.put(name, body)
		if r := m.do(m.request("GET", name)); r.err != nil || !bytes.Equal(r.body, body) || r.status() != "imserve; fwd=uri-miss; stored" {
			t.Fatalf("%d: %s, %d bytes, %v, %q", i, r.Status, len(r.body), r.err, r.status())
		}
	}
	m.await("29/p-29.rpm")
	if n := m.up.Count("", "*/p-29.rpm"); n != 1 {
		t.Errorf("the last file was fetched %d times", n)
	}
	s := m.space()
	if s.Free < 1<<20 || s.Evicted < 15 || s.Freed < 15<<18 || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

// TestOthersFillTheDisk: where others have taken what min_free keeps free, files go that
// make up for it.
func TestOthersFillTheDisk(t *testing.T) {
	const minFree, left, size = 1 << 20, 600 << 10, 256 << 10
	dir := disk(t, 8<<20)
	m := newMirror(t, setup{dir: filepath.Join(dir, "cache"), size: 1 << 30, minFree: minFree, tend: true})
	for i := range 8 {
		name := fmt.Sprintf("p-%d.rpm", i)
		m.put(name, rpm(size, byte(i)))
		m.do(m.request("GET", name))
		m.await(name)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "filler"), make([]byte, int64(st.Bavail)*st.Bsize-left), 0o644); err != nil {
		t.Fatal(err)
	}
	m.put("new.rpm", rpm(size, 100))
	if r := m.do(m.request("GET", "new.rpm")); r.status() != "imserve; fwd=uri-miss; stored" {
		t.Fatalf("%s, %q", r.Status, r.status())
	}
	m.await("new.rpm")
	if s := m.space(); s.Free < minFree || s.Evicted < 2 || s.Evicted == 8 || s.Problem != "" {
		t.Errorf("%+v", s)
	}
}

// takes is what lies in the cache directory, in bytes.
func (m *mirror) takes() (n int64) {
	m.t.Helper()
	seen := map[uint64]bool{} // a download may get its name while we look
	err := filepath.WalkDir(m.dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // evicted at this moment
		}
		if err != nil || e.IsDir() {
			return err
		}
		if fi, err := e.Info(); err == nil && !seen[fi.Sys().(*syscall.Stat_t).Ino] {
			seen[fi.Sys().(*syscall.Stat_t).Ino] = true
			n += fi.Size()
		}
		return nil
	})
	if err != nil {
		m.t.Error(err)
	}
	return n
}

// TestCacheSize: the cache stays within its size while clients ask for more than
// that, and what is larger than all of it is passed through.
func TestCacheSize(t *testing.T) {
	const size = 4 << 20
	m := newMirror(t, setup{size: size, tend: true})
	huge := rpm(size+1, 99)
	m.put("huge.rpm", huge)
	for i := range 30 {
		name, body := fmt.Sprintf("%d/p-%d.rpm", i, i), rpm(256<<10, byte(i))
		m.put(name, body)
		if r := m.do(m.request("GET", name)); r.err != nil || !bytes.Equal(r.body, body) || r.status() != "imserve; fwd=uri-miss; stored" {
			t.Fatalf("%d: %s, %d bytes, %v, %q", i, r.Status, len(r.body), r.err, r.status())
		}
		if n := m.takes(); n > size {
			t.Errorf("after %d files it takes %d bytes", i+1, n)
		}
	}
	if r := m.do(m.request("GET", "huge.rpm")); !bytes.Equal(r.body, huge) || r.status() != "imserve; fwd=bypass; detail=unstorable" {
		t.Errorf("larger than the cache: %s, %d bytes, %q", r.Status, len(r.body), r.status())
	}
	if s := m.space(); s.Problem != "" || s.Evicted < 15 || s.Refused != 0 {
		t.Errorf("%+v", s)
	}
	// Nor is a page in its place passed through.
	m.put("page.rpm", append([]byte("<!DOCTYPE html><html>log in"), make([]byte, size)...))
	if r := m.do(m.request("GET", "page.rpm")); r.StatusCode != http.StatusBadGateway || !strings.Contains(string(r.body), "something else than") {
		t.Errorf("a page: %s, %d bytes, %q", r.Status, len(r.body), r.status())
	}
}
