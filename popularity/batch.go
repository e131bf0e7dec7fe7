package popularity

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

const (
	// A batch is committed when it has this many requests, or this many bytes
	// of log were read for it: the memory it may take, and what a kill makes
	// the next run read again.
	batchRequests = 512 << 10
	batchBytes    = 512 << 20

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

// record is one request, possibly one of several that are one. path is an index
// in batch.paths.
type record struct {
	clientDay
	path   uint32
	second uint32 // of the day
	bytes  int64
}

// batch collects the requests of lines until they are committed. It remembers
// targets and clients over batches. It is not for concurrent use; but what is in
// dirs, paths and clients does not change any more, so that a snapshot of them
// may be read while the batch goes on.
type batch struct {
	resolve   func(host, path string) (repo, rest string, ok bool)
	isPackage func(path string) bool
	salt      []byte

	targets     map[string]verdict
	addresses   map[string]uint32 // in any spelling, to the index in clients
	remembered  int               // bytes in targets, addresses and what they lead to
	clients     []uint64          // salted hashes
	clientIndex map[uint64]uint32
	lasts       []int // of each client its last record, from 1; 0: none
	dirs        []string
	dirIndex    map[string]uint32
	paths       []pathInfo
	pathIndex   map[pathInfo]uint32
	roots       []rootInfo
	rootIndex   map[string]uint32

	records []record
	missing map[clientDay][]uint64 // what was asked for and not there, see scanner.go
	tally   tally
}

// count takes the lines of b from its i-th on into the batch until it has limit
// records. It returns the first line that was not taken.
func (b *batch) count(k *block, i, limit int) int {
	if k.long != nil {
		b.tally.lines++
		b.tally.skip(reasonTooLong, k.long)
	}
	for ; i < len(k.parsed) && len(b.records) < limit; i++ {
		l := &k.parsed[i]
		b.tally.lines++
		if l.format != formatNone {
			b.tally.formats[l.format]++
		}
		why := l.why
		if why == reasonNone {
			why = b.add(l)
		}
		if why == reasonNone {
			continue
		}
		if l.missing {
			b.miss(l)
		}
		if b.tally.skipped[why]++; b.tally.skipped[why] == 1 {
			from := k.start
			if i > 0 {
				from = k.parsed[i-1].end
			}
			b.tally.example[why] = printable(k.buf[from : l.end-1])
		}
	}
	return i
}

// add takes a line that counts as far as its target does, or says why it does
// not.
func (b *batch) add(l *parsed) reason {
	v, ok := b.targets[string(l.target)]
	if !ok {
		v = b.judge(l.target)
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
		day := dayOf(l.at)
		r := record{
			clientDay: clientDay{int32(day), b.client(l.client)},
			path:      v.index, second: uint32(l.at - day*secondsPerDay), bytes: l.bytes,
		}
		b.tally.counted++
		// The ranges of a download mostly follow each other.
		if last := b.lasts[r.client]; last > 0 {
			if have := &b.records[last-1]; have.same(&r) {
				have.merge(&r)
				break
			}
		}
		b.records = append(b.records, r)
		b.lasts[r.client] = len(b.records)
	}
	return v.reason
}

// same says whether two records are of one request.
func (r *record) same(o *record) bool { return r.path == o.path && r.clientDay == o.clientDay }

// merge makes one of two records of one request: the larger answer and the later
// time, in either order.
func (r *record) merge(o *record) {
	r.bytes, r.second = max(r.bytes, o.bytes), max(r.second, o.second)
}

const repomdPath = "repodata/repomd.xml"

// judge finds out what a target is, and remembers it.
func (b *batch) judge(target []byte) verdict {
	text := string(target)
	v := b.find(text)
	b.targets[text] = v
	b.remembered += len(text) + 48
	return v
}

func (b *batch) find(text string) verdict {
	path, ok, why := b.locate(text)
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
	if !b.isPackage("/" + path) {
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
	i, known := b.pathIndex[pathInfo{d, base}]
	if !known {
		// Mostly the target's own end, which is remembered anyway.
		if strings.HasSuffix(text, base) {
			base = text[len(text)-len(base):]
		} else {
			base = strings.Clone(base)
			b.remembered += len(base)
		}
		i = uint32(len(b.paths))
		b.paths = append(b.paths, pathInfo{d, base})
		b.pathIndex[pathInfo{d, base}] = i
		b.remembered += 80
	}
	return verdict{kind: kindPackage, index: i}
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
	return repo + "/" + rest, true, reasonNone
}

// client is the index of an address as the log has it.
func (b *batch) client(address []byte) uint32 {
	if i, ok := b.addresses[string(address)]; ok {
		return i
	}
	h := b.hash(normalClient(string(address)))
	i, known := b.clientIndex[h]
	if !known {
		i = uint32(len(b.clients))
		b.clients, b.lasts = append(b.clients, h), append(b.lasts, 0)
		b.clientIndex[h] = i
		b.remembered += 48
	}
	b.addresses[string(address)] = i
	b.remembered += len(address) + 40
	return i
}

// hash is a salted hash, in which nothing of s can be found again.
func (b *batch) hash(s string) uint64 {
	sum := sha256.Sum256(append(slices.Clone(b.salt), s...))
	return binary.BigEndian.Uint64(sum[:])
}

// full says whether the batch has to be committed before more is counted.
func (b *batch) full(limit int) bool {
	return len(b.records) >= limit || len(b.missing) >= limit || b.remembered >= memoryLimit
}

// next empties the batch after it was handed over, with records to go on with,
// and forgets targets and clients if they are too many. It reports whether it
// did: then all indices mean something else from now on.
func (b *batch) next(records []record) (forgot bool) {
	b.records = records[:0]
	b.missing = map[clientDay][]uint64{}
	b.tally = tally{}
	if b.remembered < memoryLimit && b.targets != nil {
		clear(b.lasts)
		for i := range b.roots {
			b.roots[i].firstSeen, b.roots[i].lastSeen = 0, 0
		}
		return false
	}
	b.remembered = 0
	b.targets, b.addresses = map[string]verdict{}, map[string]uint32{}
	b.clients, b.lasts, b.clientIndex = nil, nil, map[uint64]uint32{}
	b.dirs, b.dirIndex = nil, map[string]uint32{}
	b.paths, b.pathIndex = nil, map[pathInfo]uint32{}
	b.roots, b.rootIndex = nil, map[string]uint32{}
	return true
}
