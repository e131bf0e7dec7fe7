// Package cache is the one store that imserve and imsync share: it decides
// whether a stored copy may be served, downloads what is missing once however
// many ask, and commits what has arrived.
//
// What it promises, between clients and between processes:
//
//   - The file system is the truth. A stored file is a plain file below the
//     cache directory; what is known of it is one extended attribute, set before
//     the rename that commits it. Nothing else has to be consulted, or can disagree.
//   - Nothing wrong is stored, or handed out as complete. A body whose digest is
//     promised is stored when it has that digest; one without is stored when its
//     framing is complete and its first bytes are its format's. Where its policy
//     has a Check, it has to pass that too.
//   - A replacement destroys what it replaces by the rename that commits it, and
//     not before.
//   - One download per file: within a process by its fill, across processes by
//     the lock on the partial file, whose holder downloads while the others follow.
//   - The cache keeps to its size by deleting what is worth least, never a file
//     that anybody has open, in whatever process, or that is being downloaded.
//   - Whatever a crash leaves behind is a partial file to be continued, a miss,
//     or a stored file to be validated.
//
// Read key.go, facts.go and freshness.go first (names, knowledge, decisions),
// then cache.go and download.go (the way of a request), fill.go, demand.go and
// object.go (one download, many readers), partial.go and tree.go (the disk), share.go and
// unite.go (one file, many names), check.go and
// quarantine.go (what is refused), withdraw.go and tombstone.go (what is gone upstream), and for its size usage.go and walk.go (how much
// there is), worth.go (what goes first), evict.go and drop.go (how it goes) and
// space.go (when).
package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// Options configure a Cache.
type Options struct {
	// Dir is the cache directory, on a local file system; it is created.
	Dir string
	// Size is how many bytes of the disk the cache may take; 0 is no limit.
	Size int64
	// MinFree is how much of the file system stays free, in bytes.
	MinFree int64
	// Policy is how the files of a kind are treated.
	Policy func(Key) Policy
	// Source is where the files of a repository come from on demand; nil where
	// the repository is not known.
	Source func(repo string) Source
	// Catalog is what verified metadata promises; nil promises nothing.
	Catalog Catalog
	// Twins are the names of the files that verified metadata promises to have the
	// digest d, stored or not; nil knows of none. Like Catalog's Lookup it must not
	// wait for long.
	Twins func(d Digest) []Key
	// Known says that verified metadata lists all files of k's kind where k lies, so that
	// one which no kept generation lists was withdrawn; nil knows of none. Like Catalog's
	// Lookup it must not wait for long.
	Known func(k Key) bool
	// QuickAbortMax is how many bytes of a file may be missing, at the most, for its
	// download to go on when nobody waits for it any more; nil is no limit. It is
	// called under a lock, often, and must not wait.
	QuickAbortMax func() int64
	// Committed is told of each file that is stored now, as one that upstream or a
	// sibling has sent, or that was here under another name: k, the name below the cache
	// directory that it was stored under, and what is known of it. It is called before the download's readers
	// learn of its end, and must not wait for long; nil is not told.
	Committed func(k Key, name string, f Facts)
	// Ledger is told what was fetched; nil keeps no account.
	Ledger *Ledger
	Now    func() time.Time // nil is time.Now
	Log    *slog.Logger     // nil discards
}

// Cache is a cache directory. It is safe for concurrent use, by any number of
// processes.
type Cache struct {
	o        Options
	tree     *tree
	partials partials
	space    *space
	usage    *usage
	trouble  trouble

	ctx    context.Context // of the fills, which belong to no client
	cancel context.CancelFunc
	fills  sync.WaitGroup

	activity   activity
	entries    entries
	absent     absences
	tombs      tombstones
	inquiries  singleflight.Group // for withdrawn files
	checks     singleflight.Group // of stored files
	refusals   refusals
	quarantine *quarantine

	mu      sync.Mutex
	closed  bool
	current map[Key]*fill
}

