package serve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// shared finds the repository's file that a file of a strange host is: path is
// the one there, decoded. It is shared where verified metadata lists a file of
// this whole location, and comes from the repository's own upstreams then.
//
// That two places have a file of one name and version does not make it one file:
// Rocky and AlmaLinux build thousands of such pairs. So the place is asked for its
// repomd.xml or InRelease, which dnf or apt has just asked for too, and which has to be one that we
// keep: then the place's own metadata promises the same bytes. Where there is
// none, nobody who asks has metadata that could promise others; then it is enough
// that the location has a directory in it, for a mere name is too little.
func (s *Server) shared(ctx context.Context, host, path string, class config.Class) (cache.Key, bool) {
	if s.o.Listed == nil || class != config.Package && !namedByDigest(path) {
		return cache.Key{}, false
	}
	f, ok := s.o.Listed(path)
	if !ok {
		return cache.Key{}, false
	}
	if namedByDigest(f.Location) {
		return f.Key, true
	}
	digest, err := s.entryAt(ctx, cache.Key{Repo: cache.Strangers, Path: host + f.Above + "/" + f.Entry})
	if err != nil {
		return f.Key, strings.Contains(f.Location, "/") && ctx.Err() == nil
	}
	return f.Key, slices.Contains(f.Generations, digest)
}

// How a strange host is asked for its repomd.xml or InRelease.
const (
	entryWithin = 10 * time.Second // while a client waits
	entryFor    = time.Minute      // how long the answer is remembered, also that there is none
	maxEntry    = 16 << 20         // bytes
	maxPlaces   = 1024             // that are remembered
)

// places remembers which entry files strange hosts have. It is safe for concurrent use.
type places struct {
	mu   sync.Mutex
	seen map[cache.Key]place
}

// place is what was found.
type place struct {
	digest string
	err    error
	until  time.Time
}

// entryAt is the digest, in hexadecimal, of an entry file, by way of the cache.
func (s *Server) entryAt(ctx context.Context, k cache.Key) (string, error) {
	now := s.o.Now()
	s.places.mu.Lock()
	p, ok := s.places.seen[k]
	s.places.mu.Unlock()
	if ok && now.Before(p.until) && p.until.Sub(now) <= entryFor {
		return p.digest, p.err
	}
	within, cancel := context.WithTimeout(ctx, entryWithin)
	defer cancel()
	p.digest, p.err = s.digest(within, k)
	if ctx.Err() != nil {
		return "", ctx.Err() // the client's leaving says nothing of the place
	}
	p.until = now.Add(entryFor)
	s.places.mu.Lock()
	defer s.places.mu.Unlock()
	if s.places.seen == nil || len(s.places.seen) >= maxPlaces {
		s.places.seen = make(map[cache.Key]place)
	}
	s.places.seen[k] = p
	return p.digest, p.err
}

// digest is the SHA-256, in hexadecimal, of a file that is small.
func (s *Server) digest(ctx context.Context, k cache.Key) (string, error) {
	o, err := s.get(ctx, k, config.Metadata, "")
	if err != nil {
		return "", err
	}
	defer o.Close()
	h := sha256.New()
	n, err := o.SendTo(ctx, h, 0, maxEntry)
	if err == nil && n == maxEntry {
		err = errors.New("no such file is as large")
	}
	return hex.EncodeToString(h.Sum(nil)), err
}
