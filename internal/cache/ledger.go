package cache

import (
	"context"
	"database/sql"
	_ "embed" // the schema
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver
)

//go:embed ledger.sql
var ledgerSchema string

// Ledger is the accounting of a cache directory in SQLite: what was used, what
// was fetched, what was fetched in vain. No request waits for it: entries are
// written in batches in the background, and dropped, and counted, where the
// background can't keep up. It is safe for concurrent use, and both programs may
// have it open.
type Ledger struct {
	db      *sql.DB
	log     *slog.Logger
	now     func() time.Time
	entries chan entry
	done    chan struct{}
	once    sync.Once
	closed  atomic.Bool
	dropped atomic.Int64
}

// entry is one thing to be accounted.
type entry struct {
	path  string
	at    time.Time
	hit   bool
	sent  int64 // bytes to a client; notAnAnswer, lastEntry
	came  int64 // bytes from upstream
	ahead bool
	files int           // that were evicted; then came is their bytes
	flush chan struct{} // not an entry but a wait for those before it
}

// What an entry's sent says beside a number of bytes.
const (
	notAnAnswer = -1
	lastEntry   = -2
)

const (
	ledgerQueue = 8192            // entries; a second of 8,000 answers
	ledgerBatch = 1024            // entries in a transaction
	ledgerEvery = 2 * time.Second // how long an entry waits for its transaction
)

