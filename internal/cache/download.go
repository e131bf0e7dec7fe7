package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"
)

// pollEvery is how often a download in another process is looked at.
const pollEvery = 10 * time.Millisecond

// order is how a fill is to be carried out.
type order struct {
	source Source
	// place, where it is set, is the name that the complete file gets, below the
	// cache directory, in place of its key's.
	place func(Facts) (string, error)
	// ahead says that nobody has asked for the file yet.
	ahead bool
	// ask says to validate the stored copy however fresh it is.
	ask bool
	// check, where it is set, is what the file has to pass, in place of its policy's;
	// the stored copy is not asked about then, since another is wanted.
	check *Check
}

// ending is how a fill ended; see progress for the fields.
type ending struct {
	answer           Answer
	err              error
	facts            Facts
	joined           bool
	withdrawn        bool
	fetched, resumed int64
	nearby, bucket   int64
}

// run carries out f and tells its followers the end. It ends with ctx, and where
// nobody wants the file any more.
func (c *Cache) run(ctx context.Context, f *fill, o order) {
	defer c.fills.Done()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(f.demand.stopped, cancel)()
	end := c.fetch(ctx, f, o)
	if f.abandoned() && end.err != nil {
		c.activity.abandoned.Add(1)
		c.o.Log.Info("a download was stopped: nobody waits for it, and too much is missing", "file", f.key.String(), "fetched", end.fetched)
	}
	c.mu.Lock()
	delete(c.current, f.key)
	c.mu.Unlock()
	c.activity.fetched.Add(end.fetched)
	c.activity.nearby.Add(end.nearby)
	c.activity.bucket.Add(end.bucket)
	if end.answer == Changed {
		c.absent.forget(f.key)
	}
	if c.o.Ledger != nil && end.fetched > 0 && !isLocal(o.source) {
		c.o.Ledger.Fetched(f.key, end.fetched, o.ahead)
	}
	f.finish(end)
}

// fetch downloads or validates f's file, or follows the process that does.
func (c *Cache) fetch(ctx context.Context, f *fill, o order) ending {
	path := c.partials.path(f.key)
	for {
		file, held, err := c.partials.lock(path)
		if err != nil {
			c.failed(f.key, err)
			return ending{answer: Unreachable, err: err}
		}
		if !held {
			var end ending
			held, end, err = c.follow(ctx, f, file, path)
			if err == nil && !held {
				return end
			}
			if err != nil && !f.owns(file) {
				file.Close()
			}
			if errors.Is(err, errAgain) {
				continue
			}
			if err != nil {
				return ending{answer: Unreachable, err: err}
			}
		}
		p, err := newPartial(&c.partials, file, path, f.want, c.o.Policy(f.key).Format)
		if err != nil {
			file.Close()
			c.failed(f.key, err)
			return ending{answer: Unreachable, err: storeError(err)}
		}
		p.grown = f.grow
		if p.check = o.check; p.check == nil {
			p.check = c.o.Policy(f.key).Check
		}
		p.refused = func(e *WrongContentError) { c.keepSample(f.key, p, e) }
		end := c.download(ctx, f, o, p)
		p.release(f.owns(p.file))
		return end
	}
}

