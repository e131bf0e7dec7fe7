// Package generation keeps a repository's metadata whole: a repomd.xml, the
// files that it lists and a catalog of what these promise belong together, are
// fetched and verified together beside the tree, and become current by renames
// of which repomd.xml's is the last (Store.Flip). What was current before stays
// for a while, for the clients that still hold its metadata.
//
// On disk, below the cache's own directory:
//
//	gen/<digest of repomd.xml>/   the generation: repomd.xml, what it lists, and
//	                              its catalog, written last: it is whole
//	gen/<hash of a root>.root     which generations of a root are kept
//	gen/<hash of a root>.lock     held while that changes
//	gen/<hash of a root>.lag      since when mirrors only have older metadata
//
// Which one is current is nobody's to say but the repomd.xml's in the tree.
package generation

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
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
	// Signing is how a root's repomd.xml has to be signed; nil, or where it
	// returns nil: not at all. It is asked each time.
	Signing func(Root) *Signing
	Now     func() time.Time
	Log     *slog.Logger
}

// Store is the generations of all roots. It is a cache.Catalog, safe for
// concurrent use, by any number of processes.
type Store struct {
	tree string // the cache directory
	dir  string // of the generations
	keep time.Duration
	now  func() time.Time
	log  *slog.Logger

	signing func(Root) *Signing

	roots    atomic.Pointer[map[string]*root]
	loading  sync.Mutex
	loadedAt atomic.Int64 // when the directory was last looked at, Unix nanoseconds
	loaded   time.Time    // the directory's time then; under loading
}

// root is what is known of a root in memory.
type root struct {
	Root
	kept map[string]*catalog   // by digest
	held map[string]cache.Want // by path; see Hold

	mu      sync.Mutex
	seen    os.FileInfo // the tree's repomd.xml when current was worked out
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
	s := &Store{tree: o.Dir, dir: filepath.Join(o.Dir, ".im", "gen"), keep: o.Keep, now: o.Now, log: o.Log}
	if s.signing = o.Signing; s.signing == nil {
		s.signing = func(Root) *Signing { return nil }
	}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	s.roots.Store(&map[string]*root{})
	if err := s.reload(); err != nil {
		return nil, err
	}
	return s, nil
}

// Lookup implements cache.Catalog: what the current generation promises of k,
// and whether one that is kept lists it. Where the repomd.xml in the tree is of
// no generation that is known, nothing is promised. Of a root that is held,
// repomd.xml itself is promised to stay what it is.
func (s *Store) Lookup(k cache.Key) (cache.Want, bool) {
	s.refresh()
	r, rest := s.find(k)
	if r == nil {
		return cache.Want{}, false
	}
	if w, ok := r.held[rest]; ok {
		return w, true
	}
	if c := r.kept[r.now(s.tree)]; c != nil {
		if w, ok := c.find(rest); ok {
			return w, true
		}
	}
	for _, c := range r.kept {
		if _, ok := c.find(rest); ok {
			return cache.Want{}, true
		}
	}
	return cache.Want{}, false
}

// find is the root that k is below, the longest, and k's path there.
func (s *Store) find(k cache.Key) (*root, string) {
	roots := *s.roots.Load()
	for dir := k.Path; ; {
		i := strings.LastIndexByte(dir, '/')
		dir = dir[:max(i, 0)]
		if r := roots[Root{k.Repo, dir}.String()]; r != nil {
			return r, strings.TrimPrefix(k.Path[len(dir):], "/")
		}
		if i < 0 {
			return nil, ""
		}
	}
}

// now is the digest of the repomd.xml in the tree, read again when that changes.
func (r *root) now(tree string) string {
	path := filepath.Join(tree, r.repomd().String())
	fi, err := os.Stat(path)
	if err != nil {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil || !os.SameFile(r.seen, fi) || !r.seen.ModTime().Equal(fi.ModTime()) || r.seen.Size() != fi.Size() {
		b, err := os.ReadFile(path)
		if err != nil {
			return ""
		}
		r.seen, r.current = fi, digestOf(b)
	}
	return r.current
}

// digestOf is the name of the generation whose repomd.xml is b.
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
	names, err := filepath.Glob(filepath.Join(s.dir, "*"+rootSuffix))
	if err != nil {
		return err
	}
	catalogs := map[string]*catalog{} // roots with one repomd.xml share one
	old := *s.roots.Load()
	for _, r := range old {
		for digest, c := range r.kept {
			catalogs[digest] = c
		}
	}
	roots := map[string]*root{}
	for _, name := range names {
		f, err := readRoot(name)
		if err != nil {
			s.log.Warn("a root's generations can't be read", "error", err)
			continue
		}
		at, err := ParseRoot(f.Root)
		if err != nil {
			s.log.Warn("a root's generations can't be read", "file", name, "error", err)
			continue
		}
		r := &root{Root: at, kept: map[string]*catalog{}, held: map[string]cache.Want{}}
		for _, h := range f.Held {
			r.held[h.Path] = cache.Want{Digest: h.Digest, Size: h.Size}
		}
		for _, g := range f.Kept {
			if catalogs[g.Digest] == nil {
				c, err := readCatalog(s.path(g.Digest))
				if err != nil {
					s.log.Warn("a generation's catalog can't be read", "root", f.Root, "error", err)
					continue
				}
				catalogs[g.Digest] = c
			}
			r.kept[g.Digest] = catalogs[g.Digest]
		}
		roots[f.Root] = r
	}
	s.roots.Store(&roots)
	s.loaded = fi.ModTime()
	return nil
}

// path is the directory of a generation.
func (s *Store) path(digest string) string { return filepath.Join(s.dir, digest) }