// OpenLedger opens the accounting at path; a database that is damaged is an
// error that says so.
func OpenLedger(path string, now func() time.Time, log *slog.Logger) (*Ledger, error) {
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_journal_mode=WAL&_busy_timeout=5000&_txlock=immediate&_synchronous=NORMAL"
	db, err := sql.Open("sqlite3", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(2)
	if _, err := db.Exec(ledgerSchema); err != nil {
		db.Close()
		return nil, fmt.Errorf("%s can't be used (%w): it holds statistics alone and may be deleted", path, err)
	}
	l := &Ledger{db: db, log: log, now: now, entries: make(chan entry, ledgerQueue), done: make(chan struct{})}
	go l.write()
	return l, nil
}

// Served accounts an answer of sent bytes for k. hit says that nothing was
// downloaded for it.
func (l *Ledger) Served(k Key, sent int64, hit bool) {
	l.add(entry{path: k.String(), sent: sent, hit: hit})
}

// Fetched accounts n bytes that came from upstream for k, ahead of any client or
// for one.
func (l *Ledger) Fetched(k Key, n int64, ahead bool) {
	l.add(entry{path: k.String(), sent: notAnAnswer, came: n, ahead: ahead})
}

// evicted accounts that files went to make room, which took n bytes.
func (l *Ledger) evicted(files int, n int64) {
	l.add(entry{sent: notAnAnswer, files: files, came: n})
}

func (l *Ledger) add(e entry) {
	if l.closed.Load() {
		return
	}
	e.at = l.now()
	select {
	case l.entries <- e:
	default:
		l.dropped.Add(1)
	}
}

// Dropped is how many entries were lost because the disk was too slow.
func (l *Ledger) Dropped() int64 { return l.dropped.Load() }

// Flush waits until what was accounted before it is written.
func (l *Ledger) Flush(ctx context.Context) error {
	wait := make(chan struct{})
	select {
	case l.entries <- entry{flush: wait}:
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-wait:
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Close writes what is left.
func (l *Ledger) Close() error {
	l.once.Do(func() {
		l.closed.Store(true)
		l.entries <- entry{sent: lastEntry}
	})
	<-l.done
	return l.db.Close()
}

// write is the background: it collects entries and writes them together.
func (l *Ledger) write() {
	defer close(l.done)
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	var batch []entry
	commit := func() {
		if len(batch) == 0 {
			return
		}
		if err := l.commit(batch); err != nil {
			l.dropped.Add(int64(len(batch)))
			l.log.Warn("the accounting can't be written", "entries", len(batch), "error", err)
		}
		batch = batch[:0]
	}
	for {
		select {
		case e := <-l.entries:
			switch {
			case e.flush != nil:
				commit()
				close(e.flush)
			case e.sent == lastEntry:
				commit()
				return
			default:
				if batch = append(batch, e); len(batch) >= ledgerBatch {
					commit()
				}
			}
		case <-tick.C:
			commit()
		}
	}
}

// commit writes a batch in one transaction.
func (l *Ledger) commit(batch []entry) error {
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for _, e := range batch {
		day, at := e.at.UTC().Format(time.DateOnly), e.at.Unix()
		switch {
		case e.sent >= 0:
			hits := 0
			if e.hit {
				hits = 1
			}
			err = served(tx, e, hits)
			if err == nil {
				_, err = tx.Exec(`INSERT INTO day (day, requests, hits, served) VALUES (?1, 1, ?2, ?3)
					ON CONFLICT (day) DO UPDATE SET requests = requests + 1, hits = hits + ?2, served = served + ?3`, day, hits, e.sent)
			}
		case e.ahead:
			_, err = tx.Exec(`INSERT INTO file (path, prefetched, ahead) VALUES (?1, ?2, ?3)
				ON CONFLICT (path) DO UPDATE SET prefetched = ?2, ahead = ahead + ?3`, e.path, at, e.came)
			if err == nil {
				_, err = tx.Exec(`INSERT INTO day (day, ahead) VALUES (?1, ?2) ON CONFLICT (day) DO UPDATE SET ahead = ahead + ?2`, day, e.came)
			}
		case e.files > 0:
			_, err = tx.Exec(`INSERT INTO evicted (at, files, bytes) VALUES (?, ?, ?)`, at, e.files, e.came)
			if err == nil {
				_, err = tx.Exec(`DELETE FROM file WHERE max(last_used, prefetched) < ?`, e.at.Add(-forgetAfter).Unix())
			}
			if err == nil {
				_, err = tx.Exec(`DELETE FROM evicted WHERE at < ?`, e.at.Add(-forgetAfter).Unix())
			}
		default:
			_, err = tx.Exec(`INSERT INTO day (day, upstream) VALUES (?1, ?2) ON CONFLICT (day) DO UPDATE SET upstream = upstream + ?2`, day, e.came)
		}
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// forgetAfter is how long the uses of a file are remembered, stored or not: one
// that was evicted and comes back has not lost them.
const forgetAfter = 180 * 24 * time.Hour

// usesWithin is how long whoever evicts waits for the latest uses to be written.
const usesWithin = 10 * time.Second

// uses is what is known of each file, by its path.
func (l *Ledger) uses(ctx context.Context) (map[string]use, error) {
	latest, cancel := context.WithTimeout(ctx, usesWithin)
	defer cancel()
	if err := l.Flush(latest); err != nil {
		l.log.Warn("the latest uses of files are not known yet", "error", err)
	}
	rows, err := l.db.QueryContext(ctx, `SELECT path, heat, last_used, prefetched FROM file`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := make(map[string]use)
	for rows.Next() {
		var path string
		var last, prefetched int64
		u := use{known: true}
		if err := rows.Scan(&path, &u.heat.uses, &last, &prefetched); err != nil {
			return nil, err
		}
		u.last, u.prefetched = unixTime(last), unixTime(prefetched)
		u.heat.at = u.last
		all[path] = u
	}
	return all, rows.Err()
}

// EvictedSince is how many files went to make room from since on, and what they
// took on the disk.
func (l *Ledger) EvictedSince(ctx context.Context, since time.Time) (files, bytes int64, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM evicted WHERE at >= ?`, since.Unix()).Scan(&files, &bytes)
	return files, bytes, err
}

// served accounts an answer for its file.
func served(tx *sql.Tx, e entry, hits int) error {
	var h heat
	var last int64
	err := tx.QueryRow(`SELECT heat, last_used FROM file WHERE path = ?`, e.path).Scan(&h.uses, &last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	h.at = unixTime(last)
	h = h.add(e.at)
	_, err = tx.Exec(`INSERT INTO file (path, hits, bytes, last_used, heat) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (path) DO UPDATE SET hits = hits + ?2, bytes = bytes + ?3, last_used = ?4, heat = ?5`,
		e.path, hits, e.sent, h.at.Unix(), h.uses)
	return err
}

// Totals sums up days of accounting; all but Requests and Hits are bytes.
type Totals struct {
	Requests int64 `json:"requests"`       // answers for files that are ours to cache
	Hits     int64 `json:"hits"`           // of these, with no download for them
	Served   int64 `json:"bytes_served"`   // sent to clients
	Upstream int64 `json:"bytes_upstream"` // downloaded for requests
	Ahead    int64 `json:"bytes_ahead"`    // downloaded before anyone asked
	// Saved is what the uplink was spared: what was sent less all that was
	// downloaded, in vain too. Below zero, the prefetching has not paid off yet.
	Saved int64 `json:"bytes_saved"`
}

// Totals is the sum from the day of since on.
func (l *Ledger) Totals(ctx context.Context, since time.Time) (Totals, error) {
	var t Totals
	row := l.db.QueryRowContext(ctx, `SELECT coalesce(sum(requests), 0), coalesce(sum(hits), 0), coalesce(sum(served), 0),
		coalesce(sum(upstream), 0), coalesce(sum(ahead), 0) FROM day WHERE day >= ?`, since.UTC().Format(time.DateOnly))
	err := row.Scan(&t.Requests, &t.Hits, &t.Served, &t.Upstream, &t.Ahead)
	t.Saved = t.Served - t.Upstream - t.Ahead
	return t, err
}
