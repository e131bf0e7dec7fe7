package generation

import (
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
)

// Twins is the files that current generations promise to have the digest d, of all
// roots. It looks through memory alone, but for the time of an entry file in the tree.
func (s *Store) Twins(d cache.Digest) (keys []cache.Key) {
	s.refresh()
	for _, r := range s.roots.Load().sorted {
		c := r.kept[r.now(s.tree)]
		if c == nil {
			continue
		}
		for at := range c.digests.find(c, digestIn, string(d)) {
			it, ok := c.item(at)
			if !ok || it.want.Digest != d {
				continue
			}
			// Debian's metadata, which is the suite's, has names that are no package's.
			if k, err := cache.NewKey(r.Repo, escape(join(r.top(), it.path))); err == nil && !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// digestIn is the digest of a catalog's line.
func digestIn(line string) string {
	return strings.TrimSuffix(line[strings.LastIndexByte(line, '\t')+1:], "\n")
}
