package systest

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
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

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB$`)

// rss is what the process has resident, in bytes.
func (p *process) rss() int64 {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	m := resident.FindSubmatch(status)
	if m == nil {
		p.t.Fatalf("no VmRSS in:\n%s", status)
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return kb << 10
}

// A thousand clients in the middle of one download, which stand still there, cost
// little memory: each a descriptor and what net/http needs, no part of the file.
func TestMemoryOfFollowers(t *testing.T) {
	if raceDetector {
		t.Skip("a thousand clients of the test's own are too slow under the race detector")
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Max < followersFiles {
		lacking(t, fmt.Sprintf("%d files may be open at once, %d are needed: ulimit -Hn", limit.Max, followersFiles))
	}
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
