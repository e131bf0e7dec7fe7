package sync

import (
	"testing"
	"time"
)

// TestRunningIsTheHolders: what holds the lock and tells nothing of itself, as a prune
// does, is not taken for the run before it.
func TestRunningIsTheHolders(t *testing.T) {
	b := newBench(t, `packages = ["a"]`, nil, pkgSpec("a", "1"))
	b.once()
	b.set(b.now().Add(5 * time.Hour))
	unlock, err := b.agent.lock()
	if err != nil {
		t.Fatal(err)
	}
	other := b.newAgent(nil)
	if r, err := other.running(); err != nil || r == nil || !r.Started.Equal(b.now()) || r.Items != 0 || r.Done != 0 {
		t.Errorf("under way: %+v, %v; want one that has begun at %v", r, err, b.now())
	}
	unlock()
	if r, err := other.running(); err != nil || r != nil {
		t.Errorf("and then: %+v, %v", r, err)
	}
}
