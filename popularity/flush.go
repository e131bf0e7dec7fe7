package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
)

// commit writes the batch and how far its log was read, in one transaction. It
// sets l.id, and returns how many requests were new, and which roots.
func (s *Store) commit(ctx context.Context, b *batch, l *known) (added int64, roots []string, err error) {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return 0, nil, err
	}
	defer tx.Rollback()
	now := s.opt.Clock().Unix()
	if err := writePaths(ctx, tx, b); err != nil {
		return 0, nil, err
	}
	if roots, err = writeRoots(ctx, tx, b); err != nil {
		return 0, nil, err
	}
	if added, err = writeRequests(ctx, tx, b, now); err != nil {
		return 0, nil, err
	}
	id := l.id
	if id == 0 {
		err = tx.QueryRowContext(ctx, `INSERT INTO logs (head_length, head, read_to, tail_length, tail, seen)
			VALUES (?, ?, ?, ?, ?, ?) RETURNING id`,
			l.headLength, l.head[:], l.readTo, l.tailLength, l.tail[:], now).Scan(&id)
	} else {
		_, err = tx.ExecContext(ctx, `UPDATE logs SET head_length = ?, head = ?, read_to = ?, tail_length = ?, tail = ?, seen = ?
			WHERE id = ?`, l.headLength, l.head[:], l.readTo, l.tailLength, l.tail[:], now, id)
	}
	if err != nil {
		return 0, nil, err
	}
	if err := tx.Commit(); err != nil {
		return 0, nil, err
	}
	l.id = id
	return added, roots, nil
}

// writePaths sees to it that the paths of the batch's requests have ids.
func writePaths(ctx context.Context, tx *sql.Tx, b *batch) error {
	var epoch int64
	if err := tx.QueryRowContext(ctx, "SELECT epoch FROM meta").Scan(&epoch); err != nil {
		return err
	}
	if epoch != b.epoch {
		// Another process forgot paths since: their ids may be gone.
		for i := range b.paths {
			b.paths[i].pathID = 0
		}
		b.epoch = epoch
	}
	name, err := tx.PrepareContext(ctx, `INSERT INTO names (name, arch, dir, last_seen) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET last_seen = max(last_seen, excluded.last_seen) RETURNING id`)
	if err != nil {
		return err
	}
	defer name.Close()
	path, err := tx.PrepareContext(ctx, `INSERT INTO paths (name, base) VALUES (?, ?)
		ON CONFLICT DO UPDATE SET base = base RETURNING id`)
	if err != nil {
		return err
	}
	defer path.Close()
	seen, err := tx.PrepareContext(ctx, "UPDATE names SET last_seen = ? WHERE id = ? AND last_seen < ?")
	if err != nil {
		return err
	}
	defer seen.Close()
	for i := range b.paths {
		p := &b.paths[i]
		switch {
		case p.lastSeen == 0:
			continue
		case p.pathID != 0:
			_, err = seen.ExecContext(ctx, p.lastSeen, p.nameID, p.lastSeen)
		default:
			if err = name.QueryRowContext(ctx, p.name, p.arch, p.dir, p.lastSeen).Scan(&p.nameID); err == nil {
				err = path.QueryRowContext(ctx, p.nameID, p.base).Scan(&p.pathID)
			}
		}
		if err != nil {
			return fmt.Errorf("write %s/%s: %w", p.dir, p.base, err)
		}
	}
	return nil
}

// writeRoots writes the roots of the batch, and returns those that are new.
func writeRoots(ctx context.Context, tx *sql.Tx, b *batch) (added []string, err error) {
	for _, r := range b.roots {
		if r.lastSeen == 0 {
			continue
		}
		result, err := tx.ExecContext(ctx, "INSERT INTO roots (root, first_seen, last_seen) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
			r.root, r.firstSeen, r.lastSeen)
		if err != nil {
			return nil, err
		}
		if n, err := result.RowsAffected(); err != nil {
			return nil, err
		} else if n > 0 {
			added = append(added, r.root)
			continue
		}
		if _, err := tx.ExecContext(ctx, "UPDATE roots SET first_seen = min(first_seen, ?), last_seen = max(last_seen, ?) WHERE root = ?",
			r.firstSeen, r.lastSeen, r.root); err != nil {
			return nil, err
		}
	}
	return added, nil
}

// writeRequests merges the batch's requests with what the database has of the
// same clients and days, and returns how many are new.
func writeRequests(ctx context.Context, tx *sql.Tx, b *batch, now int64) (added int64, err error) {
	type row struct {
		day, client int64
		asked
	}
	all := make([]row, 0, len(b.requests))
	for r, size := range b.requests {
		// SQLite has signed integers only; the sign means nothing in a hash.
		all = append(all, row{int64(r.day), int64(r.client), asked{b.paths[r.path].pathID, size}})
	}
	slices.SortFunc(all, func(x, y row) int {
		return cmp.Or(cmp.Compare(x.day, y.day), cmp.Compare(x.client, y.client), cmp.Compare(x.path, y.path))
	})
	read, err := tx.PrepareContext(ctx, "SELECT paths FROM requests WHERE day = ? AND client = ?")
	if err != nil {
		return 0, err
	}
	defer read.Close()
	write, err := tx.PrepareContext(ctx, `INSERT INTO requests (day, client, paths) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET paths = excluded.paths`)
	if err != nil {
		return 0, err
	}
	defer write.Close()

	var have, more, merged []asked
	var blob []byte
	for i := 0; i < len(all); {
		first := all[i]
		more = more[:0]
		for ; i < len(all) && all[i].day == first.day && all[i].client == first.client; i++ {
			more = append(more, all[i].asked)
		}
		have = have[:0]
		switch err := read.QueryRowContext(ctx, first.day, first.client).Scan(&blob); err {
		case nil:
			if have, err = decodeAsked(have, blob); err != nil {
				return 0, err
			}
		case sql.ErrNoRows:
		default:
			return 0, err
		}
		var n int
		merged, n = mergeAsked(merged[:0], have, more)
		added += int64(n)
		if _, err := write.ExecContext(ctx, first.day, first.client, appendAsked(nil, merged)); err != nil {
			return 0, err
		}
		if i == len(all) || all[i].day != first.day {
			if _, err := tx.ExecContext(ctx, `INSERT INTO open_days (day, read) VALUES (?, ?)
				ON CONFLICT DO UPDATE SET read = excluded.read`, first.day, now); err != nil {
				return 0, err
			}
		}
	}
	return added, nil
}
