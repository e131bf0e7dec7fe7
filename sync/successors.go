package sync

import (
	"cmp"
	"slices"

	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// obsoletion says that a package takes the place of a name, in some versions.
type obsoletion struct {
	name  symbol
	pkg   pkgID
	evr   evrID
	sense sense
}

// obsolete keeps what the package id obsoletes.
func (b *IndexBuilder) obsolete(id pkgID, deps []repodata.Dep) {
	for i := range deps {
		d := &deps[i]
		if d.Name == "" || repodata.IsRich(d.Name) {
			continue
		}
		o := obsoletion{name: b.syms.id(d.Name), pkg: id, sense: senseOf(d.Flags)}
		if o.sense != 0 {
			o.evr = b.evr(d.EVR)
		}
		b.obsoletes = append(b.obsoletes, o)
	}
}

// succeed gives x what the kept packages obsolete, by name.
func (b *IndexBuilder) succeed(x *Index, kept []pkgID) {
	all := slices.DeleteFunc(b.obsoletes, func(o obsoletion) bool { return kept[o.pkg] == 0 })
	for i := range all {
		all[i].pkg = kept[all[i].pkg] - 1
	}
	slices.SortFunc(all, func(a, b obsoletion) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.evr, b.evr), cmp.Compare(a.sense, b.sense))
	})
	x.obsoletes = all
}

// obsoleting are the obsoletions of a name.
func (x *Index) obsoleting(name symbol) []obsoletion {
	byName := func(o obsoletion, n symbol) int { return cmp.Compare(o.name, n) }
	from, _ := slices.BinarySearchFunc(x.obsoletes, name, byName)
	to, _ := slices.BinarySearchFunc(x.obsoletes, name+1, byName)
	return x.obsoletes[from:to]
}

// successors are the packages that have taken the place of the name of a rank in g,
// of which there is still what current lists: what obsoletes the name, in all of the
// versions that there still are. Where there are some, only a package of the same
// repository has a say: one of a stranger's speaks for its own clients, and the
// others go on with the old name. What belongs to a module's stream or to testing
// replaces nothing for those who have neither.
func (p *planner) successors(g groupID, rank *popularity.Rank, current []pkgID) []pkgID {
	x := p.idx
	name, ok := x.syms.find(rank.Name)
	if !ok {
		return nil
	}
	tests := locate(rank.Root).testing
	var names []symbol
	takes := func(o obsoletion) bool {
		k := &x.pkgs[o.pkg]
		if k.name == name || !x.in(o.pkg, g) || k.track&inModule != 0 || !tests && k.track&inTesting != 0 {
			return false
		}
		for _, q := range current {
			old := &x.pkgs[q]
			if x.roots[k.root].repo != x.roots[old.root].repo || !overlap(o.sense, x.evrs[o.evr], equal, x.evrs[old.evr]) {
				return false
			}
		}
		return true
	}
	all := x.obsoleting(name)
	for _, o := range all {
		if takes(o) && !slices.Contains(names, x.pkgs[o.pkg].name) {
			names = append(names, x.pkgs[o.pkg].name)
		}
	}
	slices.SortFunc(names, func(a, b symbol) int { return cmp.Compare(x.syms.text(a), x.syms.text(b)) })
	var next []pkgID
	for _, n := range names {
		next = append(next, p.suiting(g, rank, n, func(q pkgID) bool {
			return slices.ContainsFunc(all, func(o obsoletion) bool { return o.pkg == q && takes(o) })
		})...)
	}
	return next
}
