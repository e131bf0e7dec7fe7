package popularity

import (
	"context"
	"database/sql"
)

// queryer is a transaction or a connection in one.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// each calls fn for each row of a query.
func each(ctx context.Context, q queryer, query string, args []any, fn func(*sql.Rows) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := fn(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// loadDirs are the directories by their ids.
func loadDirs(ctx context.Context, q queryer) (map[int64]string, error) {
	dirs := map[int64]string{}
	err := each(ctx, q, "SELECT id, dir FROM dirs", nil, func(rows *sql.Rows) error {
		var id int64
		var dir string
		if err := rows.Scan(&id, &dir); err != nil {
			return err
		}
		dirs[id] = dir
		return nil
	})
	return dirs, err
}

// dirID is the id of a directory, which gets one where it has none.
func dirID(ctx context.Context, tx *sql.Tx, dir string) (id int64, err error) {
	err = tx.QueryRowContext(ctx, "INSERT INTO dirs (dir) VALUES (?) ON CONFLICT DO UPDATE SET dir = dir RETURNING id", dir).Scan(&id)
	return id, err
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
