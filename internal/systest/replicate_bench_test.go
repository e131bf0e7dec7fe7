package systest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// BenchmarkReplicate copies the cache of a site by imsync replicate, and the same tree
// by rsync from its daemon, in turns: at first into nothing, then again, when nothing
// has changed. Both verify by a digest what they have: rsync with --checksum.
//
//	go test ./internal/systest -run '^$' -bench Replicate -benchtime 3x
func BenchmarkReplicate(b *testing.B) {
	rsync := testrepo.Program(b, "rsync")
	n := 1000
	if text := os.Getenv(replicaFilesEnv); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			b.Fatal(err)
		}
	}
	s := source(b, many(n, "1"))
	m := s.serve()
	address := rsyncDaemon(b, s, rsync)
	times := map[string]time.Duration{}
	measure := func(what string, p *process) {
		start := time.Now()
		<-p.ended
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			b.Fatalf("%s: exit code %d: %s", what, code, p.stderr.String())
		}
		times[what] += time.Since(start)
		times[what+"-cpu"] += p.cmd.ProcessState.UserTime() + p.cmd.ProcessState.SystemTime()
	}
	for b.Loop() {
		r := replica(b, s, m.url, "")
		to := filepath.Join(b.TempDir(), "copy")
		for _, round := range []string{"first", "again"} {
			measure(round+"-imsync", r.startImsync("replicate"))
			measure(round+"-rsync", launch(b, "rsync", exec.Command(rsync, "-a", "--delete", "--checksum", "--fsync", "--exclude=/.im", address, to)))
		}
		if diff := difference(s.stock(), r.stock()); diff != "" {
			b.Fatal(diff)
		}
		if diff := difference(s.stock(), files(b, to)); diff != "" {
			b.Fatal(diff)
		}
	}
	for what, d := range times {
		b.ReportMetric(d.Seconds()/float64(b.N), what+"-s")
	}
	b.ReportMetric(0, "ns/op")
}

// rsyncDaemon serves the site's cache, and is the address of that.
func rsyncDaemon(b *testing.B, s *site, rsync string) string {
	b.Helper()
	addr := freeAddress(b, "127.0.0.43")
	host, port, _ := net.SplitHostPort(addr)
	config := filepath.Join(s.dir, "rsyncd.conf")
	s.write(config, fmt.Sprintf("use chroot = no\nlog file = %s\n[cache]\npath = %s\n", s.dir+"/rsyncd.log", s.dir+"/cache"))
	launch(b, "rsync", exec.Command(rsync, "--daemon", "--no-detach", "--config="+config, "--address="+host, "--port="+port))
	s.await("rsync's daemon", func() bool {
		out, err := exec.Command(rsync, "rsync://"+addr+"/").Output()
		return err == nil && strings.Contains(string(out), "cache")
	})
	return "rsync://" + addr + "/cache/"
}
