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
// was fetched, what was fetched in vain. No request waits for it: what is
// accounted is added up in memory, and written in the background every
// two seconds; what does not fit because the background can't keep up is dropped, and
// counted. It is safe for concurrent use, and both programs may have it open.
type Ledger struct {
	db   *sql.DB
	log  *slog.Logger
	now  func() time.Time
	done chan struct{}

	forgot time.Time // when old entries were looked for; the background's

	mu      sync.Mutex
	pending accounts
	waiting []chan struct{} // closed when what is pending has been written
	closed  bool
	wake    chan struct{} // holds one where the background has something to do at once

	dropped atomic.Int64
}

// accounts are what is to be written together.
type accounts struct {
	served map[fileDay]*tally
	others []entry
}

// fileDay is a file on a day, UTC, as days since 1970.
type fileDay struct {
	key Key
	day int64
}

// tally is the answers for a file.
type tally struct {
	answers, hits, bytes int64
	heat                 heat
}

// entry is something else than answers to be accounted.
type entry struct {
	path  string
	at    time.Time
	came  int64 // bytes from upstream
	ahead bool
	files int // that were evicted; then came is their bytes
}

const (
	ledgerQueue = 8192            // files that wait to be written
	ledgerBatch = 1024            // files that wait for no time to pass
	ledgerEvery = 2 * time.Second // how long an entry waits for its transaction
)

const secondsADay = 24 * 60 * 60

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
	l := &Ledger{db: db, log: log, now: now, done: make(chan struct{}), wake: make(chan struct{}, 1)}
	go l.write()
	return l, nil
}

// Served accounts an answer of sent bytes for k. hit says that nothing was
// downloaded for it.
func (l *Ledger) Served(k Key, sent int64, hit bool) {
	at := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	of := fileDay{k, at.Unix() / secondsADay}
	t := l.pending.served[of]
	if t == nil {
		if !l.admit() {
			return
		}
		if l.pending.served == nil {
			l.pending.served = map[fileDay]*tally{}
		}
		t = &tally{}
		l.pending.served[of] = t
	}
	t.answers++
	t.bytes += sent
	if hit {
		t.hits++
	}
	t.heat = t.heat.plus(heat{1, at})
}

// Fetched accounts n bytes that came from upstream for k, ahead of any client or
// for one.
func (l *Ledger) Fetched(k Key, n int64, ahead bool) {
	l.add(entry{path: k.String(), came: n, ahead: ahead})
}

// evicted accounts that files went to make room, which took n bytes.
func (l *Ledger) evicted(files int, n int64) {
	l.add(entry{files: files, came: n})
}

func (l *Ledger) add(e entry) {
	e.at = l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.admit() {
		l.pending.others = append(l.pending.others, e)
	}
}

// admit reports whether one more may wait to be written, and drops it otherwise.
func (l *Ledger) admit() bool {
	n := len(l.pending.served) + len(l.pending.others)
	if l.closed {
		return false
	}
	if n >= ledgerQueue {
		l.dropped.Add(1)
		return false
	}
	if n >= ledgerBatch {
		l.hurry()
	}
	return true
}

// hurry has the background write at once.
func (l *Ledger) hurry() {
	select {
	case l.wake <- struct{}{}:
	default: // it has been told
	}
}

// Dropped is how many entries were lost because the disk was too slow.
func (l *Ledger) Dropped() int64 { return l.dropped.Load() }

// Flush waits until what was accounted before it is written.
func (l *Ledger) Flush(ctx context.Context) error {
	written := make(chan struct{})
	l.mu.Lock()
	l.waiting = append(l.waiting, written)
	l.mu.Unlock()
	l.hurry()
	select {
	case <-written:
	case <-l.done:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// Close writes what is left.
func (l *Ledger) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.hurry()
	<-l.done
	return l.db.Close()
}

// write is the background.
func (l *Ledger) write() {
	defer close(l.done)
	tick := time.NewTicker(ledgerEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.wake:
		case <-tick.C:
		}
		l.mu.Lock()
		batch, waiting, closed := l.pending, l.waiting, l.closed
		l.pending, l.waiting = accounts{}, nil
		l.mu.Unlock()
		if n := batch.count(); n > 0 {
			if err := l.commit(batch); err != nil {
				l.dropped.Add(n)
				l.log.Warn("the accounting can't be written", "entries", n, "error", err)
			}
		}
		for _, written := range waiting {
			close(written)
		}
		if closed {
			return
		}
	}
}

// count is how many answers and other entries b has.
func (b *accounts) count() int64 {
	n := int64(len(b.others))
	for _, t := range b.served {
		n += t.answers
	}
	return n
}

