package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// errAnswer is an answer that is of no use.
var errAnswer = errors.New("no use")

// Fetch implements cache.Source: it asks the mirrors in order, while a client waits.
func (m *Mirrors) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	return m.each(ctx, r, p, way{try: m.tryOn(m.c.o.Now())})
}

// promised reports whether err is of bytes that are wrong, and yet what metadata
// promises: every other mirror would send the same.
func promised(err error) bool {
	var wrong *cache.WrongContentError
	return errors.As(err, &wrong) && wrong.Promised
}

// errStale says that the bytes that an earlier try left are not upstream's any more.
var errStale = errors.New("the file has changed since the download began")

// errWhole says that the bytes that an earlier try left are all of the file that
// upstream has: whoever brought them died before it could give them their name.
var errWhole = errors.New("nothing is missing")

// whole reports whether off bytes are all of the body that head describes.
func whole(head cache.Head, off int64) bool { return off > 0 && off == head.Length }

// tryOn is try for one inquiry.
func (m *Mirrors) tryOn(since time.Time) func(context.Context, *mirror, cache.Request, *cache.Partial) error {
	return func(ctx context.Context, x *mirror, r cache.Request, p *cache.Partial) error {
		return m.try(ctx, x, r, p, since)
	}
}

// try asks one mirror once, in an inquiry that began at a time.
func (m *Mirrors) try(ctx context.Context, x *mirror, r cache.Request, p *cache.Partial, since time.Time) error {
	vetted := m.vets(r)
	if vetted {
		// It is small, and read as a whole before the cache gets any of it.
		p.Reject()
	}
	off, head := p.Resume()
	if off > 0 && r.Want.Known() && off == r.Want.Size {
		if err := p.Complete(); err == nil {
			return nil
		}
		p.Reject()
		off = 0
	}
	set := func(req *http.Request) {
		conditions(req, r, head, off)
		if vetted {
			onlyOwn(req, r)
		}
	}
	req, err := http.NewRequestWithContext(context.WithValue(ctx, conditionsKey{}, set), http.MethodGet, x.url(r.Key), nil)
	if err != nil {
		return err
	}
	m.c.introduce(req)
	set(req)
	resp, err := m.route.fetch.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	switch err := m.accept(resp, r, p, off, head, vetted); {
	case vetted && errors.Is(err, cache.ErrNotModified):
		return m.stillThere(ctx, r)
	case errors.Is(err, errWhole):
		if err := p.Complete(); err != nil {
			p.Reject()
			return fmt.Errorf("%w: %w", errStale, err)
		}
		return nil
	case err != nil:
		return err
	}
	body := io.Reader(resp.Body)
	if vetted {
		if body, err = m.vet(ctx, r, resp, since); err != nil {
			p.Reject()
			return err
		}
	}
	if err = take(body, p); err != nil {
		err = fmt.Errorf("%s: %w", resp.Request.URL, err)
	} else {
		err = p.Complete()
	}
	if resp.StatusCode == http.StatusPartialContent && errors.Is(err, cache.ErrWrongContent) {
		// The first part may have been another version's.
		p.Reject()
		return fmt.Errorf("%w: %w", errStale, err)
	}
	return err
}

