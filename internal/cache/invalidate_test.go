package cache_test

import (
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// TestInvalidate holds that a copy which may be out of date is validated before it
// is served again, and that there need not be one.
func TestInvalidate(t *testing.T) {
	b := newBench(t, pkg, mirror{body: two})
	b.keep(0, two, day1, onDemand, cache.Want{})
	c, _ := b.open(cache.Want{})
	defer c.Close()
	fresh := func() bool {
		o, fresh, err := c.Stored(pkg)
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		return fresh
	}
	if !fresh() {
		t.Fatal("what has just come is not fresh")
	}
	if err := c.Invalidate(pkg); err != nil || fresh() {
		t.Errorf("still fresh, %v", err)
	}
	b.now.Add(int64(time.Second))
	if fresh() {
		t.Error("time makes it fresh")
	}
	if err := c.Invalidate(cache.Key{Repo: "r", Path: "none.rpm"}); err != nil {
		t.Errorf("what is not stored: %v", err)
	}
}
