package sync

import (
	"cmp"
	"slices"
	"strings"

	"intelligentmirror/internal/repodata"
)

// compsList is a group of a root's comps.xml.
type compsList struct {
	root   rootID
	names  []symbol // packages
	groups []string // other groups that it is made of
}

// Group takes a group of the comps.xml of the repository at root.
func (b *IndexBuilder) Group(root string, g *repodata.Group) {
	b.init()
	l := compsList{root: b.root(root)}
	for _, name := range g.Packages {
		l.names = append(l.names, b.syms.id(name))
	}
	for _, id := range g.Groups {
		l.groups = append(l.groups, strings.Clone(id))
	}
	id := strings.Clone(g.ID)
	b.comps[id] = append(b.comps[id], l)
}

// ofComps lists the names of the packages that the comps group id has for the
// machines of g, by name. Companion roots may each say a part.
func (x *Index) ofComps(id string, g groupID) []symbol {
	var names []symbol
	seen := map[string]bool{}
	var add func(id string)
	add = func(id string) {
		if seen[id] {
			return
		}
		seen[id] = true
		for _, l := range x.comps[id] {
			if !slices.Contains(x.groupsOf(x.roots[l.root].root), g) {
				continue
			}
			names = append(names, l.names...)
			for _, other := range l.groups {
				add(other)
			}
		}
	}
	add(id)
	slices.SortFunc(names, func(a, b symbol) int { return cmp.Compare(x.syms.text(a), x.syms.text(b)) })
	return slices.Compact(names)
}
