package sync

import (
	"cmp"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// IndexBuilder takes the packages of several roots, in any order, and makes an
// Index of them. The zero value is ready. It is for one goroutine.
//
// It keeps what a plan needs: no string twice, and of what packages provide and
// contain only hashes until it is known what others require.
type IndexBuilder struct {
	syms     *symbols
	evrs     []repodata.EVR
	evrIDs   map[repodata.EVR]evrID
	roots    []rootInfo
	rootIDs  map[string]rootID
	pkgs     chunked[pkg]
	latest   map[latestKey]pkgID
	rels     relations
	requires chunked[relationID]
	offers   chunked[hashed]
	seed     maphash.Seed
	refused  []Refusal

	obsoletes []obsoletion // see obsolete

	modular map[artifact]symbol // see Modules
	advised map[advised]symbol  // see Advise
	comps   map[string][]compsList
}

// latestKey names what a newer version of the same root replaces.
type latestKey struct {
	root       rootID
	name, arch symbol
	track      track
	stream     symbol
}

// hashed is an offer whose capability is known by its hash. Two of a million
// strings share one with a probability below 1 in 30 million; then a package
// counts as a provider that is none, and is at worst fetched in vain.
type hashed struct {
	capability uint64
	offer      offer
}

// Add takes a package of the repository at root ("fedora/updates/41/...": a
// repository's name and a path in it). It keeps nothing of p. A package that
// cannot be fetched by its location, or not verified by its checksum, is left
// out, and listed by Index.Refused.
func (b *IndexBuilder) Add(root string, p *repodata.Package) {
	b.init()
	in := b.root(root)
	if _, err := b.roots[in].key(p.Location); err != nil {
		b.refuse(root, p, err)
		return
	}
	digest, err := cache.NewDigest(p.Checksum.Type, p.Checksum.Hex)
	if err != nil {
		b.refuse(root, p, err)
		return
	}
	if p.Size < 0 {
		b.refuse(root, p, fmt.Errorf("size of %d bytes", p.Size))
		return
	}
	id := pkgID(b.pkgs.len())
	k := pkg{
		digest: digest, size: p.Size, built: p.BuildTime, root: in,
		name: b.syms.id(p.Name), arch: b.syms.id(p.Arch), family: b.syms.id(family(p.Arch)),
	}
	stream, listed := b.modular[artifact{in, p.Name, p.EVR, p.Arch}]
	if listed && stream == 0 {
		return
	}
	k.stream = stream
	// The build system writes the module and its context into the release.
	if listed || strings.Contains(p.EVR.Release, ".module") {
		k.track |= inModule
	}
	if b.roots[k.root].place.testing {
		k.track |= inTesting
	}
	key := latestKey{k.root, k.name, k.arch, k.track, k.stream}
	if old, ok := b.latest[key]; ok {
		o := b.pkgs.at(int(old))
		switch c := p.EVR.Compare(b.evrs[o.evr]); {
		case c < 0, c == 0 && o.digest == digest && o.location == p.Location:
			return
		}
	}
	b.latest[key] = id
	k.evr = b.evr(p.EVR)
	k.location = b.syms.keep(p.Location)
	k.digest = cache.Digest(b.syms.keep(string(digest)))
	b.require(&k, p.Requires)
	b.obsolete(id, p.Obsoletes)
	k.source = b.syms.id(sourceName(p.SourceRPM))
	b.pkgs.add(k)
	for i := range p.Provides {
		d := &p.Provides[i]
		o := offer{pkg: id, sense: senseOf(d.Flags)}
		switch {
		case o.sense == 0:
		case d.EVR == p.EVR:
			o.evr = k.evr
		default:
			o.evr = b.evr(d.EVR)
		}
		b.offers.add(hashed{maphash.String(b.seed, d.Name), o})
	}
	for _, f := range p.Files {
		b.offers.add(hashed{maphash.String(b.seed, f), offer{pkg: id}})
	}
}

// init makes ready what the zero value has not.
func (b *IndexBuilder) init() {
	if b.syms != nil {
		return
	}
	b.syms = new(symbols)
	b.latest = make(map[latestKey]pkgID)
	b.rootIDs = make(map[string]rootID)
	b.evrIDs = make(map[repodata.EVR]evrID)
	b.evrs = make([]repodata.EVR, 1)
	b.seed = maphash.MakeSeed()
	b.modular = make(map[artifact]symbol)
	b.advised = make(map[advised]symbol)
	b.comps = make(map[string][]compsList)
}

func (b *IndexBuilder) refuse(root string, p *repodata.Package, err error) {
	b.refused = append(b.refused, Refusal{Root: strings.Clone(root), Location: strings.Clone(p.Location), Err: err})
}

func (b *IndexBuilder) root(root string) rootID {
	root = strings.Trim(root, "/")
	if id, ok := b.rootIDs[root]; ok {
		return id
	}
	root = strings.Clone(root)
	id := rootID(len(b.roots))
	b.roots = append(b.roots, newRootInfo(root))
	b.rootIDs[root] = id
	return id
}

func (b *IndexBuilder) evr(e repodata.EVR) evrID {
	if e == (repodata.EVR{}) {
		return 0
	}
	if id, ok := b.evrIDs[e]; ok {
		return id
	}
	e.Version, e.Release = b.syms.keep(e.Version), b.syms.text(b.syms.id(e.Release))
	id := evrID(len(b.evrs))
	b.evrs = append(b.evrs, e)
	b.evrIDs[e] = id
	return id
}

// require keeps what the package requires of others.
func (b *IndexBuilder) require(k *pkg, deps []repodata.Dep) {
	k.requires = uint32(b.requires.len())
	for i := range deps {
		// What rpm itself must be able to do is no package.
		if d := &deps[i]; d.Name != "" && !strings.HasPrefix(d.Name, "rpmlib(") {
			b.requires.add(b.relation(d))
		}
	}
	k.nreq = uint32(b.requires.len()) - k.requires
}

func (b *IndexBuilder) relation(d *repodata.Dep) relationID {
	if repodata.IsRich(d.Name) {
		id, fresh := b.rels.id(relation{capability: b.syms.id(d.Name), sense: rich})
		// One that cannot be read has no tree, and is reported as unmet.
		if fresh {
			if parsed, err := repodata.ParseRich(d.Name); err == nil {
				b.rels.trees[id] = b.tree(&parsed)
			}
		}
		return id
	}
	r := relation{capability: b.syms.id(d.Name), sense: senseOf(d.Flags)}
	if r.sense == 0 {
		return b.rels.bare(r.capability)
	}
	r.evr = b.evr(d.EVR)
	id, _ := b.rels.id(r)
	return id
}

func (b *IndexBuilder) tree(r *repodata.Rich) *tree {
	if r.Op == repodata.OpNone {
		return &tree{leaf: b.relation(&r.Dep)}
	}
	t := &tree{op: r.Op}
	for i := range r.Operands {
		t.args = append(t.args, b.tree(&r.Operands[i]))
	}
	return t
}

// Index makes the Index, and leaves the builder empty.
func (b *IndexBuilder) Index() *Index {
	if b.syms == nil {
		return &Index{syms: new(symbols)}
	}
	x := &Index{syms: b.syms, evrs: b.evrs, roots: b.roots, rels: b.rels, refused: b.refused, comps: b.comps}
	x.rels.ids, b.evrIDs = nil, nil
	places := make([]place, len(b.roots))
	for i := range b.roots {
		places[i] = b.roots[i].place
	}
	var in [][]groupID
	x.groups, in = gather(places)
	kept := b.choose(x, in)
	b.latest, b.pkgs, b.requires = nil, chunked[pkg]{}, chunked[relationID]{}
	b.offer(x, kept)
	b.succeed(x, kept)
	*b = IndexBuilder{}
	return x
}

// choose gives x the packages that are the newest in some group, by name. It
// returns the new number of each of the builder's packages, plus one; 0 for those
// that are not kept.
func (b *IndexBuilder) choose(x *Index, in [][]groupID) []pkgID {
	order := b.latestOfRoots()
	var nreq uint32
	for _, p := range order {
		k := b.pkgs.at(int(p))
		nreq += k.nreq
		for _, g := range in[k.root] {
			x.groups[g].has(x.syms.text(k.family))
		}
	}
	x.pkgs = make([]pkg, 0, len(order))
	x.requires = make([]relationID, 0, nreq)
	sets := newGroupSets()
	kept := make([]pkgID, b.pkgs.len())
	for len(order) > 0 {
		first, n := b.pkgs.at(int(order[0])), 1
		for n < len(order) && first.compareName(b.pkgs.at(int(order[n]))) == 0 {
			n++
		}
		for _, p := range order[:n] {
			k := *b.pkgs.at(int(p))
			k.advisory = b.advised[advised{k.root, k.name, k.arch, k.evr}]
			k.in = sets.id(b.newestIn(x.groups, p, order[:n], in))
			if k.in == 0 {
				continue
			}
			from := k.requires
			k.requires = uint32(len(x.requires))
			for i := range k.nreq {
				x.requires = append(x.requires, *b.requires.at(int(from + i)))
			}
			x.pkgs = append(x.pkgs, k)
			kept[p] = pkgID(len(x.pkgs))
		}
		order = order[n:]
	}
	x.sets = sets.all
	x.first = starts(len(x.syms.texts), len(x.pkgs), func(i int) symbol { return x.pkgs[i].name })
	return kept
}

// latestOfRoots lists the packages that are the newest of their root, those of
// one name and track together.
func (b *IndexBuilder) latestOfRoots() []pkgID {
	order := make([]pkgID, 0, b.pkgs.len())
	for i := range b.pkgs.len() {
		k := b.pkgs.at(i)
		if last := b.latest[latestKey{k.root, k.name, k.arch, k.track, k.stream}]; b.pkgs.at(int(last)).evr == k.evr {
			order = append(order, pkgID(i))
		}
	}
	slices.SortFunc(order, func(p, q pkgID) int {
		return cmp.Or(b.pkgs.at(int(p)).compareName(b.pkgs.at(int(q))), cmp.Compare(p, q))
	})
	return order
}

// compareName orders packages so that those which may replace one another stand
// together.
func (k *pkg) compareName(l *pkg) int {
	return cmp.Or(cmp.Compare(k.name, l.name), cmp.Compare(k.track, l.track), cmp.Compare(k.stream, l.stream))
}

// newestIn lists the groups in which none of the rivals, packages of the same
// name, replaces p.
func (b *IndexBuilder) newestIn(groups []group, p pkgID, rivals []pkgID, in [][]groupID) []groupID {
	all := in[b.pkgs.at(int(p)).root]
	if len(rivals) == 1 {
		return all
	}
	var won []groupID
	for _, g := range all {
		if !slices.ContainsFunc(rivals, func(q pkgID) bool {
			return slices.Contains(in[b.pkgs.at(int(q)).root], g) && b.replaces(&groups[g], q, p)
		}) {
			won = append(won, g)
		}
	}
	return won
}

// replaces reports whether the machines of g update p to q: it is newer, and of
// the same architecture, or one that a package may have come to from there, which
// is from any to noarch and from noarch to the machine's own.
func (b *IndexBuilder) replaces(g *group, q, p pkgID) bool {
	old, new := b.pkgs.at(int(p)), b.pkgs.at(int(q))
	if old.evr == new.evr || b.evrs[new.evr].Compare(b.evrs[old.evr]) <= 0 {
		return false
	}
	if old.arch == new.arch {
		return true
	}
	from, to := b.syms.text(old.family), b.syms.text(new.family)
	return to == noarch && from != "src" || from == noarch && g.native(to)
}

// offer gives x what the kept packages offer of what any requires.
func (b *IndexBuilder) offer(x *Index, kept []pkgID) {
	wanted := make(map[uint64]symbol)
	for _, r := range x.rels.all {
		if r.sense&rich == 0 {
			wanted[maphash.String(b.seed, x.syms.text(r.capability))] = r.capability
		}
	}
	// First count the offers of each capability, and put its symbol in the place of
	// the hash, then deal them out.
	x.offered = make([]uint32, len(x.syms.texts)+1)
	total := uint32(0)
	for i := range b.offers.len() {
		h := b.offers.at(i)
		capability := wanted[h.capability]
		if kept[h.offer.pkg] == 0 {
			capability = 0
		}
		h.capability = uint64(capability)
		if capability != 0 {
			x.offered[capability]++
			total++
		}
	}
	x.offers = make([]offer, total)
	at := uint32(0)
	for i, n := range x.offered {
		x.offered[i] = at
		at += n
	}
	next := slices.Clone(x.offered)
	for i := range b.offers.len() {
		if h := b.offers.at(i); h.capability != 0 {
			h.offer.pkg = kept[h.offer.pkg] - 1
			x.offers[next[h.capability]] = h.offer
			next[h.capability]++
		}
	}
	for i, from := range x.offered[:len(x.offered)-1] {
		slices.SortStableFunc(x.offers[from:x.offered[i+1]], func(a, c offer) int { return cmp.Compare(a.pkg, c.pkg) })
	}
}

// starts says for each of the symbols, and for one more, where the first of n
// sorted entries lies that is not below it.
func starts(symbols, n int, of func(int) symbol) []uint32 {
	at := make([]uint32, symbols+1)
	i := 0
	for s := range at {
		for i < n && int(of(i)) < s {
			i++
		}
		at[s] = uint32(i)
	}
	return at
}
