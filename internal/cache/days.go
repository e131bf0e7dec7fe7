package cache

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Day is one day's accounting.
type Day struct {
	Date string `json:"date"` // UTC, 2006-01-02
	Totals
}

// Days is the accounting of each day from since's on that has any, in their order.
func (l *Ledger) Days(ctx context.Context, since time.Time) ([]Day, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT day, requests, hits, served, upstream, ahead FROM day WHERE day >= ? ORDER BY day`,
		since.UTC().Format(time.DateOnly))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	days := []Day{}
	for rows.Next() {
		var d Day
		if err := rows.Scan(&d.Date, &d.Requests, &d.Hits, &d.Served, &d.Upstream, &d.Ahead); err != nil {
			return nil, err
		}
		d.Saved = d.Served - d.Upstream - d.Ahead
		days = append(days, d)
	}
	return days, rows.Err()
}

// Asked is a file that clients ask for.
type Asked struct {
	Path string    // below the cache directory, as Key.String has it
	Heat float64   // the answers, as much as each still counts now
	Last time.Time // when the last of them was
}

// Popular is the files that are asked for most lately and for which keep is true,
// n of them at most, the most first. It reads the uses of all files.
func (l *Ledger) Popular(ctx context.Context, n int, keep func(path string) bool) ([]Asked, error) {
	now := l.now()
	rows, err := l.db.QueryContext(ctx, `SELECT path, heat, last_used FROM file WHERE last_used > 0`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []Asked
	for rows.Next() {
		var a Asked
		var h heat
		var last int64
		if err := rows.Scan(&a.Path, &h.uses, &last); err != nil {
			return nil, err
		}
		if !keep(a.Path) {
			continue
		}
		h.at = unixTime(last)
		a.Last, a.Heat = h.at, h.plus(heat{0, now}).uses
		list = append(list, a)
		// Not all of a large cache's files in memory.
		if len(list) >= 64*n {
			list = hottest(list, n)
		}
	}
	return hottest(list, n), rows.Err()
}

// hottest is the first n of list by their heat; list changes.
func hottest(list []Asked, n int) []Asked {
	slices.SortFunc(list, func(a, b Asked) int { return cmp.Or(cmp.Compare(b.Heat, a.Heat), cmp.Compare(a.Path, b.Path)) })
	return list[:min(n, len(list))]
}
