package popularity

import "context"

// output commits the batches of one log, each while the next is being counted.
type output struct {
	ctx  context.Context
	in   *ingest
	path string
	head []byte

	off       int64 // how far the log's lines are in the batch
	tail      []byte
	committed int64  // how far they were handed over
	end       *known // as far as they are in the database
	own       bool   // end is of this run and this log, and may be moved on

	pending *job // being committed, with the result to come
	done    chan error
}

// newOutput begins where from ends, at the log's beginning without it.
func newOutput(ctx context.Context, in *ingest, path string, head []byte, from *known) *output {
	o := &output{ctx: ctx, in: in, path: path, head: head, end: from, done: make(chan error, 1)}
	if from != nil {
		o.off, o.committed = from.readTo, from.readTo
	}
	return o
}

// at says that the lines up to off are counted, before which stands tail.
func (o *output) at(off int64, tail []byte) { o.off, o.tail = off, tail }

// commit hands the batch over, after the one before it is committed.
func (o *output) commit() error {
	if err := o.wait(); err != nil {
		return err
	}
	b := &o.in.batch
	j := &job{
		file: o.path, at: here(o.head, o.off, o.tail), read: o.off - o.committed,
		days: b.inOrder(), clients: b.clients, dirs: b.dirs, paths: b.paths, group: o.in.s.group, tally: b.tally,
	}
	if o.own {
		j.at.id = o.end.id
	}
	for _, r := range b.roots {
		if r.lastSeen != 0 {
			j.roots = append(j.roots, r)
		}
	}
	o.committed = o.off
	o.pending = j
	if forgot := b.next(); forgot {
		// Its indices are the job's no more: not before that is done.
		err := o.in.writer.commit(o.ctx, j)
		o.in.writer.forget()
		o.done <- err
		return o.wait()
	}
	go func() { o.done <- o.in.writer.commit(o.ctx, j) }()
	return nil
}

// wait waits for the batch that is being committed, and reports it.
func (o *output) wait() error {
	j := o.pending
	if j == nil {
		return nil
	}
	o.pending = nil
	if err := <-o.done; err != nil {
		return o.in.s.explain("write", err)
	}
	if o.own {
		*o.end = j.at
	} else {
		end := j.at
		o.end, o.own = &end, true
		o.in.knowns.list = append(o.in.knowns.list, o.end)
	}
	o.in.s.opt.Log.DebugContext(o.ctx, "log lines committed", "file", j.file, "lines", j.tally.lines, "offset", j.at.readTo)
	r := o.in.report
	r.add(&j.tally, j.file)
	r.Requests += j.added
	r.NewRoots = append(r.NewRoots, j.newRoots...)
	r.Bytes += j.read
	return nil
}

// finish commits what is left, and waits for it.
func (o *output) finish() error {
	if o.off > o.committed {
		if err := o.commit(); err != nil {
			return err
		}
	}
	return o.wait()
}
