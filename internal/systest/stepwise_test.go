package systest

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// The system calls by which a program changes which files there are, and those by
// which it changes what is in them. A question mark is before what some machines do
// not have.
const (
	nameCalls  = "?rename,?renameat,?renameat2,?unlink,?unlinkat,?rmdir"
	writeCalls = nameCalls + ",?open,?openat,write,ftruncate"
)

// stepwise runs a program, and holds it still after each of these calls of its while
// step is called. Where step reports false all of the program is killed at that point,
// and killed is true; else it has to end well.
func stepwise(t testing.TB, calls string, step func() bool, line ...string) (killed bool) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cmd := exec.Command(testrepo.Program(t, "strace"), append([]string{"-f", "-qq", "-o", "/proc/self/fd/3",
		"-e", "trace=" + calls, "-e", "inject=" + calls + ":signal=SIGSTOP"}, line...)...)
	var said transcript
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = environment(t.TempDir()), &said, &said, []*os.File{w}
	// By SIGTERM strace ends what it has begun, if the test's own process is killed.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	err = cmd.Start()
	w.Close()
	if err != nil {
		t.Fatalf("start strace: %v", err)
	}
	// The group is strace and all that it traces, stopped or not.
	kill := func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // there is none where it has ended
	waited := false
	defer func() {
		if !waited {
			kill()
			_ = cmd.Wait() // it was killed
		}
	}()
	stopping := map[string]bool{} // threads that have got the signal
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		thread, what, _ := strings.Cut(lines.Text(), " ")
		what = strings.TrimSpace(what)
		switch {
		case strings.HasPrefix(what, "--- SIGSTOP "):
			stopping[thread] = true
		case what == "--- stopped by SIGSTOP ---" && stopping[thread]:
			// The others of its process stop with it.
			delete(stopping, thread)
			if !killed && !step() {
				killed = true
				kill()
				continue
			}
			id, err := strconv.Atoi(thread)
			if err != nil {
				t.Fatalf("no number of a thread: %s", lines.Text())
			}
			_ = syscall.Kill(id, syscall.SIGCONT) // it may have been killed
		}
	}
	err = cmd.Wait()
	waited = true
	switch {
	case killed:
	case err != nil && strings.Contains(said.String(), "Operation not permitted"):
		testrepo.Lacking(t, "no program may be traced here: "+said.String())
	case err != nil:
		t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, said.String())
	}
	return killed
}
