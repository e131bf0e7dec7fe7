package packages_test

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// service is what an installed unit has run, in its root and as its user.
type service struct {
	t    *testing.T
	cmd  *exec.Cmd
	said bytes.Buffer // whole once read has an answer
	read chan error
}

// newService is the service of a unit that is installed below root: its ExecStart, with its Environment, as systemd
// would start it, and what args have besides.
func newService(t *testing.T, root, unit string, args ...string) *service {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "usr/lib/systemd/system", unit))
	if err != nil {
		t.Fatal(err)
	}
	setting := func(key string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^`+key+`=(.*)$`).FindAllStringSubmatch(string(text), -1)
		if len(m) != 1 {
			t.Fatalf("%s sets %s %d times", unit, key, len(m))
		}
		return strings.NewReplacer("%C", "/var/cache", "%S", "/var/lib").Replace(m[0][1])
	}
	for _, key := range []string{"User", "Group"} {
		if got := setting(key); got != name {
			t.Fatalf("%s has %s=%s; the package makes %s", unit, key, got, name)
		}
	}
	line := append(strings.Fields(setting("ExecStart")), args...)
	copyLibraries(t, root, filepath.Join(root, line[0]))
	uid := owner(t, root)
	s := &service{t: t, cmd: exec.Command(line[0], line[1:]...), read: make(chan error, 1)}
	s.cmd.Env = strings.Fields(setting("Environment"))
	s.cmd.Dir = "/"
	s.cmd.SysProcAttr = &syscall.SysProcAttr{
		Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid},
		Pdeathsig: syscall.SIGKILL, // also when the test's own process is killed
	}
	return s
}

// once runs the service to its end, and returns what it printed.
func (s *service) once() string {
	s.t.Helper()
	out, err := s.cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", strings.Join(s.cmd.Args, " "), err, out)
	}
	return string(out)
}

// asRoot runs an installed program as its administrator would, who is root.
func asRoot(t *testing.T, root string, line ...string) {
	t.Helper()
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Dir = []string{}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Pdeathsig: syscall.SIGKILL}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%q as root: %v\n%s", line, err, out)
	}
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// serve starts the service, which is imserve, and returns its address once it listens.
func (s *service) serve() (url string) {
	s.t.Helper()
	pipe, err := s.cmd.StderrPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { // one that has ended needs none
		if s.cmd.Process.Kill() == nil {
			<-s.read
			s.t.Logf("imserve said:\n%s", s.said.String())
		}
	})
	lines := bufio.NewReader(pipe)
	for {
		line, err := lines.ReadString('\n')
		s.said.WriteString(line)
		if m := listening.FindStringSubmatch(line); m != nil {
			go func() {
				_, err := s.said.ReadFrom(lines)
				s.read <- err
			}()
			return "http://" + m[1]
		}
		if err != nil {
			s.t.Fatalf("imserve does not listen: %v\n%s", errors.Join(err, s.cmd.Wait()), s.said.String())
		}
	}
}

// stop ends the service as systemd would.
func (s *service) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	read := <-s.read // before Wait, which closes what it reads
	if err := errors.Join(read, s.cmd.Wait()); err != nil {
		s.t.Errorf("imserve: %v\n%s", err, s.said.String())
	}
}

// get is what a server has at an address.
func get(t *testing.T, url string) string {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v\n%s", url, res.Status, err, body)
	}
	return string(body)
}

// answers runs the installed imserve as its unit does, and asks whether it is ready.
func answers(t *testing.T, root string) {
	t.Helper()
	s := newService(t, root, "imserve.service", "--listen", "127.0.0.1:0")
	get(t, s.serve()+"/-/readyz")
	s.stop()
}
