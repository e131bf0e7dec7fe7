package popularity

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"slices"
)

// What clients asked for on an open day lies in the database in parts, by the first byte
// of the clients' hashes: a row for each client would cost more than what is in it. In a
// part clients come in the order of their hashes: the hash, how many hashes of what was
// missing follow, in one byte, and how many bytes of requests, in four; these hashes, see
// scanner.go; these requests, see requests.go.

// partBits are the bits of a hash that say which part of its day a client is in.
const partBits = 8

const clientHead = 8 + 1 + 4

// part is the key of the part of a day that a client is in.
func part(day int64, client uint64) int64 { return day<<partBits | int64(client>>(64-partBits)) }

// clientDay is what a client asked for on a day, as the database has it.
type clientDay struct {
	client         uint64
	missing, paths []byte
	all            []byte // with the head
}

// partReader reads the clients of a part.
type partReader struct{ rest []byte }

// next returns the next client, which is valid as long as the part; ok is false at the end.
func (r *partReader) next() (c clientDay, ok bool, err error) {
	b := r.rest
	if len(b) == 0 {
		return clientDay{}, false, nil
	}
	if len(b) >= clientHead {
		missing, paths := 8*int(b[8]), int(binary.BigEndian.Uint32(b[9:]))
		if n := clientHead + missing + paths; n <= len(b) {
			r.rest = b[n:]
			return clientDay{binary.BigEndian.Uint64(b), b[clientHead : clientHead+missing], b[clientHead+missing : n], b[:n]}, true, nil
		}
	}
	return clientDay{}, false, fmt.Errorf("a day's clients end too early: %w", ErrDamaged)
}

// appendClient begins a client of a part, whose requests are to be appended; endClient
// must be called after that.
func appendClient(out []byte, client uint64, missing []uint64) []byte {
	out = binary.BigEndian.AppendUint64(out, client)
	out = append(out, byte(len(missing)), 0, 0, 0, 0)
	return appendMissing(out, missing)
}

// endClient ends the client that begins at from.
func endClient(out []byte, from int) {
	binary.BigEndian.PutUint32(out[from+9:], uint32(len(out)-from-clientHead-8*int(out[from+8])))
}

// eachPart calls fn with each part of an open day, in their order. It is valid until fn
// returns.
func eachPart(ctx context.Context, q queryer, day int64, fn func(part []byte) error) error {
	var clients sql.RawBytes
	return each(ctx, q, "SELECT clients FROM requests WHERE part BETWEEN ? AND ? ORDER BY part", []any{part(day, 0), part(day+1, 0) - 1}, func(rows *sql.Rows) error {
		if err := rows.Scan(&clients); err != nil {
			return err
		}
		return fn(clients)
	})
}

// eachOf calls fn with what each client of a part asked for. The lists are valid until fn
// returns, and list and missing are their memory.
func eachOf(part []byte, list []asked, missing []uint64, fn func(client uint64, list []asked, missing []uint64) error) error {
	in := partReader{part}
	for {
		c, ok, err := in.next()
		if err != nil || !ok {
			return err
		}
		if list, err = decodeAsked(list[:0], c.paths); err != nil {
			return err
		}
		if missing, err = decodeMissing(missing[:0], c.missing); err != nil {
			return err
		}
		if err := fn(c.client, list, missing); err != nil {
			return err
		}
	}
}

// eachClient calls fn with what each client of an open day asked for, in the
// order of the clients. The lists are valid until fn returns.
func eachClient(ctx context.Context, q queryer, day int64, fn func(client uint64, list []asked, missing []uint64) error) error {
	list, missing := make([]asked, 0, 256), make([]uint64, 0, maxMissing)
	return eachPart(ctx, q, day, func(part []byte) error { return eachOf(part, list, missing, fn) })
}

// partsAtOnce is how many parts are read from the database before they are written,
// merged with the job's requests: a day may have all of a log.
const partsAtOnce = 16

// writeRequests merges the job's requests with what the database has of the same
// clients and days, and notes how many are new.
func (w *writer) writeRequests(ctx context.Context, tx *sql.Tx, j *job, now int64) error {
	write, err := tx.PrepareContext(ctx, "INSERT OR REPLACE INTO requests (part, clients) VALUES (?, ?)")
	if err != nil {
		return err
	}
	defer write.Close()
	for _, d := range j.days {
		var open bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM open_days WHERE day = ?)", int64(d.day)).Scan(&open); err != nil {
			return err
		}
		changed := !j.again
		for some := range slices.Chunk(parts(int64(d.day), w.visits(j, d)), partsAtOnce) {
			if open {
				if err := w.readParts(ctx, tx, some); err != nil {
					return err
				}
			}
			for i := range some {
				p := &some[i]
				if w.merged, err = w.merge(w.merged[:0], j, d, p); err != nil {
					return err
				}
				if j.again && bytes.Equal(w.merged, p.stored) {
					continue
				}
				changed = true
				if _, err := write.ExecContext(ctx, p.key, w.merged); err != nil {
					return err
				}
			}
		}
		if !changed {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO open_days (day, read, hashed) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET read = excluded.read`, int64(d.day), now, w.s.group.name()); err != nil {
			return err
		}
	}
	return nil
}

// visitPart are the visits of one part, with what the database has of it.
type visitPart struct {
	key    int64
	visits []visit
	stored []byte
}

// parts are the visits of a day, which are sorted, by their parts.
func parts(day int64, visits []visit) (all []visitPart) {
	for len(visits) > 0 {
		key, n := part(day, visits[0].client), 1
		for n < len(visits) && part(day, visits[n].client) == key {
			n++
		}
		all = append(all, visitPart{key: key, visits: visits[:n]})
		visits = visits[n:]
	}
	return all
}

// readParts finds what the database has of parts, which is valid until the next call.
func (w *writer) readParts(ctx context.Context, tx *sql.Tx, some []visitPart) error {
	w.read = w.read[:0]
	var key int64
	var clients sql.RawBytes
	i := 0
	return each(ctx, tx, "SELECT part, clients FROM requests WHERE part BETWEEN ? AND ? ORDER BY part", []any{some[0].key, some[len(some)-1].key}, func(rows *sql.Rows) error {
		if err := rows.Scan(&key, &clients); err != nil {
			return err
		}
		for some[i].key < key {
			i++
		}
		if some[i].key == key {
			// Where it grows, what was kept before stays where it is.
			w.read = append(w.read, clients...)
			some[i].stored = w.read[len(w.read)-len(clients):]
		}
		return nil
	})
}

// merge appends to out what a part is with the job's visits.
func (w *writer) merge(out []byte, j *job, d *dayRequests, p *visitPart) ([]byte, error) {
	in, visits := partReader{p.stored}, p.visits
	old, there, err := in.next()
	for err == nil && (there || len(visits) > 0) {
		if len(visits) == 0 || there && old.client < visits[0].client {
			out = append(out, old.all...)
			old, there, err = in.next()
			continue
		}
		v := &visits[0]
		visits = visits[1:]
		have := clientDay{client: v.client}
		if there && old.client == v.client {
			have = old
			old, there, err = in.next()
			if err != nil {
				break
			}
		}
		w.list = w.asked(w.list[:0], v.records)
		missing, err := decodeMissing(d.missing[v.index], have.missing)
		if err != nil {
			return out, err
		}
		from := len(out)
		out = appendClient(out, v.client, missing)
		var added int
		if out, added, err = mergeAsked(out, have.paths, w.list); err != nil {
			return out, err
		}
		j.added += int64(added)
		endClient(out, from)
	}
	return out, err
}
