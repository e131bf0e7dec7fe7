package serve

import (
	"bytes"
	_ "embed" // the script
	"fmt"
	"net/http"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
)

const (
	// liveEvery is how often who follows the status page is told what is new.
	liveEvery = time.Second
	// liveAnyway is after how many times with nothing new they hear from us.
	liveAnyway = 15
	// maxViewers is how many may follow it at a time: each costs some work a second.
	maxViewers = 32
)

//go:embed status.js
var statusScript string

// events follows the part of the status page that changes from one second to the
// next, as server-sent events whose data is that part's HTML.
func (s *Server) events(a *answer) {
	if s.viewers.Add(1) > maxViewers {
		s.viewers.Add(-1)
		a.Header().Set("Retry-After", "60")
		a.text(http.StatusServiceUnavailable, cache.Status{}, fmt.Sprintf("%d browsers follow this page already.", maxViewers), "Reload it from time to time.")
		return
	}
	defer s.viewers.Add(-1)
	h := a.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	a.decide(http.StatusOK, cache.Status{})
	if a.r.Method == http.MethodHead {
		return
	}
	tick := time.NewTicker(liveEvery)
	defer tick.Stop()
	last := ""
	for quiet := 0; !s.stopping.Load() && !a.gone(); quiet++ {
		if text := s.live(a); text != last || quiet >= liveAnyway {
			last, quiet = text, 0
			var b bytes.Buffer
			for line := range strings.Lines(text) {
				b.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
			}
			b.WriteString("\n")
			if _, err := a.Write(b.Bytes()); err != nil {
				return // the browser has gone, as Write has noted
			}
			a.Flush()
		}
		select {
		case <-tick.C:
		case <-a.r.Context().Done():
			return
		}
	}
}

// live is the part of the page that changes by itself.
func (s *Server) live(a *answer) string {
	r := report{KeptBack: []keptBack{}, Mirrors: []mirrorState{}}
	r.Cache.Problem = s.o.Cache.Problem()
	s.reportNow(&r)
	var b strings.Builder
	if err := statusTemplate.ExecuteTemplate(&b, "live", s.livePart(&r)); err != nil {
		s.o.Log.Warn("the status can't be followed", "error", err)
	}
	return shown(b.String())
}
