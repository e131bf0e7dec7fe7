package upstream

import "time"

// Health is how a repository's mirrors are.
type Health struct {
	Mirrors int
	Resting int // of these, how many are left alone after a failure
	// Rest is how long it takes until one of them is asked again; 0 where one
	// can be asked now.
	Rest time.Duration
}

// Health tells how the mirrors are at this moment.
func (m *Mirrors) Health() Health {
	now := m.c.o.Now()
	h := Health{Mirrors: len(m.list)}
	first := time.Duration(-1)
	for _, x := range m.list {
		x.mu.Lock()
		rest := max(x.until.Sub(now), 0)
		x.mu.Unlock()
		if rest > 0 {
			h.Resting++
		}
		if first < 0 || rest < first {
			first = rest
		}
	}
	h.Rest = max(first, 0)
	return h
}
