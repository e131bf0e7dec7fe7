package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Invalidate forgets that the stored copy of k has been validated: upstream is
// asked before it is served again, unless metadata promises its digest, which no
// word of upstream's can change. That nothing is stored is no error.
func (c *Cache) Invalidate(k Key) error {
	st, err := c.tree.open(k)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, ErrNotAFile) {
		return nil
	}
	if err == nil {
		defer st.file.Close()
		if !st.known {
			return nil
		}
		f := st.facts
		f.Validated = time.Time{}
		err = st.setFacts(f)
	}
	if err != nil {
		return fmt.Errorf("invalidate %s: %w", k, err)
	}
	return nil
}
