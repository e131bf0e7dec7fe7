package popularity

import (
	"context"
	"database/sql"
)

// job is a batch as it is handed over to be committed, with how far its log was
// read.
type job struct {
	file    string
	at      known          // its id is 0 if the log has no row of its own yet
	read    int64          // bytes of the log
	days    []*dayRequests // in their order
	clients []uint64       // snapshots of the batch's
	dirs    []string       //
	paths   []pathInfo     //
	roots   []rootInfo     // that are in the batch
	group   *group         // nil: a client has one hash on all days
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
	epoch   int64    // of the database, when pathIDs were looked up
	pathIDs []int64  // by index; 0: not known
	counts  []uint32 // by client
	visited []visit  // of a day
	records []record // of these
	order   []uint64 // of a visit's records
	list    []asked  // of a visit
	read    []byte   // what readParts found
	merged  []byte   // the part that is being written
	free    chunkPool
}

// forget drops the ids: the indices mean something else from now on.
func (w *writer) forget() { w.pathIDs = nil }

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
