package sync

import (
	"context"
	"database/sql"
	_ "embed" // the schema
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
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

// openHistory opens the history at path. Reports are of very different lengths, so
// its file grows smaller with what is forgotten: otherwise it would stay as large as
// it was with the longest of them.
func openHistory(path string) (*history, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_journal_mode=WAL&_busy_timeout=5000&_txlock=immediate&_synchronous=NORMAL&_auto_vacuum=full"
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

// add remembers a run, and what ended it if it did not come to its end. Which files went
// is remembered of the last run alone.
func (h *history) add(r *Report, ended error) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	why := ""
	if ended != nil {
		why = ended.Error()
	}
	tx, err := h.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for _, x := range []struct {
		statement string
		args      []any
	}{
		{`UPDATE run SET report = json_remove(report, '$.withdrawn', '$.deleted') WHERE rowid = (SELECT max(rowid) FROM run) AND json_valid(report)`, nil},
		{`INSERT INTO run (started, finished, error, report) VALUES (?, ?, ?, ?)`, []any{r.Started.Unix(), r.Finished.Unix(), why, string(b)}},
		{`DELETE FROM run WHERE rowid <= (SELECT max(rowid) FROM run) - ?`, []any{keptRuns}},
	} {
		if _, err := tx.Exec(x.statement, x.args...); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// lastSuccess is when the last run of all roots that came to its end began; the
// zero time if there was none.
func (h *history) lastSuccess() (time.Time, error) { return lastSuccess(context.Background(), h.db) }

// lastSuccess is history's, of a history that may be another process's.
func lastSuccess(ctx context.Context, db *sql.DB) (time.Time, error) {
	var at sql.NullInt64
	if err := db.QueryRowContext(ctx, `SELECT max(started) FROM run WHERE error = ''
		AND json_extract(report, '$.partial') IS NULL AND json_extract(report, '$.stopped') IS NULL`).Scan(&at); err != nil || !at.Valid {
		return time.Time{}, err
	}
	return time.Unix(at.Int64, 0), nil
}

// failedRoots is the roots whose metadata could not be had by the last run that
// tried, and why. A run that was broken off may not have come to all of them.
func (h *history) failedRoots() (map[string]string, error) {
	rows, err := h.db.Query(`SELECT report FROM run ORDER BY rowid DESC LIMIT ?`, keptRuns)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	failed, seen := map[string]string{}, map[string]bool{}
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		var r Report
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, err
		}
		r.Roots = slices.DeleteFunc(r.Roots, func(x *RootReport) bool { return seen[x.Root] || x.Untried })
		r.failedRoots(failed)
		for _, x := range r.Roots {
			seen[x.Root] = true
		}
	}
	return failed, rows.Err()
}

// LastRun is a run that is over.
type LastRun struct {
	Started      time.Time `json:"started"`
	Finished     time.Time `json:"finished"`
	Fetched      int       `json:"fetched"` // packages
	Bytes        int64     `json:"bytes"`   // from upstream
	Failures     int       `json:"failures"`
	UsedBytes    int64     `json:"used_bytes"` // as Report has them
	WastedBytes  int64     `json:"wasted_bytes"`
	WaitingBytes int64     `json:"waiting_bytes"`
	Partial      bool      `json:"partial,omitempty"`
	Stopped      string    `json:"stopped,omitempty"`
	Withdrawn    []Removed `json:"withdrawn,omitempty"` // as Report has them
	Deleted      []Removed `json:"deleted,omitempty"`
	Guarded      []Guarded `json:"guarded,omitempty"`
	Error        string    `json:"error,omitempty"` // what broke it off
}

// last is the run that was the last to end, nil if there was none.
func (h *history) last() (*LastRun, error) {
	var why string
	var report []byte
	err := h.db.QueryRow(`SELECT error, report FROM run ORDER BY rowid DESC LIMIT 1`).Scan(&why, &report)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := new(LastRun)
	if err := json.Unmarshal(report, r); err != nil {
		return nil, err
	}
	r.Error = why
	return r, nil
}