// accept looks at an answer's header and readies p for its body: p holds off
// bytes, which are had's. vetted says that the body itself tells whether it is
// older than what is stored.
func (m *Mirrors) accept(resp *http.Response, r cache.Request, p *cache.Partial, off int64, had cache.Head, vetted bool) error {
	url := resp.Request.URL.String()
	h := cache.Head{
		Length: resp.ContentLength, URL: url,
		ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified"),
	}
	h.Settled = settled(resp.Header)
	if encoded(resp.Header) {
		return fmt.Errorf("%s: encoded as %s, which nobody asked for: %w", url, resp.Header.Get("Content-Encoding"), cache.WrongEncoding.Wrong())
	}
	switch resp.StatusCode {
	case http.StatusOK:
		if r.Stored != nil && !vetted && older(h.LastModified, r.Stored) {
			return cache.ErrNotModified
		}
		if resp.ContentLength < 0 && resp.ProtoMajor == 1 && len(resp.TransferEncoding) == 0 && !r.Want.Known() {
			return fmt.Errorf("%s: the body ends where the connection does: %w", url, cache.ErrUnstorable)
		}
		if m.heed {
			if err := shareable(resp.Header, r.Key.Path); err != nil {
				return fmt.Errorf("%s: %w", url, err)
			}
		}
		return p.Begin(h)
	case http.StatusPartialContent:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || off == 0 || from != off {
			p.Reject()
			return fmt.Errorf("%s: asked for bytes from %d on, got %q: %w", url, off, resp.Header.Get("Content-Range"), errStale)
		}
		if h.URL == had.URL && (differ(h.ETag, had.ETag) || differ(h.LastModified, had.LastModified)) {
			// A mirror that knows ranges and not If-Range.
			p.Reject()
			return fmt.Errorf("%s: a part of another version: %w", url, errStale)
		}
		if total < 0 && had.Length < 0 && !r.Want.Known() {
			// Where it ends, nobody says.
			p.Reject()
			return fmt.Errorf("%s: a part of a file of unknown length: %w", url, errStale)
		}
		if err := p.Continue(total); err != nil {
			return fmt.Errorf("%w: %w", errStale, err)
		}
		p.Describe(h)
		return nil
	case http.StatusNotModified:
		if whole(had, off) && !r.Want.Known() {
			return errWhole
		}
		if r.Stored != nil && off == 0 {
			return cache.ErrNotModified
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if off > 0 {
			p.Reject()
			return fmt.Errorf("%s: %s: %w", url, resp.Status, errStale)
		}
	case http.StatusNotFound, http.StatusGone:
		return fmt.Errorf("%s: %s: %w", url, resp.Status, fs.ErrNotExist)
	}
	if later(resp.StatusCode) {
		return fmt.Errorf("%s: %s: %w", url, resp.Status, errNotNow)
	}
	return fmt.Errorf("%s: %s: %w", url, resp.Status, errAnswer)
}

// shareable is nil where a shared cache may keep an answer for others (RFC 9111, 3
// and 4.1), and where it may be a repository's at all: what is for a browser is not,
// whatever directory it lies in. Of a name that promises a format the first bytes
// tell that better than the type, which servers guess; but a page that must not be
// kept is a portal's, and nobody's package.
func shareable(h http.Header, path string) error {
	kept := !strings.Contains(strings.Join(h["Vary"], ","), "*")
	for directive := range strings.SplitSeq(strings.Join(h["Cache-Control"], ","), ",") {
		name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		kept = kept && name != "no-store" && name != "private"
	}
	format := cache.FormatOf(path)
	named := format != cache.AnyFormat && format != cache.HTML
	switch page := forBrowser(h); {
	case named && page && !kept:
		return fmt.Errorf("a page in a package's place: %w", cache.WrongFormat.Wrong())
	case !kept || page && !named:
		return fmt.Errorf("not meant to be kept for others: %w", cache.ErrUnstorable)
	}
	return nil
}

// forBrowser reports whether a body is of a kind that is looked at.
func forBrowser(h http.Header) bool {
	media := strings.ToLower(h.Get("Content-Type"))
	for _, kind := range [...]string{"image/", "audio/", "video/", "font/", "text/html", "text/css", "text/javascript", "application/javascript"} {
		if strings.HasPrefix(media, kind) {
			return true
		}
	}
	return false
}

// differ reports whether two validators of one mirror are known to be of two versions.
func differ(a, b string) bool { return a != "" && b != "" && a != b }

// conditions puts into req what its address may be asked: to go on at byte off
// of what head describes, whether that still is upstream's where it is all
// there, or whether the stored copy still is.
func conditions(req *http.Request, r cache.Request, head cache.Head, off int64) {
	for _, f := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"} {
		req.Header.Del(f)
	}
	url := req.URL.String()
	if whole(head, off) && !r.Want.Known() {
		// No byte is missing; what is to be known is whether they still are upstream's.
		if head.ETag != "" && head.URL == url {
			req.Header.Set("If-None-Match", head.ETag)
		}
		if head.LastModified != "" {
			req.Header.Set("If-Modified-Since", head.LastModified)
		}
		return
	}
	if off > 0 {
		validator := ""
		if head.URL == url {
			validator = ifRange(head)
		}
		if validator != "" {
			req.Header.Set("If-Range", validator)
		}
		// Without a validator of this mirror's, only a digest can tell whether
		// two parts belong together; it may be one that the first was promised.
		if validator != "" || r.Want.Known() || head.Want.Known() {
			req.Header.Set("Range", "bytes="+strconv.FormatInt(off, 10)+"-")
		}
		return
	}
	if s := r.Stored; s != nil {
		if s.ETag != "" && s.URL == url {
			req.Header.Set("If-None-Match", s.ETag)
		}
		req.Header.Set("If-Modified-Since", modified(s).UTC().Format(http.TimeFormat))
	}
}

// ifRange is what a request to go on may name in If-Range (RFC 9110, 13.1.5): an
// entity tag that is not weak or, where there is none at all, a time that no later
// version can have. "" is no such validator.
func ifRange(h cache.Head) string {
	switch {
	case h.ETag != "" && !strings.HasPrefix(h.ETag, "W/"):
		return h.ETag
	case h.ETag == "" && h.Settled:
		return h.LastModified
	}
	return ""
}

// settled reports whether an answer says that its file has not changed in the
// second before it: then its Last-Modified is a strong validator (RFC 9110, 8.8.2.2).
func settled(h http.Header) bool {
	sent, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		return false
	}
	modified, err := http.ParseTime(h.Get("Last-Modified"))
	return err == nil && sent.Sub(modified) >= time.Second
}

// modified is the time that the stored copy has upstream.
func modified(f *cache.Facts) time.Time {
	if t, err := http.ParseTime(f.LastModified); err == nil {
		return t
	}
	return f.ModTime
}

// older reports whether a mirror's copy is older than the stored one: it lags.
func older(lastModified string, stored *cache.Facts) bool {
	t, err := http.ParseTime(lastModified)
	return err == nil && t.Before(modified(stored).Truncate(time.Second))
}

// contentRange is the first byte and the whole length, -1 if unknown, of a
// Content-Range field (RFC 9110, 14.4).
func contentRange(v string) (from, total int64, ok bool) {
	v, ok = strings.CutPrefix(v, "bytes ")
	span, all, ok2 := strings.Cut(v, "/")
	first, _, ok3 := strings.Cut(span, "-")
	if !ok || !ok2 || !ok3 {
		return 0, 0, false
	}
	from, err := strconv.ParseInt(first, 10, 64)
	if err != nil || from < 0 {
		return 0, 0, false
	}
	if all == "*" {
		return from, -1, true
	}
	total, err = strconv.ParseInt(all, 10, 64)
	return from, total, err == nil && total > from
}
