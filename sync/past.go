package sync

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"intelligentmirror/internal/config"
)

// Past is what is remembered of the runs of a site.
type Past struct {
	Last  *Report // the last run; nil where there was none. Of it only what its JSON has is known.
	Ended string  // what ended the last run; "" if it came to its end, or the window's
	// LastSuccess is when the last run of all roots began that came to its end; zero where
	// none did. A look at the roots, or a run that the window has stopped, is none.
	LastSuccess time.Time

	// Brought is what the last run brought that found anything to bring, the largest
	// first, maxPast of it at most; BroughtAll is how many packages that were.
	Brought    []PastItem
	BroughtAll int
	// InVain is what nobody came for within wastedAfter, as of the last run, the largest
	// first, maxPast of it at most.
	InVain []PastItem
}

// PastItem is a package that a run brought.
type PastItem struct {
	Path string
	Size int64 // bytes
	At   time.Time
	Why  string // a Reason, and what for; "" where it was not written down
	Used bool   // a client came for it
}

// maxPast is how many packages Past lists of a kind.
const maxPast = 20

// ReadPast reads what an Agent has left in the state directory dir, whether or
// not one runs now. The error wraps fs.ErrNotExist where none ever did.
func ReadPast(ctx context.Context, dir string) (p Past, err error) {
	path := filepath.Join(dir, historyName)
	if _, err := os.Stat(path); err != nil {
		return Past{}, fmt.Errorf("read the past runs: %w", err)
	}
	// A reader makes no database, and changes none.
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=ro&_busy_timeout=1000")
	if err != nil {
		return Past{}, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	fail := func(err error) (Past, error) { return Past{}, fmt.Errorf("read the past runs in %s: %w", path, err) }
	var text []byte
	err = db.QueryRowContext(ctx, `SELECT error, report FROM run ORDER BY rowid DESC LIMIT 1`).Scan(&p.Ended, &text)
	if errors.Is(err, sql.ErrNoRows) {
		return Past{}, nil
	}
	if err != nil {
		return fail(err)
	}
	p.Last = &Report{}
	if err := json.Unmarshal(text, p.Last); err != nil {
		return fail(err)
	}
	if p.LastSuccess, err = lastSuccess(ctx, db); err != nil {
		return fail(err)
	}
	if err := p.readItems(ctx, db); err != nil {
		return fail(err)
	}
	return p, nil
}

// readItems reads what runs brought.
func (p *Past) readItems(ctx context.Context, db *sql.DB) error {
	// A run that brought something began before the last item came, and the one before it had ended.
	const ofLast = ` FROM prefetched WHERE at >= (SELECT max(started) FROM run WHERE started <= (SELECT max(at) FROM prefetched))`
	if err := db.QueryRowContext(ctx, `SELECT count(*)`+ofLast).Scan(&p.BroughtAll); err != nil {
		return err
	}
	var err error
	if p.Brought, err = pastItems(ctx, db, `SELECT path, size, at, reason, used`+ofLast+` ORDER BY size DESC LIMIT ?`, maxPast); err != nil {
		return err
	}
	p.InVain, err = pastItems(ctx, db, `SELECT path, size, at, reason, used FROM prefetched WHERE used = 0 AND at < ? ORDER BY size DESC LIMIT ?`,
		p.Last.Finished.Add(-wastedAfter).Unix(), maxPast)
	return err
}

func pastItems(ctx context.Context, db *sql.DB, query string, args ...any) ([]PastItem, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []PastItem
	for rows.Next() {
		var it PastItem
		var at, used int64
		if err := rows.Scan(&it.Path, &it.Size, &at, &it.Why, &used); err != nil {
			return nil, err
		}
		it.At, it.Used = time.Unix(at, 0), used != 0
		list = append(list, it)
	}
	return list, rows.Err()
}

// NextRun is when the schedule of a configuration has the next run after now.
func NextRun(cfg *config.Sync, now time.Time) (time.Time, error) {
	schedule, err := scheduled(cfg)
	if err != nil {
		return time.Time{}, err
	}
	return schedule.Next(now), nil
}

// IsRunning reports whether a run of the site whose state directory dir is holds its
// lock at this moment.
func IsRunning(dir string) (bool, error) {
	path := filepath.Join(dir, lockName)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	unlock, err := lock(path)
	if errors.Is(err, ErrRunning) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	unlock()
	return false, nil
}
