package cache

// Settled waits until no download is under way; none may begin meanwhile.
func (c *Cache) Settled() { c.fills.Wait() }
