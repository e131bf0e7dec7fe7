package sync

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// Numbers of what an Index holds.
type (
	pkgID      uint32
	rootID     uint32
	groupID    uint16
	evrID      uint32 // 0: no version
	relationID uint32
	setID      uint32 // of a set of groups
)

// Index is what the repositories of a site offer: of each name and architecture
// the newest version among companion roots, with what it requires. An
// IndexBuilder makes it; it does not change, and any number of goroutines may
// read it.
//
// Newest is meant within a track: modular packages, stream by stream, and those
// of testing roots do not hide the others, which most clients go on with.
type Index struct {
	syms   *symbols
	evrs   []repodata.EVR
	roots  []rootInfo
	groups []group
	sets   [][]groupID // sorted

	pkgs  []pkg    // those of one name stand together
	first []uint32 // by symbol: where the packages of that name begin in pkgs

	rels     relations
	requires []relationID // of the packages, one behind the other
	offers   []offer      // those of one capability stand together
	offered  []uint32     // by symbol: where the offers of that capability begin

	comps     map[string][]compsList // by the group's id
	obsoletes []obsoletion           // by name

	refused []Refusal
}

// rootInfo is a root that packages came from.
type rootInfo struct {
	root    string
	repo    string
	dir     string // below the repo, decoded, with a slash behind; "" for the repo's top
	easy    bool   // dir tells all that there is to tell of the root in a key
	place   place
	updates bool // a root of updates
}

func newRootInfo(root string) rootInfo {
	isUpdates := func(part string) bool { return part == "updates" || part == "update" }
	r := rootInfo{root: root, place: locate(root), updates: slices.ContainsFunc(strings.Split(root, "/"), isUpdates)}
	var dir string
	r.repo, dir, _ = strings.Cut(root, "/")
	if k, err := cache.NewKey(r.repo, dir); err == nil {
		r.dir = k.Path + "/"
	}
	r.easy = (r.dir != "" || dir == "") && len(root) <= maxEasy
	return r
}

// key is the cache's name for the file at location below the root.
func (r *rootInfo) key(location string) (cache.Key, error) {
	if r.easy && easy(location) {
		return cache.Key{Repo: r.repo, Path: r.dir + location}, nil
	}
	k, err := cache.NewKey(r.repo, strings.TrimPrefix(r.root, r.repo)+"/"+location)
	if err != nil {
		return cache.Key{}, err
	}
	// The parser refuses what leads out of the root; a key that did would let one
	// repository's metadata name another's files.
	if !strings.HasPrefix(k.Path, r.dir) {
		return cache.Key{}, fmt.Errorf("%s/%s: leads out of the repository: %w", r.root, location, cache.ErrNotAFile)
	}
	return k, nil
}

// maxEasy is how long, in bytes, a root or a location may be to be easy.
const maxEasy = 1 << 10

// easy reports whether a location is in a key what it is in a URL, without
// decoding or cleaning. Nearly all are, and a tenth of the time that an Index
// takes is saved.
func easy(location string) bool {
	if len(location) > maxEasy {
		return false // how long both are together, cache.NewKey sees
	}
	name := 0 // bytes of the file or directory
	for i := range len(location) {
		switch c := location[i]; {
		case c == '/':
			if name == 0 {
				return false
			}
			name = 0
			continue
		case c == '.' && name == 0:
			return false
		case '0' <= c && c <= '9', 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z':
		case c == '-', c == '.', c == '_', c == '+', c == '~', c == '^':
		default:
			return false
		}
		if name++; name > 255 {
			return false
		}
	}
	return name > 0
}

// pkg is one package file.
type pkg struct {
	location string // below the root, escaped as in a URL
	digest   cache.Digest
	size     int64 // bytes
	built    int64 // Unix seconds
	name     symbol
	arch     symbol
	family   symbol // of arch
	evr      evrID
	root     rootID
	in       setID  // the groups in which it is the newest
	requires uint32 // where its relations begin in Index.requires
	nreq     uint32
	track    track
	stream   symbol // of a module, with its context: "nodejs:18:489197e6"; 0 for none
	source   symbol // the name of the source package that it was built from; 0 for none
	advisory symbol // the security advisory that this version answers; 0 for none
}

// track sets packages apart that do not replace one another.
type track uint8

