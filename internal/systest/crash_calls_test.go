package systest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// watchEnv makes the test binary a program that becomes another one, whose system
// calls are watched: it holds which calls, a colon, and the path of that. See mortal
// and onlooker.
const watchEnv = "SYSTEST_WATCHED_PROGRAM"

// The calls that can be watched.
const (
	watchChanges = "changes"
	watchLooks   = "looks"
)

// watchSocket is the descriptor by which the watcher gets what it watches by.
const watchSocket = 3

// changing are the system calls that change something on the disk. What no call of
// Go's is, SQLite's library uses; those numbers are amd64's.
func changing() map[uint32]string {
	calls := map[uint32]string{
		unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_WRITE: "write", unix.SYS_PWRITE64: "pwrite64",
		unix.SYS_PWRITEV: "pwritev", unix.SYS_SPLICE: "splice", unix.SYS_COPY_FILE_RANGE: "copy_file_range",
		unix.SYS_FSETXATTR: "fsetxattr", unix.SYS_FREMOVEXATTR: "fremovexattr",
		unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_RENAMEAT: "renameat", unix.SYS_RENAMEAT2: "renameat2",
		unix.SYS_LINKAT: "linkat", unix.SYS_UNLINKAT: "unlinkat", unix.SYS_MKDIRAT: "mkdirat",
		unix.SYS_FALLOCATE: "fallocate", unix.SYS_FTRUNCATE: "ftruncate", unix.SYS_UTIMENSAT: "utimensat", unix.SYS_FCHMOD: "fchmod",
	}
	if runtime.GOARCH == "amd64" {
		calls[82], calls[83], calls[87] = "rename", "mkdir", "unlink"
	}
	return calls
}

// byDescriptor are those of them whose first argument is the file: of those that
// are no file's of the site nobody counts any.
var byDescriptor = []string{"write", "pwrite64", "pwritev", "fsetxattr", "fremovexattr", "fsync", "fdatasync", "fallocate", "ftruncate", "fchmod"}

// The instructions of the filters.
const (
	load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	set   = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	ret   = unix.BPF_RET | unix.BPF_K
)

// watchFilter stops at each of the calls of a kind until the watcher has looked at it.
func watchFilter(kind string) []unix.SockFilter {
	f := []unix.SockFilter{{Code: load, K: 0}} // the call's number
	calls := looking()
	if kind == watchChanges {
		f, calls = append(f, writingOpens()...), changing()
		delete(calls, unix.SYS_OPENAT)
	}
	for number := range calls {
		f = append(f, unix.SockFilter{Code: equal, Jf: 1, K: number}, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	return append(f, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
}

// writingOpens stops at an openat, but lets pass one that only reads.
func writingOpens() []unix.SockFilter {
	writes := uint32(unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC)
	return []unix.SockFilter{
		{Code: equal, Jf: 4, K: unix.SYS_OPENAT},
		{Code: load, K: 16 + 2*8}, // the lower half of its third argument
		{Code: set, Jt: 1, K: writes},
		{Code: ret, K: unix.SECCOMP_RET_ALLOW},
		{Code: ret, K: unix.SECCOMP_RET_USER_NOTIF},
	}
}

// becomeWatched hands the watcher what it watches this process by, and becomes the
// program that said, the value of watchEnv, names. It returns only with an error.
func becomeWatched(said string) error {
	kind, path, _ := strings.Cut(said, ":")
	// The filter is this thread's, which is the one that the program is started on.
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	filter := watchFilter(kind)
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&prog)))
	if errno != 0 {
		return fmt.Errorf("watch system calls: %w", errno)
	}
	if err := unix.Sendmsg(watchSocket, []byte{0}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return fmt.Errorf("hand over what to watch by: %w", err)
	}
	unix.CloseOnExec(int(fd))
	unix.CloseOnExec(watchSocket)
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, watchEnv+"=") })
	return syscall.Exec(path, os.Args, env)
}

// notice is struct seccomp_notif, verdict struct seccomp_notif_resp.
type notice struct {
	id         uint64
	pid, flags uint32
	number     int32
	arch       uint32
	ip         uint64
	args       [6]uint64
}

type verdict struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// mortal is a program of ours whose system calls that change the disk below dir are
// counted, over all of its threads in the order in which they are made, and which is
// killed in place of one of them.
type mortal struct {
	*process
	dir    string
	at     int           // the call in place of which it is killed, from 1; 0: never
	calls  []string      // what was called, for people; to be read once seen is closed
	seen   chan struct{} // closed when no call can come any more
	killed bool          // as calls
	err    error         // as calls
}

// doom starts a program to be killed in place of its call number at that changes
// something below dir.
func (s *site) doom(at int, name string, args ...string) *mortal {
	s.t.Helper()
	p, listener := s.watched(watchChanges, name, args...)
	w := &mortal{process: p, dir: s.dir, at: at, seen: make(chan struct{})}
	go func() {
		defer close(w.seen)
		defer unix.Close(listener)
		w.err = watch(listener, w.see)
	}()
	return w
}

