package sync

import (
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
// too, and a seed stays a seed. Of any, what answers a security advisory is
// there for that. Behind the first four stand the sources of names that the site
// has not asked for: see candidates.go.
const (
	ReasonSecurity   Reason = "security"
	ReasonPopular    Reason = "popular"
	ReasonSeed       Reason = "seed"
	ReasonDependency Reason = "dependency"

	ReasonRename   Reason = "rename"   // what is popular by the name that it obsoletes
	ReasonNewcomer Reason = "newcomer" // new in the repository, and made from the source of what is popular
	ReasonSibling  Reason = "sibling"  // made from the source of what is popular
	ReasonGroup    Reason = "group"    // in a comps group most of which the site uses
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
	Rank   int    `json:"rank"` // of its own, 0 for none; what is gone from the repositories is not counted
	// Source is the reason without regard to advisories; of what only a seed requires
	// it is that seed.
	Source Reason `json:"source"`

	Key  cache.Key  `json:"-"`
	Want cache.Want `json:"-"`
	// Because says what it is fetched for: for a security update the advisory, for
	// a seed the entry of the list, for a dependency the packages that lead to it
	// ("mplayer -> libfoo", a long chain without its middle), for other candidates the
	// name or the group that leads to them, for what is popular nothing.
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
	// Sources are the sources of candidates that are asked, with how far each is
	// trusted; nil: renames and dependencies, without a limit.
	Sources map[Reason]Trust
	// Arrived are the names that are new, which the source newcomer asks for.
	Arrived Arrivals
	// Tried are the names that were brought on a guess and that nobody came for yet:
	// none is brought so a second time.
	Tried map[PackageName]bool
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

	Gone  []popularity.Rank // ranks whose names have left their repositories, and that no other name has replaced
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
// (Budget.Value), is the order of the plan; each package is followed by the
// dependencies that are not popular themselves (a popular one keeps the place of its
// own rank, which says better what it is worth). A rank whose name has left the
// repositories counts for none, unless another name has replaced it. The seeds follow
// in the order of the list, in the same way. Guesses (Budget.Sources) stand among the
// ranks where they are worth as much; nothing is fetched that only they require. For
// one that is there anyway, as something requires it, the next best comes at the end.
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
		ranked: make(map[node]int), places: make([]int, len(ranks)), renamed: make(map[node]string),
		seen: make(map[cache.Key]bool), ofRoot: make(map[rootID]int64), insisted: make(map[node]bool), guessed: make(map[Reason]int),
	}
	seeds, misses := sow(idx, b.Seeds, b.Exclude)
	wanted := p.rank(top)
	p.r = newResolver(idx, p.ranked)
	p.r.alone = func(i int) bool { return p.isGuess(i) || p.isLeft(i) }
	guesses, spare := p.guesses(seeds)
	for _, c := range p.weigh(wanted, guesses) {
		p.r.reserve(c.node, c.source, c.because)
	}
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
			pick := &p.r.picks[i]
			switch {
			case (idx.pkgs[pick.pkg].advisory != 0) != urgent:
			case p.may(pick.node):
				p.r.run(i, p.admit)
			case pick.reason.guessed():
				p.guessed[pick.reason]++ // its turn comes with its root's
			}
		}
	}
	for _, c := range spare {
		if _, chosen := p.r.of[c.node]; !chosen && p.guessed[c.source] < b.Sources[c.source].Left && p.may(c.node) {
			p.r.reserve(c.node, c.source, c.because)
			p.r.run(len(p.r.picks)-1, p.admit)
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

	ranked   map[node]int     // of what stands for a rank, its place in the ranks
	places   []int            // of the ranks, their numbers without those that are gone
	leaders  []node           // what stands for a rank, the best first
	renamed  map[node]string  // of what stands for the rank of another name, that name
	value    map[node]float64 // of what stands for a rank; nil: all are worth the same
	ofRoot   map[rootID]int64 // bytes that are planned of each root
	insisted map[node]bool    // what the site's own seeds stand for
	guessed  map[Reason]int   // by source, the guesses that were decided upon
}

// may reports whether n may be fetched on its own account.
func (p *planner) may(n node) bool {
	return p.budget.Only == nil || p.budget.Only[p.idx.roots[p.idx.pkgs[n.pkg].root].root]
}

// has reports whether a package is stored.
func (p *planner) has(id pkgID) bool {
	k := &p.idx.pkgs[id]
	key, err := p.idx.roots[k.root].key(k.location)
	return err == nil && p.stored(key, cache.Want{Digest: k.digest, Size: k.size})
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
	if p.isGuess(i) {
		p.guessed[item.Source]++
	}
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
	return weighed && value <= 0 && pick.reason.ofRank()
}

func (p *planner) item(i int, key cache.Key, want cache.Want) Item {
	pick := &p.r.picks[i]
	k := &p.idx.pkgs[pick.pkg]
	item := Item{
		Path: key.String(), Name: p.idx.name(pick.pkg), EVR: p.idx.evrs[k.evr].String(), Arch: p.idx.arch(pick.pkg),
		Root: p.idx.roots[k.root].root, Size: k.size, Reason: pick.reason, Source: pick.reason, Key: key, Want: want, Because: pick.because,
	}
	if strings.HasPrefix(string(want.Digest), "sha256:") {
		item.SHA256 = want.Digest.Hex()
	}
	if at := p.r.place(pick.node); at != unranked {
		item.Rank = p.places[at]
	}
	if p.r.picks[pick.origin].reason == ReasonSeed {
		item.Source = ReasonSeed
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
