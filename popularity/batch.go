package popularity

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync/atomic"
)

const (
	// A batch is committed when it has this many requests, or this many bytes
	// of log were read for it: the memory it may take, and what a kill makes
	// the next run read again.
	batchRequests = 512 << 10
	batchBytes    = 256 << 20
	// With one part in so many of batchRequests it is committed when a day is
	// over: most logs are in the order of time, and what a client asked for on a
	// day is then written once, and not read again to be merged.
	batchDay = 4

	// What is remembered of targets and clients, in bytes, before it is
	// forgotten and looked up anew: a log of a web site has no end of them.
	memoryLimit = 48 << 20
)

// kind is what a target was found to be.
type kind uint8

const (
	kindSkip kind = iota
	kindPackage
	kindRepomd
)

// verdict is what is remembered of a target: for a package or a root its index
// in batch.paths or batch.roots, else the reason to skip it.
type verdict struct {
	kind   kind
	reason reason
	index  uint32
}

// pathInfo is a package's path: the index of its directory in batch.dirs, and
// its name there.
type pathInfo struct {
	dir  uint32
	base string
}

// rootInfo is a root that was asked for.
type rootInfo struct {
	root                string
	firstSeen, lastSeen int64 // of this batch; 0: not in it
}

// clientDay is a client on a day. client is an index in batch.clients.
type clientDay struct {
	day    int32
	client uint32
}

// visit is what a client asked for on a day: how many records it has, the last
// of them in batch.records and its path.
type visit struct {
	clientDay
	records, last, lastPath uint32
	hash                    uint64 // of the client, as the database has it
}

// batch collects the requests of lines until they are committed. It remembers
// targets and clients over batches. It is not for concurrent use; but what is in
// dirs and paths does not change any more, so that a snapshot of them may be read
// while the batch goes on. Parsers look into its memory meanwhile.
type batch struct {
	resolve   func(host, path string) (repo, rest string, ok bool)
	isPackage func(path string) bool
	salt      []byte
	group     *group // nil: a client has one hash on all days

	memory      atomic.Pointer[memory] // replaced when all is forgotten
	remembered  int                    // bytes in memory and in what that leads to
	most        int                    // of remembered
	clients     []uint64               // salted hashes
	clientIndex map[uint64]uint32
	dirs        []string
	dirIndex    map[string]uint32
	paths       []pathInfo
	roots       []rootInfo
	rootIndex   map[string]uint32

	records    []record
	visits     []visit
	visitIndex map[clientDay]uint32
	current    []uint32            // of each client what may be its last visit
	missing    map[uint32][]uint64 // hashes of what was not there, by visit, see scanner.go
	dayEnds    int64               // the end of the newest day in the batch, seconds since 1970; 0: none is
	over       bool                // the last count ended with a day
	tally      tally
}

// count takes the lines of k from its i-th on into the batch until it has limit
// records, or enough of them and a new day begins. It returns the first line that
// was not taken.
func (b *batch) count(k *block, i, limit int) int {
	b.over = false
	if k.long != nil {
		b.tally.lines++
		b.tally.skip(reasonTooLong, k.long)
	}
	for ; i < len(k.parsed) && len(b.records) < limit && len(b.visits) < limit; i++ {
		l := &k.parsed[i]
		if l.at >= b.dayEnds && l.why == reasonNone {
			b.dayEnds = (dayOf(l.at) + 1) * secondsPerDay
			if n := len(b.records); n > 0 && n >= limit/batchDay {
				b.over = true
				return i
			}
		}
		b.tally.lines++
		if l.format != formatNone {
			b.tally.formats[l.format]++
		}
		why := l.why
		if why == reasonNone {
			why = b.add(k, l)
		}
		if why == reasonNone {
			continue
		}
		if l.missing {
			b.miss(l, &k.strangers[l.stranger-1])
		}
		if b.tally.skipped[why]++; b.tally.skipped[why] == 1 {
			from := k.start
			if i > 0 {
				from = int(k.parsed[i-1].end)
			}
			b.tally.example[why] = printable(k.buf[from : l.end-1])
		}
	}
	return i
}