// Open opens the cache directory and makes what is missing of it.
func Open(o Options) (*Cache, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Catalog == nil {
		o.Catalog = NoCatalog{}
	}
	if o.Known == nil {
		o.Known = func(Key) bool { return false }
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	t, err := openTree(dir)
	if err != nil {
		return nil, err
	}
	tombs, err := openTombstones(filepath.Join(dir, ownDir, "tombstones"))
	if err != nil {
		return nil, err
	}
	c := &Cache{
		o: o, tree: t, tombs: tombs,
		space: newSpace(o.Size, o.MinFree), usage: openUsage(dir),
		current: make(map[Key]*fill),

		quarantine: newQuarantine(filepath.Join(dir, ownDir, "quarantine"), o.Now),
	}
	c.partials = partials{dir: filepath.Join(dir, ownDir, "partial"), space: c.space, usage: c.usage}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Close ends the downloads that are under way, prefetches too, which stay
// resumable, and waits for them. Objects that are open stay readable as far as
// their bytes have come.
func (c *Cache) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	c.fills.Wait()
	c.entries.close()
	return c.tree.root.Close()
}

// looks is how often a request looks at the store when that changes under it.
const looks = 4

// errAgain says that the store has changed between a look at it and a download.
var errAgain = errors.New("the stored copy has changed meanwhile")

// Get is the file k for one client: the stored copy where it is fresh, else what
// upstream sends, as it arrives. The caller closes the Object.
//
// Errors: fs.ErrNotExist, where neither upstream nor the cache has it, an
// *AbsentError where upstream was not asked this time;
// ErrNotAFile and ErrUnstorable, where the request is to be relayed;
// *UnreachableError, where upstream can't be asked and nothing is stored;
// ErrWrongContent, where upstream's bytes are not what they should be.
func (c *Cache) Get(ctx context.Context, k Key) (*Object, error) {
	var err error
	for range looks {
		var o *Object
		if o, err = c.get(ctx, k); !errors.Is(err, errAgain) {
			return o, err
		}
	}
	return nil, err
}

func (c *Cache) get(ctx context.Context, k Key) (o *Object, err error) {
	want, held := c.o.Catalog.Lookup(k)
	st, action, err := c.look(k, want)
	if err != nil {
		if errors.Is(err, ErrUnstorable) {
			c.failed(k, err)
		}
		return nil, err
	}
	defer func() {
		if st != nil {
			st.file.Close()
		}
	}()
	object := func(s Status) *Object {
		o := &Object{Status: s, file: st.file, facts: st.facts, inode: st.inode, size: st.facts.Size}
		st = nil
		return o
	}
	if action == Serve {
		return object(Status{Hit: true}), nil
	}

	source := c.o.Source(k.Repo)
	if source == nil {
		return nil, fmt.Errorf("%s: no such repository: %w", k, fs.ErrNotExist)
	}
	if !held {
		if serve, done, err := c.withdrawn(ctx, k, st); serve {
			return object(Status{Hit: true, Detail: "upstream-unreachable"}), nil
		} else if done {
			return nil, err
		}
	}
	// What metadata promises is there in a moment: only what nobody vouches for
	// is not asked for again.
	var at anchor
	maybeAbsent := st == nil && !want.Known()
	if maybeAbsent {
		at = c.tree.anchor(k)
		if c.absent.recent(k, at, c.o.Now(), c.o.Policy(k)) {
			return nil, &AbsentError{Key: k}
		}
	}
	f, leader, err := c.enter(ctx, k, want)
	if err != nil {
		return nil, err
	}
	defer f.leave()
	left := f.lose
	if leader {
		go c.run(c.ctx, f, order{source: source})
	} else {
		unfollow := c.activity.follow()
		left = func() { unfollow(); f.lose() }
	}
	defer func() {
		if o != nil && o.fill != nil {
			o.left = left // it goes on to read
		} else {
			left()
		}
	}()
	if want.Known() && f.want != want {
		// What arrives was meant to become another file. Once it is there it
		// shows whether it is this one.
		if _, err := f.await(ctx, func(p progress) bool { return p.done }); err != nil {
			return nil, err
		}
		return nil, errAgain
	}
	file, now, err := f.attach(ctx)
	if err != nil {
		return nil, err
	}

	status := Status{Fwd: "uri-miss", Collapsed: !leader}
	if st != nil {
		status.Fwd = "stale"
	}
	if file != nil {
		status.Stored = true
		if st != nil {
			status.FwdStatus = 200
		}
		switch {
		case now.head.Sibling:
			status.Detail = "sibling"
		case now.head.Bucket:
			status.Detail = "bucket"
		}
		return arriving(f, file, now, status), nil
	}
	if errors.Is(now.err, context.Canceled) && c.ctx.Err() == nil {
		// A prefetch that was called off; nobody has called off this request.
		return nil, errAgain
	}
	if now.answer == Changed && (st == nil || errors.Is(now.err, ErrUnstorable)) {
		return nil, now.err
	}
	if st == nil {
		if now.answer == Gone {
			if maybeAbsent {
				c.absent.note(c.tree, k, c.o.Now(), at)
			}
			return nil, fmt.Errorf("%s: %w", k, fs.ErrNotExist)
		}
		if errors.As(now.err, new(*UnreachableError)) && maybeAbsent && c.absent.holds(c.tree, k, at) {
			return nil, &AbsentError{Key: k, Offline: true}
		}
		if now.answer == Same {
			return nil, errAgain
		}
		return nil, now.err
	}
	switch {
	case now.err != nil && now.answer == Changed:
		// The new bytes were not to be had; the old ones are still upstream's word.
		return object(Status{Hit: true, Detail: "upstream-failed"}), nil
	case now.answer == Same && !now.facts.describes(st.facts):
		// Another process has replaced what this request had open.
		return nil, errAgain
	case now.answer == Same:
		st.facts.Validated = now.facts.Validated
		status.FwdStatus = 304
		return object(status), nil
	case now.answer == Gone && now.withdrawn:
		return nil, fmt.Errorf("%s: %w", k, fs.ErrNotExist)
	case now.answer == Gone:
		return object(Status{Hit: true, Detail: "gone-upstream"}), nil
	}
	return object(Status{Hit: true, Detail: "upstream-unreachable"}), nil
}

// Stored is the stored copy of k for one client, however old it is; fresh reports
// whether upstream need not be asked before it is served. The caller says in its
// Status how it came to be served, and closes it. The error wraps fs.ErrNotExist
// where nothing is stored.
func (c *Cache) Stored(k Key) (o *Object, fresh bool, err error) {
	want := c.Promised(k)
	st, action, err := c.look(k, want)
	if err != nil {
		return nil, false, err
	}
	if st == nil {
		return nil, false, fmt.Errorf("%s: nothing is stored: %w", k, fs.ErrNotExist)
	}
	return &Object{file: st.file, facts: st.facts, size: st.facts.Size}, action == Serve, nil
}

// Placed is a file that Stage has placed, for one client, who closes it. name is
// the one that place returned. The error wraps fs.ErrNotExist where none is there.
func (c *Cache) Placed(name string, s Status) (*Object, error) {
	st, err := c.tree.openAt(name)
	if err != nil {
		return nil, err
	}
	return &Object{Status: s, file: st.file, facts: st.facts, size: st.facts.Size}, nil
}

// look opens what is stored of k, nil if nothing is, and decides what to do.
func (c *Cache) look(k Key, w Want) (*stored, Action, error) {
	st, err := c.tree.open(k)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, Fetch, nil
	}
	if err != nil {
		return nil, Fetch, err
	}
	p := c.o.Policy(k)
	if err := c.approved(k, st, p.Check); err != nil {
		// It stays where it is: the keys may be what is wrong. Until it is replaced,
		// it is as if it were not there.
		c.o.Log.Warn("a stored file is refused", "file", k.String(), "expected", p.Check.Expected, "error", err)
		st.file.Close()
		return nil, Fetch, nil
	}
	action := Decide(c.o.Now(), &st.facts, w, p)
	if action == Verify {
		if err := st.verify(w, c.o.Now()); err != nil {
			c.o.Log.Warn("a stored file can't be read", "file", k.String(), "error", err)
			return st, Fetch, nil
		}
		action = Decide(c.o.Now(), &st.facts, w, p)
	}
	return st, action, nil
}

