package sync

import (
	"cmp"
	"slices"
	"strings"

	"intelligentmirror/popularity"
)

// choice is a package that a plan would have, for its rank or on a guess.
type choice struct {
	node
	source  Reason
	because string
	value   float64
}

// ofRank reports whether what is there for the reason stands for a rank.
func (r Reason) ofRank() bool { return r == ReasonPopular || r == ReasonRename }

// rank finds the packages that the ranks stand for: the place of each in the
// ranks, and, of the top ranks, the packages in order. A name that left the
// repositories takes no place among the first.
func (p *planner) rank(top int) (wanted []choice) {
	missing := 0 // ranks so far without a package that is stored
	groups := make(map[string][]groupID)
	place := 0
	for i := range p.ranks {
		rank := &p.ranks[i]
		in, ok := groups[rank.Root]
		if !ok {
			in = p.idx.groupsOf(rank.Root)
			groups[rank.Root] = in
		}
		lists, lacks := false, false
		for _, g := range in {
			all, renamed := p.standing(g, rank)
			for _, k := range all {
				n := node{g, k}
				lists = true
				if _, ok := p.ranked[n]; !ok {
					p.ranked[n] = i
					p.leaders = append(p.leaders, n)
					if renamed {
						p.renamed[n] = rank.Name
					}
				} else if !renamed {
					delete(p.renamed, n)
				}
				if there := p.has(k); place < top || missing < top && !there {
					wanted = append(wanted, choice{node: n})
					lacks = lacks || !there
				}
			}
		}
		switch {
		case lists:
			place++
			p.places[i] = place
		case len(in) > 0: // else its repository's metadata is not there, and nothing can be told
			p.res.Gone = append(p.res.Gone, *rank)
		}
		if lacks {
			missing++
		}
	}
	for i, c := range wanted {
		wanted[i].source, wanted[i].because = ReasonPopular, p.renamed[c.node]
		if wanted[i].because != "" {
			wanted[i].source = ReasonRename
		}
	}
	return wanted
}

// weigh puts what stands for the first ranks and the guesses in the order of what
// they are worth. What is equal keeps the order of the ranks, the guesses behind
// them.
func (p *planner) weigh(wanted, guesses []choice) []choice {
	if p.budget.Value == nil {
		return append(wanted, guesses...)
	}
	p.value = make(map[node]float64, len(wanted))
	for i := range wanted {
		c := &wanted[i]
		c.value = p.worth(c.node, &p.ranks[p.ranked[c.node]])
		p.value[c.node] = c.value
	}
	all := append(wanted, guesses...)
	slices.SortStableFunc(all, func(a, b choice) int { return cmp.Compare(b.value, a.value) })
	return all
}

// worth is what fetching n is worth with the rank behind it.
func (p *planner) worth(n node, rank *popularity.Rank) float64 {
	k := &p.idx.pkgs[n.pkg]
	key, err := p.idx.roots[k.root].key(k.location)
	if err != nil || p.budget.Value == nil { // the builder took only what has a key
		return 0
	}
	return p.budget.Value(rank, key, k.size)
}

// standing are the packages that stand for a rank in g, and whether they have
// another name: what replaces a name has its rank.
func (p *planner) standing(g groupID, rank *popularity.Rank) (all []pkgID, renamed bool) {
	all = p.current(g, rank)
	if !p.asks(ReasonRename) {
		return all, false
	}
	if next := p.successors(g, rank, all); len(next) > 0 {
		return next, true
	}
	return all, false
}

// current are the packages that clients who made the rank will ask for next: of
// that name and architecture, or, if there is none any more, with the
// architecture changed to noarch or from it. A module's clients are not told from
// the others, so there is one package for them and one for each stream; testing is
// for those alone who have it, if it is newer.
func (p *planner) current(g groupID, rank *popularity.Rank) []pkgID {
	x := p.idx
	name, ok := x.syms.find(rank.Name)
	if !ok {
		return nil
	}
	tests := locate(rank.Root).testing
	all := p.suiting(g, rank, name, func(q pkgID) bool { return tests || x.pkgs[q].track&inTesting == 0 })
	if !tests {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(p pkgID) bool {
		a := &x.pkgs[p]
		return slices.ContainsFunc(all, func(q pkgID) bool {
			b := &x.pkgs[q]
			newer := x.evrs[b.evr].Compare(x.evrs[a.evr])
			return (a.track^b.track)&inModule == 0 && a.stream == b.stream && (newer > 0 || newer == 0 && a.track&inTesting > b.track&inTesting)
		})
	})
}

// suiting are the newest packages of a name that keep admits and that suit the
// clients of the rank: of its architecture, else noarch, or the machines' own where
// the rank's was noarch.
func (p *planner) suiting(g groupID, rank *popularity.Rank, name symbol, keep func(pkgID) bool) []pkgID {
	x := p.idx
	find := func(arch func(p pkgID) bool) []pkgID {
		return x.newest(g, name, strings.Trim(rank.Root, "/"), func(q pkgID) bool { return arch(q) && keep(q) })
	}
	if all := find(func(q pkgID) bool { return x.arch(q) == rank.Arch }); len(all) > 0 {
		return all
	}
	return find(func(q pkgID) bool {
		fam := x.syms.text(x.pkgs[q].family)
		return fam != "src" && (fam == noarch || rank.Arch == noarch && x.groups[g].native(fam))
	})
}
