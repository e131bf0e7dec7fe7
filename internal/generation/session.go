package generation

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

// sessionFor is how long a client that was given an entry file gets the files that
// go with it, where others have taken their names since.
const sessionFor = 10 * time.Minute

// manySessions is how many are kept before those that are over are looked for.
const manySessions = 4096

// sessions is which generations clients began with.
type sessions struct {
	mu    sync.Mutex
	list  map[session]begun
	sweep int // the length at which to look for those that are over
}

type session struct {
	root   Root
	client string
}

type begun struct {
	digest string
	at     time.Time
}

// begin notes that a client has been given the entry file with that digest.
func (s *sessions) begin(r Root, client, digest string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.list == nil {
		s.list, s.sweep = map[session]begun{}, manySessions
	}
	if len(s.list) >= s.sweep {
		for k, b := range s.list {
			if over(b, now) {
				delete(s.list, k)
			}
		}
		s.sweep = max(manySessions, 2*len(s.list))
	}
	s.list[session{r, client}] = begun{digest, now}
}

// of is the digest of the entry file that a client was given a moment ago, "" if
// it was given none.
func (s *sessions) of(r Root, client string, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.list[session{r, client}]
	if !ok || over(b, now) {
		return ""
	}
	return b.digest
}

// over reports whether a session has ended, or lies in a future that a clock has left.
func over(b begun, now time.Time) bool {
	age := now.Sub(b.at)
	return age < 0 || age >= sessionFor
}

// Begun is the file k as the generation has it that the client began with a
// moment ago, nil where that is none of another than the current one, or k is
// of no generation. Where a flip was broken off, it is as the current one has it, for
// any client. Files whose names have their digest in them need it not. The errors are
// cache.Cache.Get's.
func (f *Refresher) Begun(ctx context.Context, k cache.Key, client string) (*cache.Object, error) {
	r, ok := RootOf(cache.Key{Repo: k.Repo, Path: path.Join(path.Dir(k.Path), repomdName)})
	if !ok {
		return f.begunSuite(ctx, k, client)
	}
	digest, status := f.sessions.of(r, client, f.o.Now()), cache.Status{Hit: true, Detail: outlived}
	now, broken := f.o.Store.brokenOff(r)
	if digest == "" || digest == now {
		if !broken {
			return nil, nil
		}
		digest, status.Detail = now, ""
	}
	return f.placed(&Generation{Root: r, Digest: digest}, path.Base(k.Path), status)
}

// outlived is the detail of an answer from a generation that is not current any more.
const outlived = "generation"

// placed is a file of g by its name there, nil where g has none.
func (f *Refresher) placed(g *Generation, name string, s cache.Status) (*cache.Object, error) {
	o, err := f.o.Cache.Placed(g.name(name), s)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return o, err
}
