package serve

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/upstream"
)

// statusGone is what the access log has for a client that left before its
// answer began; nginx writes the same.
const statusGone = 499

// text answers with lines of plain text: what happened, and what to do.
func (a *answer) text(code int, status cache.Status, lines ...string) {
	body := strings.Join(lines, "\n") + "\n"
	h := a.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if code >= 400 {
		// What is missing now may be there in a minute.
		h.Set("Cache-Control", "no-store")
	}
	if mayBeBetterSoon(code) && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(int(retryAfter/time.Second)))
	}
	a.decide(code, status)
	if a.r.Method != http.MethodHead {
		_, _ = io.WriteString(a, body) // a client that has left is noted by Write
	}
}

// readOnly answers a request that is neither GET nor HEAD, and reports whether
// there is one left to answer.
func (a *answer) readOnly() bool {
	if a.r.Method == http.MethodGet || a.r.Method == http.MethodHead {
		return true
	}
	a.Header().Set("Allow", "GET, HEAD")
	a.text(http.StatusMethodNotAllowed, cache.Status{}, a.r.Method+" is not what this URL can be asked.", "Use GET or HEAD.")
	return false
}

// fail answers for a file that the cache can't give, or passes the request on
// where that is better.
func (s *Server) fail(a *answer, t target, err error) {
	var unreachable *cache.UnreachableError
	var disk *fs.PathError
	var denied *upstream.DeniedError
	var absent *cache.AbsentError
	var wrong *cache.WrongContentError
	missed := cache.Status{Fwd: "uri-miss"}
	name := t.String()
	switch {
	case a.gone():
		a.abort()
	case errors.As(err, &denied):
		s.deny(a, denied)
	case errors.Is(err, cache.ErrNotAFile):
		s.relay(a, t, cache.Status{Fwd: "bypass"})
	case errors.As(err, &unreachable):
		code := http.StatusBadGateway
		missed.Detail = "upstream-unreachable"
		if unreachable.TimedOut {
			code, missed.Detail = http.StatusGatewayTimeout, "upstream-timeout"
		}
		s.retry(a, t.repo)
		a.text(code, missed, "No route to host: "+t.unasked()+" for "+name+", and there is no stored copy ("+unreachable.Err.Error()+").",
			"Try again in a minute; if it stays so, see whether this mirror can reach its upstreams.")
	case errors.Is(err, cache.ErrUnstorable), errors.As(err, &disk):
		s.o.Log.Debug("a request is passed on, since its file can't be stored", "file", name, "error", err)
		s.relayVetted(a, t, cache.Status{Fwd: "bypass", Detail: "unstorable"}, s.passing(a, t))
	case errors.As(err, &absent) && !absent.Withdrawn.IsZero():
		a.text(http.StatusNotFound, cache.Status{Hit: true, Detail: "withdrawn"},
			"Not found: upstream has withdrawn "+name+", as it was seen on "+absent.Withdrawn.UTC().Format(time.DateOnly)+".",
			"If a repository's metadata still lists it, refresh that: dnf clean expire-cache, or apt update.")
	case errors.As(err, &absent) && absent.Offline:
		a.text(http.StatusNotFound, cache.Status{Hit: true, Detail: "upstream-unreachable"},
			"Not found: upstream had no "+name+" when it could be asked, and the repository has not changed since.")
	case errors.As(err, &absent):
		a.text(http.StatusNotFound, cache.Status{Hit: true, Detail: "absent"}, "Not found: upstream had no "+name+" a moment ago.",
			"It is asked again in a minute at most.")
	case errors.Is(err, fs.ErrNotExist):
		missed.FwdStatus = http.StatusNotFound
		a.text(http.StatusNotFound, missed, "Not found: upstream has no "+name+".",
			"If a repository's metadata still lists it, refresh that: dnf clean expire-cache, or apt update.")
	case errors.Is(err, context.Canceled):
		a.text(http.StatusServiceUnavailable, cache.Status{Detail: "stopping"}, "This mirror is stopping.", "Try again in a minute.")
	case errors.As(err, &wrong):
		missed.Detail = "wrong-content"
		a.text(http.StatusBadGateway, missed, "Upstream sends something else than "+name+".",
			"Expected: "+wrong.Expected, "Came: "+wrong.Came, "From: "+wrong.URL,
			"Try again in some minutes: an upstream may be in the middle of an update. This mirror's administrator may find a sample in .im/quarantine.")
	case errors.Is(err, cache.ErrWrongContent):
		missed.Detail = "wrong-content"
		a.text(http.StatusBadGateway, missed, "Upstream sends something else than "+name+" ("+err.Error()+").",
			"Try again in some minutes: an upstream may be in the middle of an update, or a captive portal in between.")
	default:
		missed.Detail = "download-failed"
		a.text(http.StatusBadGateway, missed, "The download of "+name+" failed ("+err.Error()+").", "Try again; what has arrived of it is kept.")
	}
}

// broken ends an answer whose body failed with err. Where the header has not
// gone, the client is told; else the connection breaks.
func (s *Server) broken(a *answer, t target, err error) {
	if a.gone() {
		a.abort()
	}
	s.o.Log.Warn("an answer was broken off", "file", a.key.String(), "sent", a.sent, "error", err)
	if errors.Is(err, cache.ErrWrongContent) || s.o.Cache.Has(a.key) {
		// Wrong bytes may have gone, or others than those that come next time.
		s.suspects.add(a.key)
	}
	if a.begun {
		a.abort()
	}
	a.reset()
	s.fail(a, t, err)
}

// suspects are the files of which clients may hold bytes that are not the
// file's: for a while they are answered whole, so that nobody goes on behind
// such bytes, and the metadata that promises them is looked at first. It is safe
// for concurrent use.
type suspects struct {
	now func() time.Time

	mu    sync.Mutex
	until map[cache.Key]time.Time
}

const (
	suspectFor  = 10 * time.Minute
	maxSuspects = 1024
)

func (s *suspects) add(k cache.Key) {
	now := s.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.until == nil {
		s.until = make(map[cache.Key]time.Time)
	}
	for other, until := range s.until {
		if now.After(until) || len(s.until) >= maxSuspects {
			delete(s.until, other)
		}
	}
	s.until[k] = now.Add(suspectFor)
}

func (s *suspects) has(k cache.Key) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[k]
	return ok && s.now().Before(until)
}
