package sync

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Past is what is remembered of the runs of a site.
type Past struct {
	Last        *Report   // the last run; nil where there was none. Of it only what its JSON has is known.
	Ended       string    // what ended the last run; "" if it came to its end
	LastSuccess time.Time // when the last run began that came to its end; zero where none did
}

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
	var at sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT max(started) FROM run WHERE error = ''`).Scan(&at); err != nil {
		return fail(err)
	}
	if at.Valid {
		p.LastSuccess = time.Unix(at.Int64, 0)
	}
	return p, nil
}
