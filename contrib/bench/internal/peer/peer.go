// Package peer runs servers for the benchmarks, imserve and those that it is
// compared with, each as a process of its own with a configuration of its own
// on a free port of 127.0.0.1, and measures what they take.
//
// Read program.go (how each server is started), peer.go (from its start to its
// stop), proc.go (processor time and memory), whole.go (the same of programs that
// end by themselves) and report.go (medians, tables).
package peer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTime = time.Minute      // for a server to accept connections
	stopTime  = 10 * time.Second // for a server to end after it was asked to
	pollEvery = 20 * time.Millisecond
)

// Place is where one server has its files and its address.
type Place struct {
	// Dir is a directory of its own, which it may write. It is removed with it.
	Dir string
	// Addr is where it listens, "127.0.0.1:port".
	Addr string
}

// Port is the port of Addr alone.
func (p Place) Port() string {
	_, port, _ := net.SplitHostPort(p.Addr)
	return port
}

// Peer is a server under way. It is safe for concurrent use, but for Stop.
type Peer struct {
	Place
	Name string // as tables show it
	URL  string // of its root, without a slash at its end

	cmd   *exec.Cmd
	log   string        // the file with what it says
	ended chan struct{} // closed when the process has ended
}

// Start starts a server with the configuration that config returns, and waits
// until it accepts connections. A server that root starts runs as nobody. The
// error wraps exec.ErrNotFound where the program is not on this machine. The
// caller stops the Peer; if this process dies before, the server ends too.
func Start(ctx context.Context, prog Program, config func(Place) string) (*Peer, error) {
	path, err := prog.find()
	if err != nil {
		return nil, err
	}
	p := &Peer{Name: prog.Name, ended: make(chan struct{})}
	if p.Addr, err = FreeAddr(ctx); err != nil {
		return nil, fmt.Errorf("start %s: %w", prog.Name, err)
	}
	p.URL = "http://" + p.Addr
	if p.Dir, err = os.MkdirTemp("", "peer-"); err != nil {
		return nil, fmt.Errorf("start %s: %w", prog.Name, err)
	}
	if err := p.start(ctx, prog, path, config(p.Place)); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", prog.Name, err), os.RemoveAll(p.Dir))
	}
	if err := p.await(ctx); err != nil {
		err = fmt.Errorf("start %s: %w: %s", prog.Name, err, p.said())
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}

// start starts the process.
func (p *Peer) start(ctx context.Context, prog Program, path, config string) error {
	owner, err := unprivileged()
	if err != nil {
		return err
	}
	// nginx has its directory for logs before it reads where they go.
	name := filepath.Join(p.Dir, prog.config)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(name, []byte(config), 0o644); err != nil {
		return err
	}
	if owner != nil {
		if err := chown(p.Dir, int(owner.Uid), int(owner.Gid)); err != nil {
			return err
		}
	}
	attr := &syscall.SysProcAttr{Credential: owner, Pdeathsig: syscall.SIGTERM, Setpgid: true}
	if prog.prepare != nil {
		cmd := exec.CommandContext(ctx, path, prog.prepare(p.Place)...)
		cmd.Dir, cmd.Env, cmd.SysProcAttr = p.Dir, environment(p.Dir), attr
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", cmd, err, bytes.TrimSpace(out))
		}
	}
	p.log = filepath.Join(p.Dir, "said")
	said, err := os.Create(p.log)
	if err != nil {
		return err
	}
	defer said.Close()
	p.cmd = exec.Command(path, prog.args(p.Place)...) // its end is Stop's
	p.cmd.Dir, p.cmd.Env, p.cmd.SysProcAttr = p.Dir, environment(p.Dir), attr
	p.cmd.Stdout, p.cmd.Stderr = said, said
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = p.cmd.Wait() // how it ended is for Stop to say
		close(p.ended)
	}()
	return nil
}

// await waits until the server accepts connections.
func (p *Peer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", p.Addr)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return fmt.Errorf("it has ended, %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return err
		}
	}
}

// Stop ends the server, waits until it is gone, and removes its directory. It is
// called once.
func (p *Peer) Stop() error {
	// One that has ended already, or does so now, gets no signal.
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.ended:
	case <-time.After(stopTime):
	}
	// Its group is its own: workers, whatever became of the one that started them.
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.ended
	return os.RemoveAll(p.Dir)
}

// Running is an error, with what the server said, where it has ended.
func (p *Peer) Running() error {
	select {
	case <-p.ended:
		return fmt.Errorf("%s has ended, %v: %s", p.Name, p.cmd.ProcessState, p.said())
	default:
		return nil
	}
}

// said is the end of what the server has said so far.
func (p *Peer) said() string {
	const most = 2000
	b, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b[max(0, len(b)-most):]))
}

// Ports are taken from below those that the kernel gives to outgoing connections,
// so that none takes one between FreeAddr and the server; apt-cacher-ng knows none
// above, neither its own nor an upstream's.
const (
	firstPort = 10_000
	lastPort  = 32_767
)

// FreeAddr is an address of 127.0.0.1 on which nobody listens at this moment.
func FreeAddr(ctx context.Context) (addr string, err error) {
	for range 100 {
		addr = fmt.Sprintf("127.0.0.1:%d", firstPort+rand.IntN(lastPort-firstPort+1))
		var l net.Listener
		if l, err = new(net.ListenConfig).Listen(ctx, "tcp", addr); err == nil {
			return addr, l.Close()
		}
	}
	return "", err
}

// unprivileged is who a server runs as; nil is who runs this process.
func unprivileged() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("nobody")
	if err != nil {
		return nil, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// chown gives a directory and what lies in it to a user.
func chown(dir string, uid, gid int) error {
	return filepath.WalkDir(dir, func(name string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, uid, gid)
	})
}

// environment is what a server sees: nothing of this machine's configuration.
func environment(home string) []string {
	return []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home, "LC_ALL=C.UTF-8"}
}
