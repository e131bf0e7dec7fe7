package cache

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The marks: the cache is brought back to the low one when it passes the high
// one, so that a walk over all of it pays for many downloads, and so that those
// that arrive meanwhile stay below cache_size. They are parts of cache_size; of
// what min_free asks for, the marks keep some more free.
const (
	slackParts = 20 // high is 95 % of cache_size, low 90 %
	floorParts = 4  // eviction begins at 125 % of min_free, and ends at 150 %
)

const (
	// recountEvery is how often the stored files are counted although nothing
	// asked for it: others may put files there, and the account may have slipped.
	recountEvery = time.Hour
	// restFor is how long after an eviction that could not free enough none is
	// tried again.
	restFor = time.Minute
	// evictedWithin is how long a download waits for an eviction to make room for
	// it. A walk over 100,000 files takes about one.
	evictedWithin = 5 * time.Second
)

// space is the cache's limits, and what is under way to keep them. It is safe
// for concurrent use.
type space struct {
	size    int64 // bytes that the cache may take, 0 for no limit
	minFree int64 // bytes that stay free on the file system

	// pending is the bytes that downloads of this process wait for room for.
	pending atomic.Int64
	tended  atomic.Bool // somebody evicts when he is woken
	resting atomic.Bool // evicting has just been of no use
	wake    chan struct{}

	mu      sync.Mutex
	running bool          // an eviction has begun, and is not over
	round   chan struct{} // closed, and replaced, when an eviction is over
}

func newSpace(size, minFree int64) *space {
	// So that the marks can be computed; no disk is larger.
	minFree = min(minFree, math.MaxInt64/4)
	return &space{size: size, minFree: minFree, wake: make(chan struct{}, 1), round: make(chan struct{})}
}

// What a body may have at the most of which neither metadata nor its own header says
// how long it is, in bytes: no package and no image of an installer is as large, and an
// endless one must not put most of the cache out.
const (
	mostUndeclared  = 16 << 30
	undeclaredParts = 4 // of cache_size
)

// undeclared is that, in a cache of this size.
func (s *space) undeclared() int64 {
	if s.size > 0 {
		return min(mostUndeclared, s.size/undeclaredParts)
	}
	return mostUndeclared
}

// over is how many bytes have to go where the cache takes bytes and free are
// left: none below the high mark, else all that is above the low one.
func (s *space) over(bytes, free int64) int64 {
	var n int64
	if slack := s.size / slackParts; s.size > 0 && bytes > s.size-slack {
		n = bytes - (s.size - 2*slack)
	}
	if slack := s.minFree / floorParts; free < s.minFree+slack {
		n = max(n, s.minFree+2*slack-free)
	}
	return n
}

// room is how many bytes may be added and stay below the low mark.
func (s *space) room(bytes, free int64) int64 {
	n := free - (s.minFree + 2*(s.minFree/floorParts))
	if s.size > 0 {
		n = min(n, s.size-2*(s.size/slackParts)-bytes)
	}
	return n
}

// check says why n bytes can't be added to a cache of that many bytes with so
// many free; nil if they can.
func (s *space) check(bytes, free, n int64) error {
	switch {
	case s.size > 0 && bytes+n > s.size:
		return fmt.Errorf("%w: %d bytes would make the cache larger than cache_size (%d of %d are in use)", ErrUnstorable, n, bytes, s.size)
	case free-n < s.minFree:
		return fmt.Errorf("%w: %d bytes would leave less than min_free (%d) of the %d that are free: %w", ErrUnstorable, n, s.minFree, free, syscall.ENOSPC)
	}
	return nil
}

// await wakes whoever evicts to make room for n bytes, and waits until an
// eviction is over that knows of them; it does not wait where none can help.
func (s *space) await(n int64) bool {
	if !s.tended.Load() || s.resting.Load() {
		return false
	}
	s.pending.Add(n)
	defer s.pending.Add(-n)
	late := time.NewTimer(evictedWithin)
	defer late.Stop()
	for first := true; ; first = false {
		s.mu.Lock()
		round, running := s.round, s.running
		s.mu.Unlock()
		s.rouse()
		select {
		case <-round:
		case <-late.C:
			return false
		}
		// The one that was under way had counted before; the one after it has not.
		if !first || !running || s.resting.Load() {
			return true
		}
	}
}

// rouse wakes whoever evicts.
func (s *space) rouse() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}

// begin says that an eviction begins: it counts what is pending after this.
func (s *space) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = true
}

// finish says that an eviction is over.
func (s *space) finish(short bool) {
	s.resting.Store(short)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = false
	close(s.round)
	s.round = make(chan struct{})
}

// Tend keeps the cache to its size until ctx ends: it counts what is stored, in
// the background, and evicts when a download or the hour says so.
func (c *Cache) Tend(ctx context.Context) {
	s := c.space
	s.tended.Store(true)
	defer s.tended.Store(false)
	hourly := time.NewTicker(recountEvery)
	defer hourly.Stop()
	for {
		s.begin()
		e, err := c.evict(ctx, s.pending.Load(), rankMetadata, false)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.o.Log.Warn("the cache can't be kept to its size", "error", err)
		} else if e.Short > 0 {
			c.o.Log.Warn("the cache can't be kept to its size: what is left is in use or needed", "bytes_over", e.Short, "size", e.After, "cache_size", s.size, "min_free", s.minFree)
		}
		s.finish(err != nil || e.Short > 0)
		if s.resting.Load() {
			select {
			case <-time.After(restFor):
			case <-ctx.Done():
				return
			}
			s.resting.Store(false)
		}
		select {
		case <-s.wake:
		case <-hourly.C:
		case <-ctx.Done():
			return
		}
	}
}

// errTooLarge is of a file that will never be stored, however much room is made.
var errTooLarge = fmt.Errorf("%w: larger than cache_size", ErrUnstorable)

// reserve makes room for n bytes more in p's file, without changing its size.
func (p *Partial) reserve(n int64) error {
	s := p.dir.space
	if s.size > 0 && n > s.size {
		return fmt.Errorf("%w: %d bytes of %d", errTooLarge, n, s.size)
	}
	err := p.hasRoom(n)
	if err != nil && s.await(n) {
		err = p.hasRoom(n)
	}
	if err == nil && n > 0 {
		err = allocate(p.file, n)
	}
	p.count()
	return err
}

// hasRoom looks whether n bytes more may be stored.
func (p *Partial) hasRoom(n int64) error {
	// What can't be learned is no reason against it: the write itself shows.
	free := int64(math.MaxInt64)
	var st unix.Statfs_t
	if err := control(p.file, func(fd int) error { return unix.Fstatfs(fd, &st) }); err == nil {
		_, free = sizesOf(&st)
	}
	bytes, _, _ := p.dir.usage.get()
	return p.dir.space.check(bytes, free, n)
}

// count accounts what p's file takes on the disk now.
func (p *Partial) count() {
	if fi, err := p.file.Stat(); err == nil {
		n := sizeOnDisk(fi)
		p.dir.account(n - p.counted)
		p.counted = n
	}
}

// account adds delta bytes to what the cache takes, and wakes whoever evicts if
// that is too much or too little is left.
func (d *partials) account(delta int64) {
	if delta == 0 {
		return
	}
	bytes, err := d.usage.add(delta)
	if err != nil {
		return // the next walk counts it
	}
	_, free, err := disk(d.dir)
	if err != nil {
		free = math.MaxInt64
	}
	if d.space.over(bytes, free) > 0 {
		d.space.rouse()
	}
}
