package cache

import "context"

// demand is who a fill is for. A fill belongs to no client and goes on without
// any, as long as no more is missing than may come for nobody; else it is stopped,
// once and for good. It is guarded by its fill's lock, so that nobody can enter
// between the last one's leaving and the stop: who finds it abandoned knows that
// what is there of the file will be continued by another fill.
type demand struct {
	waiting int   // clients, and runs that fetch ahead, that want the file
	had     int64 // bytes that were there when the last of them left
	epoch   int   // of the inode that they were in
	// limit is how many bytes may come for nobody; nil is no limit.
	limit func() int64

	abandoned bool
	stopped   context.Context // done once it is abandoned
	stop      context.CancelFunc
}

func newDemand(limit func() int64) demand {
	d := demand{limit: limit}
	d.stopped, d.stop = context.WithCancel(context.Background())
	return d
}

// lose says that one less wants the file, of which now is there.
func (d *demand) lose(now progress) {
	d.waiting--
	if d.waiting == 0 {
		d.had, d.epoch = now.size, now.epoch
		d.review(now)
	}
}

// review stops a fill that nobody waits for, if it still costs too much. What has
// not begun may cost nothing, and what is done does not any more.
func (d *demand) review(now progress) {
	if d.waiting > 0 || d.abandoned || d.limit == nil || now.done || now.file == nil {
		return
	}
	if d.epoch != now.epoch {
		d.had, d.epoch = 0, now.epoch
	}
	missing := now.missing()
	if missing < 0 {
		// Nobody knows: what has come since has to do.
		missing = now.size - d.had
	}
	if missing > d.limit() {
		d.abandoned = true
		d.stop()
	}
}

// missing is how many bytes are still to come, -1 if that is not known.
func (p progress) missing() int64 {
	length := p.head.Length
	if p.head.Want.Known() {
		length = p.head.Want.Size
	}
	if length < 0 {
		return -1
	}
	return max(length-p.size, 0)
}
