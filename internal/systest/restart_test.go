package systest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/testrepo"
)

// looking are the system calls by which a program learns of a file that it is there, or
// anything of it.
func looking() map[uint32]string {
	return map[uint32]string{
		unix.SYS_OPENAT: "openat", unix.SYS_OPENAT2: "openat2", unix.SYS_NEWFSTATAT: "newfstatat", unix.SYS_STATX: "statx",
		unix.SYS_GETXATTR: "getxattr", unix.SYS_LGETXATTR: "lgetxattr", unix.SYS_GETDENTS64: "getdents64",
	}
}

// onlooker is a program of ours of which it is seen at what it looks in the site's tree
// of stored files, and which can list no directory there until list says so. Its methods
// are safe for concurrent use.
type onlooker struct {
	*process
	tree     string
	listener int
	seen     chan struct{} // closed when no call can come any more

	mu     sync.Mutex
	looked map[string]bool // by their paths in the tree
	stands []uint64        // calls that would list
	lists  bool
	err    error // of what the watch has ended
}

// observe starts a program that is looked on.
func (s *site) observe(name string, args ...string) *onlooker {
	s.t.Helper()
	p, listener := s.watched(watchLooks, name, args...)
	o := &onlooker{process: p, tree: s.dir + "/cache", listener: listener, seen: make(chan struct{}), looked: map[string]bool{}}
	go func() {
		defer close(o.seen)
		err := watch(listener, o.see)
		o.mu.Lock()
		defer o.mu.Unlock()
		o.err = err
	}()
	s.t.Cleanup(func() {
		o.kill()
		<-o.seen
		unix.Close(listener)
		if o.err != nil {
			s.t.Errorf("watch %s: %v", name, o.err)
		}
	})
	return o
}

// see notes a call, and lets it go unless it would list.
func (o *onlooker) see(n notice) (goes bool, err error) {
	at, lists := "", uint32(n.number) == unix.SYS_GETDENTS64
	switch uint32(n.number) {
	case unix.SYS_GETDENTS64:
		at, err = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, n.args[0]))
	case unix.SYS_GETXATTR, unix.SYS_LGETXATTR:
		at, err = nameAt(n.pid, unix.AT_FDCWD, n.args[0])
	default:
		at, err = nameAt(n.pid, int32(n.args[0]), n.args[1])
	}
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil // it has ended meanwhile
	}
	if err != nil {
		return false, err
	}
	name, ok := strings.CutPrefix(at, o.tree+"/")
	if !ok || name == ".im" || strings.HasPrefix(name, ".im/") {
		if ok || at != o.tree {
			return true, nil
		}
		name = "."
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.looked[name] = true
	if lists && !o.lists {
		o.stands = append(o.stands, n.id)
		return false, nil
	}
	return true, nil
}

// nameAt is the path that a thread has at an address of its memory, from the directory
// that dir is there.
func nameAt(thread uint32, dir int32, address uint64) (string, error) {
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", thread))
	if err != nil {
		return "", err
	}
	defer mem.Close()
	buf := make([]byte, unix.PathMax)
	n, err := mem.ReadAt(buf, int64(address))
	end := bytes.IndexByte(buf[:n], 0)
	if end < 0 {
		return "", fmt.Errorf("what is named: %w", errors.Join(err, unix.ENAMETOOLONG))
	}
	name := string(buf[:end])
	if filepath.IsAbs(name) {
		return filepath.Clean(name), nil
	}
	base := fmt.Sprintf("/proc/%d/cwd", thread)
	if dir != unix.AT_FDCWD {
		base = fmt.Sprintf("/proc/%d/fd/%d", thread, dir)
	}
	if base, err = os.Readlink(base); err != nil {
		return "", err
	}
	return filepath.Join(base, name), nil
}

// list lets the program list what it likes from now on.
func (o *onlooker) list() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.lists = true
	var errs []error
	for _, id := range o.stands {
		errs = append(errs, letGo(o.listener, id))
	}
	return errors.Join(errs...)
}

// standing is how many calls wait that would list.
func (o *onlooker) standing() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.stands)
}

// of is which of these files the program has looked at.
func (o *onlooker) of(files map[string]string) (list []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(o.looked)) {
		if files[name] != "" {
			list = append(list, name)
		}
	}
	return list
}

// TestRestartLooksAtNothing holds that an imserve which is started on a large cache after
// a kill, in the middle of a download, serves before it has looked at what is stored: it
// answers a hit, and ends the download, while no directory of stored files can be listed,
// and has looked at a few of these files by then. What it looks at behind that shows that
// the rest would have been seen.
func TestRestartLooksAtNothing(t *testing.T) {
	const (
		stored = 400
		few    = 8 // the two files, the entry file that lists one of them, and some room
		half   = 100_000
	)
	s := newSite(t, "[serve]\naccess_log = \"-\"", "[sync]\nparallel = 16\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	specs := make([]testrepo.Spec, stored)
	for i := range specs {
		specs[i] = testrepo.Spec{Name: fmt.Sprintf("p%04d", i), Version: "1", Release: "1", Size: 300}
	}
	s.publish(specs)
	s.fill()
	tree := s.stock()
	if len(tree) < stored {
		t.Fatalf("%d files are stored, want %d", len(tree), stored)
	}
	hit, broken := "/"+rootName+"/"+specs[stored/2].Location(), "/fedora/broken.rpm"
	put(s, "broken.rpm", 2*half)
	before := s.serve()
	want := before.get(hit)
	s.up.On(upstreamBase+"/broken.rpm", testrepo.Stall(half))
	before.begin(broken)
	s.awaitStalled()
	s.awaitPartial(1)
	before.kill()
	s.up.Heal()

	o := s.observe("imserve")
	after := &server{o.process, "http://" + listening.FindStringSubmatch(o.says("msg=listening"))[1]}
	if got := after.get(hit); !bytes.Equal(got, want) {
		t.Errorf("%d other bytes of a hit", len(got))
	}
	if got := after.get(broken); len(got) != 2*half {
		t.Errorf("%d bytes of a file of which a part was there, want %d", len(got), 2*half)
	}
	if looked := o.of(tree); len(looked) > few {
		t.Errorf("it looked at %d of the %d stored files before it had answered: %q", len(looked), len(tree), looked[:few])
	}

	s.await("a look at all that is stored, beside the requests", func() bool { return o.standing() > 0 })
	if err := o.list(); err != nil {
		t.Fatal(err)
	}
	s.await("a look at each stored file", func() bool { return len(o.of(tree)) == len(tree) })
}
