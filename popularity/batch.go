package popularity

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"strings"
)

const (
	// A batch is committed when it has this many distinct requests, or this
	// many bytes of log were read for it: the memory it may take, and what a
	// kill makes the next run read again.
	batchRequests = 256 << 10
	batchBytes    = 256 << 20

	// What is remembered of targets and clients, in bytes, before it is
	// forgotten and looked up anew: a log of a web site has no end of them.
	memoryLimit = 32 << 20
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

// pathInfo is a package's path. pathID and nameID are its ids in the database,
// 0 while they were not looked up.
type pathInfo struct {
	dir, base      string
	name, arch     string
	pathID, nameID int64
	lastSeen       int64 // the newest request of this batch; 0: none
}

// rootInfo is a root that was asked for.
type rootInfo struct {
	root                string
	firstSeen, lastSeen int64 // of this batch; 0: not in it
}

// request is what makes two lines one request.
type request struct {
	client uint64
	day    int32
	path   uint32 // index in batch.paths
}

// batch collects the requests of lines until they are committed. It remembers
// targets and clients over batches. It is not for concurrent use.
type batch struct {
	resolve   func(host, path string) (repo, rest string, ok bool)
	isPackage func(path string) bool
	salt      []byte
	latest    int64 // dates after it are absurd

	targets    map[string]verdict
	clients    map[string]uint64
	remembered int // bytes in targets and clients
	paths      []pathInfo
	pathIndex  map[string]uint32
	roots      []rootInfo
	rootIndex  map[string]uint32

	requests map[request]int64 // to the bytes of the largest answer
	epoch    int64             // of the database, when the paths' ids were looked up
	tally    tally
	parser   parser
	entry    entry
}

// line counts one line.
func (b *batch) line(line []byte) {
	b.tally.lines++
	why := b.parser.parse(line, &b.entry)
	if why == reasonNone {
		b.tally.formats[b.entry.format]++
		why = b.count(&b.entry)
	}
	if why != reasonNone {
		b.tally.skip(why, line)
	}
}

// tooLong counts a line of which only the beginning was kept.
func (b *batch) tooLong(start []byte) {
	b.tally.lines++
	b.tally.skip(reasonTooLong, start)
}

var (
	methodGet = []byte("GET")
	ownAgent  = []byte("imsync/")
)

// count takes an entry into the batch, or says why it does not count.
func (b *batch) count(e *entry) reason {
	switch {
	case e.at < earliest || e.at > b.latest:
		return reasonDate
	case !bytes.Equal(e.method, methodGet):
		return reasonMethod
	case e.status != 200 && e.status != 206 && e.status != 304:
		return reasonStatus
	case e.aborted:
		return reasonAborted
	case bytes.HasPrefix(e.agent, ownAgent):
		return reasonOwn
	}
	v, ok := b.targets[string(e.target)]
	if !ok {
		v = b.judge(e.target)
		b.targets[string(e.target)] = v
		b.remembered += len(e.target) + 64
	}
	switch v.kind {
	case kindRepomd:
		r := &b.roots[v.index]
		if r.firstSeen == 0 || e.at < r.firstSeen {
			r.firstSeen = e.at
		}
		r.lastSeen = max(r.lastSeen, e.at)
		b.tally.repomd++
	case kindPackage:
		p := &b.paths[v.index]
		p.lastSeen = max(p.lastSeen, e.at)
		k := request{client: b.client(e.client), day: int32(dayOf(e.at)), path: v.index}
		if size, seen := b.requests[k]; !seen || e.bytes > size {
			b.requests[k] = e.bytes
		}
		b.tally.counted++
	}
	return v.reason
}

const repomdPath = "repodata/repomd.xml"

// judge finds out what a target is.
func (b *batch) judge(target []byte) verdict {
	host, escaped, ok := splitTarget(string(unescapeLog(target)))
	if !ok {
		return verdict{reason: reasonTarget}
	}
	repo, rest, ok := b.resolve(host, escaped)
	if !ok {
		return verdict{reason: reasonNoRepo}
	}
	rest, ok = cleanPath(rest)
	if !ok {
		return verdict{reason: reasonTarget}
	}
	path := repo + "/" + rest
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
	i, known := b.pathIndex[path]
	if !known {
		dir, base, _ := cutLast(path, "/")
		name, arch, ok := packageName(dir, base)
		if !ok {
			return verdict{reason: reasonFileName}
		}
		i = uint32(len(b.paths))
		b.paths = append(b.paths, pathInfo{dir: dir, base: base, name: name, arch: arch})
		b.pathIndex[path] = i
		b.remembered += len(path) + 128
	}
	return verdict{kind: kindPackage, index: i}
}

// client is the salted hash of an address as the log has it.
func (b *batch) client(address []byte) uint64 {
	if h, ok := b.clients[string(address)]; ok {
		return h
	}
	sum := sha256.Sum256(append(append([]byte(nil), b.salt...), normalClient(string(address))...))
	h := binary.BigEndian.Uint64(sum[:])
	b.clients[string(address)] = h
	b.remembered += len(address) + 64
	return h
}

// normalClient is one spelling of an address: servers differ in how they write
// IPv6, and IPv4 that reached them over an IPv6 socket.
func normalClient(address string) string {
	bare := strings.TrimSuffix(strings.TrimPrefix(address, "["), "]")
	if ip, err := netip.ParseAddr(bare); err == nil {
		return ip.Unmap().WithZone("").String()
	}
	return strings.ToLower(address)
}

// full says whether the batch has to be committed before more is counted.
func (b *batch) full(limit int) bool {
	return len(b.requests) >= limit || b.remembered >= memoryLimit
}

// next empties the batch after it was committed, and forgets targets and
// clients if they are too many.
func (b *batch) next() {
	clear(b.requests)
	b.tally = tally{}
	if b.remembered < memoryLimit && b.targets != nil {
		for i := range b.paths {
			b.paths[i].lastSeen = 0
		}
		for i := range b.roots {
			b.roots[i].firstSeen, b.roots[i].lastSeen = 0, 0
		}
		return
	}
	b.remembered = 0
	b.targets, b.clients = map[string]verdict{}, map[string]uint64{}
	b.paths, b.pathIndex = nil, map[string]uint32{}
	b.roots, b.rootIndex = nil, map[string]uint32{}
}
