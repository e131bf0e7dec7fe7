package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"syscall"
	"time"

	"intelligentmirror/internal/cache"
)

// goneFrom is how many mirrors have to say that a file is gone.
const goneFrom = 2

// tries is how often one mirror is asked for one file, as long as each try
// brings more of it: a line that drops now and then still brings all.
const tries = 12

// again is how often a mirror that said "not now" is asked once more, and
// pause the wait before it the first time, each longer than the one before.
const (
	again = 2
	pause = 200 * time.Millisecond
)

// stay is how often a mirror that has sent a part of a file is asked once more for
// the rest, and stayPause the wait before it the first time, twice as long each time
// after that: three seconds in all.
const (
	stay      = 5
	stayPause = 100 * time.Millisecond
)

// patience is how long other mirrors are tried while a client waits for a first
// byte: dnf and apt give up after 30 s of silence.
const patience = 25 * time.Second

// slowAnswer is how long an answer that is of no use may take and still not tell
// of a mirror that is down: a busy machine is slow, this one too.
const slowAnswer = 5 * time.Second

// errNotNow is an answer of a mirror that is there and can't help at the moment.
var errNotNow = errors.New("not now")

// later reports whether a status says that the same question may be answered later.
func later(code int) bool {
	switch code {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// passing reports whether err is of a mirror that is there: it may do better the
// next moment.
func passing(err error) bool {
	return errors.Is(err, errNotNow) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET)
}

// way is how a mirror is asked.
type way struct {
	try func(context.Context, *mirror, cache.Request, *cache.Partial) error
	// agent says that no client waits: any number of mirrors is tried, a few
	// files of each at a time.
	agent bool
}

// inquiry asks mirrors for one file until one has brought it, and sums up what
// the others said.
type inquiry struct {
	m     *Mirrors
	r     cache.Request
	p     *cache.Partial
	way   way
	start time.Time

	asked   []string  // bases
	alive   []*mirror // those that failed and may do better the next moment
	tally             // of those that say that it is not there
	begun   bool      // bytes of it have come
	late    bool      // one was silent for too long
	refused bool      // what one sent was no entry file to take
	expired []*mirror // those that have one that has expired
	failure error
}

// each asks for a file in the way w: the site's own places first.
func (m *Mirrors) each(ctx context.Context, r cache.Request, p *cache.Partial, w way) error {
	if done, err := m.askNear(ctx, r, p, w); done {
		return err
	}
	return m.askMirrors(ctx, r, p, w)
}

// askMirrors asks for a file in the way w, the site's own places apart.
func (m *Mirrors) askMirrors(ctx context.Context, r cache.Request, p *cache.Partial, w way) error {
	q := &inquiry{m: m, r: r, p: p, way: w, start: time.Now()}
	if w.agent && m.lists != nil {
		// Other mirrors, and what they are held to, are worth a wait of nobody's.
		m.lists.of(r.Key.Path).await(ctx, patience)
	}
	if done, err := q.walk(ctx, q.candidates()); done {
		return err
	}
	if m.lists != nil {
		// Nobody that is configured could help: perhaps one of a list that was not
		// there yet can.
		m.lists.of(r.Key.Path).await(ctx, patience-time.Since(q.start))
		if done, err := q.walk(ctx, q.candidates()); done {
			return err
		}
	}
	for i := range again {
		// A stored copy is served as well; and a site with one mirror hears of its
		// trouble at once.
		if len(q.alive) == 0 || q.known == 1 || r.Stored != nil || q.gone > 0 || q.tired() {
			break
		}
		if err := sleep(ctx, m.c.jittered(pause<<(2*i))); err != nil {
			return err
		}
		list := q.alive
		q.alive = nil
		if done, err := q.walk(ctx, list); done {
			return err
		}
	}
	if len(q.expired) > 0 {
		// None has a newer one.
		if done, err := q.walk(context.WithValue(ctx, expiredToo{}, true), q.expired); done {
			return err
		}
	}
	return q.verdict()
}

// candidates is whom to ask now, in order, but for those that have been.
func (q *inquiry) candidates() []*mirror {
	places := q.m.places(q.r.Key)
	q.known, q.promised = len(places), q.r.Want.Known()
	q.named = count(places, configured)
	list := q.m.candidates(places)
	q.m.wake(list, q.r.Key)
	if q.way.agent {
		list = q.m.everyone(places)
	}
	return slices.DeleteFunc(list, func(x *mirror) bool { return slices.Contains(q.asked, x.base) })
}

// tired reports whether a client that waits for a first byte is about to leave.
func (q *inquiry) tired() bool {
	return !q.way.agent && !q.begun && time.Since(q.start) > patience
}

// walk asks the mirrors of list; done says that err is the end of the inquiry.
func (q *inquiry) walk(ctx context.Context, list []*mirror) (done bool, err error) {
	var held *host
	if q.way.agent && len(list) > 0 {
		if list, err = q.spread(ctx, list); err != nil {
			return true, err
		}
		held = list[0].host
	}
	release := func() {
		if held != nil {
			held.giveBack()
			held = nil
		}
	}
	defer release()
	for i, x := range list {
		rest := list[i+1:]
		if q.spares(x, rest) {
			continue
		}
		if q.tired() {
			break
		}
		if q.way.agent && held == nil {
			if err := x.take(ctx); err != nil {
				return true, err
			}
			held = x.host
		}
		q.asked = append(q.asked, x.base)
		progress, err := q.inTurn(ctx, x, len(rest) == 0)
		release()
		q.begun = q.begun || progress
		switch {
		case err == nil, errors.Is(err, cache.ErrNotModified), errors.Is(err, cache.ErrUnstorable), promised(err):
			return true, err
		case ctx.Err() != nil:
			return true, ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			if q.add(x, rest); !q.begun && q.settled() {
				return true, err
			}
			if progress {
				// It was there just now: not by this word alone.
				q.failure = fmt.Errorf("gone in the middle of the download: %v", err)
			}
		default:
			q.failure, q.late = err, q.late || timedOut(err)
			q.refused = q.refused || errors.Is(err, errRefused)
			if errors.Is(err, ErrExpired) {
				q.expired = append(q.expired, x)
			}
			if passing(err) {
				q.alive = append(q.alive, x)
			}
		}
	}
	return false, nil
}

// spread puts a mirror first that the agent may have one more download from,
// and takes that: the best that is well and has room, so that different files
// come from different mirrors. Where none has room it waits for the best.
func (q *inquiry) spread(ctx context.Context, list []*mirror) ([]*mirror, error) {
	now := q.m.c.o.Now()
	for i, x := range list {
		if x.health(now) != well {
			break
		}
		if x.tryTake() {
			return slices.Concat([]*mirror{x}, list[:i], list[i+1:]), nil
		}
	}
	return list, list[0].take(ctx)
}

// verdict is what it comes to when no mirror has brought the file.
func (q *inquiry) verdict() error {
	switch {
	case q.refused && q.r.Stored != nil:
		q.m.c.o.Log.Warn("the stored metadata stays: no mirror has any to take", "file", q.r.Key.String(), "last", q.failure)
		return cache.ErrNotModified
	case q.begun, errors.Is(q.failure, cache.ErrWrongContent):
		return q.failure
	case q.gone > 0 && q.r.Stored == nil:
		// Too few to delete anything for it, but nobody asked whether to.
		return fmt.Errorf("%s: %w", q.r.Key, fs.ErrNotExist)
	}
	if q.failure == nil {
		q.failure = fmt.Errorf("all mirrors of %s rest after failures", q.m.repo.Name)
		if q.gone > 0 {
			q.failure = fmt.Errorf("gone from one mirror of %s, and no other can be asked", q.m.repo.Name)
		}
	}
	return &cache.UnreachableError{Err: q.failure, TimedOut: q.late}
}

// inTurn is ask, for a client when it is its turn.
func (q *inquiry) inTurn(ctx context.Context, x *mirror, last bool) (progress bool, err error) {
	if !q.way.agent {
		if err := x.admit(ctx, q.m.c.o.Connect); err != nil {
			return false, fmt.Errorf("%s: %w", x.base, err)
		}
		defer x.dismiss()
	}
	return q.ask(ctx, x, last)
}

// ask asks one mirror, again as long as that brings more of the file: progress
// says that it has brought some. last says that no other could be asked instead.
func (q *inquiry) ask(ctx context.Context, x *mirror, last bool) (progress bool, err error) {
	m, r, p := q.m, q.r, q.p
	dropped, waits := false, 0
	for i := range tries {
		before, _ := p.Resume()
		start := m.c.o.Now()
		err = q.way.try(ctx, x, r, p)
		after, head := p.Resume()
		progress = progress || after > before
		switch {
		case err == nil, errors.Is(err, cache.ErrNotModified), errors.Is(err, fs.ErrNotExist):
			x.worked()
			return progress, err
		case errors.Is(err, cache.ErrUnstorable), ctx.Err() != nil:
			return progress, err
		case errors.Is(err, errStale) && !dropped:
			// What an earlier try left is not upstream's; it has been dropped.
			dropped = true
			continue
		}
		m.c.o.Log.Info("a mirror failed", "url", x.url(r.Key), "error", err)
		m.c.o.Refused.Note(err)
		switch {
		case errors.Is(err, errRefused):
			// It lags, or worse, with this file; for all that is known it has the others.
			x.worked()
			return progress, err
		case errors.Is(err, cache.ErrWrongContent):
			// It is there, and may be right about all other files.
			x.failed(m.c.o.Now(), 0)
			return progress, err
		case after > before && i < tries-1 && (last || !timedOut(err)):
			continue
		case progress && after > 0 && waits < stay && i < tries-1 && passing(err) && !r.Want.Known() && !head.Want.Known():
			// Without a digest no other mirror can go on where this one stopped, and
			// who reads along would have to begin anew.
			if err := sleep(ctx, m.c.jittered(stayPause<<waits)); err != nil {
				return progress, err
			}
			waits++
			continue
		}
		cost := m.c.o.Now().Sub(start)
		if progress && passing(err) || cost < slowAnswer && (passing(err) || errors.Is(err, errAnswer)) {
			// It is there: whoever asks it next does not wait for nothing.
			cost = 0
		}
		x.failed(m.c.o.Now(), cost)
		break
	}
	return progress, err
}

// jittered is about d, from half of it to one and a half times, so that those whom one
// trouble has stopped do not all come back in one moment.
func (c *Client) jittered(d time.Duration) time.Duration {
	return d/2 + time.Duration(c.o.Random()*float64(d))
}

// sleep waits for d.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
