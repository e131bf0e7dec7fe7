package serve

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/manifest"
)

// manifestBuffer is how much of the manifest goes out at once, in bytes.
const manifestBuffer = 64 << 10

// manifest answers with all that is stored, a JSON object a line, in the order of
// the paths, as the disk is read: it is as long as the cache is large, and is never
// whole in memory. Its ETag comes behind it, since it is made of it.
//
// A request with a condition or a cursor (?since=, an ETag without its quotes) has
// the disk read first, and is answered 304, or with what has changed since, or, where
// nobody knows that any more, with all. With ?digests, digests that nobody has
// computed are computed.
func (s *Server) manifest(a *answer) {
	h := a.Header()
	h.Set("Content-Type", "application/x-ndjson")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	query := a.r.URL.Query()
	digests := query.Has("digests")
	since, condition := query.Get("since"), strings.Trim(a.r.Header.Get("If-None-Match"), `"`)
	if since != "" || condition != "" {
		if s.manifestSince(a, since, condition, digests) {
			return
		}
	}
	a.decide(http.StatusOK, cache.Status{})
	if a.r.Method == http.MethodHead {
		return
	}
	h.Set("Trailer", "ETag")
	b := bufio.NewWriterSize(a, manifestBuffer)
	tag, t, err := s.take(a.r.Context(), "", digests, b)
	if err == nil {
		t.Close()
		err = b.Flush()
	}
	if err != nil {
		s.brokenManifest(a, err)
	}
	h.Set("ETag", `"`+tag+`"`)
}

// manifestSince answers a request for what is not the manifest that the client has.
// It reports false where the whole has to be sent.
func (s *Server) manifestSince(a *answer, since, condition string, digests bool) bool {
	base := since
	if base == "" {
		base = condition
	}
	tag, t, err := s.take(a.r.Context(), base, digests, io.Discard)
	if err != nil {
		s.brokenManifest(a, err)
	}
	defer t.Close()
	h := a.Header()
	if tag == condition {
		h.Set("ETag", `"`+tag+`"`)
		h.Del("Content-Type")
		a.decide(http.StatusNotModified, cache.Status{})
		return true
	}
	changes, ok := t.Changes()
	if !ok || since == "" {
		return false
	}
	h.Set("ETag", `"`+tag+`"`)
	h.Set(manifest.Since, since)
	a.decide(http.StatusOK, cache.Status{})
	if a.r.Method == http.MethodHead {
		return true
	}
	if _, err := io.CopyBuffer(onlyWriter{a}, changes, make([]byte, manifestBuffer)); err != nil {
		s.brokenManifest(a, err)
	}
	return true
}

// onlyWriter hides all but Write: what comes out of a file that has no other name
// need not go by sendfile, which an answer in chunks can't.
type onlyWriter struct{ io.Writer }

// take reads the disk and writes the manifest to w. The caller closes the Taking,
// which is nil after an error.
func (s *Server) take(ctx context.Context, since string, digests bool, w io.Writer) (tag string, t *manifest.Taking, err error) {
	t = manifest.NewShelf(s.o.Cache.Own("manifests")).Take(since)
	err = s.o.Cache.Walk(ctx, func(k cache.Key, f cache.Facts) error {
		if digests && f.SHA256 == "" {
			known, err := s.o.Cache.Sum(ctx, k.String())
			if err != nil {
				// It has gone or can't be read: a list that is whole without it lies.
				return err
			}
			f = known
		}
		line, err := t.Add(manifest.Line{Path: k.String(), Size: f.Size, SHA256: f.SHA256.Hex(), ModTime: f.ModTime.UTC()})
		if err != nil {
			return err
		}
		_, err = w.Write(line)
		return err
	})
	if err != nil {
		t.Close()
		return "", nil, err
	}
	tag, err = t.Finish()
	if err != nil {
		s.o.Log.Warn("who has this manifest has to read all of the next", "error", err)
	}
	return tag, t, nil
}

// brokenManifest breaks the answer off. A part of a manifest must not look like all
// of it: what is not listed, a replica deletes.
func (s *Server) brokenManifest(a *answer, err error) {
	if !a.gone() {
		s.o.Log.Warn("the manifest was broken off", "error", err)
	}
	a.abort()
}
