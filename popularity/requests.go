package popularity

import (
	"encoding/binary"
	"fmt"
)

// record is one request, possibly one of several that are one. There are as many
// as lines, so they are kept small.
type record struct {
	visit uint32 // index in batch.visits
	path  uint32 // index in batch.paths
	// The bytes of the answer, and behind them the second of the day in
	// secondBits bits.
	answer uint64
}

const (
	secondBits = 17
	maxAnswer  = 1<<(64-secondBits) - 1 // in bytes, 128 TiB
)

func newRecord(visit, path uint32, second, bytes int64) record {
	return record{visit, path, uint64(min(bytes, maxAnswer))<<secondBits | uint64(second)}
}

func (r *record) bytes() int64  { return int64(r.answer >> secondBits) }
func (r *record) second() int64 { return int64(r.answer & (1<<secondBits - 1)) }

// asked is one request of a client on a day: the path's id, the bytes of the
// largest answer to it, and the second of the day of the last one.
type asked struct{ path, bytes, second int64 }

// merge makes one of two of one path: the larger answer and the later time, in
// either order.
func (a *asked) merge(b asked) { a.bytes, a.second = max(a.bytes, b.bytes), max(a.second, b.second) }

// appendAsked writes requests, ordered by path, as the database keeps them: for
// each the difference to the path's id before it, the bytes and the second, as
// varints.
func appendAsked(b []byte, list []asked) []byte {
	last := int64(0)
	for _, a := range list {
		b = binary.AppendUvarint(b, uint64(a.path-last))
		b = binary.AppendUvarint(b, uint64(a.bytes))
		b = binary.AppendUvarint(b, uint64(a.second))
		last = a.path
	}
	return b
}

// decodeAsked reads what appendAsked wrote, appending to list.
func decodeAsked(list []asked, b []byte) ([]asked, error) {
	last := int64(0)
	var v [3]int64
	for len(b) > 0 {
		for i := range v {
			u, n := binary.Uvarint(b)
			if n <= 0 {
				return nil, fmt.Errorf("a client's requests end too early: %w", ErrDamaged)
			}
			v[i], b = int64(u), b[n:]
		}
		last += v[0]
		list = append(list, asked{path: last, bytes: v[1], second: v[2]})
	}
	return list, nil
}

// mergeAsked merges two lists that are ordered by path and have no path twice,
// appending to out. Of a path that is in both the larger answer and the later
// time are kept, so that a request which stands in two logs comes out the same in
// either order. added is how many paths of more were not in have.
func mergeAsked(out, have, more []asked) (merged []asked, added int) {
	for len(have) > 0 && len(more) > 0 {
		switch {
		case have[0].path < more[0].path:
			out, have = append(out, have[0]), have[1:]
		case have[0].path > more[0].path:
			out, more, added = append(out, more[0]), more[1:], added+1
		default:
			out = append(out, have[0])
			out[len(out)-1].merge(more[0])
			have, more = have[1:], more[1:]
		}
	}
	out = append(out, have...)
	return append(out, more...), added + len(more)
}