// add takes a line that counts as far as its target does, or says why it does
// not.
func (b *batch) add(k *block, l *parsed) reason {
	var v verdict
	if l.stranger == 0 {
		v = unpackVerdict(l.target)
	} else {
		v = b.verdict(&k.strangers[l.stranger-1])
	}
	switch v.kind {
	case kindRepomd:
		r := &b.roots[v.index]
		if r.firstSeen == 0 || l.at < r.firstSeen {
			r.firstSeen = l.at
		}
		r.lastSeen = max(r.lastSeen, l.at)
		b.tally.repomd++
	case kindPackage:
		b.tally.counted++
		client, day := l.client, dayOf(l.at)
		if l.stranger != 0 {
			client = b.client(&k.strangers[l.stranger-1])
		}
		i := b.visit(client, day)
		w, second := &b.visits[i], l.at-day*secondsPerDay
		// The ranges of a download mostly follow each other.
		if w.records > 0 && w.lastPath == v.index {
			r := &b.records[w.last]
			*r = newRecord(i, v.index, max(second, r.second()), max(l.bytes, r.bytes()))
			break
		}
		w.records, w.last, w.lastPath = w.records+1, uint32(len(b.records)), v.index
		b.records = append(b.records, newRecord(i, v.index, second, l.bytes))
	}
	return v.reason
}

// visit is the index of a client's on a day.
func (b *batch) visit(client uint32, day int64) uint32 {
	k := clientDay{int32(day), client}
	if i := b.current[k.client]; int(i) < len(b.visits) && b.visits[i].clientDay == k {
		return i
	}
	i, ok := b.visitIndex[k]
	if !ok {
		i = uint32(len(b.visits))
		b.visits = append(b.visits, visit{clientDay: k, hash: b.hashOn(k)})
		b.visitIndex[k] = i
	}
	b.current[k.client] = i
	return i
}

const repomdPath = "repodata/repomd.xml"

// pack makes a verdict a number: what it is in two bits, and its only index or
// reason behind them.
func (v verdict) pack() uint32 { return (v.index|uint32(v.reason))<<2 | uint32(v.kind) }

func unpackVerdict(n uint32) verdict {
	if k := kind(n & 3); k != kindSkip {
		return verdict{kind: k, index: n >> 2}
	}
	return verdict{reason: reason(n >> 2)}
}

// verdict says what a line's target is, and remembers it.
func (b *batch) verdict(s *stranger) verdict {
	m := b.memory.Load()
	if n, ok := m.targets.get(s.targetKey); ok {
		return unpackVerdict(n)
	}
	v := b.find(string(s.target))
	m.targets.put(s.targetKey, v.pack())
	b.remembered += 32
	return v
}

func (b *batch) find(target string) verdict {
	path, ok, why := b.locate(target)
	if !ok {
		return verdict{reason: why}
	}
	if root, found := strings.CutSuffix(path, "/"+repomdPath); found {
		i, known := b.rootIndex[root]
		if !known {
			i = uint32(len(b.roots))
			b.roots = append(b.roots, rootInfo{root: root})
			b.rootIndex[root] = i
		}
		return verdict{kind: kindRepomd, index: i}
	}
	slashed := target
	if target[1:] != path {
		slashed = "/" + path
	}
	if !b.isPackage(slashed) {
		return verdict{reason: reasonNoPackage}
	}
	dir, base, _ := cutLast(path, "/")
	if _, _, ok := packageName(dir, base); !ok {
		return verdict{reason: reasonFileName}
	}
	d, known := b.dirIndex[dir]
	if !known {
		dir = strings.Clone(dir)
		d = uint32(len(b.dirs))
		b.dirs = append(b.dirs, dir)
		b.dirIndex[dir] = d
		b.remembered += len(dir) + 64
	}
	i, known := b.pathOf(target, slashed, d, base)
	if !known {
		base = strings.Clone(base)
		i = uint32(len(b.paths))
		b.paths = append(b.paths, pathInfo{d, base})
		b.remembered += len(base) + 100
	}
	return verdict{kind: kindPackage, index: i}
}

