package sync

import (
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
)

// Reason is why an item is in a plan.
type Reason string

// The reasons. What is popular stays popular if it is a seed or a dependency
// too, and a seed stays a seed.
const (
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
	// Because says what it is fetched for: for a seed the entry of the list, for a
	// dependency the packages that lead to it ("mplayer -> libfoo", a long chain
	// without its middle), for what is popular nothing.
	Because string `json:"because,omitempty"`
}

// Budget is what a run may fetch, and what for.
type Budget struct {
	Bytes   int64 // all items together; negative is no limit
	Top     int   // how many of the ranks are wanted; negative is all
	Seeds   []Seed
	Exclude []config.Pattern // what globs among the seeds leave out
}

// Result is what Plan decided.
type Result struct {
	Items []Item // to fetch, the most valuable first
	Bytes int64  // their size
	Cut   []Item // wanted, but too large for what was left of the budget when its turn came

	Wanted []cache.Key // all that shall be there: Items and what is stored already, the most valuable first

	Stored      int   // wanted, and stored already
	StoredBytes int64 // their size

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
// Ranks come best first. Their order is the order of the plan; each package is
// followed by the dependencies that are not popular themselves (a popular one
// keeps the place of its own rank, which says better what it is worth). The seeds
// follow in the order of the list, in the same way.
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
	p := &planner{idx: idx, ranks: ranks, stored: stored, budget: b.Bytes, seen: make(map[cache.Key]bool)}
	ranked, wanted := p.rank(top)
	p.r = newResolver(idx, ranked)
	for _, n := range wanted {
		p.r.reserve(n, ReasonPopular, "")
	}
	seeds, misses := sow(idx, b.Seeds, b.Exclude)
	for _, s := range seeds {
		p.r.reserve(s.node, ReasonSeed, s.pattern)
	}
	// Seeds come before their turn where a popular package requires them.
	for i := range len(p.r.picks) {
		p.r.run(i, p.admit)
	}
	p.res.Seeds, p.res.Unmet = misses, p.r.unmet
	return p.res
}

// planner is one Plan under way.
type planner struct {
	idx    *Index
	ranks  []popularity.Rank
	stored func(cache.Key, cache.Want) bool
	budget int64
	r      *resolver
	seen   map[cache.Key]bool // what was decided: whether it is stored or to be fetched
	res    Result
}

// rank finds the packages that the ranks stand for: the place of each in the
// ranks, and, of the first top ranks, the packages in order.
func (p *planner) rank(top int) (ranked map[node]int, wanted []node) {
	ranked = make(map[node]int, len(p.ranks))
	groups := make(map[string][]groupID)
	for i := range p.ranks {
		rank := &p.ranks[i]
		in, ok := groups[rank.Root]
		if !ok {
			in = p.idx.groupsOf(rank.Root)
			groups[rank.Root] = in
		}
		gone := true
		for _, g := range in {
			for _, k := range p.current(g, rank) {
				n := node{g, k}
				gone = false
				if _, ok := ranked[n]; !ok {
					ranked[n] = i
				}
				if i < top {
					wanted = append(wanted, n)
				}
			}
		}
		if gone && i < top {
			p.res.Gone = append(p.res.Gone, *rank)
		}
	}
	return ranked, wanted
}

// current are the packages that clients who made the rank will ask for next: of
// that name and architecture, or, if there is none any more, with the
// architecture changed to noarch or from it. A module's clients are not told from
// the others, so there is one package for each; testing is for those alone who
// have it, if it is newer.
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
			return (a.track^b.track)&inModule == 0 && (newer > 0 || newer == 0 && a.track&inTesting > b.track&inTesting)
		})
	})
}

// admit decides upon the pick, and reports whether it will be there.
func (p *planner) admit(i int) bool {
	k := &p.idx.pkgs[p.r.picks[i].pkg]
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
	if p.budget >= 0 && k.size > p.budget-p.res.Bytes {
		p.seen[key] = false
		p.res.Cut = append(p.res.Cut, item)
		return false
	}
	p.seen[key] = true
	p.res.Wanted = append(p.res.Wanted, key)
	p.res.Bytes += k.size
	p.res.Items = append(p.res.Items, item)
	return true
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
	if pick.parent >= 0 {
		item.Because = p.chain(pick.parent)
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
