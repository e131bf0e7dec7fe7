package cache

import "sync/atomic"

// Activity is what a Cache is doing, and has done since it was opened.
type Activity struct {
	Downloads int   // files that are being downloaded or validated
	Followers int   // answers that share what another request began
	Fetched   int64 // bytes that came from upstream, by downloads that have ended
	Nearby    int64 // bytes that came from siblings, by downloads that have ended
	Bucket    int64 // bytes that came from the bucket, by downloads that have ended
	Abandoned int64 // downloads that were stopped because nobody waited for them
}

// activity counts for Activity. It is safe for concurrent use.
type activity struct {
	followers atomic.Int64
	fetched   atomic.Int64
	nearby    atomic.Int64
	bucket    atomic.Int64
	abandoned atomic.Int64
}

// follow counts one follower more, until the function that it returns is called,
// once.
func (a *activity) follow() (left func()) {
	a.followers.Add(1)
	return func() { a.followers.Add(-1) }
}

// Activity tells what goes on at this moment.
func (c *Cache) Activity() Activity {
	c.mu.Lock()
	n := len(c.current)
	c.mu.Unlock()
	return Activity{
		Downloads: n, Followers: int(c.activity.followers.Load()),
		Fetched: c.activity.fetched.Load(), Nearby: c.activity.nearby.Load(), Bucket: c.activity.bucket.Load(),
		Abandoned: c.activity.abandoned.Load(),
	}
}
