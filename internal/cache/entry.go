package cache

import (
	"container/list"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Entry is a stored file at hand: what it takes to serve it again without a look
// at the disk. It is safe for concurrent use. Who reads it holds it, from
// Cache.Current to Release.
type Entry struct {
	key   Key
	path  string // in the file system
	facts Facts
	want  Want
	check string // the ID of the Check that the bytes have passed
	inode inode

	body []byte   // of a small file
	file *os.File // of a large one

	looked  atomic.Int64 // when the file was looked at last, Unix nanoseconds
	used    atomic.Bool  // since the last sweep
	again   atomic.Bool  // since it was taken in, or was spared
	dropped atomic.Bool  // no longer at hand
	holders atomic.Int64 // who reads it, and the list that it is in

	place *list.Element // in entries.order
}

// inode tells one stored file, and one state of its facts, from the next: both
// move its ctime.
type inode struct {
	dev, ino, size uint64
	changed        syscall.Timespec
}

func inodeOf(fi os.FileInfo) inode {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}
	}
	return inode{uint64(st.Dev), st.Ino, uint64(st.Size), st.Ctim}
}

const (
	// lookAgain is how long an entry is served before its file is looked at again:
	// the other program, or a hand, may have replaced it.
	lookAgain = time.Second
	// smallFile is the size, in bytes, up to which a file's body is at hand, and
	// not its descriptor.
	smallFile = 64 << 10
	// Bounds of what is at hand.
	maxBodies = 64 << 20 // bytes of bodies
	maxFiles  = 1024     // descriptors
	// sweepEvery is how long nobody asks for what is at hand before it is let go. The
	// other program does not evict what is open here.
	sweepEvery = 15 * time.Second
)

// Body is the file's bytes, which nobody may change; nil of a large file.
func (e *Entry) Body() []byte { return e.body }

// File is a large file, open for reading. Its position is nobody's: it is read at
// offsets.
func (e *Entry) File() *os.File { return e.file }

// Size is the file's length in bytes.
func (e *Entry) Size() int64 { return e.facts.Size }

// Release ends the hold on an entry. With the last hold its descriptor and its body go,
// whoever still remembers the entry.
func (e *Entry) Release() {
	if e.holders.Add(-1) > 0 {
		return
	}
	e.body = nil
	if e.file != nil {
		e.file.Close()
	}
}

// hold takes a hold on e, unless it is no longer at hand.
func (e *Entry) hold() bool {
	for {
		n := e.holders.Load()
		if n == 0 || e.dropped.Load() {
			return false
		}
		if e.holders.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// entries is what is at hand. It is safe for concurrent use.
//
// Where there is too much of it, the oldest goes that nobody has asked for again since
// it came or was spared the last time (CLOCK: Corbató, "A Paging Experiment with the
// Multics System", 1968), so that what is asked for once lets go nothing that is asked
// for often.
type entries struct {
	mu     sync.Mutex
	list   map[Key]*Entry
	order  list.List // of *Entry, the next to look at first
	bodies int       // bytes
	files  int
	sweeps *time.Timer // nil while nothing is at hand
}

// Keep has the stored file k at hand, which o, an Object that Get has just
// returned, is of, and which is served without asking. It is nil where that is
// not so, or where nothing is gained. What is at hand is bounded; what is kept
// for others may be let go for it.
func (c *Cache) Keep(k Key, o *Object) *Entry {
	if o.fill != nil || o.inode == (inode{}) {
		return nil
	}
	want := c.Promised(k)
	p := c.o.Policy(k)
	now := c.o.Now()
	if Decide(now, &o.facts, want, p) != Serve {
		return nil
	}
	e := &Entry{key: k, path: filepath.Join(c.tree.dir, filepath.FromSlash(k.String())), facts: o.facts, want: want, inode: o.inode}
	if p.Check != nil {
		if e.check = p.Check.ID; o.facts.Checked != e.check {
			return nil
		}
	}
	if o.size <= smallFile {
		e.body = make([]byte, o.size)
		if _, err := io.ReadFull(io.NewSectionReader(o.file, 0, o.size), e.body); err != nil {
			return nil
		}
	} else {
		err := control(o.file, func(fd int) error {
			own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
			if err == nil {
				e.file = os.NewFile(uintptr(own), e.path)
			}
			return err
		})
		if err != nil {
			return nil
		}
	}
	e.holders.Store(1)
	e.looked.Store(now.UnixNano())
	e.used.Store(true)
	c.entries.add(e)
	return e
}

// Current takes a hold on e where it may still be served without asking, and
// reports whether that is so. Once a second it looks at the file, which takes two
// system calls.
func (c *Cache) Current(e *Entry) bool {
	if !e.hold() {
		return false
	}
	now := c.o.Now()
	looked := e.looked.Load()
	if age := now.UnixNano() - looked; age < 0 || age >= int64(lookAgain) {
		if e.looked.CompareAndSwap(looked, now.UnixNano()) && !c.unchanged(e, now) {
			c.entries.drop(e)
			e.Release()
			return false
		}
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	if !e.again.Load() {
		e.again.Store(true)
	}
	return true
}

// unchanged looks at e's file, and decides anew.
func (c *Cache) unchanged(e *Entry, now time.Time) bool {
	var st unix.Stat_t
	if err := unix.Lstat(e.path, &st); err != nil {
		return false
	}
	if (inode{st.Dev, st.Ino, uint64(st.Size), syscall.Timespec(st.Ctim)}) != e.inode {
		return false
	}
	want := c.Promised(e.key)
	p := c.o.Policy(e.key)
	check := ""
	if p.Check != nil {
		check = p.Check.ID
	}
	return want == e.want && check == e.check && Decide(now, &e.facts, want, p) == Serve
}

// add takes e in, in place of what was kept of its key.
func (s *entries) add(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.list[e.key]; old != nil {
		s.remove(old)
	}
	if s.list == nil {
		s.list = map[Key]*Entry{}
	}
	s.list[e.key] = e
	s.bodies += len(e.body)
	if e.file != nil {
		s.files++
	}
	for s.bodies > maxBodies || s.files > maxFiles {
		first := s.order.Front()
		if first == nil {
			break // e alone is too large
		}
		if old := first.Value.(*Entry); old.again.Swap(false) {
			s.order.MoveToBack(first)
		} else {
			s.remove(old)
		}
	}
	e.place = s.order.PushBack(e)
	if s.sweeps == nil {
		s.sweeps = time.AfterFunc(sweepEvery, s.tend)
	}
}

// tend lets go what nobody has asked for since the last time.
func (s *entries) tend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.list {
		if !e.used.Swap(false) {
			s.remove(e)
		}
	}
	if s.sweeps = nil; len(s.list) > 0 {
		s.sweeps = time.AfterFunc(sweepEvery, s.tend)
	}
}

// remove lets e go, which is in the list. The lock is held.
func (s *entries) remove(e *Entry) {
	delete(s.list, e.key)
	s.order.Remove(e.place)
	s.bodies -= len(e.body)
	if e.file != nil {
		s.files--
	}
	e.dropped.Store(true)
	e.Release()
}

// drop lets e go, if it is still there.
func (s *entries) drop(e *Entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list[e.key] == e {
		s.remove(e)
	}
}

// forget lets go what is at hand of k.
func (s *entries) forget(k Key) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.list[k]; e != nil {
		s.remove(e)
	}
}

// close lets everything go.
func (s *entries) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.list {
		s.remove(e)
	}
	if s.sweeps != nil {
		s.sweeps.Stop()
	}
}
