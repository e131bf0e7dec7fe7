package cache

import (
	"os"
	"testing"
)

// A fill that nobody waits for is abandoned when too much of its file is missing.
func TestDemand(t *testing.T) {
	const limit = 1000
	file := os.Stdin // any: that there is one is what counts
	of := func(length, size int64) progress { return progress{file: file, head: Head{Length: length}, size: size} }
	for _, c := range []struct {
		name       string
		left, then progress // when the last one left, and later
		want       bool     // that it is abandoned then
	}{
		{"much is missing", of(5000, 0), of(5000, 0), true},
		{"little is missing", of(5000, 4000), of(5000, 4001), false},
		{"before it has begun", progress{}, progress{}, false},
		{"it begins when nobody waits", progress{}, of(5000, 0), true},
		{"it begins, and is small", progress{}, of(900, 0), false},
		{"of unknown length", of(-1, 7000), of(-1, 8000), false},
		{"of unknown length, and long", of(-1, 7000), of(-1, 8001), true},
		{"of unknown length, and begun again", of(-1, 7000), func() progress { p := of(-1, 1001); p.epoch = 1; return p }(), true},
		{"the promise tells the length", progress{}, progress{file: file, head: Head{Length: -1, Want: Want{Digest: "sha256:00", Size: 5000}}}, true},
		{"all is there", of(5000, 5000), of(5000, 5000), false},
		{"it is done", progress{done: true}, func() progress { p := of(5000, 0); p.done = true; return p }(), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDemand(func() int64 { return limit })
			d.waiting = 2
			d.lose(c.then)
			if d.abandoned {
				t.Fatal("abandoned while one waits")
			}
			d.lose(c.left)
			d.review(c.then)
			if d.abandoned != c.want || (d.stopped.Err() != nil) != c.want {
				t.Errorf("abandoned: %v, want %v", d.abandoned, c.want)
			}
		})
	}
}
