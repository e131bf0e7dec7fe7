package serve

import (
	"bytes"
	"hash/maphash"
	"net/http"
	"slices"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// hitFiles is what the targets of requests lead to that were hits, in one
// configuration. It is safe for concurrent use.
type hitFiles struct {
	seed   maphash.Seed
	date   dateField
	shards [16]hitShard
}

type hitShard struct {
	mu   sync.RWMutex
	list map[string]*hitFile
}

// maxHitFiles bounds the targets of a shard: several may lead to one file.
const maxHitFiles = 512

// hitFile is a file that is at hand, and the header of its answers.
type hitFile struct {
	target    string
	key       cache.Key
	entry     *cache.Entry
	validated time.Time
	fields    []byte // those that stay the same, Accept-Ranges, Age and Date apart
	date      *dateField
}

func newHitFiles() *hitFiles { return &hitFiles{seed: maphash.MakeSeed()} }

func (h *hitFiles) shard(target []byte) *hitShard {
	return &h.shards[maphash.Bytes(h.seed, target)%uint64(len(h.shards))]
}

// find is what target leads to, nil if nobody has asked for it lately.
func (h *hitFiles) find(target []byte) *hitFile {
	s := h.shard(target)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.list[string(target)]
}

// add remembers f. Where there are too many, any other is forgotten.
func (h *hitFiles) add(f *hitFile) {
	s := h.shard([]byte(f.target))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list = map[string]*hitFile{}
	}
	for other := range s.list {
		if len(s.list) < maxHitFiles {
			break
		}
		delete(s.list, other)
	}
	s.list[f.target] = f
}

// drop forgets f.
func (h *hitFiles) drop(f *hitFile) {
	s := h.shard([]byte(f.target))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list[f.target] == f {
		delete(s.list, f.target)
	}
}

// remember has the file at hand that was just given: where the answer was a hit,
// whole, and depended on nothing but the target, whoever asks next gets the same.
func (s *Server) remember(a *answer, o *cache.Object, class config.Class) {
	if _, ok := a.r.Context().Value(connKey{}).(*hitConn); !ok {
		return
	}
	r := a.r
	switch {
	case r.Method != http.MethodGet, a.elsewhere, r.URL.IsAbs(), a.code != http.StatusOK, a.status != (cache.Status{Hit: true}):
		return
	case class == config.Metadata && !namedByDigest(a.key.Path):
		return // which generation a client began with decides
	}
	if f := s.hits.find([]byte(r.RequestURI)); f != nil && s.o.Cache.Current(f.entry) {
		f.entry.Release() // another request was first, or this one had more to ask
		return
	}
	entry := s.o.Cache.Keep(a.key, o)
	if entry == nil {
		return
	}
	h := http.Header{}
	describe(h, a.key, class, validators{tag: o.Tag(), modified: o.ModTime()})
	h.Set("Cache-Status", hitStatus)
	h.Set("Content-Length", sizeField(entry.Size()))
	h.Del("Accept-Ranges")
	var fields bytes.Buffer
	if err := h.Write(&fields); err != nil {
		return
	}
	s.hits.add(&hitFile{
		target: r.RequestURI, key: a.key, entry: entry, validated: o.Validated(), fields: slices.Clip(fields.Bytes()), date: &s.hits.date,
	})
}
