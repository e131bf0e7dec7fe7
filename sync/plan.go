package sync

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
)

// Reason is why an item is in a plan.
type Reason string

// The reasons. What is popular stays popular if it is a seed or a dependency
// too, and a seed stays a seed. Of either, what answers a security advisory is
// there for that.
const (
	ReasonSecurity   Reason = "security"
	ReasonPopular    Reason = "popular"
	ReasonSeed       Reason = "seed"
	ReasonDependency Reason = "dependency"
)

// Item is a file to fetch. Its JSON is the contract's.
type Item struct {
	Path   string `json:"path"` // in the cache: the root, and the location below it
	Name   string `json:"name"`
	EVR    string `json:"evr"`
	Arch   string `json:"arch"`
	Root   string `json:"root"`
	Size   int64  `json:"size"`   // bytes
	SHA256 string `json:"sha256"` // hexadecimal; "" where the repository has another digest, which is in Want
	Reason Reason `json:"reason"`
	Rank   int    `json:"rank"` // of its own, 0 for none

	Key  cache.Key  `json:"-"`
	Want cache.Want `json:"-"`
	// Because says what it is fetched for: for a security update the advisory, for
	// a seed the entry of the list, for a dependency the packages that lead to it
	// ("mplayer -> libfoo", a long chain without its middle), for what is popular
	// nothing.
	Because string `json:"because,omitempty"`
}

// Budget is what a run may fetch, and what for.
type Budget struct {
	Bytes int64 // all items together; negative is no limit
	// Top is how many of the ranks are wanted: the first ones, and, in the place of
	// those whose packages are stored, the next whose are not. Negative is all.
	Top     int
	Seeds   []Seed
	Exclude []config.Pattern // what globs among the seeds leave out

	// PerRoot is what may be fetched of one root; 0 or less is no limit.
	PerRoot int64
	// Arches are the architectures that are fetched, and noarch; empty is all.
	Arches []string
	// Idle are the names of which the last prefetched versions were fetched by
	// nobody, with the time when the first of these versions came.
	Idle map[PackageName]time.Time
	// Value says what it is worth to fetch the package that stands for a rank now:
	// more comes sooner, and what is worth nothing, 0 or less, is not fetched for its
	// rank. nil: the ranks' own order says it, and all are worth something.
	Value Value
	// Only are the roots of which something is fetched on its own account; nil is
	// all. What these packages require may come from any root.
	Only map[string]bool
}

// Value is what it is worth to fetch a package that is not stored: rank is what its
// name has behind it, key and size (bytes) are the file's. It is pure.
type Value func(rank *popularity.Rank, key cache.Key, size int64) float64

// PackageName is a name in a root.
type PackageName struct{ Name, Arch, Root string }

// Result is what Plan decided.
type Result struct {
	Items []Item // to fetch, the most valuable first
	Bytes int64  // their size
	Cut   []Item // wanted, but too large for what was left of the budget when its turn came

	Wanted []cache.Key // all that shall be there: Items and what is stored already, the most valuable first

	Stored      int   // wanted, and stored already
	StoredBytes int64 // their size

	// Resting is what is wanted, and left out since nobody fetched the versions of
	// that name that were prefetched before.
	Resting []Item

	// Unlikely is what is popular, not stored and left out because it is worth nothing:
	// it would most likely be fetched in vain.
	Unlikely []Item

	Gone  []popularity.Rank // of the wanted ranks, those that no repository has a package for any more
	Seeds []SeedMiss        // seeds that stand for nothing
	Unmet []Unmet           // requirements that no package satisfies
}

// Unmet is a requirement that nothing in the group of its root satisfies.
type Unmet struct {
	Requires string // as metadata has it, "libfoo.so.1 >= 2"
	By       string // the name of the package that requires it; the first of them
	Root     string // the root of that package
	Others   int    // how many more require it
}

