package sync

import (
	"database/sql"
	_ "embed" // the schema
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver
)

//go:embed history.sql
var historySchema string

// history remembers the runs over restarts.
type history struct{ db *sql.DB }

// historyName is the history's file in the state directory.
const historyName = "imsync.db"

// keptRuns is how many runs are remembered: a year of nights, and of polls some
// weeks.
const keptRuns = 1000

func openHistory(path string) (*history, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_journal_mode=WAL&_busy_timeout=5000&_txlock=immediate"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if _, err := db.Exec(historySchema); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s can't be used (%w): it holds the memory of past runs alone and may be deleted", path, err)
	}
	return &history{db}, nil
}

func (h *history) Close() error { return h.db.Close() }

// add remembers a run, and what ended it if it did not come to its end.
func (h *history) add(r *Report, ended error) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	why := ""
	if ended != nil {
		why = ended.Error()
	}
	if _, err := h.db.Exec(`INSERT INTO run (started, finished, error, report) VALUES (?, ?, ?, ?)`, r.Started.Unix(), r.Finished.Unix(), why, b); err != nil {
		return err
	}
	_, err = h.db.Exec(`DELETE FROM run WHERE rowid <= (SELECT max(rowid) FROM run) - ?`, keptRuns)
	return err
}

// lastSuccess is when the last run that came to its end began; the zero time if
// there was none.
func (h *history) lastSuccess() (time.Time, error) {
	var at sql.NullInt64
	if err := h.db.QueryRow(`SELECT max(started) FROM run WHERE error = ''`).Scan(&at); err != nil || !at.Valid {
		return time.Time{}, err
	}
	return time.Unix(at.Int64, 0), nil
}
