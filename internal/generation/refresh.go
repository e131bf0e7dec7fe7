package generation

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"intelligentmirror/internal/cache"
)

// patience is how long a client waits for new metadata to become whole, before
// it gets what was current until then. dnf gives up after 30 s of silence.
const patience = 10 * time.Second

// incomplete is the detail of an answer that is the metadata before, because the
// new is not whole yet.
const incomplete = "metadata-incomplete"

// RefresherOptions configure a Refresher. Store, Cache and Source are needed.
type RefresherOptions struct {
	Store *Store
	Cache *cache.Cache
	// Source is where a repo's files come from; nil where there is no such repo.
	Source func(repo string) cache.Source
	// Withdrawn reports whether a current metalink lists other repomd.xml than the
	// one of k with that digest; nil never does.
	Withdrawn func(k cache.Key, digest cache.Digest) bool
	// Rest is how long a root whose new metadata could not be brought together is
	// left as it is: no longer than one that is well is left unasked.
	// It is asked each time; nil is not at all.
	Rest func() time.Duration
	// Patience is how long a client waits for new metadata; 10 s where it is 0.
	Patience time.Duration
	Now      func() time.Time // nil is time.Now
	Log      *slog.Logger     // nil discards
}

// Refresher answers clients' requests for entry files, so that no client gets one
// whose metadata is not there to be had: one that is due is asked for upstream,
// all that a new one lists is brought together beside the tree, and then it
// becomes current. It is safe for concurrent use.
type Refresher struct {
	o      RefresherOptions
	ctx    context.Context // of the flights, which belong to no client
	cancel context.CancelFunc
	under  sync.WaitGroup

	sessions sessions
	growing  singleflight.Group

	mu      sync.Mutex
	closed  bool
	flights map[Root]*flight
	failed  map[Root]failure
}

// failure is why a root's new metadata is not current.
type failure struct {
	new *Generation // not whole; nil where upstream's entry file was refused
	err error
	at  time.Time
}

// flight is one root's way from the question to upstream to new metadata.
type flight struct {
	root  Root
	began time.Time

	answered chan struct{} // closed when upstream has answered for the entry file
	done     chan struct{} // closed at the end
	entered  int           // clients; under the Refresher's lock
	// Set before answered is closed.
	new    *Generation // nil where err says why
	askErr error
	// Set before done is closed.
	err error
}

// NewRefresher returns a Refresher. Close ends what it does.
func NewRefresher(o RefresherOptions) *Refresher {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Patience == 0 {
		o.Patience = patience
	}
	if o.Rest == nil {
		o.Rest = func() time.Duration { return 0 }
	}
	f := &Refresher{o: o, flights: map[Root]*flight{}, failed: map[Root]failure{}}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Close ends what is under way, which stays resumable, and waits for it.
func (f *Refresher) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.cancel()
	f.under.Wait()
}

// enter says that something is under way that Close has to wait for, until
// f.under.Done is called; false once Close was.
func (f *Refresher) enter() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.under.Add(1)
	return true
}

// Get is cache.Cache.Get for k, an entry file of a root, with the same errors. A
// client waits for new metadata to become whole for 10 s at most; then, or if that
// fails, it gets what was current. Where nothing was, or a metalink no longer lists
// that, it gets the new entry file, and what this lists on demand. client is by
// which name Begun knows it again.
func (f *Refresher) Get(ctx context.Context, k cache.Key, client string) (*cache.Object, error) {
	r, ok := RootOf(k)
	if !ok {
		return f.o.Cache.Get(ctx, k)
	}
	if entry, there := f.o.Store.entry(r); there && entry != k {
		return f.beside(ctx, r, k, entry, client)
	}
	o, err := f.get(ctx, r, k)
	if errors.Is(err, fs.ErrNotExist) && path.Base(k.Path) == release {
		if entry, there := f.o.Store.entry(r); there && entry != k {
			return f.beside(ctx, r, k, entry, client) // upstream has turned out to have an InRelease
		}
	}
	if err != nil {
		return nil, err
	}
	if facts, ok := o.Facts(); ok && facts.SHA256 != "" {
		f.sessions.begin(r, client, facts.SHA256.Hex(), f.o.Now())
	}
	return o, nil
}

