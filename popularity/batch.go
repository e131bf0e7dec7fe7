package popularity

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
)

const (
	// A batch is committed when it has this many requests, or this many bytes
	// of log were read for it: the memory it may take, and what a kill makes
	// the next run read again.
	batchRequests = 384 << 10
	batchBytes    = 256 << 20
	// With one part in so many of batchRequests it is committed when a day is
	// over: most logs are in the order of time, and what a client asked for on a
	// day is then written once, and not read again to be merged.
	batchDay = 4

	// What is remembered of targets and clients, in bytes, before it is
	// forgotten and looked up anew: a log of a web site has no end of them.
	memoryLimit = 48 << 20
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

// batch collects the requests of lines until they are committed. It remembers
// targets and clients over batches. It is not for concurrent use; but what is in
// dirs and paths does not change any more, so that a snapshot of them may be read
// while the batch goes on. Parsers look into its memory meanwhile.
type batch struct {
	placer
	salt []byte

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

	days    map[int32]*dayRequests
	today   *dayRequests // the one that was looked for last
	taken   int          // requests, and clients that missed something, in days
	chunks  chunkPool    // of the days' records
	dayEnds int64        // the end of the newest day in the batch, seconds since 1970; 0: none is
	over    bool         // the last count ended with a day
	tally   tally
}

// count takes the lines of k from its i-th on into the batch until that has limit
// requests, or enough of them and a new day begins. It returns the first line that
// was not taken.
func (b *batch) count(k *block, i, limit int) int {
	b.over = false
	if k.long != nil {
		b.tally.lines++
		b.tally.skip(reasonTooLong, k.long)
	}
	for ; i < len(k.parsed) && b.taken < limit; i++ {
		l := &k.parsed[i]
		if l.at >= b.dayEnds && l.why == reasonNone {
			b.dayEnds = (dayOf(l.at) + 1) * secondsPerDay
			if b.taken > 0 && b.taken >= limit/batchDay {
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
		client := l.client
		if l.stranger != 0 {
			client = b.client(&k.strangers[l.stranger-1])
		}
		d := b.day(l.at)
		second := l.at - int64(d.day)*secondsPerDay
		// The ranges of a download mostly follow each other.
		if r := d.last(); r != nil && r.client == client && r.path == v.index {
			r.merge(second, l.bytes)
			break
		}
		d.add(newRecord(client, v.index, second, l.bytes), b.chunks)
		b.taken++
	}
	return v.reason
}

// day is what was asked for on the day of a time, in seconds since 1970.
func (b *batch) day(at int64) *dayRequests {
	day := int32(dayOf(at))
	if b.today == nil || b.today.day != day {
		d := b.days[day]
		if d == nil {
			d = &dayRequests{day: day}
			b.days[day] = d
		}
		b.today = d
	}
	return b.today
}

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
	if !s.judged {
		s.finding = b.find(string(s.target))
	}
	v := b.index(&s.finding)
	m.targets.put(s.targetKey, v.pack())
	b.remembered += 32
	return v
}

// index remembers what was found of a target: the root, or the path.
func (b *batch) index(f *finding) verdict {
	switch f.kind {
	case kindRepomd:
		i, known := b.rootIndex[f.dir]
		if !known {
			root := strings.Clone(f.dir)
			i = uint32(len(b.roots))
			b.roots = append(b.roots, rootInfo{root: root})
			b.rootIndex[root] = i
		}
		return verdict{kind: kindRepomd, index: i}
	case kindPackage:
		d, known := b.dirIndex[f.dir]
		if !known {
			dir := strings.Clone(f.dir)
			d = uint32(len(b.dirs))
			b.dirs = append(b.dirs, dir)
			b.dirIndex[dir] = d
			b.remembered += len(dir) + 64
		}
		i, known := b.pathOf(f, d)
		if !known {
			i = uint32(len(b.paths))
			if len(b.paths) == cap(b.paths) {
				b.paths = slices.Grow(b.paths, max(1024, len(b.paths))) // append would copy them more often
			}
			b.paths = append(b.paths, pathInfo{d, strings.Clone(f.base)})
			b.remembered += len(f.base) + 100
		}
		return verdict{kind: kindPackage, index: i}
	}
	return verdict{reason: f.why}
}

// pathOf finds the path that a target leads to. Most targets are their path: then
// the target is what the path is remembered by, and else it is put into memory.paths
// with the next index.
func (b *batch) pathOf(f *finding, dir uint32) (i uint32, known bool) {
	m := b.memory.Load()
	if f.plain && m.paths.used == 0 {
		return 0, false
	}
	k := m.seeds.key([]byte("/" + f.dir + "/" + f.base))
	if i, known = m.paths.get(k); known {
		return i, true
	}
	if f.plain {
		return 0, false
	}
	if n, ok := m.targets.get(k); ok {
		// With another repository's rules that target is another path.
		if v := unpackVerdict(n); v.kind == kindPackage && b.paths[v.index] == (pathInfo{dir, f.base}) {
			return v.index, true
		}
	}
	m.paths.put(k, uint32(len(b.paths)))
	b.remembered += 32
	return 0, false
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
		b.clients = append(b.clients, h)
		b.clientIndex[h] = i
		b.remembered += 48
	}
	m.addresses.put(s.clientKey, i)
	b.remembered += 32
	return i
}

// inOrder are the batch's days.
func (b *batch) inOrder() []*dayRequests {
	return slices.SortedFunc(maps.Values(b.days), func(x, y *dayRequests) int { return cmp.Compare(x.day, y.day) })
}

// hash is a salted hash, in which nothing of s can be found again.
func (b *batch) hash(s string) uint64 {
	sum := sha256.Sum256(append(slices.Clone(b.salt), s...))
	return binary.BigEndian.Uint64(sum[:])
}

// full says whether the batch has to be committed before more is counted.
func (b *batch) full(limit int) bool {
	return b.taken >= limit || b.remembered >= b.most
}

// next empties the batch after it was handed over, and forgets targets and clients
// if they are too many. It reports whether it did: then all indices mean something
// else from now on.
func (b *batch) next() (forgot bool) {
	b.days, b.today, b.taken = map[int32]*dayRequests{}, nil, 0
	b.dayEnds, b.tally = 0, tally{}
	if m := b.memory.Load(); m != nil && b.remembered < b.most {
		for i := range b.roots {
			b.roots[i].firstSeen, b.roots[i].lastSeen = 0, 0
		}
		return false
	}
	b.remembered = 0
	fresh := &memory{seeds: newMemoSeeds()}
	if m := b.memory.Load(); m != nil {
		fresh.seeds = m.seeds // of the keys that are under way
	}
	b.memory.Store(fresh)
	b.clients, b.clientIndex = nil, map[uint64]uint32{}
	b.dirs, b.dirIndex = nil, map[string]uint32{}
	b.paths = nil
	b.roots, b.rootIndex = nil, map[string]uint32{}
	return true
}