// download is fetch for the holder of the lock.
func (c *Cache) download(ctx context.Context, f *fill, o order, p *Partial) ending {
	// What is stored may have changed while the lock was another's.
	st, action, err := c.look(f.key, f.want)
	if err != nil {
		return ending{answer: Unreachable, err: err}
	}
	r := Request{Key: f.key, Want: f.want}
	_, r.Held = c.o.Catalog.Lookup(f.key)
	if st != nil {
		defer st.file.Close()
	}
	if st != nil && o.check == nil {
		if action == Serve && o.ask && !f.want.Known() {
			action = Validate
		}
		if action == Serve {
			// Whatever is left of an earlier try, nobody has a use for it.
			p.Reject()
			return ending{answer: Same, facts: st.facts}
		}
		if action == Validate {
			facts := st.facts
			if facts.ModTime.After(c.o.Now()) {
				// A clock that was wrong, here or upstream: by such a time every mirror
				// would lag, and what is stored would be the newest for ever.
				facts.LastModified, facts.ModTime = "", time.Unix(0, 0)
			}
			r.Stored = &facts
		}
	}
	if o.check == nil && o.place == nil {
		if facts, ok := c.borrow(ctx, f.key, f.want, p.check, o.ahead); ok {
			p.Reject()
			c.lift(f.key)
			if c.o.Committed != nil {
				c.o.Committed(f.key, f.key.String(), facts)
			}
			return ending{answer: Same, facts: facts}
		}
	}

	if o.check != nil {
		// What this one refuses the next may be looking for.
		err = o.source.Fetch(ctx, r, p)
	} else if err = c.refusals.of(r.Key, r.Want, c.o.Now()); err == nil {
		err = o.source.Fetch(ctx, r, p)
		c.refusals.note(r.Key, r.Want, err, c.o.Now())
	}
	if errors.Is(err, ErrUnstorable) {
		c.failed(f.key, err)
	}
	end := ending{fetched: p.fetched - p.nearby - p.bucket, resumed: p.resumed, nearby: p.nearby, bucket: p.bucket}
	var unreachable *UnreachableError
	switch {
	case err == nil:
		end.answer = Changed
		end.facts = p.facts()
		end.facts.Validated = c.o.Now()
		if o.ahead {
			end.facts.Prefetched = end.facts.Validated
		}
		if at := p.head.Validated; !at.IsZero() {
			end.facts.Validated = at // upstream has said nothing since
		} else if p.confirmed != nil {
			end.facts.Validated = *p.confirmed
		}
		// Readers may have the last byte; a Source that wrote by itself has told them of none.
		f.grow(p.file, p.head, p.size)
		end.facts, end.err = c.commit(ctx, f.key, o, p, end.facts)
		if errors.Is(end.err, ErrUnstorable) || errors.Is(end.err, ErrNotAFile) {
			// The bytes are right; whoever waits for them shall have them.
			c.failed(f.key, end.err)
			if !o.ahead {
				end.err = nil
			}
		}
	case errors.Is(err, ErrNotModified) && st != nil:
		end.answer, end.facts = Same, st.facts
		end.facts.Validated = c.o.Now()
		if err := st.setFacts(end.facts); err != nil {
			c.o.Log.Warn("a validation can't be remembered", "file", f.key.String(), "error", err)
		}
	case errors.As(err, &unreachable):
		end.answer, end.err = Unreachable, err
	case errors.Is(err, fs.ErrNotExist):
		end.answer = Gone
		// Where metadata promises another file, that one is not there: nobody has
		// asked for the stored one.
		if r.Stored == nil {
			break
		}
		switch Settle(Gone, true, r.Held, c.o.Policy(f.key).Anchor, c.o.Known(f.key)) {
		case Withdraw:
			end.withdrawn = true
			if err := c.bury(f.key, st, Tombstone{Withdrawn: c.o.Now(), Why: "a client asked for it"}); err != nil {
				c.o.Log.Warn("a file that is gone upstream is asked for again", "file", f.key.String(), "error", err)
			}
		case Delete:
			end.withdrawn = true
			c.entries.forget(f.key)
			if _, err := c.remove(f.key, st); err != nil {
				c.o.Log.Warn("what is gone upstream can't be deleted", "file", f.key.String(), "error", err)
			}
		}
	default:
		end.answer, end.err = Changed, err
	}
	return end
}

// commit stores the complete file of p.
func (c *Cache) commit(ctx context.Context, k Key, o order, p *Partial, f Facts) (Facts, error) {
	to, shared := k.String(), []Key(nil)
	var err error
	if o.place != nil {
		if to, err = o.place(f); err != nil {
			return f, err
		}
	} else {
		shared = c.twins(k, f.SHA256)
	}
	if f, err = c.tree.seal(p, f); err != nil {
		p.Reject()
		return f, err
	}
	if len(shared) > 0 {
		defer c.lockTwins(ctx)()
	}
	if c.commitTwin(ctx, k, &f, shared) {
		p.Reject() // its readers have it open, and nobody else has a use for it
	} else {
		replaced, err := c.tree.commit(p, to)
		if err != nil {
			p.Reject()
			return f, err
		}
		p.committed = true
		p.count() // its attributes may have taken a block
		c.partials.account(-replaced)
	}
	if o.place == nil {
		c.entries.forget(k)
		if f.Met != "" {
			c.lift(k)
		}
	}
	c.trouble.stored()
	if c.o.Committed != nil && !p.head.Bucket {
		c.o.Committed(k, to, f)
	}
	return f, nil
}

// lift removes the tombstone of k, which verified metadata lists again.
func (c *Cache) lift(k Key) {
	if _, err := c.tombs.lift(k); err != nil {
		c.o.Log.Warn("a file that is back counts as withdrawn until metadata lists it", "file", k.String(), "error", err)
	}
}

