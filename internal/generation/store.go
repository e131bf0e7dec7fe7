// Package generation keeps a repository's metadata whole: an entry file
// (repomd.xml, a Debian suite's InRelease), the files that it lists and a catalog
// of what these promise belong together, are fetched and verified together beside
// the tree, and become current by renames of which the entry file's is the last
// (Store.Flip). What was current before stays for a while, for the clients that
// still hold its metadata.
//
// On disk, below the cache's own directory:
//
//	gen/<digest of the entry file>/   the generation: that file, what it lists, and
//	                                  its catalog, written last: it is whole
//	    missing                       since when packages that it lists are on no mirror
//	    <hash of a root>.root         that this root keeps it, for when both files below are lost
//	gen/<hash of a root>.root         which generations of a root are kept
//	gen/<hash of a root>.spare        the same, for when that is damaged
//	gen/<hash of a root>.lock         held while that changes
//	gen/<hash of a root>.lag          since when mirrors only have older metadata
//
// Which one is current is nobody's to say but the entry file's in the tree.
//
// A mirror whose metadata is not what it should be is passed over for the next, in
// the same look at upstream: passed.go.
//
// Read kind.go for what the kinds of repositories differ in, rpm.go and debian.go
// for each of them; then stage.go, flip.go and refresh.go.
package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"intelligentmirror/internal/cache"
)

// Options configure a Store.
type Options struct {
	Dir  string        // the cache directory
	Keep time.Duration // how long a generation stays after it was replaced
	// Signing is how a root's entry file has to be signed; nil, or where it
	// returns nil: not at all. It is asked each time.
	Signing func(Root) *Signing
	Refused *cache.Refused // counts metadata that is not taken, by reasons; nil counts nothing
	// Lazy leaves catalogs unread until they are asked for something: for a program that
	// may not need them, and of which nobody waits for an answer.
	Lazy bool
	Now  func() time.Time
	Log  *slog.Logger
}

// Store is the generations of all roots. It is a cache.Catalog, safe for
// concurrent use, by any number of processes.
type Store struct {
	tree tree
	dir  string // of the generations
	keep time.Duration
	now  func() time.Time
	log  *slog.Logger

	signing func(Root) *Signing
	refused *cache.Refused
	lazy    bool

	roots    atomic.Pointer[roots]
	loading  sync.Mutex
	loadedAt atomic.Int64 // when the directory was last looked at, Unix nanoseconds
	loaded   time.Time    // the directory's time then; under loading

	cataloguing sync.Mutex // of catalogs that grow
	taking      sync.Mutex // of files from the tree into generations

	passed     passed
	unreadable unreadable
}

// roots are what is known of all roots in memory; they do not change.
type roots struct {
	all    map[Root]*root
	sorted []*root               // by their names
	at     map[cache.Key][]*root // by the directory at which their catalogs' locations begin
}

// root is what is known of a root in memory.
type root struct {
	Root
	kept map[string]*catalog   // by digest
	last string                // the digest of the one that was the last to be flipped to; "" where none was
	held map[string]cache.Want // by path; see Hold

	mu      sync.Mutex
	seen    os.FileInfo // the tree's entry file when current was worked out
	current string      // its digest
}

// lookEvery is how often the generations that another process made are looked for.
const lookEvery = time.Second

