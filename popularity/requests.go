package popularity

import (
	"encoding/binary"
	"fmt"
)

// record is one request, possibly one of several that are one. There are as many
// as lines, so they are kept small.
type record struct {
	client uint32 // index in batch.clients
	path   uint32 // index in batch.paths
	// The bytes of the answer, and behind them the second of the day in
	// secondBits bits.
	answer uint64
}

const (
	secondBits = 17
	maxAnswer  = 1<<(64-secondBits) - 1 // in bytes, 128 TiB
)

func newRecord(client, path uint32, second, bytes int64) record {
	return record{client, path, uint64(min(bytes, maxAnswer))<<secondBits | uint64(second)}
}

func (r *record) bytes() int64  { return int64(r.answer >> secondBits) }
func (r *record) second() int64 { return int64(r.answer & (1<<secondBits - 1)) }

// merge takes another answer to the same request in.
func (r *record) merge(second, bytes int64) {
	*r = newRecord(r.client, r.path, max(second, r.second()), max(bytes, r.bytes()))
}

// dayRequests is what was asked for on a day, as far as it is in one batch.
type dayRequests struct {
	day     int32
	records [][]record          // in the order of the log; the last may have room
	missing map[uint32][]uint64 // by client, hashes of what was not there, see scanner.go
}

// chunk is how many records lie together: a page of memory.
const chunk = 256

// chunkPool has chunks that are free to be used again: memory that was not touched
// before costs more than what is written into it.
type chunkPool chan []record

func newChunkPool() chunkPool { return make(chunkPool, batchRequests/chunk) }

// add adds a record.
func (d *dayRequests) add(r record, free chunkPool) {
	n := len(d.records)
	if n == 0 || len(d.records[n-1]) == chunk {
		var c []record // the first one grows: a log may have many days with little on each
		if n > 0 {
			select {
			case c = <-free:
			default:
				c = make([]record, 0, chunk)
			}
		}
		d.records = append(d.records, c)
		n++
	}
	d.records[n-1] = append(d.records[n-1], r)
}

// last is the record that was added last; nil without one.
func (d *dayRequests) last() *record {
	n := len(d.records)
	if n == 0 {
		return nil
	}
	c := d.records[n-1]
	return &c[len(c)-1]
}

// release gives the records back.
func (d *dayRequests) release(free chunkPool) {
	for _, c := range d.records {
		if cap(c) != chunk {
			continue // a first one
		}
		select {
		case free <- c[:0]:
		default:
		}
	}
	d.records = nil
}

// asked is one request of a client on a day: the path's id, the bytes of the
// largest answer to it, and the second of the day of the last one.
type asked struct{ path, bytes, second int64 }

// merge makes one of two of one path: the larger answer and the later time, in
// either order.
func (a *asked) merge(b asked) { a.bytes, a.second = max(a.bytes, b.bytes), max(a.second, b.second) }

// askedWriter writes requests, ordered by path, as the database keeps them: for
// each the difference to the path's id before it, the bytes and the second, as
// varints.
type askedWriter struct {
	out  []byte
	last int64 // the path of the last one
}

func (w *askedWriter) add(a asked) {
	w.out = binary.AppendUvarint(w.out, uint64(a.path-w.last))
	w.out = binary.AppendUvarint(w.out, uint64(a.bytes))
	w.out = binary.AppendUvarint(w.out, uint64(a.second))
	w.last = a.path
}

// appendAsked writes a list with an askedWriter.
func appendAsked(b []byte, list []asked) []byte {
	w := askedWriter{out: b}
	for _, a := range list {
		w.add(a)
	}
	return w.out
}

// askedReader reads what an askedWriter wrote.
type askedReader struct {
	rest []byte
	last int64 // the path of the last one
}

// next reads one more request; ok is false at the end.
func (r *askedReader) next() (a asked, ok bool, err error) {
	b := r.rest
	if len(b) == 0 {
		return asked{}, false, nil
	}
	var v [3]uint64
	for i := range v {
		if len(b) > 0 && b[0] < 0x80 {
			v[i], b = uint64(b[0]), b[1:]
			continue
		}
		u, n := binary.Uvarint(b)
		if n <= 0 {
			return asked{}, false, fmt.Errorf("a client's requests end too early: %w", ErrDamaged)
		}
		v[i], b = u, b[n:]
	}
	r.rest = b
	r.last += int64(v[0])
	return asked{path: r.last, bytes: int64(v[1]), second: int64(v[2])}, true, nil
}

// decodeAsked reads what appendAsked wrote, appending to list.
func decodeAsked(list []asked, b []byte) ([]asked, error) {
	r := askedReader{rest: b}
	for {
		a, ok, err := r.next()
		if err != nil || !ok {
			return list, err
		}
		list = append(list, a)
	}
}

// mergeAsked merges requests that appendAsked wrote with more of them, ordered by
// path and each path once, and appends to out what it would write of all. Of a path
// that is in both the larger answer and the later time are kept, so that a request
// which stands in two logs comes out the same in either order. added is how many
// paths of more were not in have.
func mergeAsked(out, have []byte, more []asked) (merged []byte, added int, err error) {
	in, w := askedReader{rest: have}, askedWriter{out: out}
	old, there, err := in.next()
	for err == nil && (there || len(more) > 0) {
		switch {
		case !there || len(more) > 0 && more[0].path < old.path:
			w.add(more[0])
			more, added = more[1:], added+1
			continue
		case len(more) > 0 && more[0].path == old.path:
			old.merge(more[0])
			more = more[1:]
		}
		w.add(old)
		old, there, err = in.next()
	}
	return w.out, added, err
}
