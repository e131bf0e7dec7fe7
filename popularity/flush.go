package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// job is a batch as it is handed over to be committed, with how far its log was
// read.
type job struct {
	file    string
	at      known // its id is 0 if the log has no row of its own yet
	read    int64 // bytes of the log
	records []record
	visits  []visit
	missing map[uint32][]uint64
	dirs    []string   // snapshots of the batch's
	paths   []pathInfo //
	roots   []rootInfo // that are in the batch
	tally   tally

	// again says that the job may well hold nothing but what the database has: days
	// of which that is so are left as they are.
	again bool

	added    int64    // requests that were new
	newRoots []string // that were not known
}

// writer commits jobs, one after the other. It remembers ids over jobs.
type writer struct {
	s       *Store
	epoch   int64   // of the database, when pathIDs were looked up
	dirIDs  []int64 // by index; 0: not known
	pathIDs []int64
	sorted  []record // of the job, by visit
}

// forget drops the ids: the indices mean something else from now on.
func (w *writer) forget() { w.dirIDs, w.pathIDs = nil, nil }

// commit writes the job in one transaction, and sets its results and at.id.
func (w *writer) commit(ctx context.Context, j *job) error {
	tx, err := w.s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	now := w.s.opt.Clock().Unix()
	if err := w.write(ctx, tx, j, now); err != nil {
		return err
	}
	id, l := j.at.id, &j.at
	if id == 0 {
		err = tx.QueryRowContext(ctx, `INSERT INTO logs (head_length, head, read_to, tail_length, tail, seen)
			VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
			l.headLength, l.head[:], l.readTo, l.tailLength, l.tail[:], now).Scan(&id)
	} else {
		_, err = tx.ExecContext(ctx, `UPDATE logs SET head_length = ?, head = ?, read_to = ?, tail_length = ?, tail = ?, seen = ?
			WHERE id = ?`, l.headLength, l.head[:], l.readTo, l.tailLength, l.tail[:], now, id)
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	j.at.id = id
	return nil
}

// write writes what the job has counted.
func (w *writer) write(ctx context.Context, tx *sql.Tx, j *job, now int64) error {
	if err := w.writePaths(ctx, tx, j); err != nil {
		return err
	}
	if err := writeRoots(ctx, tx, j); err != nil {
		return err
	}
	return w.writeRequests(ctx, tx, j, now)
}

// writePaths sees to it that the paths of the job's records have ids.
func (w *writer) writePaths(ctx context.Context, tx *sql.Tx, j *job) error {
	var epoch, next int64
	if err := tx.QueryRowContext(ctx, "SELECT epoch, next_path FROM meta").Scan(&epoch, &next); err != nil {
		return err
	}
	if epoch != w.epoch {
		// Another process forgot paths since: their ids may be gone.
		clear(w.pathIDs)
		w.epoch = epoch
	}
	w.dirIDs = append(w.dirIDs, make([]int64, len(j.dirs)-len(w.dirIDs))...)
	w.pathIDs = append(w.pathIDs, make([]int64, len(j.paths)-len(w.pathIDs))...)
	var fresh []uint32
	const wanted = -1
	for i := range j.records {
		if p := j.records[i].path; w.pathIDs[p] == 0 {
			w.pathIDs[p] = wanted
			fresh = append(fresh, p)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	// Ids in the order of the indices, so that a client's records stay sorted.
	slices.Sort(fresh)
	for i, p := range fresh {
		w.pathIDs[p] = next + int64(i)
		if d := j.paths[p].dir; w.dirIDs[d] == 0 {
			err := tx.QueryRowContext(ctx, "INSERT INTO dirs (dir) VALUES (?) ON CONFLICT DO UPDATE SET dir = dir RETURNING id",
				j.dirs[d]).Scan(&w.dirIDs[d])
			if err != nil {
				return fmt.Errorf("write %s: %w", j.dirs[d], err)
			}
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE meta SET next_path = ?", next+int64(len(fresh))); err != nil {
		return err
	}
	// Rows in the order of the table, which is the fastest.
	slices.SortFunc(fresh, func(x, y uint32) int {
		return cmp.Or(cmp.Compare(w.dirIDs[j.paths[x].dir], w.dirIDs[j.paths[y].dir]), cmp.Compare(j.paths[x].base, j.paths[y].base))
	})
	insert := newBulk(tx, 3, "INSERT INTO paths (dir, base, id) VALUES", "ON CONFLICT DO NOTHING")
	defer insert.close()
	for i, p := range fresh {
		rows, affected, err := insert.add(ctx, w.dirIDs[j.paths[p].dir], j.paths[p].base, w.pathIDs[p])
		if err == nil && i == len(fresh)-1 && rows == 0 {
			rows, affected, err = insert.flush(ctx)
		}
		if err != nil {
			return fmt.Errorf("write paths: %w", err)
		}
		if int64(rows) == affected {
			continue
		}
		// Some of them are there already.
		for _, p := range fresh[i+1-rows : i+1] {
			info := &j.paths[p]
			if err := tx.QueryRowContext(ctx, "SELECT id FROM paths WHERE dir = ? AND base = ?", w.dirIDs[info.dir], info.base).
				Scan(&w.pathIDs[p]); err != nil {
				return fmt.Errorf("look up %s/%s: %w", j.dirs[info.dir], info.base, err)
			}
		}
	}
	return nil
}

// writeRoots writes the roots of the job, and notes those that are new.
func writeRoots(ctx context.Context, tx *sql.Tx, j *job) error {
	for _, r := range j.roots {
		result, err := tx.ExecContext(ctx, "INSERT INTO roots (root, first_seen, last_seen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
			r.root, r.firstSeen, r.lastSeen)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil {
			return err
		} else if n > 0 {
			j.newRoots = append(j.newRoots, r.root)
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE roots SET first_seen = min(first_seen, ?), last_seen = max(last_seen, ?) WHERE root = ?",
			r.firstSeen, r.lastSeen, r.root); err != nil {
			return err
		}
	}
	return nil
}

// visitsByDay are the job's visits, as indices, each day's sorted by client as
// the database sorts them.
func (j *job) visitsByDay() (days []int32, visits map[int32][]int) {
	visits = map[int32][]int{}
	for i := range j.visits {
		day := j.visits[i].day
		visits[day] = append(visits[day], i)
	}
	for day, list := range visits {
		days = append(days, day)
		slices.SortFunc(list, func(x, y int) int { return cmp.Compare(j.hash(x), j.hash(y)) })
	}
	slices.Sort(days)
	return days, visits
}

// sort puts the records of each visit together, the visits in their order.
// ends are where those of each end.
func (w *writer) sort(j *job) (ends []int) {
	w.sorted = slices.Grow(w.sorted[:0], len(j.records))[:len(j.records)]
	ends = make([]int, len(j.visits))
	n := 0
	for i := range j.visits {
		ends[i] = n
		n += int(j.visits[i].records)
	}
	for _, r := range j.records {
		w.sorted[ends[r.visit]] = r
		ends[r.visit]++
	}
	return ends
}

// hash is a visit's client as SQLite has it: signed, which means nothing.
func (j *job) hash(visit int) int64 { return int64(j.visits[visit].hash) }

// asked appends to list what records ask for, ordered by path and each path once.
func (w *writer) asked(list []asked, records []record) []asked {
	for i := range records {
		r := &records[i]
		list = append(list, asked{w.pathIDs[r.path], r.bytes(), r.second()})
	}
	slices.SortFunc(list, func(x, y asked) int { return cmp.Compare(x.path, y.path) })
	n := 0
	for _, a := range list {
		if n > 0 && list[n-1].path == a.path {
			list[n-1].merge(a)
			continue
		}
		list[n] = a
		n++
	}
	return list[:n]
}

// writeRequests merges the job's requests with what the database has of the same
// clients and days, and notes how many are new.
func (w *writer) writeRequests(ctx context.Context, tx *sql.Tx, j *job, now int64) error {
	write := newBulk(tx, 4, "INSERT OR REPLACE INTO requests (day, client, paths, missing) VALUES", "")
	defer write.close()
	ends := w.sort(j)
	days, visits := j.visitsByDay()
	for _, day := range days {
		there, err := storedVisits(ctx, tx, int64(day), j, visits[day])
		if err != nil {
			return err
		}
		var list, merged []asked
		var blobs []byte // of the rows that are not written yet
		changed := !j.again
		for _, i := range visits[day] {
			list = w.asked(list[:0], w.sorted[ends[i]-int(j.visits[i].records):ends[i]])
			missing := j.missing[uint32(i)]
			var n int
			have := there[i]
			merged, n = mergeAsked(merged[:0], have.asked, list)
			j.added += int64(n)
			for _, h := range have.missing {
				missing = addMissing(missing, h)
			}
			if j.again && slices.Equal(merged, have.asked) && slices.Equal(missing, have.missing) {
				continue
			}
			changed = true
			from := len(blobs)
			blobs = appendAsked(blobs, merged)
			middle := len(blobs)
			blobs = appendMissing(blobs, missing)
			rows, _, err := write.add(ctx, int64(day), j.hash(i), notNull(blobs[from:middle]), notNull(blobs[middle:]))
			if err != nil {
				return err
			}
			if rows > 0 {
				blobs = blobs[:0]
			}
		}
		if _, _, err := write.flush(ctx); err != nil {
			return err
		}
		if !changed {
			continue
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO open_days (day, read, hashed) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET read = excluded.read`, int64(day), now, w.s.group.name()); err != nil {
			return err
		}
	}
	return nil
}

// notNull is b as a blob: SQLite gets NULL for a nil slice.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// stored is what the database has of a client on a day.
type stored struct {
	asked   []asked
	missing []uint64
}

// storedVisits finds what the database has of the clients of visits on a day, by
// their visits.
func storedVisits(ctx context.Context, tx *sql.Tx, day int64, j *job, visits []int) (map[int]stored, error) {
	var open bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM open_days WHERE day = ?)", day).Scan(&open); err != nil || !open {
		return nil, err
	}
	there := map[int]stored{}
	i := 0
	err := eachClient(ctx, tx, day, func(client int64, list []asked, missing []uint64) error {
		for i < len(visits) && j.hash(visits[i]) < client {
			i++
		}
		if i < len(visits) && j.hash(visits[i]) == client {
			there[visits[i]] = stored{slices.Clone(list), slices.Clone(missing)}
		}
		return nil
	})
	return there, err
}
