package systest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sync/errgroup"

	"intelligentmirror/internal/testrepo"
)

// The crowd whose memory is looked at, and what of it imserve may take in all.
const (
	followers      = 1000
	followerBound  = 100 << 20 // bytes
	followersFiles = 3*followers + 500
)

// memory is a field of the process's status in bytes: VmRSS, what it has resident, or
// VmHWM, the most that it ever had.
func (p *process) memory(field string) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(status), "\n"+field+":")
	if !ok {
		return 0, fmt.Errorf("no %s in:\n%s", field, status)
	}
	line, _, _ := strings.Cut(rest, "\n")
	kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(line, "kB")), 10, 64)
	return kb << 10, err
}

// rss is what the process has resident, in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	n, err := p.memory("VmRSS")
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// manyFiles is for a test that has so many files open at once.
func manyFiles(t testing.TB, n int) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < uint64(n) {
		testrepo.Lacking(t, fmt.Sprintf("%d files may be open at once, %d are needed: ulimit -Hn", limit.Max, n))
	}
}

// A thousand clients in the middle of one download, which stand still there, cost
// little memory: each a descriptor and what net/http needs, no part of the file.
func TestMemoryOfFollowers(t *testing.T) {
	if raceDetector {
		t.Skip("a thousand clients of the test's own are too slow under the race detector")
	}
	manyFiles(t, followersFiles)
	s := newSite(t)
	// More than what the connections' buffers take in.
	big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: 32 << 20}
	s.publish([]testrepo.Spec{big})
	path := "/" + rootName + "/" + big.Location()
	s.up.On("*", testrepo.Trickle(24<<20).Only(http.MethodGet).Times(1))
	server := s.serve()
	before := server.rss()
	var all errgroup.Group
	bodies := make([]io.ReadCloser, followers)
	for i := range bodies {
		all.Go(func() error {
			resp, err := server.request(path)
			if err != nil {
				return err
			}
			bodies[i] = resp.Body
			_, err = io.ReadFull(resp.Body, make([]byte, 1<<20))
			return err
		})
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	after := server.rss()
	for _, b := range bodies {
		b.Close()
	}
	s.up.Release()
	t.Logf("%d KiB before, %d KiB with %d clients", before>>10, after>>10, followers)
	if after > followerBound {
		t.Errorf("%d MiB with %d clients, more than %d", after>>20, followers, followerBound>>20)
	}
	if n := s.up.Count(http.MethodGet, upstreamRoot+"/"+big.Location()); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
}

// The program's own choice of how often it collects is in effect.
func TestHeapGrowth(t *testing.T) {
	s := newSite(t)
	if text := s.serve().get("/-/metrics"); !regexp.MustCompile(`(?m)^go_gc_gogc_percent 50$`).Match(text) {
		t.Errorf("not in the metrics:\n%s", text)
	}
}
