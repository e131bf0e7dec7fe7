package popularity

import (
	"context"
	"database/sql"
)

// queryer is a transaction or a connection in one.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// loadDirs are the directories by their ids.
func loadDirs(ctx context.Context, q queryer) (map[int64]string, error) {
	rows, err := q.QueryContext(ctx, "SELECT id, dir FROM dirs")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	dirs := map[int64]string{}
	for rows.Next() {
		var id int64
		var dir string
		if err := rows.Scan(&id, &dir); err != nil {
			return nil, err
		}
		dirs[id] = dir
	}
	return dirs, rows.Err()
}

// dirID is the id of a directory, which gets one where it has none.
func dirID(ctx context.Context, tx *sql.Tx, dir string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, "INSERT INTO dirs (dir) VALUES (?) ON CONFLICT DO UPDATE SET dir = dir RETURNING id", dir).Scan(&id)
	return id, err
}

// eachRow calls fn with what the database has of each client of an open day, in the
// order of the clients. The blobs are valid until fn returns.
func eachRow(ctx context.Context, q queryer, day int64, fn func(client int64, paths, missing []byte) error) error {
	rows, err := q.QueryContext(ctx, "SELECT client, paths, missing FROM requests WHERE day = ? ORDER BY client", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	var client int64
	var paths, missing sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&client, &paths, &missing); err != nil {
			return err
		}
		if err := fn(client, paths, missing); err != nil {
			return err
		}
	}
	return rows.Err()
}

// eachClient calls fn with what each client of an open day asked for, in the
// order of the clients. The lists are valid until fn returns.
func eachClient(ctx context.Context, q queryer, day int64, fn func(client int64, list []asked, missing []uint64) error) error {
	var list []asked
	var missing []uint64
	return eachRow(ctx, q, day, func(client int64, paths, hashes []byte) (err error) {
		if list, err = decodeAsked(list[:0], paths); err != nil {
			return err
		}
		if missing, err = decodeMissing(missing[:0], hashes); err != nil {
			return err
		}
		return fn(client, list, missing)
	})
}

// column reads a query's only column.
func column[T any](ctx context.Context, q queryer, query string, args ...any) (all []T, err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var v T
		if err := rows.Scan(&v); err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}