// enter is join for one who waits until a fill that is being stopped has ended.
func (c *Cache) enter(ctx context.Context, k Key, w Want) (f *fill, leader bool, err error) {
	for {
		if f, leader = c.join(k, w); f == nil {
			return nil, false, &UnreachableError{Err: errors.New("shutting down")}
		}
		if !f.abandoned() {
			return f, leader, nil
		}
		_, err := f.await(ctx, func(p progress) bool { return p.done })
		f.leave()
		f.lose()
		if err != nil {
			return nil, false, err
		}
	}
}

// join enters the fill for k that is under way, or a new one that the caller
// has to run; nil once the cache is closed.
func (c *Cache) join(k Key, w Want) (f *fill, leader bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false
	}
	f = c.current[k]
	if f == nil {
		f, leader = newFill(k, w, c.o.QuickAbortMax), true
		f.now.checks = c.o.Policy(k).Check != nil
		c.current[k] = f
		c.fills.Add(1)
	}
	f.enter()
	return f, leader
}

// arriving is an Object that reads f from file on, which f has as now says.
func arriving(f *fill, file *os.File, now progress, s Status) *Object {
	if now.done {
		return &Object{Status: s, file: file, facts: now.facts, size: now.facts.Size}
	}
	o := &Object{Status: s, file: file, fill: f, epoch: now.epoch, head: now.head, size: now.head.Length}
	if w := now.head.Want; w.Known() {
		o.size = w.Size
	}
	return o
}

// Has reports whether k is stored or arriving.
func (c *Cache) Has(k Key) bool {
	c.mu.Lock()
	_, under := c.current[k]
	c.mu.Unlock()
	if under {
		return true
	}
	_, err := c.tree.root.Stat(k.String())
	return err == nil
}

// Holds reports whether the stored copy of k is what w promises. It reads the
// copy where nobody has computed its digest yet.
func (c *Cache) Holds(k Key, w Want) bool {
	st, action, err := c.look(k, w)
	if st != nil {
		st.file.Close()
	}
	return err == nil && action == Serve
}
