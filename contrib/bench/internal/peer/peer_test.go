package peer

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// started starts a server for a test, which is skipped where it is not on this
// machine, and fails so in CI.
func started(t *testing.T, prog Program, config func(Place) string) *Peer {
	t.Helper()
	p, err := Start(t.Context(), prog, config)
	if errors.Is(err, exec.ErrNotFound) {
		testrepo.Lacking(t, fmt.Sprintf("%v: .ci/setup installs it", err))
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func nginxOf(body string) func(Place) string {
	return func(p Place) string {
		return fmt.Sprintf(`worker_processes 2;
events { worker_connections 64; }
http { %s access_log off; server { listen %s; location / { return 200 %q; } } }
`, NginxPaths, p.Addr, body)
	}
}

func squidOf(p Place) string {
	return fmt.Sprintf(`http_port %s
http_access allow all
pid_filename none
cache_log %[2]s/cache.log
access_log none
cache_dir ufs %[2]s/cache 16 2 2
shutdown_lifetime 0 seconds
visible_hostname peer.test
`, p.Addr, p.Dir)
}

func acngOf(p Place) string {
	return fmt.Sprintf("CacheDir: %[1]s/cache\nLogDir: %[1]s/log\nSocketPath: %[1]s/socket\nForeGround: 1\nBindAddress: 127.0.0.1\nPort: %s\n", p.Dir, p.Port())
}

// Each server that a benchmark may compare with starts, answers, is measured and
// is gone when it is stopped.
func TestServers(t *testing.T) {
	for _, c := range []struct {
		prog   Program
		config func(Place) string
	}{
		{Nginx(), nginxOf("here")},
		{Squid(), squidOf},
		{AptCacherNG(), acngOf},
	} {
		t.Run(c.prog.Name, func(t *testing.T) {
			p := started(t, c.prog, c.config)
			resp, err := http.Get(p.URL + "/")
			if err != nil {
				t.Error(err)
			} else {
				resp.Body.Close()
			}
			if err := p.Running(); err != nil {
				t.Error(err)
			}
			m, err := p.Memory()
			if err != nil || m.RSS < 1<<20 || m.PSS > m.RSS || m.Anonymous > m.RSS || m.Peak <= 0 {
				t.Errorf("%+v, %v", m, err)
			}
			if cpu, err := p.CPU(); err != nil || cpu < 0 || cpu > time.Hour {
				t.Errorf("%v, %v", cpu, err)
			}
			pid := p.cmd.Process.Pid
			if err := p.Stop(); err != nil {
				t.Error(err)
			}
			if err := syscall.Kill(-pid, 0); !errors.Is(err, syscall.ESRCH) {
				t.Errorf("of its group there still is a process: %v", err)
			}
			if _, err := os.Stat(p.Dir); !os.IsNotExist(err) {
				t.Errorf("its directory is still there: %v", err)
			}
			if err := p.Running(); err == nil {
				t.Error("it is said to run")
			}
		})
	}
}

// The workers of a server are measured with it.
func TestWorkers(t *testing.T) {
	p := started(t, Nginx(), nginxOf("here"))
	defer p.Stop()
	resp, err := http.Get(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "here" {
		t.Fatalf("%q, %v", b, err)
	}
	all, err := tree(p.cmd.Process.Pid)
	if err != nil || len(all) != 3 {
		t.Errorf("%+v, %v: want a master and two workers", all, err)
	}
}

func TestDoesNotStart(t *testing.T) {
	if _, err := Start(t.Context(), Program{Name: "none", path: "no-such-program-here"}, acngOf); !errors.Is(err, exec.ErrNotFound) {
		t.Errorf("a program that is not there: %v", err)
	}
	sh := Program{Name: "sh", path: "sh", config: "config", args: func(Place) []string { return []string{"-c", "echo no such key; exit 3"} }}
	if _, err := Start(t.Context(), sh, acngOf); err == nil || !bytes.Contains([]byte(err.Error()), []byte("exit status 3: no such key")) {
		t.Errorf("a program that ends: %v", err)
	}
}

// Processor time counts what this process does, and what its children did.
func TestReadStat(t *testing.T) {
	s, err := readStat("/proc/self/stat")
	if err != nil || s.pid != os.Getpid() || s.parent != os.Getppid() {
		t.Errorf("%+v, %v", s, err)
	}
	name := t.TempDir() + "/stat"
	if err := os.WriteFile(name, []byte("7 (a (b) c) S 5 7 7 0 -1 0 1 2 3 4 10 20 30 40 20 0 1 0"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := readStat(name); err != nil || s != (stat{pid: 7, parent: 5, ticks: 100}) {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestMedian(t *testing.T) {
	if got := Median([]int{9, 1, 5}); got != 5 {
		t.Errorf("%d", got)
	}
	if got := Median[time.Duration](nil); got != 0 {
		t.Errorf("%v", got)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	table := NewTable("PROGRAM", "MS")
	table.Row("imserve", 12)
	if err := table.Print(&b); err != nil || b.String() != "PROGRAM  MS\nimserve  12\n" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func TestChoose(t *testing.T) {
	none := Program{Name: "none", path: "no-such-program-here"}
	all := []Mirror{{Program: Program{Name: "imserve", path: "/there"}}, {Program: Program{Name: "sh", path: "sh"}}, {Program: none}}
	var said bytes.Buffer
	chosen, err := Choose(&said, all, "none,sh")
	if err != nil || len(chosen) != 2 || chosen[1].Name != "sh" || said.String() != "No none on this machine to compare with.\n" {
		t.Errorf("%v, %q, %v", chosen, said.String(), err)
	}
	said.Reset()
	if chosen, err := Choose(&said, all, ""); err != nil || len(chosen) != 1 || said.Len() > 0 {
		t.Errorf("none is named: %v, %q, %v", chosen, said.String(), err)
	}
	if _, err := Choose(&said, all, "sh,varnish"); err == nil {
		t.Error("a name that none has is no error")
	}
}
