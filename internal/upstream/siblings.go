package upstream

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
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

// errNotStored says that a sibling has no copy that is of use.
var errNotStored = errors.New("not stored there")

// errLoop says that a sibling is this server itself, or asks it in turn.
var errLoop = errors.New("it is this server itself, or asks it in turn")

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
		Transport:     &watchdog{next: t, idle: c.o.Idle},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// askSiblings asks the siblings for a file that is missing here; done says that err
// is the end of the inquiry. A sibling is believed what a digest proves, and that its
// copy is what upstream once sent; whether upstream still has it, upstream says.
func (m *Mirrors) askSiblings(ctx context.Context, r cache.Request, p *cache.Partial, w way) (done bool, err error) {
	off, _ := p.Resume()
	switch known := r.Want.Known(); {
	case len(m.near) == 0, r.Stored != nil, known && off == r.Want.Size:
		return false, nil
	case !known && (off > 0 || m.vets(r) || m.repo.Mutable == nil || m.repo.Mutable(r.Key.Path)):
		return false, nil
	}
	for _, x := range m.near {
		switch x.health(m.c.o.Now()) {
		case due:
			m.probe(x, r.Key, m.isAwake)
			continue
		case well:
		default:
			continue
		}
		done, err := m.askSibling(ctx, x, r, p, w)
		if done {
			return true, err
		}
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
	}
	return false, nil
}

// askSibling is askSiblings for one of them.
func (m *Mirrors) askSibling(ctx context.Context, x *mirror, r cache.Request, p *cache.Partial, w way) (done bool, err error) {
	start := m.c.o.Now()
	fail := func(err error, cost time.Duration) {
		if ctx.Err() == nil {
			m.c.o.Log.Info("a sibling failed", "url", x.url(r.Key), "error", err)
			x.failed(m.c.o.Now(), cost)
		}
	}
	off, _ := p.Resume()
	resp, err := m.find(ctx, x, r, off)
	if errors.Is(err, errNotStored) {
		x.worked()
		return false, nil
	}
	if errors.Is(err, errLoop) {
		fail(err, maxRest) // as long as it is named
		return false, nil
	}
	if err != nil {
		fail(err, m.c.o.Now().Sub(start))
		return false, nil
	}
	defer resp.Body.Close()
	x.worked()
	var confirmed *time.Time
	if !r.Want.Known() {
		if confirmed, err = m.confirm(ctx, resp, r, p, w); !errors.Is(err, cache.ErrNotModified) {
			return true, err
		}
	}
	err = receive(resp, p, confirmed)
	switch {
	case err == nil, errors.Is(err, cache.ErrUnstorable), promised(err):
		return true, err
	case timedOut(err):
		fail(err, m.c.o.Idle)
	default:
		fail(err, 0) // it is there
	}
	// What has come of it another can go on with, if there is a digest.
	return false, nil
}

// find asks a sibling for what it has of a file from byte off on. The error wraps
// errNotStored where that is nothing of use.
func (m *Mirrors) find(ctx context.Context, x *mirror, r cache.Request, off int64) (*http.Response, error) {
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
	if err := usable(resp, r, off); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// usable is nil for an answer that has the file which r asks for, from byte off on.
func usable(resp *http.Response, r cache.Request, off int64) error {
	size := resp.ContentLength
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusPartialContent:
		from, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || off == 0 || from != off {
			return fmt.Errorf("asked for bytes from %d on, got %q: %w", off, resp.Header.Get("Content-Range"), errAnswer)
		}
		size = total
	case http.StatusGatewayTimeout, http.StatusNotFound, http.StatusGone, http.StatusRequestedRangeNotSatisfiable:
		return errNotStored
	case http.StatusLoopDetected:
		return errLoop
	default:
		return fmt.Errorf("%s: %w", resp.Status, errAnswer)
	}
	if encoded(resp.Header) {
		return fmt.Errorf("encoded as %s, which nobody asked for: %w", resp.Header.Get("Content-Encoding"), errAnswer)
	}
	if !r.Want.Known() {
		if _, err := http.ParseTime(resp.Header.Get("Last-Modified")); err != nil || size < 0 {
			return errNotStored // upstream can't be asked whether it still has this one
		}
		return nil
	}
	tag := resp.Header.Get("ETag")
	if size >= 0 && size != r.Want.Size || ofDigest(tag) && r.Want.Digest.Type() == "sha256" && tag != (&cache.Facts{SHA256: r.Want.Digest}).Tag() {
		return errNotStored // another version
	}
	return nil
}

// ofDigest reports whether an entity tag of ours is made of a digest, and not of
// size and time.
func ofDigest(tag string) bool { return len(tag) == len(`""`)+32 && !strings.Contains(tag, "-") }

// confirm asks upstream whether it still has the copy that a sibling answers with, as
// if that were stored here. cache.ErrNotModified says to take it: because upstream
// says so, or because upstream can't say and the sibling's copy is the best there is,
// which then is as old as it is there (confirmed; nil is new). With any other error,
// and with none, which says that upstream has sent the file, it is of no use.
func (m *Mirrors) confirm(ctx context.Context, resp *http.Response, r cache.Request, p *cache.Partial, w way) (confirmed *time.Time, err error) {
	stored := &cache.Facts{Size: resp.ContentLength, LastModified: resp.Header.Get("Last-Modified")}
	if stored.ModTime, err = http.ParseTime(stored.LastModified); err != nil {
		return nil, err
	}
	err = m.askMirrors(ctx, cache.Request{Key: r.Key, Stored: stored}, p, w)
	switch {
	case err == nil, errors.Is(err, cache.ErrNotModified), errors.Is(err, cache.ErrUnstorable), ctx.Err() != nil:
		return nil, err
	case errors.Is(err, fs.ErrNotExist) && !r.Held:
		return nil, err
	}
	at := time.Time{}
	if age, err := strconv.ParseInt(resp.Header.Get("Age"), 10, 32); err == nil && age >= 0 {
		at = m.c.o.Now().Add(-time.Duration(age) * time.Second)
	}
	return &at, cache.ErrNotModified
}

// receive takes in the body of a sibling's answer.
func receive(resp *http.Response, p *cache.Partial, confirmed *time.Time) error {
	// Its tag is the sibling's own; the time is upstream's.
	h := cache.Head{Length: resp.ContentLength, URL: resp.Request.URL.String(), LastModified: resp.Header.Get("Last-Modified"), Sibling: true}
	if resp.StatusCode == http.StatusPartialContent {
		if err := p.Continue(-1); err != nil {
			return err
		}
		p.Describe(h)
	} else {
		if err := p.Begin(h); err != nil {
			return err
		}
		if confirmed != nil {
			p.Confirmed(*confirmed)
		}
	}
	err := take(resp.Body, p)
	if err == nil {
		err = p.Complete()
	}
	if errors.Is(err, cache.ErrWrongContent) {
		p.Reject()
	}
	return err
}

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
