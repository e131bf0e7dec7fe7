package serve

import (
	"cmp"
	"context"
	"slices"
	"sync"
)

// tunnels is the CONNECT requests under way, which the library's server does not
// know any more once they have their connection. It is safe for concurrent use.
type tunnels struct {
	ctx context.Context // ends when those that are left are broken off
	cut context.CancelFunc

	mu   sync.Mutex
	open int
	none chan struct{} // closed when open comes to 0; nil while nobody waits
}

func newTunnels() *tunnels {
	t := &tunnels{}
	t.ctx, t.cut = context.WithCancel(context.Background())
	return t
}

func (t *tunnels) enter() {
	t.mu.Lock()
	t.open++
	t.mu.Unlock()
}

func (t *tunnels) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open--; t.open == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// drain waits until no tunnel is left. Those that are left when ctx ends are
// broken off; it reports whether there were any.
func (t *tunnels) drain(ctx context.Context) (broken bool) {
	for {
		t.mu.Lock()
		if t.open == 0 {
			t.mu.Unlock()
			return broken
		}
		if t.none == nil {
			t.none = make(chan struct{})
		}
		none := t.none
		t.mu.Unlock()
		if broken {
			<-none
			continue
		}
		select {
		case <-none:
		case <-ctx.Done():
			t.cut()
			broken = true
		}
	}
}

// missed is what went through tunnels to hosts of known repositories, and so past
// the cache. It is safe for concurrent use.
type missed struct {
	mu    sync.Mutex
	repos map[string]*missedHTTPS
}

// missedHTTPS is what was missed of a repository.
type missedHTTPS struct {
	Repo    string `json:"repo"` // several, with commas, where one host has them all
	Tunnels int64  `json:"tunnels"`
	Bytes   int64  `json:"bytes"` // sent to clients
}

// add counts a tunnel to a host of repo; "" is none's.
func (m *missed) add(repo string, bytes int64) {
	if repo == "" {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.repos == nil {
		m.repos = make(map[string]*missedHTTPS)
	}
	r := m.repos[repo]
	if r == nil {
		r = &missedHTTPS{Repo: repo}
		m.repos[repo] = r
	}
	r.Tunnels++
	r.Bytes += bytes
}

// list is all of it, the most first.
func (m *missed) list() []missedHTTPS {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := []missedHTTPS{}
	for _, r := range m.repos {
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b missedHTTPS) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Repo, b.Repo))
	})
	return list
}
