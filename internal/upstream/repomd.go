package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// ErrLags says that a mirror is behind: what it has is older than what is held.
var ErrLags = cache.Lagging.Of(errors.New("the mirror lags"))

// ErrExpired says that what a mirror has is right, and that clients do not believe
// it any more: another mirror may have a newer one, and if none has it will do.
var ErrExpired = cache.Expired.Of(errors.New("no longer valid"))

// ErrPassedOver says that what a mirror has is of no use here, since what it lists is
// not to be had or is not as it should be: another mirror may have another one.
var ErrPassedOver = errors.New("passed over")

// errRefused says that what a mirror sent is no entry file to take.
var errRefused = errors.New("not taken")

// maxEntry bounds an entry file, in bytes. A real repomd.xml has 1 to 10 KB, an
// InRelease up to 400 KB.
const maxEntry = 4 << 20

// vets reports whether the file that r asks for is an entry file of a repository, a
// repomd.xml or a Release, that has to be looked at before it is taken.
func (m *Mirrors) vets(r cache.Request) bool {
	if m.repo.Vet == nil && m.lists == nil || r.Want.Known() {
		return false
	}
	switch path.Base(r.Key.Path) {
	case "InRelease", "Release":
		return true
	}
	return strings.HasSuffix("/"+r.Key.Path, "/repodata/repomd.xml")
}

// expiredToo is the context key of an inquiry in which what has expired will do.
type expiredToo struct{}

// tolerates reports whether err is nothing that keeps an entry file out: nil, or
// that it has expired where no mirror has another.
func (m *Mirrors) tolerates(ctx context.Context, k cache.Key, err error) bool {
	if !errors.Is(err, ErrExpired) || ctx.Value(expiredToo{}) == nil {
		return err == nil
	}
	m.c.o.Log.Warn("metadata that has expired is served: no mirror has newer", "file", k.String(), "error", err)
	return true
}

// onlyOwn takes from a request for an entry file the condition that any mirror
// may be asked, a time: one that lags would say that nothing has changed since,
// which is true of its own old copy. A copy whose origin nobody knows keeps it.
func onlyOwn(req *http.Request, r cache.Request) {
	if s := r.Stored; s != nil && s.URL != "" && s.URL != req.URL.String() {
		req.Header.Del("If-Modified-Since")
	}
}

// vet reads the answer to a request for an entry file as a whole and returns it
// if it is one to take: a metalink lists it, where there is a current one, and
// it does not lead back. cache.ErrNotModified says that it is the stored one. A
// metalink that was read since the inquiry began is not read again.
func (m *Mirrors) vet(ctx context.Context, r cache.Request, resp *http.Response, since time.Time) (io.Reader, error) {
	url := resp.Request.URL.String()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxEntry+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(body) > maxEntry {
		return nil, fmt.Errorf("%s: more than %d MiB: %w", url, maxEntry>>20, cache.WrongLength.Wrong())
	}
	current := false
	if m.lists != nil {
		l := m.lists.of(r.Key.Path)
		s := l.digests()
		is, listed := s.names(body)
		if !listed {
			// It may be newer than our copy of the metalink.
			if s = l.reread(ctx, since); s != nil {
				is, listed = s.names(body)
			}
		}
		if !listed {
			return nil, fmt.Errorf("%s: the metalink of %s lists another one: %w", url, s.Fetched.Format(time.RFC3339), cache.Unlisted.Of(errRefused))
		}
		current = is
	}
	if m.repo.Vet != nil {
		if err := m.repo.Vet.Vet(r.Key, body, current); !m.tolerates(ctx, r.Key, err) {
			if errors.Is(err, ErrLags) || errors.Is(err, ErrExpired) || errors.Is(err, ErrPassedOver) {
				return nil, fmt.Errorf("%s: %w: %w", url, errRefused, err)
			}
			return nil, fmt.Errorf("%s: %w", url, err)
		}
	}
	if s := r.Stored; s != nil && s.Size == int64(len(body)) && s.SHA256 != "" && s.SHA256 == sumOf(s.SHA256, body) {
		return nil, cache.ErrNotModified
	}
	return bytes.NewReader(body), nil
}

// sumOf is the digest of b by like's algorithm.
func sumOf(like cache.Digest, b []byte) cache.Digest {
	h := like.New()
	if h == nil {
		return ""
	}
	h.Write(b)
	return cache.Digest(fmt.Sprintf("%s:%x", like.Type(), h.Sum(nil)))
}

// stillThere is what it comes to when a mirror says that the stored entry file
// is the one it has: cache.ErrNotModified, unless a metalink says that there is
// another by now, or it has expired.
func (m *Mirrors) stillThere(ctx context.Context, r cache.Request) error {
	if m.lists != nil {
		if s := m.lists.of(r.Key.Path).digests(); s != nil && !s.lists(r.Stored.SHA256) {
			return fmt.Errorf("%s: the mirror has the one that the metalink of %s no longer lists: %w",
				r.Key, s.Fetched.Format(time.RFC3339), cache.Unlisted.Of(errRefused))
		}
	}
	if m.repo.Vet != nil {
		if err := m.repo.Vet.Confirm(r.Key); !m.tolerates(ctx, r.Key, err) {
			return fmt.Errorf("%s: %w: %w", r.Key, errRefused, err)
		}
	}
	return cache.ErrNotModified
}

// Withdrawn reports whether a current metalink lists other repomd.xml than k's
// with that digest. It answers from memory.
func (m *Mirrors) Withdrawn(k cache.Key, digest cache.Digest) bool {
	if m.lists == nil {
		return false
	}
	s := m.lists.of(k.Path).digests()
	return s != nil && !s.lists(digest)
}
