package upstream

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"intelligentmirror/internal/cache"
)

// errGuard refuses an answer that grab would append to, or write over, what is there.
var errGuard = errors.New("not the part of the file that was asked for")

// errand is the transport of one download by grab. grab takes any success for
// the part that it asked for, appends a whole body to what is there, copies a
// body without length for as long as it comes, and gives up what is there where
// a HEAD request is refused; all of that is settled here, before grab sees it.
type errand struct {
	next      http.RoundTripper
	off, size int64     // the first byte that is missing, and the file's length
	digest    io.Writer // gets the bytes that grab gets
}

// RoundTrip implements http.RoundTripper.
func (e errand) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodHead {
		// What it asks, the metadata has told; whether ranges are understood
		// shows in the answer to the range.
		return &http.Response{
			Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Accept-Ranges": {"bytes"}}, ContentLength: e.size, Body: http.NoBody, Request: req,
		}, nil
	}
	resp, err := e.next.RoundTrip(req)
	if err != nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp, err
	}
	if err := e.check(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	resp.Body = &bounded{resp.Body, e.size - e.off, e.digest}
	return resp, nil
}

// check refuses a success that is not what was asked for. The error wraps
// errGuard where the mirror can't go on behind what is there, and
// cache.ErrWrongContent where the answer is not of this file at all.
func (e errand) check(resp *http.Response) error {
	length, part := resp.ContentLength, resp.Header.Get("Content-Range")
	switch {
	case encoded(resp.Header):
		return fmt.Errorf("encoded as %s, which nobody asked for: %w", resp.Header.Get("Content-Encoding"), cache.WrongEncoding.Wrong())
	case resp.StatusCode == http.StatusOK && length >= 0 && length != e.size:
		return fmt.Errorf("%d bytes announced, %d promised by the metadata: %w", length, e.size, cache.WrongLength.Wrong())
	case resp.StatusCode == http.StatusOK && e.off == 0:
		return nil
	case resp.StatusCode == http.StatusPartialContent && e.off > 0:
		from, total, ok := contentRange(part)
		if ok && from == e.off && (total < 0 || total == e.size) && (length < 0 || length == e.size-e.off) {
			return nil
		}
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s to a request for a file: %w", resp.Status, cache.WrongFormat.Wrong())
	}
	return fmt.Errorf("%s, Content-Range %q, to a request for byte %d on of %d: %w", resp.Status, part, e.off, e.size, errGuard)
}

// encoded reports whether a body is packed for the way.
func encoded(h http.Header) bool {
	e := h.Get("Content-Encoding")
	return e != "" && !strings.EqualFold(e, "identity")
}

// bounded is a body that must not be longer than it may be, and is hashed.
type bounded struct {
	io.ReadCloser
	left   int64
	digest io.Writer
}

// Read fails, once the bytes that may come have been read, if one more does.
func (b *bounded) Read(p []byte) (int, error) {
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		n, b.left = n-1, 0
		err = fmt.Errorf("more bytes than the metadata promises: %w", errGuard)
	}
	if _, werr := b.digest.Write(p[:n]); werr != nil {
		return n, werr
	}
	return n, err
}
