package generation

import (
	"maps"
	"path"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
)

// Listed is a file of a current generation, found by a path that somebody else
// has for it.
type Listed struct {
	Key  cache.Key
	Want cache.Want // as the current generation promises it
	// Location is the file's path below its root, and Above what stands before it
	// in the path that was asked for: where that place has its own root, if it is
	// a copy of this one.
	Location, Above string
	// Entry is the path of the entry file there, below Above: "repodata/repomd.xml".
	Entry string
	// Generations is the digests, hexadecimal, of the entry file of each kept
	// generation that promises the same of the file.
	Generations []string
}

// Listed finds the file that path, decoded and with a leading slash, names on a
// host that is no repository's. It ends in the whole location of one file of a
// current generation, never in a part of it: ".../Packages/v/vlc-3.0-1.rpm" is
// not "vlc-3.0-1.rpm" of another root. Where several roots have such a file, they
// must promise the same bytes, and the root whose name comes first is taken.
//
// This alone does not say that the place which was asked for has the same bytes:
// two distributions may well build a package of one name and version. Where that
// place's entry file is one of Generations, it has.
//
// It looks through memory alone, but for the time of an entry file in the tree
// where a name was found.
func (s *Store) Listed(path string) (Listed, bool) {
	s.refresh()
	var found Listed
	for _, r := range s.roots.Load().sorted {
		if r.Repo == cache.Strangers {
			continue // what one stranger promises is nothing to another
		}
		f, ok := r.listed(s.tree, path)
		if !ok {
			continue
		}
		if found.Location != "" && f.Want != found.Want {
			return Listed{}, false
		}
		if found.Location == "" {
			found = f
		}
	}
	return found, found.Location != ""
}

// listed is Store.Listed in one root.
func (r *root) listed(t tree, path string) (Listed, bool) {
	// Most paths are of no catalog: the disk is not to be asked for those.
	some := false
	for _, c := range r.kept {
		if _, some = c.endOf(path); some {
			break
		}
	}
	if !some {
		return Listed{}, false
	}
	current := r.kept[r.now(t)]
	if current == nil {
		return Listed{}, false
	}
	it, ok := current.endOf(path)
	if !ok {
		return Listed{}, false
	}
	k, err := cache.NewKey(r.Repo, escape(join(r.top(), it.path)))
	if err != nil {
		return Listed{}, false
	}
	f := Listed{Key: k, Want: it.want, Location: it.path, Above: strings.TrimSuffix(path, "/"+it.path)}
	f.Entry, _ = below(r.top(), r.key(r.layout().entries()[0]).Path)
	for _, digest := range slices.Sorted(maps.Keys(r.kept)) {
		if w, ok := r.kept[digest].find(it.path); ok && w == it.want {
			f.Generations = append(f.Generations, digest)
		}
	}
	return f, true
}

// escape is a path of a catalog, which is decoded, as cache.NewKey takes it.
func escape(p string) string { return cache.Key{Path: p}.EscapedPath() }

// endOf is the longest path of the catalog that p, which has a leading slash,
// ends in as a whole.
func (c *catalog) endOf(p string) (best item, ok bool) {
	for at := range c.names.find(c, baseOf, path.Base(p)) {
		it, good := c.item(at)
		if good && strings.HasSuffix(p, "/"+it.path) && len(it.path) > len(best.path) {
			best, ok = it, true
		}
	}
	return best, ok
}

// baseOf is the base name of the path of a catalog's line.
func baseOf(line string) string {
	name, _, _ := strings.Cut(line, "\t")
	return path.Base(name)
}
