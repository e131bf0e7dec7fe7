package sync

import (
	"sync"
	"time"

	"intelligentmirror/internal/cache"
)

// Running is how far the run under way is. Whatever else keeps runs from beginning, as
// Prune and Import do, is one that has nothing to fetch.
type Running struct {
	Started time.Time `json:"started"`
	Items   int       `json:"items"` // packages to fetch; 0 while it is not planned yet
	Done    int       `json:"done"`
	Bytes   int64     `json:"bytes"` // of the packages to fetch
	There   int64     `json:"there"` // of these, that have come
}

// reached is how far a run is, for other processes to see. It may be used by
// several goroutines.
type reached struct {
	mu sync.Mutex
	Running
}

// tellEvery is how often a run says how far it is.
const tellEvery = time.Second

// tellProgress writes down how far a run is, now and then until stop is called.
func (a *Agent) tellProgress(r *reached) (stop func()) {
	tell := func() {
		r.mu.Lock()
		now := r.Running
		r.mu.Unlock()
		a.tell(now)
	}
	tell()
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(tellEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				tell()
			case <-done:
				return
			}
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// tell writes down how far a run is. The caller holds the lock.
func (a *Agent) tell(now Running) {
	if err := a.history.reached(now); err != nil {
		a.log.Debug("how far the run is can't be told", "error", err)
	}
}

// begin notes what a round of downloads has to fetch.
func (r *reached) begin(items int, bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Items, r.Bytes, r.Done, r.There = items, bytes, 0, 0
}

// counted is a Track whose progress a run counts as its own.
type counted struct {
	Track
	to   *reached
	size int64
	seen int64
}

func (c *counted) add(n int64, done int) {
	c.to.mu.Lock()
	defer c.to.mu.Unlock()
	c.to.There += n - c.seen
	c.to.Done += done
	c.seen = n
}

// At implements Track.
func (c *counted) At(n int64) {
	c.add(n, 0)
	c.Track.At(n)
}

// Done implements Track.
func (c *counted) Done(out cache.Outcome, err error) {
	if err == nil {
		c.add(c.size, 1)
	}
	c.Track.Done(out, err)
}

// reached remembers how far the run under way is.
func (h *history) reached(r Running) error {
	_, err := h.db.Exec(`INSERT INTO progress (id, started, items, done, bytes, there) VALUES (1, ?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (id) DO UPDATE SET started = ?1, items = ?2, done = ?3, bytes = ?4, there = ?5`,
		r.Started.Unix(), r.Items, r.Done, r.Bytes, r.There)
	return err
}

// progress is what the last run to say so said of how far it was.
func (h *history) progress() (r Running, err error) {
	var started int64
	err = h.db.QueryRow(`SELECT started, items, done, bytes, there FROM progress`).Scan(&started, &r.Items, &r.Done, &r.Bytes, &r.There)
	r.Started = time.Unix(started, 0)
	return r, err
}
