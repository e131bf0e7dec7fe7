package sync

import (
	"sync"
	"time"
)

// clock is the time of a bench. The site's own goroutines ask for it too, the ledger's
// for one, whenever they come to it.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) set(at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = at
}
