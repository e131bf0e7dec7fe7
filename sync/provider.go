package sync

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"intelligentmirror/internal/repodata"
)

// node is a package as a group has it: what satisfies a requirement differs from
// group to group.
type node struct {
	group groupID
	pkg   pkgID
}

// unranked is the place of what nobody asked for, behind all ranks, and
// unmeetable that of what nothing provides.
const (
	unranked   = math.MaxInt - 1
	unmeetable = math.MaxInt
)

// place is where n stands in the ranks, 0 first.
func (r *resolver) place(n node) int {
	if at, ok := r.ranked[n]; ok {
		return at
	}
	return unranked
}

// providers lists the packages that satisfy t for the package of by, the 32-bit
// ones of a 64-bit machine only if there are no others.
func (r *resolver) providers(t *tree, by int) []pkgID {
	return r.suitable(r.idx.satisfying(t, r.picks[by].group), by)
}

// satisfying lists the packages of the group that satisfy t, which one package
// can: each must hold what `with` joins, none what `without` takes away. They are
// sorted.
func (x *Index) satisfying(t *tree, g groupID) []pkgID {
	switch t.op {
	case repodata.OpNone:
		return x.satisfyingLeaf(t.leaf, g)
	case repodata.OpOr:
		var all []pkgID
		for _, a := range t.args {
			all = append(all, x.satisfying(a, g)...)
		}
		slices.Sort(all)
		return slices.Compact(all)
	}
	all := x.satisfying(t.args[0], g)
	for _, a := range t.args[1:] {
		others := x.satisfying(a, g)
		all = slices.DeleteFunc(all, func(p pkgID) bool {
			_, found := slices.BinarySearch(others, p)
			return found == (t.op == repodata.OpWithout)
		})
	}
	return all
}

func (x *Index) satisfyingLeaf(id relationID, g groupID) []pkgID {
	var all []pkgID
	want := x.rels.all[id]
	for _, o := range x.offering(want.capability) {
		if len(all) > 0 && all[len(all)-1] == o.pkg || !x.in(o.pkg, g) {
			continue
		}
		if overlap(o.sense, x.evrs[o.evr], want.sense, x.evrs[want.evr]) {
			all = append(all, o.pkg)
		}
	}
	return all
}

// suitable takes out of all, which it overwrites, what does not serve the
// package of by.
func (r *resolver) suitable(all []pkgID, by int) []pkgID {
	x, p := r.idx, &r.picks[by]
	k := &x.pkgs[p.pkg]
	g := &x.groups[p.group]
	best := useless
	fit := func(c pkgID) int {
		if x.pkgs[c].track&inTesting > k.track&inTesting {
			return useless
		}
		return g.fit(x.syms.text(k.family), x.syms.text(x.pkgs[c].family))
	}
	for _, c := range all {
		best = min(best, fit(c))
	}
	return slices.DeleteFunc(all, func(c pkgID) bool {
		f := fit(c)
		return f == useless || f > best
	})
}

// stranger is 0 for a package that is of the same module's stream as k, else 1.
func (k *pkg) stranger(c *pkg) int {
	if k.stream != 0 && c.stream == k.stream {
		return 0
	}
	return 1
}

// compareProviders is negative if a serves the package of by better than b: the
// one of the same module's stream, else the more popular one, else the one of the
// same architecture, else the one with the shorter name, else the first by name.
// Nothing is left to chance behind that.
func (r *resolver) compareProviders(a, b pkgID, by int) int {
	x, p := r.idx, &r.picks[by]
	k, ka, kb := &x.pkgs[p.pkg], &x.pkgs[a], &x.pkgs[b]
	other := func(c *pkg) int {
		if fam := x.syms.text(c.family); c.family == k.family || fam == noarch {
			return 0
		}
		return 1
	}
	na, nb := x.name(a), x.name(b)
	return cmp.Or(
		cmp.Compare(k.stranger(ka), k.stranger(kb)),
		cmp.Compare(r.place(node{p.group, a}), r.place(node{p.group, b})),
		cmp.Compare(other(ka), other(kb)),
		cmp.Compare(len(na), len(nb)),
		strings.Compare(na, nb),
		strings.Compare(x.arch(a), x.arch(b)),
		cmp.Compare(ka.track^k.track, kb.track^k.track),
		strings.Compare(x.stream(a), x.stream(b)),
		x.compareTwins(a, b, ""),
	)
}
