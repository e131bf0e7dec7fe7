package generation_test

import (
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestExpireOverJumps: what is kept of replaced metadata for a while outlives any clock
// that goes back, and one that goes ahead ends no more than its time: what is current, and
// what is replaced afterwards, stay.
func TestExpireOverJumps(t *testing.T) {
	const keep = 7 * 24 * time.Hour
	for name, jump := range map[string]time.Duration{
		"an hour back": -time.Hour, "a day back": -24 * time.Hour, "to 1970": -20000 * 24 * time.Hour, "a day ahead": 24 * time.Hour, "a year ahead": 365 * 24 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			one, two, three := spec("kernel", "6.8"), spec("kernel", "6.9"), spec("kernel", "6.10")
			b := newBench(t, testrepo.BuildOptions{}, one)
			// Directories have the machine's times, and stay for a day.
			b.setNow(time.Now().Add(48 * time.Hour))
			b.flip(b.mustStage())
			b.publish(testrepo.BuildOptions{}, two)
			b.flip(b.mustStage())
			right := b.now()
			held := func(when string, s testrepo.Spec, want bool) {
				t.Helper()
				if _, err := b.store.Expire(false); err != nil {
					t.Fatal(err)
				}
				if _, held := b.open().Lookup(mustKey(t, b.root, s)); held != want {
					t.Errorf("%s: %s is held: %v", when, s.Version, held)
				}
			}
			b.setNow(right.Add(jump))
			held("after the jump", one, jump < keep)
			held("after the jump", two, true)
			if jump > 0 {
				b.publish(testrepo.BuildOptions{}, three)
				b.flip(b.mustStage())
				held("after the next metadata", two, true)
			}
			b.setNow(right)
			held("with the right clock", two, true)
			if jump < keep {
				held("with the right clock", one, true)
			}
		})
	}
}