func (f *Refresher) get(ctx context.Context, r Root, k cache.Key) (*cache.Object, error) {
	o, fresh, err := f.o.Cache.Stored(k)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	stored := err == nil
	if stored {
		if fresh {
			o.Status = cache.Status{Hit: true}
			return o, nil
		}
		o.Close()
	}
	fl, leader, err := f.join(r, stored)
	if errors.Is(err, errResting) {
		if f.withdrawn(k) {
			return f.exposed(fl, k, cache.Status{Fwd: "stale"})
		}
		return f.stored(k, cache.Status{Hit: true, Detail: incomplete})
	}
	if err != nil {
		return nil, err
	}
	status := cache.Status{Fwd: "uri-miss", Collapsed: !leader}
	if stored {
		status.Fwd = "stale"
	}
	wait := time.NewTimer(f.o.Patience - f.o.Now().Sub(fl.began))
	defer wait.Stop()
	late := wait.C
	for answered := fl.answered; ; {
		select {
		case <-answered:
			answered = nil // what counts now is the rest
			if f.isCurrent(fl) {
				return f.validated(k, status)
			}
		case <-fl.done:
			return f.after(fl, k, stored, status)
		case <-late:
			late = nil
			if stored {
				if f.isCurrent(fl) {
					return f.validated(k, status)
				}
				if fl.isAnswered() && fl.new != nil && f.withdrawn(k) {
					return f.exposed(fl, k, status)
				}
				return f.stored(k, cache.Status{Hit: true, Detail: incomplete})
			}
			// Not before upstream has answered: there is nothing to be given.
			select {
			case <-fl.answered:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			if fl.new != nil {
				return f.exposed(fl, k, status)
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// isCurrent reports whether upstream has answered, and the tree has what it
// answered, whole or not.
func (f *Refresher) isCurrent(fl *flight) bool {
	return fl.isAnswered() && fl.new != nil && f.o.Store.has(fl.new)
}

// isAnswered reports whether what upstream said of the entry file is known.
func (fl *flight) isAnswered() bool {
	select {
	case <-fl.answered:
		return true
	default:
		return false
	}
}

// withdrawn reports whether a current metalink lists the repomd.xml of the tree, k,
// no more. A client that goes by it would drop the repository without a word.
func (f *Refresher) withdrawn(k cache.Key) bool {
	if f.o.Withdrawn == nil {
		return false
	}
	o, _, err := f.o.Cache.Stored(k)
	if err != nil {
		return false
	}
	defer o.Close()
	facts, _ := o.Facts()
	return facts.SHA256 != "" && f.o.Withdrawn(k, facts.SHA256)
}

// after is the answer to a client that asked for k when the flight has ended.
func (f *Refresher) after(fl *flight, k cache.Key, stored bool, status cache.Status) (*cache.Object, error) {
	err := errors.Join(fl.askErr, fl.err)
	var unreachable *cache.UnreachableError
	detail := incomplete
	switch {
	case err == nil && fl.new.was == fl.new.Digest:
		return f.validated(k, status)
	case err == nil:
		status.FwdStatus, status.Stored = 200, true
		return f.stored(k, status)
	case fl.askErr == nil && (!stored || f.withdrawn(k)):
		return f.exposed(fl, k, status)
	case !stored:
		return nil, fl.askErr
	case errors.As(fl.askErr, &unreachable):
		detail = "upstream-unreachable"
	case errors.Is(fl.askErr, fs.ErrNotExist):
		detail = "gone-upstream"
	case fl.askErr != nil:
		detail = "upstream-failed"
	}
	return f.stored(k, cache.Status{Hit: true, Detail: detail})
}

// validated is what the tree has, of which upstream says that it is its own.
func (f *Refresher) validated(k cache.Key, status cache.Status) (*cache.Object, error) {
	status.FwdStatus = 304
	return f.stored(k, status)
}

// exposed is the new entry file, for a client for whom there is no other that it
// would take.
func (f *Refresher) exposed(fl *flight, k cache.Key, status cache.Status) (*cache.Object, error) {
	if err := f.o.Store.expose(fl.new); err != nil {
		return nil, err
	}
	status.FwdStatus, status.Stored = 200, true
	return f.stored(k, status)
}

// stored is what the tree has.
func (f *Refresher) stored(k cache.Key, s cache.Status) (*cache.Object, error) {
	o, _, err := f.o.Cache.Stored(k)
	if err == nil {
		o.Status = s
	}
	return o, err
}

// errResting says that a root's new metadata could not be brought together a
// moment ago.
var errResting = errors.New("its new metadata could not be had a moment ago")

// join enters the flight of r that is under way, or begins one. The error is
// errResting, with what the last one brought, where there is a stored entry file
// that will do for now.
func (f *Refresher) join(r Root, stored bool) (fl *flight, leader bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[r]; fl != nil {
		fl.entered++
		return fl, false, nil
	}
	if f.closed {
		return nil, false, &cache.UnreachableError{Err: errors.New("shutting down")}
	}
	now := f.o.Now()
	if last, ok := f.failed[r]; ok && last.new != nil && stored && now.Sub(last.at) >= 0 && now.Sub(last.at) < f.o.Rest() {
		return &flight{root: r, new: last.new}, false, errResting
	}
	source := f.o.Source(r.Repo)
	if source == nil {
		return nil, false, &fs.PathError{Op: "find the repository of", Path: r.String(), Err: fs.ErrNotExist}
	}
	fl = &flight{root: r, began: now, entered: 1, answered: make(chan struct{}), done: make(chan struct{})}
	f.flights[r] = fl
	f.under.Add(1)
	go f.fly(fl, source)
	return fl, true, nil
}

// fly carries out a flight.
func (f *Refresher) fly(fl *flight, source cache.Source) {
	defer f.under.Done()
	s, c := f.o.Store, f.o.Cache
	g, done, err := s.ask(f.ctx, c, fl.root, source)
	fl.new, fl.askErr = g, err
	close(fl.answered)
	if err == nil {
		fl.err = f.renew(g, &done, source)
	}
	if fl.err != nil {
		fl.err = s.others(f.ctx, c, g, fl.err, source, func(g *Generation, done *Staged) error { return f.renew(g, done, source) })
	}
	f.mu.Lock()
	delete(f.flights, fl.root)
	delete(f.failed, fl.root)
	refused := errors.Is(fl.askErr, cache.ErrWrongContent)
	switch {
	case f.ctx.Err() != nil:
	case fl.err != nil:
		f.note(fl.root, failure{g, fl.err, f.o.Now()})
	case refused:
		f.note(fl.root, failure{nil, fl.askErr, f.o.Now()})
	}
	f.mu.Unlock()
	close(fl.done)
	if refused {
		f.o.Log.Warn("new metadata is refused: what was current stays", "root", fl.root.String(), "error", fl.askErr)
	}
	if fl.err != nil && f.ctx.Err() == nil {
		f.o.Log.Warn("new metadata is not whole: what was current stays", "root", fl.root.String(), "error", fl.err)
	}
}

// maxFailed is of how many roots it is remembered that their new metadata is not current.
// Roots are what clients ask for: before an upstream that answers everything with a page
// there is no end of them.
const maxFailed = 1024

// note remembers that of r, and forgets any other where there are too many. The lock is held.
func (f *Refresher) note(r Root, x failure) {
	for other := range f.failed {
		if len(f.failed) < maxFailed {
			break
		}
		delete(f.failed, other)
	}
	f.failed[r] = x
}

// renew brings together what g lists and makes it current.
func (f *Refresher) renew(g *Generation, done *Staged, source cache.Source) error {
	s := f.o.Store
	s.settle(f.o.Cache, g)
	if err := s.gather(f.ctx, f.o.Cache, g, source, done); err != nil || !done.Changed && !done.Grown {
		return err
	}
	err := s.Flip(g)
	if errors.Is(err, ErrOvertaken) || errors.Is(err, ErrHeld) {
		return nil // by the agent's run, or by a hand: the next validation tells
	}
	if err != nil {
		return err
	}
	if !done.Changed {
		return nil
	}
	f.o.Log.Info("new metadata is current", "root", g.Root.String(), "generation", g.Digest[:12], "files", done.Files, "bytes", done.Fetched)
	if _, err := s.Expire(false); err != nil {
		f.o.Log.Warn("old metadata can't be removed", "error", err)
	}
	return nil
}

// Problem is a root whose new metadata could not be brought together, or was refused.
type Problem struct {
	Root  Root
	Since time.Time // of the last try
	Err   error
}

// Problems are the roots that are kept at older metadata than upstream's, because
// the new is not whole or not what it should be.
func (f *Refresher) Problems() []Problem {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Problem
	for r, x := range f.failed {
		list = append(list, Problem{r, x.at, x.err})
	}
	slices.SortFunc(list, func(a, b Problem) int { return a.Root.compare(b.Root) })
	return list
}
