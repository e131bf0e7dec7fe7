package generation

import (
	"path"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// mostSampled is how many packages are asked for before metadata becomes current.
const mostSampled = 12

// newcomers is a sample of the packages that now lists and before does not, and that
// are not stored: first those of which the version before is stored,
// since somebody here uses them.
func newcomers(before, now *catalog, stored func(p string) (size int64, ok bool)) []item {
	type program struct{ name, arch string }
	of := func(p string) program {
		n, _ := repodata.ParseFilename(path.Base(p))
		return program{n.Name, n.Arch}
	}
	added, dropped := difference(before, now)
	used := map[program]bool{}
	for _, it := range dropped {
		if _, ok := stored(it.path); ok {
			used[of(it.path)] = true
		}
	}
	var first, rest []item
	for _, it := range added {
		if size, ok := stored(it.path); ok && size == it.want.Size {
			continue
		}
		if used[of(it.path)] {
			first = append(first, it)
		} else {
			rest = append(rest, it)
		}
	}
	sample := spread(first, mostSampled)
	return append(sample, spread(rest, mostSampled-len(sample))...)
}

// spread is n of list at the most, from all over it, the last among them: mirrors
// are filled in the order of names.
func spread(list []item, n int) []item {
	n = min(n, len(list))
	some := make([]item, 0, n)
	for i := range n {
		some = append(some, list[(i+1)*len(list)/n-1])
	}
	return some
}

// difference is the packages that now has and before has not got with these bytes,
// and the other way round, each in the order of their paths.
func difference(before, now *catalog) (added, dropped []item) {
	take := func(to *[]item, it item) {
		if f := cache.FormatOf(it.path); f == cache.RPM || f == cache.Deb {
			*to = append(*to, it)
		}
	}
	i, j := 0, 0
	for i < len(before.lines) || j < len(now.lines) {
		old, hasOld := before.at(i)
		new, hasNew := now.at(j)
		order := strings.Compare(old.path, new.path)
		switch {
		case !hasNew || hasOld && order < 0:
			take(&dropped, old)
			i++
		case !hasOld || order > 0:
			take(&added, new)
			j++
		default:
			if old.want != new.want {
				take(&dropped, old)
				take(&added, new)
			}
			i, j = i+1, j+1
		}
	}
	return added, dropped
}

// at is the line i, as far as there is one.
func (c *catalog) at(i int) (it item, ok bool) {
	if i >= len(c.lines) {
		return item{}, false
	}
	it, _ = c.item(i)
	return it, true
}