// pathOf finds the path, with a slash before it, that a target leads to. Most targets
// are their path: then the target is what the path is remembered by, and else it is
// put into memory.paths with the next index.
func (b *batch) pathOf(target, path string, dir uint32, base string) (i uint32, known bool) {
	m := b.memory.Load()
	k := m.seeds.key([]byte(path))
	if i, known = m.paths.get(k); known {
		return i, true
	}
	if target == path {
		return 0, false
	}
	if n, ok := m.targets.get(k); ok {
		// With another repository's rules that target is another path.
		if v := unpackVerdict(n); v.kind == kindPackage && b.paths[v.index] == (pathInfo{dir, base}) {
			return v.index, true
		}
	}
	m.paths.put(k, uint32(len(b.paths)))
	b.remembered += 32
	return 0, false
}

// locate is the repository and the path in it that a target names, decoded and
// with a slash between them; why not where it names none.
func (b *batch) locate(target string) (path string, ok bool, why reason) {
	host, escaped, ok := splitTarget(unescapeLog(target))
	if !ok {
		return "", false, reasonTarget
	}
	repo, rest, ok := b.resolve(host, escaped)
	if !ok {
		return "", false, reasonNoRepo
	}
	if rest, ok = cleanPath(rest); !ok {
		return "", false, reasonTarget
	}
	if n := len(repo) + 1; len(target) == n+1+len(rest) && target[0] == '/' && target[n] == '/' && target[1:n] == repo && target[n+1:] == rest {
		return target[1:], true, reasonNone // it stands there as it is
	}
	return repo + "/" + rest, true, reasonNone
}

// client is the index of a line's client.
func (b *batch) client(s *stranger) uint32 {
	m := b.memory.Load()
	if i, ok := m.addresses.get(s.clientKey); ok {
		return i
	}
	h := b.hash(normalClient(string(s.client)))
	i, known := b.clientIndex[h]
	if !known {
		i = uint32(len(b.clients))
		b.clients, b.current = append(b.clients, h), append(b.current, 0)
		b.clientIndex[h] = i
		b.remembered += 48
	}
	m.addresses.put(s.clientKey, i)
	b.remembered += 32
	return i
}

// hashOn is the hash of a client as the database has it on a day.
func (b *batch) hashOn(k clientDay) uint64 {
	h := b.clients[k.client]
	if b.group != nil {
		h = b.group.client(h, int64(k.day))
	}
	return h
}

// hash is a salted hash, in which nothing of s can be found again.
func (b *batch) hash(s string) uint64 {
	sum := sha256.Sum256(append(slices.Clone(b.salt), s...))
	return binary.BigEndian.Uint64(sum[:])
}

// full says whether the batch has to be committed before more is counted.
func (b *batch) full(limit int) bool {
	return len(b.records) >= limit || len(b.visits) >= limit || b.remembered >= b.most
}

// next empties the batch after it was handed over, and forgets targets and clients
// if they are too many. It reports whether it did: then all indices mean something
// else from now on.
func (b *batch) next() (forgot bool) {
	b.records = b.records[:0]
	b.visits, b.missing = make([]visit, 0, len(b.visits)), map[uint32][]uint64{}
	b.dayEnds, b.tally = 0, tally{}
	if b.remembered < b.most && b.visitIndex != nil {
		clear(b.visitIndex)
		for i := range b.roots {
			b.roots[i].firstSeen, b.roots[i].lastSeen = 0, 0
		}
		return false
	}
	b.remembered, b.visitIndex = 0, map[clientDay]uint32{}
	fresh := &memory{seeds: newMemoSeeds()}
	if m := b.memory.Load(); m != nil {
		fresh.seeds = m.seeds // of the keys that are under way
	}
	b.memory.Store(fresh)
	b.clients, b.current, b.clientIndex = nil, nil, map[uint64]uint32{}
	b.dirs, b.dirIndex = nil, map[string]uint32{}
	b.paths = nil
	b.roots, b.rootIndex = nil, map[string]uint32{}
	return true
}
