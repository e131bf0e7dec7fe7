package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"intelligentmirror/internal/upstream"
)

// imserveState is what squid's helper knows of imserve. It does not change.
type imserveState struct {
	ready  bool
	repos  []string        // that imserve has; nil where it does not say
	learnt upstream.Claims // what its lists of mirrors have named
}

// has reports whether imserve has a repository, as far as is known.
func (m *imserveState) has(repo string) bool {
	return m.repos == nil || slices.Contains(m.repos, repo)
}

// squidWatch watches imserve: it holds a connection to it, whose end is noticed at
// once, and asks now and then whether it is ready. Nobody waits for it.
type squidWatch struct {
	mirror *url.URL
	dial   func(ctx context.Context, network, address string) (net.Conn, error)
	log    *slog.Logger

	state atomic.Pointer[imserveState] // the last; kept, but for ready, while imserve is away
	said  bool                         // whether anything was logged yet
	mute  bool                         // imserve does not tell us what it has learnt, which was logged

	first sync.Once
	known chan struct{} // closed once it is known for the first time whether imserve is ready
}

const (
	// readyEvery is how often imserve is asked whether it is ready. Each time is a
	// line in its access log, and only what stands still without having ended is
	// noticed no sooner.
	readyEvery = 5 * time.Second
	// readyWithin is how long it may take to answer.
	readyWithin = 5 * time.Second
	// claimsEvery is how many of these times it is asked what it has learnt.
	claimsEvery = 12
	// retryEvery is how long an imserve that is away is left alone.
	retryEvery = 250 * time.Millisecond
	// maxClaims bounds what it tells, in bytes.
	maxClaims = 64 << 20
)

func newSquidWatch(mirror *url.URL, dial func(ctx context.Context, network, address string) (net.Conn, error), log *slog.Logger) *squidWatch {
	w := &squidWatch{mirror: mirror, dial: dial, log: log, known: make(chan struct{})}
	w.state.Store(&imserveState{})
	return w
}

// now is what is known at this moment.
func (w *squidWatch) now() *imserveState { return w.state.Load() }

// await waits until anything is known, for d at the most.
func (w *squidWatch) await(ctx context.Context, d time.Duration) { wait(ctx, w.known, d) }

// wait waits until done is closed, or ctx ends, for d at the most.
func wait(ctx context.Context, done <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	case <-ctx.Done():
	}
}

// run watches until ctx ends.
func (w *squidWatch) run(ctx context.Context) {
	for {
		began := time.Now()
		err := w.hold(ctx)
		if ctx.Err() != nil {
			return
		}
		w.away(err)
		// A connection that has stood for long may have ended for a reason of its own.
		wait(ctx, nil, retryEvery-time.Since(began))
	}
}

// hold opens a connection and holds it until it ends, or imserve is not ready.
func (w *squidWatch) hold(ctx context.Context) error {
	dialling, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	conn, err := w.dial(dialling, "tcp", w.mirror.Host)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	from := bufio.NewReader(conn)
	for i := 0; ; i++ {
		last, err := w.probe(conn, from, i%claimsEvery == 0)
		if err != nil {
			return err
		}
		if last {
			return errors.New("it ends the connection")
		}
		if err := conn.SetReadDeadline(time.Now().Add(readyEvery)); err != nil {
			return err
		}
		// Nothing is expected, so that this is over when it is time, or at the connection's end.
		if _, err = from.Peek(1); err == nil {
			return errors.New("it answers what nobody has asked")
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			return err
		}
	}
}

// probe asks once whether imserve is ready and, with claims, what it has learnt. It
// tells whether that was the connection's last answer.
func (w *squidWatch) probe(conn net.Conn, from *bufio.Reader, claims bool) (last bool, err error) {
	if err := conn.SetDeadline(time.Now().Add(readyWithin)); err != nil {
		return false, err
	}
	resp, err := w.ask(conn, from, "/-/readyz")
	if err != nil {
		return false, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err != nil {
		return false, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("it is not ready: %s", resp.Status)
	}
	next := *w.now()
	next.ready = true
	if claims && !resp.Close {
		if resp, err = w.ask(conn, from, claimsPath); err != nil {
			return false, err
		}
		if err := w.learn(resp, &next); err != nil {
			return false, err
		}
	}
	w.here(&next)
	return resp.Close, nil
}

func (w *squidWatch) ask(conn net.Conn, from *bufio.Reader, path string) (*http.Response, error) {
	u := *w.mirror
	u.Path = path
	req, err := http.NewRequest(http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "imserve-squid-helper (IntelligentMirror)")
	if err := req.Write(conn); err != nil {
		return nil, err
	}
	return http.ReadResponse(from, req)
}

// learn reads what imserve tells of itself into m.
func (w *squidWatch) learn(resp *http.Response, m *imserveState) error {
	body := io.LimitReader(resp.Body, maxClaims)
	if resp.StatusCode == http.StatusOK {
		var c claimsPage
		if err := json.NewDecoder(body).Decode(&c); err != nil {
			return fmt.Errorf("read %s: %w", claimsPath, err)
		}
		m.repos, m.learnt = c.Repos, c.Learnt
	} else if !w.mute {
		w.mute = true
		w.log.Warn("imserve does not say which mirrors it has learnt: only those of the configuration are known; let this host be one of its serve.admins",
			"mirror", w.mirror.Host, "status", resp.Status)
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

// here notes that imserve is ready.
func (w *squidWatch) here(m *imserveState) {
	was := w.state.Swap(m)
	if !was.ready {
		w.log.Info("imserve is ready: its files are asked of it", "mirror", w.mirror.Host)
	}
	w.said = true
	w.first.Do(func() { close(w.known) })
}

// away notes that imserve is not ready.
func (w *squidWatch) away(why error) {
	m := *w.now()
	was := m.ready
	m.ready = false
	w.state.Store(&m)
	if was || !w.said {
		w.log.Warn("imserve is away: all URLs are left as they are", "mirror", w.mirror.Host, "error", why)
	}
	w.said = true
	w.first.Do(func() { close(w.known) })
}
