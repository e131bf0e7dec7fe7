package serve

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// outcome is what became of a request, in a word.
type outcome int

// The outcomes, as the status page counts them.
const (
	outcomeHit         outcome = iota // a stored copy
	outcomeValidated                  // a stored copy, after asking upstream
	outcomeOffline                    // a stored copy, in place of what upstream could not give
	outcomeCollapsed                  // another request's download
	outcomeMiss                       // a download
	outcomeRelayed                    // none of our business
	outcomeNotFound                   //
	outcomeUnreachable                // no answer from upstream, and nothing stored
	outcomeTunnelled                  // a tunnel, whatever went through it
	outcomeIntercepted                // a tunnel that ends here; what is asked within has outcomes of its own
	outcomeRefused                    // not one of the clients, or a place where nobody may go
	outcomeMistaken                   // a request that can't be answered as it is
	outcomeAborted                    // broken off, by the client or by us
	outcomeSibling                    // what a sibling asked the store for, whether it had it or not
	outcomeOwn                        // a page of the server's own
	outcomes
)

// String is the outcome as JSON and the status page name it.
func (o outcome) String() string {
	return [outcomes]string{
		"hit", "validated", "offline", "collapsed", "miss", "relayed", "not_found", "unreachable", "tunnelled", "intercepted", "refused", "mistaken", "aborted", "sibling", "own",
	}[o]
}

// MarshalText is String, for JSON.
func (o outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// outcome sums up an answer that has ended.
func (a *answer) outcome() outcome {
	s := a.status
	switch {
	case a.cut:
		return outcomeAborted
	case a.sibling:
		return outcomeSibling
	case a.tunnelled:
		return outcomeTunnelled
	case a.intercepted:
		return outcomeIntercepted
	case a.code == http.StatusForbidden && s.Fwd == "":
		return outcomeRefused
	case s.Fwd == "bypass":
		return outcomeRelayed
	case a.code == http.StatusNotFound:
		return outcomeNotFound
	case a.code == http.StatusBadGateway, a.code == http.StatusGatewayTimeout:
		return outcomeUnreachable
	case a.code >= 400 && a.code != http.StatusPreconditionFailed && a.code != http.StatusRequestedRangeNotSatisfiable:
		return outcomeMistaken
	case a.key.Path == "":
		return outcomeOwn
	case s.Hit && s.Detail != "":
		return outcomeOffline
	case s.Hit:
		return outcomeHit
	case s.FwdStatus == http.StatusNotModified:
		return outcomeValidated
	case s.Collapsed:
		return outcomeCollapsed
	}
	return outcomeMiss
}

// recentEvents is how many answers the status page shows.
const recentEvents = 20

// stats counts answers since the start. It is safe for concurrent use.
type stats struct {
	count [outcomes]atomic.Int64
	sent  atomic.Int64 // bytes of bodies
	// How long whole files took, in nanoseconds, and how many bytes those were.
	missTook, missSent, hitTook, hitSent atomic.Int64

	mu     sync.Mutex
	recent [recentEvents]*event
	next   int // where the next goes
}

// add accounts e, which nobody may change any more.
func (s *stats) add(e *event) {
	s.count[e.Outcome].Add(1)
	s.sent.Add(e.Sent)
	switch e.Outcome {
	case outcomeMiss:
		s.missTook.Add(int64(e.Took))
		s.missSent.Add(e.Sent)
	case outcomeHit:
		s.hitTook.Add(int64(e.Took))
		s.hitSent.Add(e.Sent)
	}
	if e.Internal {
		return
	}
	s.mu.Lock()
	s.recent[s.next] = e
	s.next = (s.next + 1) % recentEvents
	s.mu.Unlock()
}

// last is the last answers, the latest first.
func (s *stats) last() []*event {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*event
	for i := range recentEvents {
		if e := s.recent[(s.next-1-i+2*recentEvents)%recentEvents]; e != nil {
			list = append(list, e)
		}
	}
	return list
}

// paceFrom is how many bytes have to have been downloaded before their pace means
// anything.
const paceFrom = 1 << 20

// pace is how many seconds longer a byte takes that is downloaded than one that is
// stored: what clients themselves are slow, they are with both. 0 where nobody knows.
func (s *stats) pace() float64 {
	missed, hit := s.missSent.Load(), s.hitSent.Load()
	if missed < paceFrom || hit == 0 {
		return 0
	}
	per := func(took, sent int64) float64 { return time.Duration(took).Seconds() / float64(sent) }
	return max(per(s.missTook.Load(), missed)-per(s.hitTook.Load(), hit), 0)
}

// outcomes is the counts by their names, and their sum.
func (s *stats) outcomes() (counts map[string]int64, sum int64) {
	counts = make(map[string]int64)
	for o := range outcomes {
		n := s.count[o].Load()
		counts[o.String()] = n
		sum += n
	}
	return counts, sum
}