// watched starts a program whose calls of a kind stop until they are let go; they come
// by the descriptor, which the caller closes.
func (s *site) watched(kind, name string, args ...string) (p *process, listener int) {
	s.t.Helper()
	self, err := os.Executable()
	if err != nil {
		s.t.Fatal(err)
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	ours, theirs := os.NewFile(uintptr(pair[0]), "watcher"), os.NewFile(uintptr(pair[1]), "watched")
	defer ours.Close()
	cmd := exec.Command(self, append(args, "--config", s.config)...)
	cmd.Env = []string{watchEnv + "=" + kind + ":" + filepath.Join(programs, name)}
	cmd.ExtraFiles = []*os.File{theirs}
	p = launch(s.t, name, cmd)
	theirs.Close()
	if listener, err = receive(ours); err != nil {
		<-p.ended
		s.t.Fatalf("%s can't be watched: %v: %s", name, err, p.stderr.String())
	}
	return p, listener
}

// receive is the descriptor that comes by a socket.
func receive(from *os.File) (int, error) {
	data, rights := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	var n int
	var rerr error
	raw, err := from.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { _, n, _, _, rerr = unix.Recvmsg(int(fd), data, rights, 0) })
	}
	if err = errors.Join(err, rerr); err != nil {
		return 0, err
	}
	messages, err := unix.ParseSocketControlMessage(rights[:n])
	if err != nil || len(messages) != 1 {
		return 0, fmt.Errorf("no descriptor came: %w", errors.Join(err, unix.ENOMSG))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil {
		return 0, err
	}
	unix.CloseOnExec(fds[0])
	return fds[0], nil
}

// watch shows each call to see until the program has ended, and lets go those of which
// see says so.
func watch(listener int, see func(notice) (goes bool, err error)) error {
	for {
		ready := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(ready, -1); err == unix.EINTR {
			continue
		} else if err != nil {
			return err
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return nil // nobody is left to be watched
		}
		var n notice
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&n)))
		if errno == unix.ENOENT || errno == unix.EINTR {
			continue // the caller was killed, or got a signal and calls again
		}
		if errno != 0 {
			return errno
		}
		goes, err := see(n)
		if err == nil && goes {
			err = letGo(listener, n.id)
		}
		if err != nil {
			return err
		}
	}
}

// letGo lets a call be made that has stopped.
func letGo(listener int, id uint64) error {
	v := verdict{id: id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(listener), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&v)))
	if errno != 0 && errno != unix.ENOENT {
		return errno
	}
	return nil
}

// see counts a call, and kills in place of the one that is to be the last; what comes
// behind that is never let go.
func (w *mortal) see(n notice) (goes bool, err error) {
	if call, counts := w.describe(changing()[uint32(n.number)], n); counts && !w.killed {
		w.calls = append(w.calls, call)
		if len(w.calls) == w.at {
			w.killed = true
			if err := w.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
				return false, err
			}
		}
	}
	return !w.killed, nil
}

// describe is a call for people, and whether it changes something of the site's.
func (w *mortal) describe(name string, n notice) (string, bool) {
	at := n.args[0]
	switch {
	case slices.Contains(byDescriptor, name):
	case name == "splice" || name == "copy_file_range":
		at = n.args[2]
	default:
		return name, true // of names; what is made elsewhere does no harm here
	}
	to, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, at))
	if err != nil || !strings.HasPrefix(to, w.dir+"/") {
		return "", false
	}
	return name + " " + strings.TrimPrefix(to, w.dir+"/"), true
}

// end waits for the program's end, and is the calls that it made, and whether it was
// killed in place of the last of them.
func (w *mortal) end() (calls []string, killed bool) {
	w.t.Helper()
	w.wait()
	<-w.seen
	if w.err != nil {
		w.t.Fatalf("watch %s: %v", w.name, w.err)
	}
	return w.calls, w.killed
}

// The watcher counts what is done to files of the site, and kills in place of the
// call that it is told, which then has not been made.
func TestWatched(t *testing.T) {
	s := newSite(t)
	first := s.doom(0, "imsync", "rank")
	calls, killed := first.end()
	if killed || first.cmd.ProcessState.ExitCode() != 0 {
		t.Fatalf("%v, killed %t: %q, %s", first.cmd.ProcessState, killed, calls, first.stderr.String())
	}
	made := slices.Index(calls, "mkdirat")
	if made < 0 {
		t.Fatalf("no directory is made: %q", calls)
	}
	other := s.another(t)
	if calls, killed := other.doom(made+1, "imsync", "rank").end(); !killed || len(calls) != made+1 {
		t.Fatalf("killed %t after %q", killed, calls)
	}
	for _, dir := range []string{"cache", "state"} {
		if _, err := os.Stat(filepath.Join(other.dir, dir)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: there in spite of all: %v", dir, err)
		}
	}
}
