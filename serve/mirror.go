package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/upstream"
)

// file answers for k, which is t: from the cache, which asks upstream if it has to.
func (s *Server) file(a *answer, t target, k cache.Key, class config.Class) {
	if !a.readOnly() {
		return
	}
	a.key = k
	if asks(a.r.Header, "only-if-cached") {
		s.stored(a, t, k, class)
		return
	}
	if a.r.Method == http.MethodHead && !s.o.Cache.Has(k) && !s.o.Cache.IsWithdrawn(k) && s.ask(a, t, class) {
		return
	}
	for i := 1; ; i++ {
		o, err := s.get(a.r.Context(), k, class, a.client.String())
		if err != nil {
			if errors.Is(err, cache.ErrWrongContent) {
				s.suspects.add(k)
			}
			s.fail(a, t, err)
			return
		}
		if err = s.give(a, o, class); err == nil {
			s.remember(a, o, class)
		}
		o.Close()
		if err == nil {
			return
		}
		if a.begun || a.gone() || i == tries || !s.o.Cache.Has(k) {
			s.broken(a, t, err)
			return
		}
		// Nothing has gone to the client, and another mirror sends the file now.
		a.reset()
	}
}

// get is the file k for one client: a root's entry file with all that it lists,
// what goes with it as the client began, and any other file by itself, a package by
// what metadata says of it that this client may just have fetched.
func (s *Server) get(ctx context.Context, k cache.Key, class config.Class, client string) (*cache.Object, error) {
	if s.o.Metadata == nil {
		return s.o.Cache.Get(ctx, k)
	}
	if class == config.Package {
		s.o.Metadata.Learn(ctx, k)
		if s.suspects.has(k) {
			// What came last was not what is promised: it may have been signed anew.
			s.o.Metadata.Doubt(ctx, k)
		}
	}
	if class != config.Metadata {
		return s.o.Cache.Get(ctx, k)
	}
	if _, ok := generation.RootOf(k); ok {
		return s.o.Metadata.Get(ctx, k, client)
	}
	if !namedByDigest(k.Path) {
		if o, err := s.o.Metadata.Sibling(ctx, k); o != nil || err != nil {
			return o, err
		}
		if o, err := s.o.Metadata.Begun(ctx, k, client); o != nil || err != nil {
			return o, err
		}
	}
	return s.o.Cache.Get(ctx, k)
}

// tries is how often a request may begin anew before its first byte has gone.
const tries = 4

// give answers with o. An error is of a body that did not become whole.
func (s *Server) give(a *answer, o *cache.Object, class config.Class) error {
	a.decide(http.StatusOK, o.Status)
	v := validators{tag: o.Tag(), modified: o.ModTime()}
	size := o.Size()
	h := a.Header()
	describe(h, a.key, class, v)
	s.forwards(a)
	// What has come for this request has none, also where it is stored by now.
	if at := o.Validated(); !at.IsZero() && !o.Status.Stored {
		h.Set("Age", strconv.FormatInt(max(int64(s.o.Now().Sub(at)/time.Second), 0), 10))
	}
	if !a.conditions(v) {
		return nil
	}
	if a.r.Method == http.MethodHead {
		if size >= 0 {
			h.Set("Content-Length", sizeField(size))
		}
		return nil
	}
	var spans []span
	if size >= 0 && rangeFits(a.r.Header, v, s.o.Now()) && !s.suspects.has(a.key) {
		ok := false
		if spans, ok = ranges(a.r.Header, size); !ok {
			h.Del("Age")
			h.Del("Last-Modified")
			h.Set("Content-Range", "bytes */"+sizeField(size))
			a.text(http.StatusRequestedRangeNotSatisfiable, o.Status, "The file has "+strconv.FormatInt(size, 10)+" bytes, and none in this range.",
				"Ask for all of it.")
			return nil
		}
	}
	return a.send(o, spans, size)
}

// sizeField is a Content-Length.
func sizeField(n int64) string { return strconv.FormatInt(n, 10) }

// send sends the spans of o, or all of it where there are none.
func (a *answer) send(o *cache.Object, spans []span, size int64) error {
	h := a.Header()
	switch len(spans) {
	case 0:
		if size >= 0 {
			h.Set("Content-Length", sizeField(size))
		}
		return a.sendSpan(o, span{0, size})
	case 1:
		h.Set("Content-Range", spans[0].contentRange(size))
		h.Set("Content-Length", strconv.FormatInt(spans[0].n, 10))
		a.code = http.StatusPartialContent
		return a.sendSpan(o, spans[0])
	}
	m := newByteranges(spans, size, h.Get("Content-Type"), rand.Text())
	h.Set("Content-Type", m.contentType())
	h.Set("Content-Length", strconv.FormatInt(m.length, 10))
	a.code = http.StatusPartialContent
	for i, s := range spans {
		if _, err := io.WriteString(a, m.heads[i]); err != nil {
			return err
		}
		if err := a.sendSpan(o, s); err != nil {
			return err
		}
	}
	_, err := io.WriteString(a, m.tail)
	return err
}

// sendSpan sends one span; a negative length is all that follows.
func (a *answer) sendSpan(o *cache.Object, s span) error {
	n, err := o.SendTo(a.r.Context(), a, s.from, s.n)
	if err == nil && s.n >= 0 && n != s.n {
		return io.ErrUnexpectedEOF
	}
	return err
}

