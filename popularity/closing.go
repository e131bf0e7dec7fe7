package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// keepClients is how long a day's clients are kept after its end, and after the
// last reading of one of its lines, in seconds: logs that are rotated and
// brought here once a week still find the clients that other logs have shown.
const keepClients = 8 * secondsPerDay

// dayCount is what is left of a name's day when the day is closed.
type dayCount struct{ clients, requests, bytes int64 }

// closeDays turns the days that are to be closed into numbers, and forgets their
// clients and the paths that no open day refers to. The ranking stays the same.
func (s *Store) closeDays(ctx context.Context) error {
	now := s.opt.Clock().Unix()
	const due = "FROM open_days WHERE (day + 1) * 86400 <= ? AND read <= ?"
	args := []any{now - keepClients, now - keepClients}
	var n int
	if err := s.db.QueryRowContext(ctx, "SELECT count(*) "+due, args...).Scan(&n); err != nil || n == 0 {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	days, err := column[int64](ctx, tx, "SELECT day "+due+" ORDER BY day", args...)
	if err != nil {
		return err
	}
	index, err := loadIndex(ctx, tx)
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := index.close(ctx, tx, day); err != nil {
			return fmt.Errorf("day %d: %w", day, err)
		}
	}
	if err := index.forgetPaths(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// index says which name a path belongs to, and which names differ in nothing
// but the directory.
type index struct {
	name   map[int64]int64 // path to name
	family map[int64]int64 // name to the first name of the same name and arch
}

func loadIndex(ctx context.Context, tx *sql.Tx) (*index, error) {
	x := &index{name: map[int64]int64{}, family: map[int64]int64{}}
	rows, err := tx.QueryContext(ctx, "SELECT id, name FROM paths")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var path, name int64
		if err := rows.Scan(&path, &name); err != nil {
			return nil, err
		}
		x.name[path] = name
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	rows, err = tx.QueryContext(ctx, "SELECT id, min(id) OVER (PARTITION BY name, arch) FROM names")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var name, first int64
		if err := rows.Scan(&name, &first); err != nil {
			return nil, err
		}
		x.family[name] = first
	}
	return x, rows.Err()
}

// close adds the requests of a day to its numbers, and deletes them.
func (x *index) close(ctx context.Context, tx *sql.Tx, day int64) error {
	counts := map[int64]*dayCount{}
	overlaps := map[string]int64{}
	var names []int64
	err := eachClient(ctx, tx, day, func(list []asked) error {
		names = names[:0]
		for _, a := range list {
			name, ok := x.name[a.path]
			if !ok {
				return fmt.Errorf("path %d is not there: %w", a.path, ErrDamaged)
			}
			c := counts[name]
			if c == nil {
				c = new(dayCount)
				counts[name] = c
			}
			c.requests++
			c.bytes += a.bytes
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b int64) int {
			return cmp.Or(cmp.Compare(x.family[a], x.family[b]), cmp.Compare(a, b))
		})
		names = slices.Compact(names)
		for i := 0; i < len(names); {
			first := i
			for ; i < len(names) && x.family[names[i]] == x.family[names[first]]; i++ {
				counts[names[i]].clients++
			}
			if i-first > 1 {
				overlaps[joinIDs(names[first:i])]++
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, c := range counts {
		if _, err := tx.ExecContext(ctx, `INSERT INTO days (day, name, clients, requests, bytes) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET clients = clients + excluded.clients, requests = requests + excluded.requests, bytes = bytes + excluded.bytes`,
			day, name, c.clients, c.requests, c.bytes); err != nil {
			return err
		}
	}
	for names, clients := range overlaps {
		if _, err := tx.ExecContext(ctx, `INSERT INTO overlaps (day, names, clients) VALUES (?, ?, ?)
			ON CONFLICT DO UPDATE SET clients = clients + excluded.clients`, day, names, clients); err != nil {
			return err
		}
	}
	for _, table := range []string{"requests", "open_days"} {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+table+" WHERE day = ?", day); err != nil {
			return err
		}
	}
	return nil
}

// forgetPaths deletes the paths that no open day refers to. Their names stay.
func (x *index) forgetPaths(ctx context.Context, tx *sql.Tx) error {
	days, err := column[int64](ctx, tx, "SELECT day FROM open_days")
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := eachClient(ctx, tx, day, func(list []asked) error {
			for _, a := range list {
				delete(x.name, a.path)
			}
			return nil
		}); err != nil {
			return err
		}
	}
	for path := range x.name {
		if _, err := tx.ExecContext(ctx, "DELETE FROM paths WHERE id = ?", path); err != nil {
			return err
		}
	}
	_, err = tx.ExecContext(ctx, "UPDATE meta SET epoch = epoch + 1")
	return err
}

// queryer is a transaction or a connection in one.
type queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// eachClient calls fn with what each client of an open day asked for. The list
// is valid until fn returns.
func eachClient(ctx context.Context, q queryer, day int64, fn func([]asked) error) error {
	rows, err := q.QueryContext(ctx, "SELECT paths FROM requests WHERE day = ?", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	var list []asked
	var blob sql.RawBytes
	for rows.Next() {
		if err := rows.Scan(&blob); err != nil {
			return err
		}
		if list, err = decodeAsked(list[:0], blob); err != nil {
			return err
		}
		if err := fn(list); err != nil {
			return err
		}
	}
	return rows.Err()
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

func joinIDs(ids []int64) string {
	var b strings.Builder
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(id, 10))
	}
	return b.String()
}

func splitIDs(s string) (ids []int64, err error) {
	for part := range strings.SplitSeq(s, ",") {
		id, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("names %q: %w", s, ErrDamaged)
		}
		ids = append(ids, id)
	}
	return ids, nil
}
