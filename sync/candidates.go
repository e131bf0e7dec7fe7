package sync

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

const (
	// leadingChance is how likely a name's next version has to be asked for that
	// others are guessed from it.
	leadingChance = 0.5
	// groupShare is how much of a comps group has to be in use, and groupFew how many
	// of its names, that the others are guessed.
	groupShare = 0.5
	groupFew   = 4
)

// guessed reports whether what is there for the reason is a guess: a name that
// nobody at the site has asked for, and that nothing requires.
func (r Reason) guessed() bool {
	return r == ReasonNewcomer || r == ReasonSibling || r == ReasonGroup
}

// asks reports whether a source of candidates is asked.
func (p *planner) asks(source Reason) bool {
	if p.budget.Sources == nil {
		return !source.guessed()
	}
	return p.budget.Sources[source].Left > 0
}

// isGuess reports whether the pick is a guess: what it requires would be a guess of
// a guess.
func (p *planner) isGuess(pick int) bool { return p.r.picks[pick].reason.guessed() }

// isLeft reports whether what the pick requires is left out as the source of
// dependencies is not asked. The seeds' are for machines that have nothing yet, and
// are always there.
func (p *planner) isLeft(pick int) bool {
	return !p.asks(ReasonDependency) && p.r.picks[p.r.picks[pick].origin].reason != ReasonSeed
}

// guesses are the packages that the sources which are asked come upon, of each the
// best, as many as it is trusted with. They are neither stored nor among the seeds, and
// of names that have no rank in any root or architecture. spare are the others, for those of them that turn out
// to be there anyway as something requires them.
func (p *planner) guesses(seeds []sown) (all, spare []choice) {
	taken := make(map[node]bool, len(seeds))
	for _, s := range seeds {
		taken[s.node] = true
	}
	type name struct {
		group groupID
		name  symbol
	}
	nameOf := func(n node) name { return name{n.group, p.idx.pkgs[n.pkg].name} }
	asked := make(map[name]bool, len(p.leaders))
	for _, n := range p.leaders {
		asked[nameOf(n)] = true
	}
	for _, source := range [...]Reason{ReasonNewcomer, ReasonSibling, ReasonGroup} {
		if !p.asks(source) {
			continue
		}
		trust := p.budget.Sources[source]
		var of []choice
		take := func(n node, because string, strength float64) {
			chance := trust.Chance * strength
			if chance < leastGuess || taken[n] || asked[nameOf(n)] || !p.mayGuess(n) {
				return
			}
			taken[n] = true
			// The chance stands for the rank that the name has not.
			of = append(of, choice{n, source, because, p.worth(n, &popularity.Rank{Score: -math.Log1p(-chance)})})
		}
		if source == ReasonGroup {
			p.fromGroups(take)
		} else {
			p.fromSources(source == ReasonNewcomer, take)
		}
		slices.SortStableFunc(of, func(a, b choice) int { return cmp.Compare(b.value, a.value) })
		n := min(len(of), trust.Left)
		all, spare = append(all, of[:n]...), append(spare, of[n:]...)
	}
	return all, spare
}

// mayGuess reports whether n, whose name has no rank, may be fetched on a guess: not what
// is there, what is for few (source packages, 32-bit ones, testing), what the site leaves
// out of globs, and what was guessed in vain before.
func (p *planner) mayGuess(n node) bool {
	x := p.idx
	k := &x.pkgs[n.pkg]
	if k.track&inTesting != 0 || !x.groups[n.group].native(x.syms.text(k.family)) || p.has(n.pkg) {
		return false
	}
	name := x.name(n.pkg)
	return !p.budget.Tried[PackageName{name, x.arch(n.pkg), x.roots[k.root].root}] &&
		!slices.ContainsFunc(p.budget.Exclude, func(e config.Pattern) bool { return e.Match(name) })
}

// fromSources takes what was built from the same source as what is popular: with
// arrived only names that are new, and else only others.
func (p *planner) fromSources(arrived bool, take func(n node, because string, strength float64)) {
	x := p.idx
	type source struct {
		group  groupID
		name   symbol
		stream symbol
	}
	leads := make(map[source]node)
	for _, n := range p.leaders { // the best first
		k := &x.pkgs[n.pkg]
		if chance(p.ranks[p.ranked[n]].Score) < leadingChance || k.source == 0 {
			continue
		}
		if s := (source{n.group, k.source, k.stream}); leads[s] == (node{}) {
			leads[s] = n
		}
	}
	all := func(pkgID) bool { return true }
	for q := range x.pkgs {
		k := &x.pkgs[q]
		if k.source == 0 {
			continue
		}
		for _, g := range x.sets[k.in] {
			lead, ok := leads[source{g, k.source, k.stream}]
			// Of twins in two roots one is enough.
			if ok && p.budget.Arrived.has(&x.groups[g], x.name(pkgID(q))) == arrived && slices.Contains(x.newest(g, k.name, "", all), pkgID(q)) {
				take(node{g, pkgID(q)}, x.name(lead.pkg), chance(p.ranks[p.ranked[lead]].Score))
			}
		}
	}
}

// fromGroups takes what is missing of the comps groups that the site uses most of.
func (p *planner) fromGroups(take func(n node, because string, strength float64)) {
	x := p.idx
	ids := make([]string, 0, len(x.comps))
	for id := range x.comps {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		for g := range x.groups {
			var others []node
			used, names := 0, 0
			for _, name := range x.ofComps(id, groupID(g)) {
				all := x.newest(groupID(g), name, "", func(q pkgID) bool {
					return x.pkgs[q].track&inTesting == 0 && x.groups[g].native(x.syms.text(x.pkgs[q].family))
				})
				if len(all) == 0 {
					continue
				}
				names++
				if slices.ContainsFunc(all, func(q pkgID) bool {
					i, ok := p.ranked[node{groupID(g), q}]
					return ok && chance(p.ranks[i].Score) >= leadingChance
				}) {
					used++
				}
				for _, q := range all {
					others = append(others, node{groupID(g), q})
				}
			}
			share := float64(used) / float64(max(names, 1))
			if used < groupFew || share < groupShare {
				continue
			}
			for _, n := range others {
				take(n, "@"+id, share)
			}
		}
	}
}

// sourceName is the name of a source package: metadata has its file, lists of what
// was published the name itself.
func sourceName(sourceRPM string) string {
	if n, ok := repodata.ParseFilename(sourceRPM); ok && strings.HasSuffix(sourceRPM, ".rpm") {
		return n.Name
	}
	return sourceRPM
}