// ask answers a HEAD request for a file that is not here from upstream's answer
// to one, so that no download begins. It reports false where upstream has no
// plain answer (a redirect, a mirror that lacks what another may have, or one that has
// something else in its place): then a GET has to tell.
func (s *Server) ask(a *answer, t target, class config.Class) bool {
	h := http.Header{
		"User-Agent":      {"imserve/" + s.o.Version + " (IntelligentMirror)"},
		"Accept":          {"*/*"},
		"Accept-Encoding": {"identity"},
		"Via":             {viaField(a.r.ProtoMajor, a.r.ProtoMinor, s.via)},
	}
	where := a.key
	if t.repo == cache.Strangers {
		_, where.Path, _ = strings.Cut(where.Path, "/")
	}
	resp, err := s.mirrors(t).Relay(a.r.Context(), &http.Request{Method: http.MethodHead, Header: h}, where.EscapedPath())
	if err != nil && s.o.Cache.WasAbsent(a.key) {
		return false // the cache knows better than that nobody can be asked
	}
	if err != nil {
		s.fail(a, t, err)
		return true
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || isPage(resp.Header) {
		return false
	}
	size := resp.ContentLength
	if w := s.o.Cache.Promised(a.key); w.Known() {
		if size >= 0 && size != w.Size {
			return false
		}
		size = w.Size // which a mirror that sends chunks does not say
	}
	a.decide(http.StatusOK, cache.Status{Fwd: "uri-miss", FwdStatus: http.StatusOK})
	v := validators{}
	if m, err := http.ParseTime(resp.Header.Get("Last-Modified")); err == nil {
		v.modified = m
	}
	describe(a.Header(), a.key, class, v)
	s.forwards(a)
	if a.conditions(v) && size >= 0 {
		a.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
	return true
}

// isPage reports whether an answer is a page for people, as a network that wants a login
// sends whatever it is asked for: no package and no metadata is one. Other types tell
// nothing, since servers guess them: an .rpm is audio/ to some.
func isPage(h http.Header) bool {
	typ, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && (typ == "text/html" || typ == "application/xhtml+xml")
}

// mirrors is where t's file comes from.
func (s *Server) mirrors(t target) *upstream.Mirrors {
	if t.repo == cache.Strangers {
		host, _, _ := strings.Cut(t.rest, "/")
		return s.o.Hosts.At(host)
	}
	return s.o.Mirrors(t.repo)
}

// conditions evaluates the request's preconditions, answers where they forbid
// the file itself, and reports whether it is to be sent.
func (a *answer) conditions(v validators) bool {
	switch precondition(a.r.Header, v) {
	case notModified:
		a.Header().Del("Content-Type")
		a.code = http.StatusNotModified
		return false
	case unmet:
		a.Header().Del("Age")
		a.Header().Del("Last-Modified")
		a.text(http.StatusPreconditionFailed, a.status, "The file is not the version that the request names.", "Ask without If-Match and If-Unmodified-Since.")
		return false
	}
	return true
}

// describe sets the fields that say what a file is.
func describe(h http.Header, k cache.Key, class config.Class, v validators) {
	if v.tag != "" {
		h.Set("ETag", v.tag)
	}
	if !v.modified.IsZero() {
		h.Set("Last-Modified", v.modified.UTC().Format(http.TimeFormat))
	}
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", contentType(k.Path))
	if class == config.Metadata && !namedByDigest(k.Path) {
		// A cache between us and the client asks us each time; a 304 is cheap.
		h.Set("Cache-Control", "no-cache")
	}
}

// contentTypes are by a name's ending, since that is what clients go by too.
var contentTypes = map[string]string{
	".rpm": "application/x-rpm", ".drpm": "application/x-rpm",
	".deb": "application/vnd.debian.binary-package", ".udeb": "application/vnd.debian.binary-package",
	".xml": "application/xml", ".json": "application/json", ".yaml": "application/yaml",
	".gz": "application/gzip", ".xz": "application/x-xz", ".zst": "application/zstd", ".bz2": "application/x-bzip2",
	".iso": "application/x-iso9660-image", ".sqlite": "application/vnd.sqlite3",
	".asc": "application/pgp-signature", ".gpg": "application/pgp-signature", ".key": "application/pgp-keys",
	".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8",
	".txt": "text/plain; charset=utf-8", ".treeinfo": "text/plain; charset=utf-8",
}

// contentType is never empty, or net/http would guess.
func contentType(p string) string {
	switch base := path.Base(p); base {
	case "InRelease", "Release", "Packages", "media", "products":
		return "text/plain; charset=utf-8"
	default:
		if t, ok := contentTypes[strings.ToLower(path.Ext(base))]; ok {
			return t
		}
	}
	return "application/octet-stream"
}

// digestLen is the shortest digest that a file is named by, MD5's, in hexadecimal.
const digestLen = 32

// namedByDigest reports whether a file's name has a digest of it in it, so that
// other bytes get another name: "<sha256>-primary.xml.gz", "by-hash/SHA256/...".
func namedByDigest(p string) bool {
	run := 0
	for _, c := range []byte(path.Base(p)) {
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F' {
			if run++; run >= digestLen {
				return true
			}
		} else {
			run = 0
		}
	}
	return false
}
