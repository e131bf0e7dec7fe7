package popularity

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"slices"
)

// visit is what a client asked for on a day.
type visit struct {
	client  uint32 // index in job.clients
	hash    int64  // as SQLite has it: signed, which means nothing
	records []record
}

// visits puts the requests of a day together by client, as the database sorts
// clients. They are the writer's until the next call.
func (w *writer) visits(j *job, d *dayRequests) []visit {
	w.counts = append(w.counts, make([]uint32, max(0, len(j.clients)-len(w.counts)))...)
	visits, total := w.visited[:0], 0
	for _, c := range d.records {
		for i := range c {
			n := &w.counts[c[i].client]
			if *n == 0 {
				visits = append(visits, visit{client: c[i].client})
			}
			*n++
		}
		total += len(c)
	}
	for client := range d.missing {
		if w.counts[client] == 0 {
			visits = append(visits, visit{client: client})
		}
	}
	for i := range visits {
		visits[i].hash = j.hash(visits[i].client, d.day)
	}
	slices.SortFunc(visits, func(x, y visit) int { return cmp.Compare(x.hash, y.hash) })
	w.records = slices.Grow(w.records[:0], total)[:total]
	next := uint32(0)
	for i := range visits {
		v := &visits[i]
		n := &w.counts[v.client]
		v.records = w.records[next : next+*n]
		next, *n = next+*n, next
	}
	for _, c := range d.records {
		for i := range c {
			n := &w.counts[c[i].client]
			w.records[*n] = c[i]
			*n++
		}
	}
	for i := range visits {
		w.counts[visits[i].client] = 0
	}
	d.release(w.free)
	w.visited = visits
	return visits
}

// hash is a client as the database has it on a day.
func (j *job) hash(client uint32, day int32) int64 {
	h := j.clients[client]
	if j.group != nil {
		h = j.group.client(h, int64(day))
	}
	return int64(h)
}

// recordBits hold the place of a record among those of a visit, of which there are
// no more than batchRequests. What they leave of 64 is enough for every id that a
// path gets.
const recordBits = 20

// asked appends to list what records ask for, ordered by path and each path once.
func (w *writer) asked(list []asked, records []record) []asked {
	// Numbers are sorted several times as fast as what they stand for.
	order := w.order[:0]
	for i := range records {
		order = append(order, uint64(w.pathIDs[records[i].path])<<recordBits|uint64(i))
	}
	slices.Sort(order)
	w.order = order
	for _, o := range order {
		r := &records[o&(1<<recordBits-1)]
		a := asked{int64(o >> recordBits), r.bytes(), r.second()}
		if n := len(list); n > 0 && list[n-1].path == a.path {
			list[n-1].merge(a)
			continue
		}
		list = append(list, a)
	}
	return list
}

// clientsAtOnce is how many clients of a day are read from the database before
// they are written, merged with the job's requests: a day may have all of a log.
const clientsAtOnce = 4 * bulkRows

// writeRequests merges the job's requests with what the database has of the same
// clients and days, and notes how many are new.
func (w *writer) writeRequests(ctx context.Context, tx *sql.Tx, j *job, now int64) error {
	write := newBulk(tx, 4, "INSERT OR REPLACE INTO requests (day, client, paths, missing) VALUES", "")
	defer write.close()
	for _, d := range j.days {
		var open bool
		if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM open_days WHERE day = ?)", int64(d.day)).Scan(&open); err != nil {
			return err
		}
		changed := !j.again
		for some := range slices.Chunk(w.visits(j, d), clientsAtOnce) {
			there := make([]stored, len(some))
			if open {
				if err := w.readStored(ctx, tx, int64(d.day), some, there); err != nil {
					return err
				}
			}
			wrote, err := w.writeVisits(ctx, write, j, d, some, there)
			if err != nil {
				return err
			}
			changed = changed || wrote
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

// writeVisits writes visits of one day, merged with what is there of each. Of a job
// that may hold nothing new it leaves out what is there already; wrote says whether
// anything was left to write.
func (w *writer) writeVisits(ctx context.Context, write *bulk, j *job, d *dayRequests, visits []visit, there []stored) (wrote bool, err error) {
	var list []asked
	blobs := w.blobs[:0] // of the rows that are not written yet
	for k := range visits {
		v := &visits[k]
		list = w.asked(list[:0], v.records)
		missing, err := decodeMissing(d.missing[v.client], there[k].missing)
		if err != nil {
			return false, err
		}
		from := len(blobs)
		var added int
		if blobs, added, err = mergeAsked(blobs, there[k].paths, list); err != nil {
			return false, err
		}
		j.added += int64(added)
		middle := len(blobs)
		blobs = appendMissing(blobs, missing)
		if j.again && bytes.Equal(blobs[from:middle], there[k].paths) && bytes.Equal(blobs[middle:], there[k].missing) {
			blobs = blobs[:from]
			continue
		}
		wrote = true
		rows, _, err := write.add(ctx, int64(d.day), v.hash, notNull(blobs[from:middle]), notNull(blobs[middle:]))
		if err != nil {
			return false, err
		}
		if rows > 0 {
			blobs = blobs[:0]
		}
	}
	w.blobs = blobs
	_, _, err = write.flush(ctx)
	return wrote, err
}

// notNull is b as a blob: SQLite gets NULL for a nil slice.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// stored is what the database has of a client on a day, as it has it.
type stored struct{ paths, missing []byte }

// readStored finds what the database has of the clients of visits on a day, which
// are sorted. there has a place for each, and is valid until the next call.
func (w *writer) readStored(ctx context.Context, tx *sql.Tx, day int64, visits []visit, there []stored) error {
	rows, err := tx.QueryContext(ctx, "SELECT client, paths, missing FROM requests WHERE day = ? AND client BETWEEN ? AND ? ORDER BY client",
		day, visits[0].hash, visits[len(visits)-1].hash)
	if err != nil {
		return err
	}
	defer rows.Close()
	var client int64
	var paths, missing sql.RawBytes
	w.read = w.read[:0]
	keep := func(b []byte) []byte {
		// Where it grows, what was kept before stays where it is.
		w.read = append(w.read, b...)
		return w.read[len(w.read)-len(b):]
	}
	for i := 0; rows.Next(); {
		if err := rows.Scan(&client, &paths, &missing); err != nil {
			return err
		}
		for i < len(visits) && visits[i].hash < client {
			i++
		}
		if i < len(visits) && visits[i].hash == client {
			there[i] = stored{keep(paths), keep(missing)}
		}
	}
	return rows.Err()
}