// follow reads along while another process downloads into file, until that one
// has committed it (an ending), has died (held: the lock, and the download,
// are now ours), or has given it up (errAgain: look at the store again).
func (c *Cache) follow(ctx context.Context, f *fill, file *os.File, path string) (held bool, end ending, err error) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	policy := c.o.Policy(f.key)
	format, check := policy.Format, policy.Check
	var head Head
	var begun, foreign, fits bool
	var seen int64 = -1
	for {
		held, err := tryLock(file)
		if err != nil {
			return false, ending{}, err
		}
		fi, err := file.Stat()
		if err != nil {
			return false, ending{}, err
		}
		if held {
			if sameFile(file, path) {
				return true, ending{}, nil
			}
			defer unlock(file)
			facts := readFacts(file, fi)
			if facts == nil || f.want.Known() && !facts.Keeps(f.want.Digest) {
				return false, ending{}, errAgain
			}
			// The other may have been started with other keys.
			if c.approved(f.key, &stored{file: file, facts: *facts}, check) != nil {
				return false, ending{}, errAgain
			}
			f.grow(file, Head{
				Length: facts.Size, URL: facts.URL, ETag: facts.ETag, LastModified: facts.LastModified, Want: head.Want,
			}, facts.Size)
			return false, ending{answer: Changed, facts: *facts, joined: true}, nil
		}
		if !begun {
			begun = readAttr(file, partialAttr, &head) == nil
			// What the other does not verify, it may not be what was promised here.
			foreign = f.want.Known() && head.Want != f.want
		}
		if begun && !foreign && !fits {
			buf := make([]byte, sniffLen)
			n, err := file.ReadAt(buf, 0)
			fits = head.Want.Known() || err == nil && format.Fits(buf[:n])
		}
		if fits && fi.Size() > seen {
			seen = fi.Size()
			f.grow(file, head, seen)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false, ending{}, ctx.Err()
		}
	}
}

// Outcome is what became of a prefetch.
type Outcome struct {
	// Stored: it was there already. Joined: another process's download, or this
	// one's own for a client, brought it. NotModified: upstream said so.
	Stored, Joined, NotModified bool
	Fetched                     int64 // bytes that came from upstream
	Nearby                      int64 // bytes that came from siblings and the bucket
	Resumed                     int64 // bytes that an earlier try had left
	Facts                       Facts // of the stored file
}

// Prefetch brings k into the cache from s, ahead of any client, unless the
// stored copy is what w promises. A download of the same file that is under way
// in either program is joined. It ends with ctx and stays resumable then.
// Errors are those of Source.
func (c *Cache) Prefetch(ctx context.Context, k Key, w Want, s Source) (Outcome, error) {
	return c.ahead(ctx, k, w, order{source: s, ahead: true})
}

// Stage is Prefetch for a file that shall not replace the stored one yet: what
// is fetched gets the name, below the cache directory, that place returns. With
// no promise in w it asks upstream whether the stored copy is current, however
// fresh that is; if it is (Outcome.NotModified), or the stored copy is what w
// promises (Outcome.Stored), nothing is placed.
func (c *Cache) Stage(ctx context.Context, k Key, w Want, s Source, place func(Facts) (string, error)) (Outcome, error) {
	return c.ahead(ctx, k, w, order{source: s, ahead: true, ask: true, place: place})
}

// StageChecked is Stage for a file of which nothing is promised, and that has to
// pass check: what fails it is refused as wrong bytes are, and the next mirror is
// asked. Upstream is not asked whether the stored copy is current: another one is
// wanted.
func (c *Cache) StageChecked(ctx context.Context, k Key, s Source, check *Check, place func(Facts) (string, error)) (Outcome, error) {
	return c.ahead(ctx, k, Want{}, order{source: s, ahead: true, ask: true, check: check, place: place})
}

func (c *Cache) ahead(ctx context.Context, k Key, w Want, o order) (Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)()
	var out Outcome
	for range looks {
		st, action, err := c.look(k, w)
		if err != nil {
			return out, err
		}
		if st != nil {
			out.Facts = st.facts
			st.file.Close()
		}
		if action == Serve && !(o.ask && !w.Known()) {
			out.Stored = !out.Joined
			return out, nil
		}
		f, leader, err := c.enter(ctx, k, w)
		if err != nil {
			return out, err
		}
		if leader {
			c.run(ctx, f, o)
		}
		now, err := f.await(ctx, func(p progress) bool { return p.done })
		f.leave()
		f.lose()
		if err != nil {
			return out, err
		}
		if leader {
			out.Fetched += now.fetched
			out.Nearby += now.nearby + now.bucket
			out.Resumed += now.resumed
		}
		out.Facts = now.facts
		switch {
		case leader && !now.joined && now.err != nil:
			return out, now.err
		case leader && !now.joined && now.answer == Gone:
			return out, fmt.Errorf("%s: %w", k, fs.ErrNotExist)
		case leader && !now.joined:
			out.NotModified = now.answer == Same && !w.Known()
			out.Stored = now.answer == Same && w.Known()
			return out, nil
		}
		// Another's download: whether it brought what is promised shows in the store.
		out.Joined = true
	}
	return out, fmt.Errorf("%s: %w", k, errAgain)
}
