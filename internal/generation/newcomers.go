package generation

import (
	"path"
	"strings"
	"unique"

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
	return now.without(before), before.without(now)
}

// without is the packages of c that other has not got with these bytes. What both
// have in pieces that are the same is not looked at.
func (c *catalog) without(other *catalog) []item {
	same := make(map[unique.Handle[string]]bool, len(other.text()))
	for _, p := range other.text() {
		same[p] = true
	}
	var list []item
	for _, p := range c.text() {
		if same[p] {
			continue
		}
		for line := range strings.Lines(p.Value()) {
			it, ok := parseItem(line)
			if f := cache.FormatOf(it.path); !ok || f != cache.RPM && f != cache.Deb {
				continue
			}
			if want, has := other.find(it.path); !has || want != it.want {
				list = append(list, it)
			}
		}
	}
	return list
}
