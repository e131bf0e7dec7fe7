package testrepo

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// Bucket is an object store: a real S3 server (versitygw) with one bucket, whose objects
// are plain files. Its methods are for the test's own goroutine.
type Bucket struct {
	Endpoint string // URL of the server
	Name     string // of the bucket
	Dir      string // where the bucket's objects are, as files under their names
	ID       string // the credentials that the server takes
	Secret   string

	t       BucketTB
	program string
	address string
	home    string // what the server sees
	cmd     *exec.Cmd
	ended   chan struct{}
	said    *Buffer
}

// BucketTB is what StartBucket needs of a *testing.T.
type BucketTB interface {
	MachineTB
	Fatalf(format string, args ...any)
	Cleanup(func())
	TempDir() string
	Failed() bool
	Logf(format string, args ...any)
}

// bucketUp is how long a test waits for the server to answer, or to end, before it says
// that it waits in vain.
const bucketUp = 2 * time.Minute

// StartBucket starts the server, which ends with the test. Without the program the
// test is skipped; in CI it fails.
func StartBucket(t BucketTB) *Bucket {
	t.Helper()
	program := Program(t, "versitygw")
	// Held until the test ends, so that it is there for the server's first start and for
	// the next.
	holder, port, err := holdPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// An error of closing a socket that was never connected leaves nothing to do.
		_ = syscall.Close(holder)
	})
	home := t.TempDir()
	b := &Bucket{
		Name: "site", ID: "an-id", Secret: "a-secret-that-no-log-has", Dir: filepath.Join(home, "objects", "site"),
		t: t, program: program, address: fmt.Sprintf("127.0.0.1:%d", port), home: home, said: &Buffer{},
	}
	b.Endpoint = "http://" + b.address
	if err := os.MkdirAll(b.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		b.Kill()
		if t.Failed() {
			t.Logf("the object store wrote:\n%s", b.said)
		}
	})
	b.Start()
	return b
}

// Start starts the server again that was killed, where it was, and waits until it
// answers.
func (b *Bucket) Start() {
	b.t.Helper()
	b.cmd = exec.Command(b.program, "--port", b.address, "posix", filepath.Dir(b.Dir))
	b.cmd.Dir = b.home
	b.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + b.home, "ROOT_ACCESS_KEY=" + b.ID, "ROOT_SECRET_KEY=" + b.Secret}
	b.cmd.Stdout, b.cmd.Stderr = b.said, b.said
	// Also when the test's own process is killed.
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := b.cmd.Start(); err != nil {
		b.t.Fatalf("start the object store: %v", err)
	}
	ended, cmd := make(chan struct{}), b.cmd
	b.ended = ended
	go func() {
		// How it ended does not matter.
		_ = cmd.Wait()
		close(ended)
	}()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	late := time.After(bucketUp)
	for {
		if c, err := net.Dial("tcp", b.address); err == nil {
			c.Close()
			return
		}
		select {
		case <-tick.C:
		case <-ended:
			b.t.Fatalf("the object store has ended:\n%s", b.said)
		case <-late:
			b.t.Fatalf("the object store does not answer at %s:\n%s", b.address, b.said)
		}
	}
}

// Kill ends the server as a power cut would, and waits until it is gone.
func (b *Bucket) Kill() {
	if b.cmd == nil {
		return
	}
	if err := b.cmd.Process.Kill(); err == nil {
		<-b.ended
	}
	b.cmd = nil
}

// File is the file that the object of that name is.
func (b *Bucket) File(name string) string { return filepath.Join(b.Dir, filepath.FromSlash(name)) }

// Credentials writes the credentials into a file as Amazon's programs have it, and
// returns its name.
func (b *Bucket) Credentials() string {
	b.t.Helper()
	name := filepath.Join(b.home, "credentials")
	text := fmt.Sprintf("[default]\naws_access_key_id = %s\naws_secret_access_key = %s\n", b.ID, b.Secret)
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return name
}