// commit writes a batch in one transaction.
func (l *Ledger) commit(batch accounts) error {
	tx, err := l.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	days := map[int64]tally{}
	for of, t := range batch.served {
		if err := served(tx, of.key, t); err != nil {
			return err
		}
		sum := days[of.day]
		days[of.day] = tally{answers: sum.answers + t.answers, hits: sum.hits + t.hits, bytes: sum.bytes + t.bytes}
	}
	for d, sum := range days {
		_, err := tx.Exec(`INSERT INTO day (day, requests, hits, served) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (day) DO UPDATE SET requests = requests + ?2, hits = hits + ?3, served = served + ?4`,
			time.Unix(d*secondsADay, 0).UTC().Format(time.DateOnly), sum.answers, sum.hits, sum.bytes)
		if err != nil {
			return err
		}
	}
	for _, e := range batch.others {
		if err := e.write(tx); err != nil {
			return err
		}
	}
	now := l.now()
	due := now.Sub(l.forgot) >= forgetEvery
	if due {
		if err := forget(tx, now); err != nil {
			return err
		}
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if due {
		l.forgot = now
	}
	return nil
}

// forget deletes what is too old to count. A cache that is never full has it, too.
func forget(tx *sql.Tx, now time.Time) error {
	before := now.Add(-forgetAfter).Unix()
	for _, statement := range []string{
		`DELETE FROM file WHERE max(last_used, prefetched) < ?`,
		`DELETE FROM evicted WHERE at < ?`,
	} {
		if _, err := tx.Exec(statement, before); err != nil {
			return err
		}
	}
	return nil
}

// write accounts e.
func (e entry) write(tx *sql.Tx) error {
	day, at := e.at.UTC().Format(time.DateOnly), e.at.Unix()
	switch {
	case e.ahead:
		_, err := tx.Exec(`INSERT INTO file (path, prefetched, ahead) VALUES (?1, ?2, ?3)
			ON CONFLICT (path) DO UPDATE SET prefetched = ?2, ahead = ahead + ?3`, e.path, at, e.came)
		if err == nil {
			_, err = tx.Exec(`INSERT INTO day (day, ahead) VALUES (?1, ?2) ON CONFLICT (day) DO UPDATE SET ahead = ahead + ?2`, day, e.came)
		}
		return err
	case e.files > 0:
		_, err := tx.Exec(`INSERT INTO evicted (at, files, bytes) VALUES (?, ?, ?)`, at, e.files, e.came)
		return err
	}
	_, err := tx.Exec(`INSERT INTO day (day, upstream) VALUES (?1, ?2) ON CONFLICT (day) DO UPDATE SET upstream = upstream + ?2`, day, e.came)
	return err
}

// forgetAfter is how long the uses of a file are remembered, stored or not: one
// that was evicted and comes back has not lost them.
const forgetAfter = 180 * 24 * time.Hour

// forgetEvery is how often what is older is looked for, which reads all rows: some tens
// of milliseconds for 100,000.
const forgetEvery = 10 * time.Minute

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

// LastUses is when a client last came for each file that one came for within half a
// year, by the file's path below the cache directory.
func (l *Ledger) LastUses(ctx context.Context) (map[string]time.Time, error) {
	uses, err := l.uses(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the accounting: %w", err)
	}
	last := make(map[string]time.Time, len(uses))
	for path, u := range uses {
		if !u.last.IsZero() {
			last[path] = u.last
		}
	}
	return last, nil
}

// EvictedSince is how many files went to make room from since on, and what they
// took on the disk.
func (l *Ledger) EvictedSince(ctx context.Context, since time.Time) (files, bytes int64, err error) {
	err = l.db.QueryRowContext(ctx, `SELECT coalesce(sum(files), 0), coalesce(sum(bytes), 0) FROM evicted WHERE at >= ?`, since.Unix()).Scan(&files, &bytes)
	return files, bytes, err
}

// served accounts the answers t for the file k.
// A use that is later than this one by more than clockSlip was noted by a clock that
// was wrong, and would make all uses until then worth nothing.
func served(tx *sql.Tx, k Key, t *tally) error {
	var h heat
	var last int64
	err := tx.QueryRow(`SELECT heat, last_used FROM file WHERE path = ?`, k.String()).Scan(&h.uses, &last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	h.at = unixTime(last)
	if h.at.Sub(t.heat.at) > clockSlip {
		h.at = t.heat.at
	}
	h = h.plus(t.heat)
	_, err = tx.Exec(`INSERT INTO file (path, hits, bytes, last_used, heat) VALUES (?1, ?2, ?3, ?4, ?5)
		ON CONFLICT (path) DO UPDATE SET hits = hits + ?2, bytes = bytes + ?3, last_used = ?4, heat = ?5`,
		k.String(), t.hits, t.bytes, h.at.Unix(), h.uses)
	return err
}

// clockSlip is how far back a clock goes that is put right by a little.
const clockSlip = 24 * time.Hour

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
