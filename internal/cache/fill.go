package cache

import (
	"context"
	"fmt"
	"os"
	"sync"
)

// fill is one file's download or validation, from the first request that needs
// it to its end. There is one per key in a process; across processes the lock
// on the partial file makes one of them download and the others follow. It
// belongs to no client.
type fill struct {
	key  Key
	want Want

	mu      sync.Mutex
	changed chan struct{} // closed and replaced at each progress
	now     progress
	readers int  // who may still open now.file
	ended   bool // now.file may be closed when the last of them has gone

	demand demand
}

// progress is how far a fill has come.
type progress struct {
	file  *os.File // the inode that grows; nil before a body has begun
	epoch int      // counts the inodes
	head  Head
	size  int64 // bytes that have passed the checks made on the way
	// checks says that a Check follows when all bytes are there.
	checks bool

	done   bool
	answer Answer
	err    error // of a fill that failed
	facts  Facts // of the file that a fill stored, or found to be fresh
	joined bool  // another process downloaded
	// withdrawn says that the stored file is not served any more: it is gone upstream.
	withdrawn bool
	fetched   int64 // bytes that came from upstream
	nearby    int64 // bytes that came from siblings
	bucket    int64 // bytes that came from the bucket
	resumed   int64 // bytes that an earlier try had left
}

func newFill(k Key, w Want, limit func() int64) *fill {
	return &fill{key: k, want: w, changed: make(chan struct{}), demand: newDemand(limit)}
}

// update changes the progress under the lock and wakes whoever waits for it.
func (f *fill) update(change func(*progress)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.now)
	close(f.changed)
	f.changed = make(chan struct{})
}

// grow publishes that visible bytes of file, whose body is h's, are there.
func (f *fill) grow(file *os.File, h Head, visible int64) {
	f.update(func(p *progress) {
		if p.file != file {
			if p.file != nil {
				p.file.Close()
			}
			p.file = file
			p.epoch++
		}
		p.head, p.size = h, visible
		f.demand.review(*p)
	})
}

// owns reports whether the fill has published file, and will close it.
func (f *fill) owns(file *os.File) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now.file == file
}

// finish publishes the end.
func (f *fill) finish(end ending) {
	f.update(func(p *progress) {
		p.done = true
		p.answer, p.err, p.facts = end.answer, end.err, end.facts
		p.joined, p.withdrawn = end.joined, end.withdrawn
		p.fetched, p.nearby, p.bucket, p.resumed = end.fetched, end.nearby, end.bucket, end.resumed
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.closeIfLast()
}

// watch is the progress now, and a channel that is closed at the next.
func (f *fill) watch() (progress, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.changed
}

// await returns the first progress that ok accepts.
func (f *fill) await(ctx context.Context, ok func(progress) bool) (progress, error) {
	for {
		now, changed := f.watch()
		if ok(now) {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// enter and leave count those who may open the fill's file. Who enters wants the
// file too, until it calls lose.
func (f *fill) enter() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers++
	f.demand.waiting++
}

// lose says that one that has entered does not want the file any more. It may
// come after leave.
func (f *fill) lose() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.demand.lose(f.now)
}

// abandoned reports whether the fill is being stopped because nobody wants its
// file: who comes after that waits for its end, and begins anew.
func (f *fill) abandoned() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.demand.abandoned
}

func (f *fill) leave() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.readers--
	f.closeIfLast()
}

func (f *fill) closeIfLast() {
	if f.ended && f.readers == 0 && f.now.file != nil {
		f.now.file.Close()
		f.now.file = nil
	}
}

// attach waits until a client can be given an answer, and opens the inode that
// grows once more, with an offset of its own, so that each reader sends from its
// own descriptor: both under one lock, so that the file is what the progress
// says. file is nil where the fill has ended without one. The caller has entered.
func (f *fill) attach(ctx context.Context) (file *os.File, now progress, err error) {
	for {
		f.mu.Lock()
		now, changed := f.now, f.changed
		ready := now.servable()
		if ready && (!now.done || now.brought()) {
			file, err = reopen(now.file)
		}
		f.mu.Unlock()
		if ready || err != nil {
			return file, now, err
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, now, ctx.Err()
		}
	}
}

// brought reports whether a fill that is done has brought a file.
func (p progress) brought() bool { return p.err == nil && p.answer == Changed }

// reopen opens the inode of file again, whatever has become of its name.
func reopen(file *os.File) (*os.File, error) {
	var again *os.File
	err := control(file, func(fd int) (err error) {
		again, err = os.Open(fmt.Sprintf("/proc/self/fd/%d", fd))
		return err
	})
	return again, err
}