const (
	inModule  track = 1 << iota // built for a module's stream
	inTesting                   // from a testing root
)

// offer says that a package provides a capability, in some versions.
type offer struct {
	pkg   pkgID
	evr   evrID
	sense sense
}

// Refusal is a package that metadata lists and that cannot be fetched.
type Refusal struct {
	Root     string
	Location string
	Err      error
}

// Len is the number of packages that are the newest of their name and
// architecture somewhere.
func (x *Index) Len() int { return len(x.pkgs) }

// Refused lists the packages that were left out because their location or
// checksum cannot be used.
func (x *Index) Refused() []Refusal { return x.refused }

// named are the numbers of the packages of that name.
func (x *Index) named(name symbol) (from, to pkgID) {
	if int(name)+1 >= len(x.first) {
		return 0, 0
	}
	return pkgID(x.first[name]), pkgID(x.first[name+1])
}

// offering are the offers of that capability.
func (x *Index) offering(capability symbol) []offer {
	if int(capability)+1 >= len(x.offered) {
		return nil
	}
	return x.offers[x.offered[capability]:x.offered[capability+1]]
}

// in reports whether p is the newest of its name, architecture and track in g.
func (x *Index) in(p pkgID, g groupID) bool {
	return slices.Contains(x.sets[x.pkgs[p].in], g)
}

// groupsOf lists the groups of a root, which need not be one that the Index
// has packages of.
func (x *Index) groupsOf(root string) []groupID { return members(x.groups, locate(root)) }

// requirements are what p requires.
func (x *Index) requirements(p pkgID) []relationID {
	k := &x.pkgs[p]
	return x.requires[k.requires : k.requires+k.nreq]
}

// name is the name of p.
func (x *Index) name(p pkgID) string { return x.syms.text(x.pkgs[p].name) }

// arch is the architecture of p.
func (x *Index) arch(p pkgID) string { return x.syms.text(x.pkgs[p].arch) }

// stream is the module's stream that p is of, "" for none.
func (x *Index) stream(p pkgID) string { return x.syms.text(x.pkgs[p].stream) }

// describe is r as a spec file would have it.
func (x *Index) describe(id relationID) string {
	r := x.rels.all[id]
	name := x.syms.text(r.capability)
	var op string
	switch r.sense {
	case less:
		op = " < "
	case less | equal:
		op = " <= "
	case equal:
		op = " = "
	case greater | equal:
		op = " >= "
	case greater:
		op = " > "
	default:
		return name
	}
	return name + op + x.evrs[r.evr].String()
}

// newest are the packages of that name in g that keep admits: the best of each
// architecture and track, sorted by both.
//
// The same version can be in two roots, with the same bytes or with others.
// Metadata's digest is then each one's identity, and one of them is fetched: the
// one in the root that the clients' requests name (root, if it is not ""), else
// the one among the updates, else the one that was built last.
func (x *Index) newest(g groupID, name symbol, root string, keep func(pkgID) bool) []pkgID {
	var all []pkgID
	for p, end := x.named(name); p < end; p++ {
		if x.in(p, g) && keep(p) {
			all = append(all, p)
		}
	}
	if len(all) < 2 {
		return all
	}
	slices.SortFunc(all, func(a, b pkgID) int {
		return cmp.Or(
			strings.Compare(x.arch(a), x.arch(b)),
			cmp.Compare(x.pkgs[a].track, x.pkgs[b].track),
			strings.Compare(x.stream(a), x.stream(b)),
			x.compareTwins(a, b, root),
		)
	})
	return slices.CompactFunc(all, func(a, b pkgID) bool {
		p, q := &x.pkgs[a], &x.pkgs[b]
		return p.arch == q.arch && p.track == q.track && p.stream == q.stream
	})
}

// compareTwins is negative if a is to be preferred to b, a package of the same
// version. It is never 0 for two packages.
func (x *Index) compareTwins(a, b pkgID, root string) int {
	p, q := &x.pkgs[a], &x.pkgs[b]
	r, s := &x.roots[p.root], &x.roots[q.root]
	first := func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	}
	return cmp.Or(
		first(r.root == root, s.root == root),
		first(r.updates, s.updates),
		cmp.Compare(q.built, p.built),
		strings.Compare(r.root, s.root),
		strings.Compare(p.location, q.location),
		strings.Compare(string(p.digest), string(q.digest)),
	)
}
