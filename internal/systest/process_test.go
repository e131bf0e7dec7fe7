package systest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// hung is how long a test waits for what takes a moment, before it says that it
// waits in vain.
const hung = 5 * time.Minute

// process is a program under way. However its test ends, it does not outlive it.
type process struct {
	t      testing.TB
	name   string
	cmd    *exec.Cmd
	stdout bytes.Buffer // to be read once the process has ended
	stderr transcript
	ended  chan struct{} // closed when it has
}

// start starts one of our programs.
func start(t testing.TB, name string, args ...string) *process {
	t.Helper()
	return launch(t, name, exec.Command(filepath.Join(programs, name), args...))
}

// launch starts a program of that name by a command.
func launch(t testing.TB, name string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, name: name, cmd: cmd, ended: make(chan struct{})}
	p.cmd.Env = append(environment(t.TempDir()), p.cmd.Env...) // and what its test has for it
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	// Also when the test's own process is killed.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		// How it ended is in ProcessState, and each test says what it expects.
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.kill()
		if text := p.stderr.String(); strings.Contains(text, "DATA RACE") {
			t.Errorf("%s has a data race", name)
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s", strings.Join(cmd.Args, " "), p.stderr.String())
		}
	})
	return p
}

// environment is what a program sees: nothing of this machine's configuration.
func environment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + os.TempDir(), "LC_ALL=C.UTF-8"}
}

// signal sends a signal; a process that has ended already gets none.
func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("signal %s: %v", p.name, err)
	}
}

// kill ends the process as a power cut would, and waits until it is gone.
func (p *process) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	<-p.ended
}

// stop asks the process to end, and returns its exit code.
func (p *process) stop() int {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	return p.wait()
}

// insist asks again until the process ends, as an impatient person does: what
// is ready for the second signal is so some moment after the first.
func (p *process) insist() {
	p.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for p.running() {
		p.signal(syscall.SIGTERM)
		select {
		case <-tick.C:
		case <-p.ended:
		}
	}
}

// wait waits for the process's end and returns its exit code, -1 where a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(hung):
		p.t.Fatalf("%s does not end", p.name)
		return 0
	}
}

// running reports whether the process has not ended yet.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// says waits for a line of standard error that contains text, and returns it.
func (p *process) says(text string) string {
	p.t.Helper()
	line, err := p.stderr.await(text, p.ended)
	if err != nil {
		p.t.Fatalf("%s does not say %q: %v", p.name, text, err)
	}
	return line
}

// transcript is what a process has written so far. It is safe for concurrent use.
type transcript struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{} // closed at the next Write; nil where nobody waits
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return s.text.Write(b)
}

func (s *transcript) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// watch is the text so far, and a channel that is closed when there is more.
func (s *transcript) watch() (string, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return s.text.String(), s.changed
}

// await is the first whole line that contains text, or an error once ended is
// closed without one.
func (s *transcript) await(text string, ended <-chan struct{}) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	last := false
	for {
		all, changed := s.watch()
		for line := range strings.Lines(all) {
			if strings.HasSuffix(line, "\n") && strings.Contains(line, text) {
				return strings.TrimSuffix(line, "\n"), nil
			}
		}
		if last {
			return "", errors.New("it has ended")
		}
		select {
		case <-changed:
		case <-ended:
			last = true // all that it wrote is there now
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}
