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

// keepMember is how long, in seconds, days wait for a member of the group that was
// heard of, and is not any more.
const keepMember = 32 * secondsPerDay

// keepDays is how many days before the newest one that is closed are remembered. By the
// default half-life a client of the oldest counts 300,000 times less than one of today; and
// a database that forgot nothing would grow as long as there are clients.
const keepDays = 3 * 365

// dayCount is what is left of a name's day when the day is closed.
type dayCount struct{ clients, weight, requests, bytes, lastSeen int64 }

// overlap are clients of several names.
type overlap struct{ clients, weight int64 }

// closeDays turns the days that are to be closed into numbers, and forgets their
// clients, the paths that no open day refers to, and days of long ago. The ranking
// stays the same but for these. A day waits for the members of the group, see group.go.
func (s *Store) closeDays(ctx context.Context) error {
	now := s.opt.Clock().Unix()
	// With another secret than a day was begun with nobody is known again on it.
	const due = `FROM open_days WHERE hashed <> ?1 OR ((day + 1) * 86400 + ?2 <= ?3 AND read + ?2 <= ?3
		AND (?1 = '' OR NOT EXISTS (SELECT 1 FROM members WHERE made + ?4 >= ?3 AND made < (day + 1) * 86400 + ?2)))`
	args := []any{s.group.name(), keepClients, now, keepMember}
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
		if err := index.close(ctx, tx, day, s.opt.ClientCap); err != nil {
			return fmt.Errorf("day %d: %w", day, err)
		}
	}
	if err := forgetDays(ctx, tx); err != nil {
		return fmt.Errorf("forget what was long ago: %w", err)
	}
	if err := index.forgetPaths(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}

// forgetDays deletes the closed days that are too old, and the roots that nobody has asked
// for since. What is old is told by the newest, and not by the clock: whoever has only old
// logs keeps them.
func forgetDays(ctx context.Context, tx *sql.Tx) error {
	for _, statement := range []string{
		"DELETE FROM overlaps WHERE day < (SELECT max(day) FROM days) - ?1",
		"DELETE FROM days WHERE day < (SELECT max(day) FROM days) - ?1",
		"DELETE FROM roots WHERE last_seen < (SELECT max(last_seen) FROM roots) - ?1 * 86400",
	} {
		if _, err := tx.ExecContext(ctx, statement, keepDays); err != nil {
			return err
		}
	}
	return nil
}

// index says which name a path belongs to, and which names differ in nothing
// but the directory.
type index struct {
	name   map[int64]int64 // path to name
	family map[int64]int64 // name to the first name of the same name and arch
}

// loadIndex gives each path of the open days a name.
func loadIndex(ctx context.Context, tx *sql.Tx) (*index, error) {
	x := &index{name: map[int64]int64{}, family: map[int64]int64{}}
	var all []storedPath
	if err := eachPath(ctx, tx, func(p storedPath) error {
		all = append(all, p)
		return nil
	}); err != nil {
		return nil, err
	}
	var dirs []int64 // ids by their numbers
	write, err := tx.PrepareContext(ctx, `INSERT INTO names (name, arch, dir) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET name = name RETURNING id`)
	if err != nil {
		return nil, err
	}
	defer write.Close()
	for _, p := range all {
		if p.dir.number == len(dirs) {
			dir, err := dirID(ctx, tx, p.dir.path)
			if err != nil {
				return nil, err
			}
			dirs = append(dirs, dir)
		}
		name, arch, err := p.name()
		if err != nil {
			return nil, err
		}
		var id int64
		if err := write.QueryRowContext(ctx, name, arch, dirs[p.dir.number]).Scan(&id); err != nil {
			return nil, err
		}
		x.name[p.id] = id
	}
	rows, err := tx.QueryContext(ctx, "SELECT id, min(id) OVER (PARTITION BY name, arch) FROM names")
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
func (x *index) close(ctx context.Context, tx *sql.Tx, day int64, limit int) error {
	counts := map[int64]*dayCount{}
	overlaps := map[string]overlap{}
	var names []int64
	err := eachClient(ctx, tx, day, func(_ uint64, list []asked, missing []uint64) error {
		if scans(list, missing) {
			return nil
		}
		each := weight(len(list), limit)
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
			c.lastSeen = max(c.lastSeen, day*secondsPerDay+a.second)
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
				counts[names[i]].weight += each
			}
			if i-first > 1 {
				ids := joinIDs(names[first:i])
				o := overlaps[ids]
				overlaps[ids] = overlap{o.clients + 1, o.weight + each}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for name, c := range counts {
		if _, err := tx.ExecContext(ctx, `INSERT INTO days (day, name, clients, weight, requests, bytes, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET clients = clients + excluded.clients, weight = weight + excluded.weight,
			requests = requests + excluded.requests, bytes = bytes + excluded.bytes, last_seen = max(last_seen, excluded.last_seen)`,
			day, name, c.clients, c.weight, c.requests, c.bytes, c.lastSeen); err != nil {
			return err
		}
	}
	for names, o := range overlaps {
		if _, err := tx.ExecContext(ctx, `INSERT INTO overlaps (day, names, clients, weight) VALUES (?, ?, ?, ?)
			ON CONFLICT DO UPDATE SET clients = clients + excluded.clients, weight = weight + excluded.weight`,
			day, names, o.clients, o.weight); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM requests WHERE part BETWEEN ? AND ?", part(day, 0), part(day+1, 0)-1); err != nil {
		return err
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM open_days WHERE day = ?", day)
	return err
}

// forgetPaths deletes the paths that no open day refers to, and the names that no
// closed day has.
func (x *index) forgetPaths(ctx context.Context, tx *sql.Tx) error {
	days, err := column[int64](ctx, tx, "SELECT day FROM open_days")
	if err != nil {
		return err
	}
	kept := map[int64]bool{}
	for _, day := range days {
		if err := eachClient(ctx, tx, day, func(_ uint64, list []asked, _ []uint64) error {
			for _, a := range list {
				kept[a.path] = true
			}
			return nil
		}); err != nil {
			return err
		}
	}
	if err := keepPaths(ctx, tx, func(id int64) bool { return kept[id] }); err != nil {
		return err
	}
	for _, statement := range []string{
		// Names that came with a path of a day that stays open.
		"DELETE FROM names WHERE id NOT IN (SELECT name FROM days)",
		"DELETE FROM dirs WHERE id NOT IN (SELECT dir FROM names)",
		"UPDATE meta SET epoch = epoch + 1",
	} {
		if _, err := tx.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return nil
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