// Plan decides what a run fetches: the newest versions of the packages that are
// most popular, of the seeds, and of what these require, as far as they are not
// stored. It is pure: the same arguments give the same result, in whatever order
// the Index was built.
//
// Security updates come first, in the order that they have among themselves
// otherwise. Ranks come best first. Their order, or that of what they are worth
// (Budget.Value), is the order of the plan; each package is followed by the dependencies that are not popular themselves (a
// popular one keeps the place of its own rank, which says better what it is
// worth). The seeds follow in the order of the list, in the same way.
//
// A name that is idle rests until someone asks for it again: it is not fetched,
// nor what only it requires. What the site itself has put on the seed list, and
// what that requires, never rests.
//
// The budget cuts item by item: what does not fit is left out, and smaller ones
// that come later still go in. A package is fetched though one of its
// dependencies did not fit, since most machines have that already and miss only
// the new version; but what only a package requires that is left out is not
// fetched for it.
func Plan(ranks []popularity.Rank, idx *Index, stored func(cache.Key, cache.Want) bool, b Budget) Result {
	top := len(ranks)
	if b.Top >= 0 {
		top = min(top, b.Top)
	}
	p := &planner{
		idx: idx, ranks: ranks, stored: stored, budget: b,
		seen: make(map[cache.Key]bool), ofRoot: make(map[rootID]int64), insisted: make(map[node]bool),
	}
	ranked, wanted := p.rank(top)
	p.weigh(ranked, wanted)
	p.r = newResolver(idx, ranked)
	for _, n := range wanted {
		p.r.reserve(n, ReasonPopular, "")
	}
	seeds, misses := sow(idx, b.Seeds, b.Exclude)
	for _, s := range seeds {
		p.r.reserve(s.node, ReasonSeed, s.pattern)
		delete(p.value, s.node) // it is wanted, whatever it is worth
		if !s.builtIn {
			p.insisted[s.node] = true
		}
	}
	reserved := len(p.r.picks)
	for _, urgent := range [...]bool{true, false} {
		// Seeds come before their turn where a popular package requires them.
		for i := range reserved {
			if k := &idx.pkgs[p.r.picks[i].pkg]; (k.advisory != 0) == urgent && (b.Only == nil || b.Only[idx.roots[k.root].root]) {
				p.r.run(i, p.admit)
			}
		}
	}
	p.res.Seeds, p.res.Unmet = misses, p.r.unmet
	return p.res
}

// planner is one Plan under way.
type planner struct {
	idx    *Index
	ranks  []popularity.Rank
	stored func(cache.Key, cache.Want) bool
	budget Budget
	r      *resolver
	seen   map[cache.Key]bool // what was decided: whether it is stored or to be fetched
	res    Result

	value    map[node]float64 // of what stands for a rank; nil: all are worth the same
	ofRoot   map[rootID]int64 // bytes that are planned of each root
	insisted map[node]bool    // what the site's own seeds stand for
}

// rank finds the packages that the ranks stand for: the place of each in the
// ranks, and, of the top ranks, the packages in order.
func (p *planner) rank(top int) (ranked map[node]int, wanted []node) {
	ranked = make(map[node]int, len(p.ranks))
	missing := 0 // ranks so far without a package that is stored
	groups := make(map[string][]groupID)
	for i := range p.ranks {
		rank := &p.ranks[i]
		in, ok := groups[rank.Root]
		if !ok {
			in = p.idx.groupsOf(rank.Root)
			groups[rank.Root] = in
		}
		gone, lacks := true, false
		for _, g := range in {
			for _, k := range p.current(g, rank) {
				n := node{g, k}
				gone = false
				if _, ok := ranked[n]; !ok {
					ranked[n] = i
				}
				if there := p.has(k); i < top || missing < top && !there {
					wanted = append(wanted, n)
					lacks = lacks || !there
				}
			}
		}
		if lacks || gone {
			missing++
		}
		if gone && i < top {
			p.res.Gone = append(p.res.Gone, *rank)
		}
	}
	return ranked, wanted
}

// has reports whether a package is stored.
func (p *planner) has(id pkgID) bool {
	k := &p.idx.pkgs[id]
	key, err := p.idx.roots[k.root].key(k.location)
	return err == nil && p.stored(key, cache.Want{Digest: k.digest, Size: k.size})
}

