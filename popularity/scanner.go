package popularity

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

const (
	// maxMissing is how many hashes are kept of what a client asked for on a
	// day and was not there: the lowest ones, from which the number of all is
	// told well enough.
	maxMissing = 32
	// A client that asked for fewer files that are not there is no scanner:
	// one with stale metadata asks for some, too.
	minMissing = 20
)

// miss notes that a client was told that there is no such file. What it asked
// another server for, by way of a proxy, tells nothing.
func (b *batch) miss(l *parsed, s *stranger) {
	target := string(s.target)
	path, ok, why := b.locate(target)
	if !ok {
		if host, _, split := splitTarget(target); why != reasonNoRepo || !split || host != "" {
			return
		}
		path = target
	}
	d, client := b.day(l.at), b.client(s)
	list, known := d.missing[client]
	if !known {
		if d.missing == nil {
			d.missing = map[uint32][]uint64{}
		}
		b.taken++
	}
	d.missing[client] = addMissing(list, b.hash("missing "+path))
}

// addMissing adds a hash to the lowest ones, which are sorted.
func addMissing(list []uint64, h uint64) []uint64 {
	i, there := slices.BinarySearch(list, h)
	if there || i == maxMissing {
		return list
	}
	list = slices.Insert(list, i, h)
	return list[:min(len(list), maxMissing)]
}

// countMissing tells how many hashes there were by the lowest ones. Up to
// maxMissing it is exact.
func countMissing(list []uint64) int {
	if len(list) < maxMissing {
		return len(list)
	}
	share := float64(list[maxMissing-1]) / math.MaxUint64
	return int(min(float64(maxMissing-1)/share, math.MaxInt32))
}

// scans says whether a client's day is that of a scanner: mostly files that are
// not there.
func scans(list []asked, missing []uint64) bool {
	n := countMissing(missing)
	return n >= minMissing && n > len(list)
}

func appendMissing(b []byte, list []uint64) []byte {
	for _, h := range list {
		b = binary.BigEndian.AppendUint64(b, h)
	}
	return b
}

// decodeMissing adds what appendMissing wrote to the lowest hashes in list.
func decodeMissing(list []uint64, b []byte) ([]uint64, error) {
	if len(b)%8 != 0 {
		return nil, fmt.Errorf("a client's missing files end too early: %w", ErrDamaged)
	}
	for ; len(b) > 0; b = b[8:] {
		list = addMissing(list, binary.BigEndian.Uint64(b))
	}
	return list, nil
}

// oneClient is what one client counts for each package that it asked for on a
// day, in the numbers of the database: whole numbers add up to the same in any
// order.
const oneClient = 1 << 20

// weight is what a client that asked for n packages on a day counts for each of
// them: all of them together count as limit at most. limit 0 is none.
func weight(n, limit int) int64 {
	if limit <= 0 || n <= limit {
		return oneClient
	}
	return max(1, int64(limit)*oneClient/int64(n))
}
