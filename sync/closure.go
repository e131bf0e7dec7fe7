package sync

import (
	"slices"

	"intelligentmirror/internal/repodata"
)

// resolver chooses packages, and for each what it requires. Its state only
// grows: what is chosen stays chosen, so that requirements that go round in a
// circle end, and each is looked at once.
type resolver struct {
	idx    *Index
	ranked map[node]int        // place in the ranks
	alone  func(pick int) bool // what a pick requires is not gone after

	picks []pick
	of    map[node]int // the picks

	queue   []int // picks to go on with
	settled map[need]bool
	waiting map[node][]conditional
	woken   []conditional

	unmet   []Unmet
	unmetAt map[unmetKey]int
}

// pick is a package that was chosen.
type pick struct {
	node
	parent  int // the pick that requires it, -1 for none
	origin  int // the pick without a parent that it is there for, perhaps itself
	reason  Reason
	because string // for seeds: the pattern
	entered bool   // its turn has come
}

// need is a requirement as all packages have it that are served alike; its value
// in settled is whether it could be met.
type need struct {
	group    groupID
	track    track
	stream   symbol
	family   symbol
	relation relationID
}

// conditional is a rich dependency of a pick whose condition does not hold yet.
type conditional struct {
	pick     int
	relation relationID
}

type unmetKey struct {
	group    groupID
	relation relationID
}

func newResolver(idx *Index, ranked map[node]int) *resolver {
	return &resolver{
		idx:     idx,
		ranked:  ranked,
		of:      make(map[node]int),
		settled: make(map[need]bool),
		waiting: make(map[node][]conditional),
		unmetAt: make(map[unmetKey]int),
	}
}

// reserve chooses n without going on with it: others see that it will be there.
func (r *resolver) reserve(n node, reason Reason, because string) {
	if _, ok := r.of[n]; ok {
		return
	}
	r.of[n] = len(r.picks)
	r.picks = append(r.picks, pick{node: n, parent: -1, origin: len(r.picks), reason: reason, because: because})
}

// run goes on with the pick i, and with what it needs that was not chosen
// before, nearest first. What admit refuses is not gone on with: what only a
// package requires that is not fetched is not fetched for it.
func (r *resolver) run(i int, admit func(pick int) bool) {
	r.enter(i)
	for head := 0; head < len(r.queue); head++ {
		i := r.queue[head]
		if !admit(i) || r.alone(i) {
			continue
		}
		for _, id := range r.idx.requirements(r.picks[i].pkg) {
			r.require(id, i)
		}
		for len(r.woken) > 0 {
			w := r.woken[0]
			r.woken = r.woken[1:]
			if !r.ensureRelation(w.relation, w.pick) {
				r.report(w.relation, w.pick)
			}
		}
	}
	r.queue = r.queue[:0]
}

// enter lets the turn of pick i come, once.
func (r *resolver) enter(i int) {
	if p := &r.picks[i]; !p.entered {
		p.entered = true
		r.queue = append(r.queue, i)
	}
}

// choose makes p, which nothing has chosen yet, a dependency of by.
func (r *resolver) choose(p pkgID, by int) {
	n := node{r.picks[by].group, p}
	r.of[n] = len(r.picks)
	r.picks = append(r.picks, pick{node: n, parent: by, origin: r.picks[by].origin, reason: ReasonDependency})
	r.enter(len(r.picks) - 1)
	r.woken = append(r.woken, r.waiting[n]...)
	delete(r.waiting, n)
}

// require sees to it that a requirement of by is met, or reported.
func (r *resolver) require(id relationID, by int) {
	k := &r.idx.pkgs[r.picks[by].pkg]
	key := need{r.picks[by].group, k.track, k.stream, k.family, id}
	met, ok := r.settled[key]
	if !ok {
		met = r.ensureRelation(id, by)
		r.settled[key] = met
	}
	if !met {
		r.report(id, by)
	}
}

func (r *resolver) report(id relationID, by int) {
	p := r.picks[by]
	key := unmetKey{p.group, id}
	at, ok := r.unmetAt[key]
	if !ok {
		r.unmetAt[key] = len(r.unmet)
		k := &r.idx.pkgs[p.pkg]
		r.unmet = append(r.unmet, Unmet{Requires: r.idx.describe(id), By: r.idx.name(p.pkg), Root: r.idx.roots[k.root].root})
		return
	}
	r.unmet[at].Others++
}

// ensureRelation sees to it that a relation holds, and reports whether it does.
func (r *resolver) ensureRelation(id relationID, by int) bool {
	if r.idx.rels.all[id].sense&rich == 0 {
		return r.ensure(&tree{leaf: id}, id, by)
	}
	t := r.idx.rels.trees[id]
	return t != nil && r.ensure(t, id, by)
}

