package generation

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

// TestFailuresAreBounded: however many roots clients make up, what is remembered of those
// that can't be had has an end, and the last is among it.
func TestFailuresAreBounded(t *testing.T) {
	why := errors.New("a page in the metadata's place")
	f := NewRefresher(RefresherOptions{})
	defer f.Close()
	var p passed
	var r Root
	for i := range 3 * maxFailed {
		r = Root{Repo: "r", Path: fmt.Sprint(i)}
		f.mu.Lock()
		f.note(r, failure{nil, why, time.Now()})
		f.mu.Unlock()
		p.begin(r)
		p.add(r, "digest", why)
	}
	if n := len(f.Problems()); n > maxFailed {
		t.Errorf("%d roots have failed", n)
	}
	if n := len(p.of); n > maxFailed {
		t.Errorf("the metadata of %d roots is passed over", n)
	}
	if _, ok := f.failed[r]; !ok || p.why(r, "digest") == nil {
		t.Error("the last is forgotten")
	}
}
