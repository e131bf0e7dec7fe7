package systest

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// relay is a line to a server that can be stopped in the middle of what goes there.
type relay struct {
	addr string
	to   string

	mu     sync.Mutex
	left   int64 // bytes that still pass; -1 is all
	moved  chan struct{}
	closed chan struct{}
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{addr: l.Addr().String(), to: to, left: -1, moved: make(chan struct{}), closed: make(chan struct{})}
	t.Cleanup(func() { close(r.closed); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go r.carry(c)
		}
	}()
	return r
}

// carry is one connection.
func (r *relay) carry(c net.Conn) {
	defer c.Close()
	s, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		// Where either side ends, both do.
		_, _ = io.Copy(c, s)
		c.Close()
		s.Close()
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Read(buf)
		if n > 0 && !r.pass(int64(n)) {
			return
		}
		if _, werr := s.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

// pass waits until n bytes may pass; false is the test's end.
func (r *relay) pass(n int64) bool {
	for {
		r.mu.Lock()
		ok, moved := r.left < 0 || r.left >= n, r.moved
		if ok && r.left > 0 {
			r.left -= n
		}
		r.mu.Unlock()
		if ok {
			return true
		}
		select {
		case <-moved:
		case <-r.closed:
			return false
		}
	}
}

// allow lets so many bytes pass from now on, -1 all.
func (r *relay) allow(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.left = n
	close(r.moved)
	r.moved = make(chan struct{})
}

// tight reports whether less than what is read at once may pass: somebody waits.
func (r *relay) tight() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.left >= 0 && r.left < 32<<10
}

// objects are the names that the server shows below the site's prefix: what lies there
// as a file, but for what the server itself keeps.
func objects(t *testing.T, b *testrepo.Bucket) (names []string) {
	t.Helper()
	err := filepath.WalkDir(b.File("mirror"), func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && e.Type().IsRegular() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestBucketKilled holds that an upload which is broken off leaves nothing that anybody
// sees, whoever is killed, and that it is done later.
func TestBucketKilled(t *testing.T) {
	b := testrepo.StartBucket(t)
	line := newRelay(t, strings.TrimPrefix(b.Endpoint, "http://"))
	up := newSite(t)
	n := &node{at: up, addr: freeAddress(t, "127.0.0.33")}
	up.share(b, "http://"+line.addr)
	n.start()
	const size = 6 << 20
	put(up, "large.rpm", size)
	line.allow(2 << 20)
	want := n.run.get("/fedora/large.rpm")
	half := func(what string) {
		t.Helper()
		up.await("an upload that stands still", line.tight)
		if names := objects(t, b); len(names) != 0 {
			t.Errorf("%s: in the middle of an upload there are %q", what, names)
		}
	}

	half("at first")
	n.run.kill()
	line.allow(2 << 20)
	n.start()
	half("with imserve killed")
	b.Kill()
	b.Start()
	if names := objects(t, b); len(names) != 0 {
		t.Errorf("with the server killed there are %q", names)
	}
	if s := n.run.bucket(); s.Waiting != 1 {
		t.Errorf("%d wait, want 1", s.Waiting)
	}
	line.allow(-1)
	n.awaitUploads(b, "/fedora/large.rpm")
	got, err := os.ReadFile(b.File("mirror/fedora/large.rpm"))
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes in the bucket, want %d: %v", len(got), len(want), err)
	}
}

// TestBucketQuietRun holds that a run which finds nothing changed, and so plans nothing,
// uploads what waits: of an imserve that was killed before it had, and of a night in which
// the bucket was away.
func TestBucketQuietRun(t *testing.T) {
	b := testrepo.StartBucket(t)
	s := newSite(t, "[serve]\naccess_log = \"-\"", "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	s.publish(things(2))
	s.share(b, b.Endpoint)
	s.once()
	s.once() // which finds that there is nothing to fetch
	const name = "late.rpm"
	put(s, name, 3000)
	b.Kill()
	imserve := s.serve()
	imserve.get("/fedora/" + name)
	s.awaitFile("/fedora/" + name)
	s.await("a file that waits", func() bool { return imserve.bucket().Waiting == 1 })
	imserve.kill()
	b.Start()
	object := b.File("mirror/fedora/" + name)
	if _, err := os.Stat(object); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("it is in the bucket already: %v", err)
	}
	if r := s.once(); !r.Unchanged {
		t.Fatalf("the run found something changed: %+v", r)
	}
	if _, err := os.Stat(object); err != nil {
		t.Errorf("after a run in which nothing had changed: %v", err)
	}
}

// TestBucketPrune holds that what upstream has withdrawn goes from the bucket too and
// does not come back out of it, that what nobody tells of goes in time, and that what is
// missing there comes back.
func TestBucketPrune(t *testing.T) {
	b := testrepo.StartBucket(t)
	specs := []testrepo.Spec{
		{Name: "mplayer", Version: "1.5", Release: "1", Size: 5000},
		{Name: "bash", Version: "5.2", Release: "1", Size: 4000},
	}
	s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"\npackage_max_age = \"0s\"", "[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	s.publish(specs)
	s.keepNothing()
	s.share(b, b.Endpoint)
	object := func(name string) string { return b.File("mirror/" + rootName + "/" + name) }
	there := func(name string) bool {
		_, err := os.Stat(name)
		return err == nil
	}
	gone, stays := location(t, specs, "mplayer"), location(t, specs, "bash")
	s.once()
	if !there(object(gone)) || !there(object(stays)) {
		t.Fatalf("after a run the bucket has %q", objects(t, b))
	}

	// Another machine's, of repositories that imsync knows nothing of.
	other := s.another(t)
	other.share(b, b.Endpoint)
	for _, name := range []string{"old.iso.rpm", "new.iso.rpm"} {
		put(s, name, 3000)
	}
	o := &node{at: other, addr: freeAddress(t, "127.0.0.34")}
	o.start()
	o.run.get("/fedora/old.iso.rpm")
	o.run.get("/fedora/new.iso.rpm")
	o.awaitUploads(b, "/fedora/old.iso.rpm", "/fedora/new.iso.rpm")
	past := time.Now().Add(-91 * 24 * time.Hour)
	if err := os.Chtimes(b.File("mirror/fedora/old.iso.rpm"), past, past); err != nil {
		t.Fatal(err)
	}
	// What has been lost is found again.
	if err := os.Remove(object(stays)); err != nil {
		t.Fatal(err)
	}
	s.publish(specs[1:])
	s.once()
	var p struct {
		Bucket []struct{ Path, Rule, Why string }
	}
	s.decode(s.imsync("prune", "--json"), &p)
	if there(object(gone)) || there(b.File("mirror/fedora/old.iso.rpm")) {
		t.Errorf("what nobody has a use for is still there: %q", objects(t, b))
	}
	if !there(object(stays)) || !there(b.File("mirror/fedora/new.iso.rpm")) {
		t.Errorf("what is of use is not there: %q", objects(t, b))
	}
	if a, err := o.run.fetch("/" + rootName + "/" + gone); err != nil || a.status != 404 {
		t.Errorf("what upstream has withdrawn: %v, status %d", err, a.status)
	}
	silent(t, b, s.imsync("prune", "--log-level", "debug").stderr)
}
