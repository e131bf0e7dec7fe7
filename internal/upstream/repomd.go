package upstream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// ErrLags says that a mirror is behind: what it has is older than what is held.
var ErrLags = errors.New("the mirror lags")

// errRefused says that what a mirror sent is no repomd.xml to take.
var errRefused = errors.New("not taken")

// maxRepomd bounds a repomd.xml, in bytes. Real ones have 1 to 10 KB.
const maxRepomd = 4 << 20

// vets reports whether the file that r asks for is a repomd.xml that has to be
// looked at before it is taken.
func (m *Mirrors) vets(r cache.Request) bool {
	const name = "/repodata/repomd.xml"
	return (m.repo.Vet != nil || m.lists != nil) && !r.Want.Known() && strings.HasSuffix("/"+r.Key.Path, name)
}

// onlyOwn takes from a request for a repomd.xml the condition that any mirror
// may be asked, a time: one that lags would say that nothing has changed since,
// which is true of its own old copy. A copy whose origin nobody knows keeps it.
func onlyOwn(req *http.Request, r cache.Request) {
	if s := r.Stored; s != nil && s.URL != "" && s.URL != req.URL.String() {
		req.Header.Del("If-Modified-Since")
	}
}

// vet reads the answer to a request for a repomd.xml as a whole and returns it
// if it is one to take: a metalink lists it, where there is a current one, and
// it does not lead back. cache.ErrNotModified says that it is the stored one. A
// metalink that was read since the inquiry began is not read again.
func (m *Mirrors) vet(ctx context.Context, r cache.Request, resp *http.Response, since time.Time) (io.Reader, error) {
	url := resp.Request.URL.String()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxRepomd+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(body) > maxRepomd {
		return nil, fmt.Errorf("%s: more than %d MiB: %w", url, maxRepomd>>20, cache.ErrWrongContent)
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
			return nil, fmt.Errorf("%s: the metalink of %s lists another one: %w", url, s.Fetched.Format(time.RFC3339), errRefused)
		}
		current = is
	}
	if m.repo.Vet != nil {
		if err := m.repo.Vet.Vet(r.Key, body, current); err != nil {
			if errors.Is(err, ErrLags) {
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

// stillThere is what it comes to when a mirror says that the stored repomd.xml
// is the one it has: cache.ErrNotModified, unless a metalink says that there is
// another by now.
func (m *Mirrors) stillThere(r cache.Request) error {
	if m.lists != nil {
		if s := m.lists.of(r.Key.Path).digests(); s != nil && !s.lists(r.Stored.SHA256) {
			return fmt.Errorf("%s: the mirror has the one that the metalink of %s no longer lists: %w",
				r.Key, s.Fetched.Format(time.RFC3339), errRefused)
		}
	}
	if m.repo.Vet != nil {
		m.repo.Vet.Confirm(r.Key)
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