// ensure sees to it that t, which is a part of the relation id, holds:
//
//	and            all of them are fetched
//	or             nothing, if one of them holds; else the one whose provider is the
//	               most popular, else the first that can be met
//	with, without  one package is fetched that satisfies all, or all but the last
//	A if B         A, once something that satisfies B is in the plan; until then
//	               nothing, or what else says
//	A unless B     A, or what else says if B is in the plan by then
//
// What was chosen stays chosen if a condition holds later.
//
// It goes down the tree by recursion: ParseRich bounds the depth.
func (r *resolver) ensure(t *tree, id relationID, by int) bool {
	switch t.op {
	case repodata.OpAnd:
		met := true
		for _, a := range t.args {
			met = r.ensure(a, id, by) && met
		}
		return met
	case repodata.OpOr:
		best, first := t.args[0], unmeetable
		for _, a := range t.args {
			if r.holds(a, by) {
				best = a
				break
			}
			if at := r.prospect(a, by); at < first {
				best, first = a, at
			}
		}
		return r.ensure(best, id, by)
	case repodata.OpIf, repodata.OpUnless:
		holds := r.holds(t.args[1], by)
		if t.op == repodata.OpIf && !holds {
			r.await(t.args[1], id, by)
		}
		switch {
		case holds == (t.op == repodata.OpIf):
			return r.ensure(t.args[0], id, by)
		case len(t.args) > 2:
			return r.ensure(t.args[2], id, by)
		}
		return true
	}
	all := r.providers(t, by)
	if len(all) == 0 {
		return false
	}
	best := slices.MinFunc(all, func(a, b pkgID) int { return r.compareChosen(a, b, by) })
	i, chosen := r.of[node{r.picks[by].group, best}]
	switch {
	case !chosen:
		r.choose(best, by)
	case r.picks[i].reason.guessed():
		// If it is there already it came without what it requires.
		r.picks[i].parent, r.picks[i].origin, r.picks[i].reason, r.picks[i].entered = by, r.picks[by].origin, ReasonDependency, false
		r.enter(i)
	case !r.picks[i].reason.ofRank():
		// A seed comes before its turn. What is popular waits for it: its own rank
		// says what it is worth.
		r.enter(i)
	}
	return true
}

// compareChosen is compareProviders behind what was chosen: what is gone on with
// already comes first, then what is reserved. What is of the same module's stream
// goes before either.
func (r *resolver) compareChosen(a, b pkgID, by int) int {
	state := func(p pkgID) int {
		i, ok := r.of[node{r.picks[by].group, p}]
		switch {
		case !ok:
			return 2
		case r.picks[i].entered:
			return 0
		}
		return 1
	}
	k := &r.idx.pkgs[r.picks[by].pkg]
	if sa, sb := k.stranger(&r.idx.pkgs[a]), k.stranger(&r.idx.pkgs[b]); sa != sb {
		return sa - sb
	}
	if sa, sb := state(a), state(b); sa != sb {
		return sa - sb
	}
	return r.compareProviders(a, b, by)
}

// holds reports whether what is chosen satisfies t.
func (r *resolver) holds(t *tree, by int) bool {
	holds := func(a *tree) bool { return r.holds(a, by) }
	switch t.op {
	case repodata.OpAnd:
		return !slices.ContainsFunc(t.args, func(a *tree) bool { return !r.holds(a, by) })
	case repodata.OpOr:
		return slices.ContainsFunc(t.args, holds)
	case repodata.OpIf, repodata.OpUnless:
		if holds(t.args[1]) == (t.op == repodata.OpIf) {
			return holds(t.args[0])
		}
		return len(t.args) < 3 || holds(t.args[2])
	}
	return slices.ContainsFunc(r.providers(t, by), func(p pkgID) bool {
		_, chosen := r.of[node{r.picks[by].group, p}]
		return chosen
	})
}

// prospect is the place in the ranks of the best that t could be met with.
func (r *resolver) prospect(t *tree, by int) int {
	switch t.op {
	case repodata.OpAnd:
		worst := 0
		for _, a := range t.args {
			worst = max(worst, r.prospect(a, by))
		}
		return worst
	case repodata.OpOr:
		best := unmeetable
		for _, a := range t.args {
			best = min(best, r.prospect(a, by))
		}
		return best
	case repodata.OpIf, repodata.OpUnless:
		return unranked
	}
	best := unmeetable
	for _, p := range r.providers(t, by) {
		best = min(best, r.place(node{r.picks[by].group, p}))
	}
	return best
}

// await has the relation looked at again once a package is chosen that bears on
// the condition t.
func (r *resolver) await(t *tree, id relationID, by int) {
	switch t.op {
	case repodata.OpAnd, repodata.OpOr, repodata.OpIf, repodata.OpUnless:
		for _, a := range t.args {
			r.await(a, id, by)
		}
		return
	}
	for _, p := range r.providers(t, by) {
		n := node{r.picks[by].group, p}
		if _, chosen := r.of[n]; !chosen {
			r.waiting[n] = append(r.waiting[n], conditional{by, id})
		}
	}
}
