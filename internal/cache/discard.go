package cache

// Discard deletes the stored file k, which was fetched before anyone asked for it:
// the next request fetches it again. It returns the bytes of the disk that this has
// freed, and false where nothing is stored, a client's request has brought what is,
// somebody has it open or is downloading it, or it has a tombstone.
func (c *Cache) Discard(k Key) (freed int64, ok bool, err error) {
	ok, err = c.holding(k, func(st *stored) (bool, error) {
		if _, buried := c.tombs.of(k); buried || !st.known || st.facts.Prefetched.IsZero() {
			return false, nil
		}
		c.entries.forget(k)
		if !alone(st.file) {
			return false, nil
		}
		var err error
		if freed, err = c.tree.remove(k, st); err != nil {
			return false, err
		}
		c.partials.account(-freed)
		c.tree.tidy(k)
		return true, nil
	})
	return freed, ok, err
}