// weigh orders what the first ranks stand for by what it is worth. What is equal
// keeps the order of the ranks.
func (p *planner) weigh(ranked map[node]int, wanted []node) {
	if p.budget.Value == nil {
		return
	}
	p.value = make(map[node]float64, len(wanted))
	for _, n := range wanted {
		k := &p.idx.pkgs[n.pkg]
		if key, err := p.idx.roots[k.root].key(k.location); err == nil { // the builder took only what has a key
			p.value[n] = p.budget.Value(&p.ranks[ranked[n]], key, k.size)
		}
	}
	slices.SortStableFunc(wanted, func(a, b node) int { return cmp.Compare(p.value[b], p.value[a]) })
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
	find := func(arch func(p pkgID) bool) []pkgID {
		return x.newest(g, name, strings.Trim(rank.Root, "/"), func(p pkgID) bool {
			return arch(p) && (tests || x.pkgs[p].track&inTesting == 0)
		})
	}
	all := find(func(p pkgID) bool { return x.arch(p) == rank.Arch })
	if len(all) == 0 {
		all = find(func(p pkgID) bool {
			fam := x.syms.text(x.pkgs[p].family)
			return fam != "src" && (fam == noarch || rank.Arch == noarch && x.groups[g].native(fam))
		})
	}
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

// admit decides upon the pick, and reports whether it will be there.
func (p *planner) admit(i int) bool {
	k := &p.idx.pkgs[p.r.picks[i].pkg]
	if !p.takesArch(k) {
		return false
	}
	key, err := p.idx.roots[k.root].key(k.location)
	if err != nil {
		return false // the builder took only what has a key
	}
	if there, ok := p.seen[key]; ok {
		return there
	}
	want := cache.Want{Digest: k.digest, Size: k.size}
	if p.stored(key, want) {
		p.seen[key] = true
		p.res.Wanted = append(p.res.Wanted, key)
		p.res.Stored++
		p.res.StoredBytes += k.size
		return true
	}
	item := p.item(i, key, want)
	if p.rests(i, &item) {
		p.seen[key] = false
		p.res.Resting = append(p.res.Resting, item)
		return false
	}
	if p.unlikely(i) {
		p.seen[key] = false
		p.res.Unlikely = append(p.res.Unlikely, item)
		return false
	}
	b := &p.budget
	if b.Bytes >= 0 && k.size > b.Bytes-p.res.Bytes || b.PerRoot > 0 && k.size > b.PerRoot-p.ofRoot[k.root] {
		p.seen[key] = false
		p.res.Cut = append(p.res.Cut, item)
		return false
	}
	p.seen[key] = true
	p.res.Wanted = append(p.res.Wanted, key)
	p.res.Bytes += k.size
	p.ofRoot[k.root] += k.size
	p.res.Items = append(p.res.Items, item)
	return true
}

// takesArch reports whether packages of k's architecture are fetched.
func (p *planner) takesArch(k *pkg) bool {
	fam := p.idx.syms.text(k.family)
	return len(p.budget.Arches) == 0 || fam == noarch ||
		slices.ContainsFunc(p.budget.Arches, func(a string) bool { return family(a) == fam })
}

// rests reports whether the pick, which is item, is left out because nobody
// fetched what was prefetched of its name.
func (p *planner) rests(i int, item *Item) bool {
	since, idle := p.budget.Idle[PackageName{item.Name, item.Arch, item.Root}]
	if !idle {
		return false
	}
	picks := p.r.picks
	if p.insisted[picks[i].node] || p.insisted[picks[picks[i].origin].node] {
		return false
	}
	at := p.r.place(picks[i].node)
	return at == unranked || !p.ranks[at].LastSeen.After(since)
}

// unlikely reports whether the pick is there for its rank alone, and worth nothing.
func (p *planner) unlikely(i int) bool {
	pick := &p.r.picks[i]
	value, weighed := p.value[pick.node]
	return weighed && value <= 0 && pick.reason == ReasonPopular
}

func (p *planner) item(i int, key cache.Key, want cache.Want) Item {
	pick := &p.r.picks[i]
	k := &p.idx.pkgs[pick.pkg]
	item := Item{
		Path: key.String(), Name: p.idx.name(pick.pkg), EVR: p.idx.evrs[k.evr].String(), Arch: p.idx.arch(pick.pkg),
		Root: p.idx.roots[k.root].root, Size: k.size, Reason: pick.reason, Key: key, Want: want, Because: pick.because,
	}
	if strings.HasPrefix(string(want.Digest), "sha256:") {
		item.SHA256 = want.Digest.Hex()
	}
	if at := p.r.place(pick.node); at != unranked {
		item.Rank = p.ranks[at].Rank
	}
	switch {
	case pick.parent >= 0:
		item.Because = p.chain(pick.parent)
	case k.advisory != 0:
		item.Reason, item.Because = ReasonSecurity, p.idx.syms.text(k.advisory)
	}
	return item
}

// chainLinks is how many names a chain shows: where it comes from, and its end.
const chainLinks = 4

// chain names the packages that lead to what i requires, without the middle of a
// long chain.
func (p *planner) chain(i int) string {
	origin := p.r.picks[i].origin
	var names []string
	for ; i != origin && len(names) < chainLinks-1; i = p.r.picks[i].parent {
		names = append(names, p.idx.name(p.r.picks[i].pkg))
	}
	if i != origin {
		names = append(names, "...")
	}
	names = append(names, p.idx.name(p.r.picks[origin].pkg))
	slices.Reverse(names)
	return strings.Join(names, " -> ")
}
