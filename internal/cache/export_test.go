package cache

import "runtime"

// Settled waits until no download is under way; none may begin meanwhile.
func (c *Cache) Settled() { c.fills.Wait() }

// AwaitReaders waits until n requests wait at the download of k.
func (c *Cache) AwaitReaders(k Key, n int) {
	for {
		c.mu.Lock()
		f := c.current[k]
		c.mu.Unlock()
		if f != nil {
			f.mu.Lock()
			enough := f.readers >= n
			f.mu.Unlock()
			if enough {
				return
			}
		}
		runtime.Gosched()
	}
}