// Open opens the generations of a cache directory.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{dir: filepath.Join(o.Dir, ".im", "gen"), keep: o.Keep, refused: o.Refused, lazy: o.Lazy, now: o.Now, log: o.Log}
	if s.signing = o.Signing; s.signing == nil {
		s.signing = func(Root) *Signing { return nil }
	}
	if err := cache.CheckOwn(o.Dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	var err error
	if s.tree, err = openTree(o.Dir); err != nil {
		return nil, err
	}
	s.roots.Store(&roots{})
	if err := s.reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Lookup implements cache.Catalog: what the current generation promises of k,
// and whether one that is kept lists it. Where the entry file in the tree is of
// no generation that is known, nothing is promised; neither is where two suites of
// one archive promise different bytes. Of a root that is held, repomd.xml itself
// is promised to stay what it is.
func (s *Store) Lookup(k cache.Key) (w cache.Want, held bool) {
	s.refresh()
	conflict := false
	for _, r := range s.find(k) {
		promised, listed := r.lookup(s.tree, k)
		held = held || listed
		conflict = conflict || w.Known() && promised.Known() && w != promised
		if promised.Known() {
			w = promised
		}
	}
	if conflict {
		w = cache.Want{}
	}
	return w, held
}

// Listings are the files that go by k's name in the kept generations of all roots, the
// current ones and those that were replaced.
func (s *Store) Listings(k cache.Key) (all []cache.Want) {
	s.refresh()
	for _, r := range s.find(k) {
		for _, c := range r.kept {
			if w, ok := r.in(c, k); ok && w.Known() && !slices.Contains(all, w) {
				all = append(all, w)
			}
		}
	}
	return all
}

// lookup is Store.Lookup in one root.
func (r *root) lookup(t tree, k cache.Key) (cache.Want, bool) {
	if rest, ok := below(r.Path, k.Path); ok {
		if w, ok := r.held[rest]; ok {
			return w, true
		}
		if rest == r.layout().entries()[0] {
			return cache.Want{}, false // which no generation lists, whatever its metadata says
		}
	}
	if c := r.kept[r.now(t)]; c != nil {
		if w, ok := r.in(c, k); ok {
			return w, true
		}
	}
	for _, c := range r.kept {
		if w, ok := r.in(c, k); ok {
			if !isByHash(k.Path) {
				w = cache.Want{} // another file may have its name by now
			}
			return w, true
		}
	}
	return cache.Want{}, false
}

// in is what a catalog of r says of k.
func (r *root) in(c *catalog, k cache.Key) (cache.Want, bool) {
	for _, line := range r.layout().lines(r.Root, k.Path) {
		if w, ok := c.find(line); ok {
			return w, true
		}
	}
	return cache.Want{}, false
}

// find is the roots whose catalogs have the files of the directory that k is
// below, the longest: of RPM packages one, of Debian's the suites of an archive.
func (s *Store) find(k cache.Key) []*root {
	at := s.roots.Load().at
	for dir := k.Path; ; {
		i := strings.LastIndexByte(dir, '/')
		dir = dir[:max(i, 0)]
		if list := at[cache.Key{Repo: k.Repo, Path: dir}]; list != nil || i < 0 {
			return list
		}
	}
}

// entry is the entry file that r has in the tree: the first of its kind's, where
// there is none the one that is asked for first.
func (s *Store) entry(r Root) (k cache.Key, there bool) {
	entries := r.layout().entries()
	for _, name := range entries {
		if _, err := s.tree.stat(r.key(name)); err == nil {
			return r.key(name), true
		}
	}
	return r.key(entries[0]), false
}

// now is the digest of the entry file in the tree, read again when that changes. That
// it has not is seen without an os.Root, which takes ten times as long: it must be the
// inode that was read by way of one.
func (r *root) now(t tree) string {
	var k cache.Key
	var fi os.FileInfo
	err := fs.ErrNotExist
	for _, name := range r.layout().entries() {
		k = r.key(name)
		if fi, err = os.Stat(filepath.Join(t.dir, k.String())); err == nil {
			break
		}
	}
	if err != nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || !cache.Unchanged(r.seen, fi) {
		b, is, err := t.readNow(k)
		if err != nil {
			return ""
		}
		r.seen, r.current = is, digestOf(b)
	}
	return r.current
}

// digestOf is the name of the generation whose entry file is b.
func digestOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// refresh starts a look at the directory where the last is long enough ago; a
// request does not wait for it.
func (s *Store) refresh() {
	last := s.loadedAt.Load()
	now := s.now().UnixNano()
	if now-last < int64(lookEvery) && now >= last || !s.loadedAt.CompareAndSwap(last, now) {
		return
	}
	go func() {
		if err := s.reload(); err != nil {
			s.log.Warn("the generations can't be read", "error", err)
		}
	}()
}

// tick is longer than files' times stand still, some milliseconds: what comes to a
// directory as soon after a look at it as this may leave it the time that it had.
const tick = time.Second

// reload reads what has changed in the directory.
func (s *Store) reload() error {
	s.loading.Lock()
	defer s.loading.Unlock()
	fi, err := os.Stat(s.dir)
	if err != nil {
		return err
	}
	if fi.ModTime().Equal(s.loaded) {
		return nil
	}
	names, err := s.rootPaths()
	if err != nil {
		return err
	}
	catalogs := map[string]*catalog{} // roots with one entry file share one
	for _, r := range s.roots.Load().all {
		for digest, c := range r.kept {
			if c.isOf(s.path(digest)) {
				catalogs[digest] = c
			}
		}
	}
	now := roots{all: map[Root]*root{}, at: map[cache.Key][]*root{}}
	for _, name := range names {
		f, err := s.readRoot(name)
		if err != nil {
			s.log.Warn("a root's generations can't be read", "error", err)
			continue
		}
		at, err := f.root()
		if err != nil {
			s.log.Warn("a root's generations can't be read", "file", name, "error", err)
			continue
		}
		r := &root{Root: at, kept: map[string]*catalog{}, held: map[string]cache.Want{}}
		for _, h := range f.Held {
			r.held[h.Path] = cache.Want{Digest: h.Digest, Size: h.Size}
		}
		if len(f.Kept) > 0 && f.Kept[0].Replaced.IsZero() {
			r.last = f.Kept[0].Digest
		}
		for _, g := range f.Kept {
			if catalogs[g.Digest] == nil {
				c, err := s.catalog(f.Root, g.Digest)
				if err != nil {
					s.log.Warn("a generation's catalog can't be read", "root", f.Root, "error", err)
					continue
				}
				catalogs[g.Digest] = c
			}
			r.kept[g.Digest] = catalogs[g.Digest]
		}
		now.all[at] = r
		top := cache.Key{Repo: at.Repo, Path: at.top()}
		now.at[top] = append(now.at[top], r)
		now.sorted = append(now.sorted, r)
	}
	slices.SortFunc(now.sorted, func(a, b *root) int { return a.compare(b.Root) })
	s.roots.Store(&now)
	if age := time.Since(fi.ModTime()); age > tick || age < -tick {
		s.loaded = fi.ModTime()
	}
	return nil
}

// catalog is that of a generation of root.
func (s *Store) catalog(root, digest string) (*catalog, error) {
	if !s.lazy {
		return readCatalog(s.path(digest))
	}
	return openCatalog(s.path(digest), func(err error) {
		s.log.Warn("a generation's catalog can't be read", "root", root, "error", err)
	})
}

// path is the directory of a generation.
func (s *Store) path(digest string) string { return filepath.Join(s.dir, digest) }
