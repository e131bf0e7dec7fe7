package upstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

// lookUp is what a sibling is asked with (RFC 9111, 5.2.1.2 and 5.2.1.7): for what it
// has stored, however old, and else for an answer at once. It fetches nothing for us,
// so that caches which name each other can't send a request round.
const lookUp = "only-if-cached, max-stale"

// errLoop says that a sibling is this server itself, or asks it in turn.
var errLoop = errors.New("it is this server itself, or asks it in turn")

// sibling is the one that has the repository at base.
func (m *Mirrors) sibling(base string) *neighbour {
	x := &neighbour{mirror: m.c.mirror(base, ""), called: "a sibling", awake: m.isAwake}
	x.copy = func(ctx context.Context, r cache.Request, off int64) (*Copy, error) {
		return m.find(ctx, x.mirror, r, off)
	}
	x.head = func(has *Copy) cache.Head {
		// Its tag is the sibling's own; the time is upstream's.
		return cache.Head{Length: has.Size, URL: has.URL, LastModified: has.LastModified, Sibling: true}
	}
	return x
}

// neighbourhood is the client to siblings: straight, whatever proxy leads to
// upstream, and soon tired of them, since upstream can be asked in their place.
func (c *Client) neighbourhood() *http.Client {
	t := &http.Transport{
		DialContext:           (&net.Dialer{Timeout: c.o.Sibling, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   c.o.Sibling,
		ResponseHeaderTimeout: c.o.Sibling,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   64,
		DisableCompression:    true,
		ReadBufferSize:        64 << 10,
	}
	return &http.Client{
		Transport:     &watchdog{next: KeepAlive(t), idle: c.o.Idle},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// find asks a sibling for what it has of a file from byte off on. The error wraps
// errNotStored where that is nothing of use.
func (m *Mirrors) find(ctx context.Context, x *mirror, r cache.Request, off int64) (*Copy, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, x.url(r.Key), nil)
	if err != nil {
		return nil, err
	}
	m.c.introduce(req)
	req.Header.Set("Cache-Control", lookUp)
	if off > 0 {
		req.Header.Set("Range", "bytes="+strconv.FormatInt(off, 10)+"-")
	}
	resp, err := m.c.near.Do(req)
	if err != nil {
		return nil, err
	}
	has, err := m.usable(resp, r, off)
	if err != nil {
		resp.Body.Close()
		return nil, err
	}
	return has, nil
}

// usable is the copy that an answer has, if it is of the file which r asks for, from
// byte off on.
func (m *Mirrors) usable(resp *http.Response, r cache.Request, off int64) (*Copy, error) {
	has := &Copy{Body: resp.Body, Size: resp.ContentLength, LastModified: resp.Header.Get("Last-Modified"), URL: resp.Request.URL.String()}
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || off == 0 || from != off {
			return nil, fmt.Errorf("asked for bytes from %d on, got %q: %w", off, resp.Header.Get("Content-Range"), errAnswer)
		}
		has.From, has.Size = from, total
	case http.StatusGatewayTimeout, http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return nil, errNotStored
	case http.StatusLoopDetected:
		return nil, errLoop
	default:
		return nil, fmt.Errorf("%s: %w", resp.Status, errAnswer)
	}
	if encoded(resp.Header) {
		return nil, fmt.Errorf("encoded as %s, which nobody asked for: %w", resp.Header.Get("Content-Encoding"), errAnswer)
	}
	if age, err := strconv.ParseInt(resp.Header.Get("Age"), 10, 32); err == nil && age >= 0 {
		has.Confirmed = m.c.o.Now().Add(-time.Duration(age) * time.Second)
	}
	tag := resp.Header.Get("ETag")
	if r.Want.Known() && ofDigest(tag) && r.Want.Digest.Type() == "sha256" && tag != (&cache.Facts{SHA256: r.Want.Digest}).Tag() {
		return nil, fmt.Errorf("another version: %w", errNotStored)
	}
	return has, fitting(has, r)
}

// ofDigest reports whether an entity tag of ours is made of a digest, and not of
// size and time.
func ofDigest(tag string) bool { return len(tag) == len(`""`)+32 && !strings.Contains(tag, "-") }

// isAwake reports whether a sibling answers again, with whatever it has.
func (m *Mirrors) isAwake(ctx context.Context, address string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, address, nil)
	if err != nil {
		return false
	}
	m.c.introduce(req)
	req.Header.Set("Cache-Control", lookUp)
	resp, err := m.c.near.Do(req)
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode < http.StatusInternalServerError || resp.StatusCode == http.StatusGatewayTimeout
}
