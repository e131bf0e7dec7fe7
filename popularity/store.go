package popularity

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mattn/go-sqlite3"

	"intelligentmirror/internal/config"
)

//go:embed migrations/*.sql
var migrations embed.FS

// ErrDamaged is wrapped by the errors of a database that SQLite cannot read.
var ErrDamaged = errors.New("the popularity database is damaged")

// Options is what a Store is opened with. Resolve and IsPackage are called by
// Ingest for URLs that are new to it, and Resolve for each request for a file that
// was not there; these and Trusted from several goroutines.
type Options struct {
	// Resolve says which repository a URL belongs to, and the path in it. host
	// is in lower case, without the port of http or https, and empty for a
	// request to the mirror itself; path begins with a slash and is escaped as
	// it was sent, and so may be rest. A URL that is not ok counts nowhere.
	Resolve func(host, path string) (repo, rest string, ok bool)
	// IsPackage says whether "/<repo>/<path>", decoded, is a package.
	IsPackage func(path string) bool

	// Trusted says whether an address is a proxy whose X-Forwarded-For is
	// believed; nil: none is.
	Trusted func(netip.Addr) bool
	// Fields say where lines in JSON have what, the preferred first. Without,
	// such lines are of no known format.
	Fields []config.LogField
	// ClientCap is how many packages one client can count for on one day: one
	// that asks for more, as another mirror does, counts less for each. 0: no
	// limit.
	ClientCap int
	// Stdin is what the log named Stdin holds; nil: nothing.
	Stdin io.Reader

	// Group is the secret of the machines that make one ranking together; empty:
	// this one counts alone.
	Group []byte

	Clock func() time.Time // nil: time.Now
	Log   *slog.Logger     // nil: no log
}

// Store is a popularity database. Its methods may be called concurrently, by
// several processes too: an Ingest or Import waits for another of the same Store, and
// Rank and Roots see what was committed when they began.
type Store struct {
	path   string
	db     *sql.DB
	opt    Options
	fields *jsonNode  // of opt.Fields; nil: none
	group  *group     // of opt.Group; nil: none
	limit  int        // requests in a batch
	most   int        // bytes of targets and clients that are remembered
	one    sync.Mutex // held by Ingest and Import

	checkpoints sync.WaitGroup
}

// Open opens the database at path, and creates it, readable by its owner
// alone, if it is not there. An error that wraps ErrDamaged says what to do.
func Open(path string, o Options) (*Store, error) {
	if o.Resolve == nil || o.IsPackage == nil {
		return nil, errors.New("open popularity database: Resolve and IsPackage are required")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open popularity database: %w", err)
	}
	if err := makeFile(path); err != nil {
		return nil, fmt.Errorf("open popularity database: %w", err)
	}
	s := &Store{path: path, db: sql.OpenDB(newConnector(path)), opt: o, group: newGroup(o.Group), limit: batchRequests, most: memoryLimit}
	if len(o.Fields) > 0 {
		s.fields = newJSONNode(o.Fields)
	}
	if err := s.migrate(context.Background()); err != nil {
		s.db.Close()
		return nil, s.explain("open", err)
	}
	return s, nil
}

// Close releases the database.
func (s *Store) Close() error {
	s.checkpoints.Wait()
	return s.db.Close()
}

// makeFile creates the database's file so that SQLite cannot create it with
// the umask's mode; SQLite gives its companions (-wal, -shm) the same mode.
func makeFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return err
	}
	return f.Chmod(0o600)
}

// explain wraps an error of the database with what was tried, and where the
// database is damaged with what to do.
func (s *Store) explain(tried string, err error) error {
	var e sqlite3.Error
	damaged := errors.Is(err, ErrDamaged)
	if errors.As(err, &e) {
		damaged = damaged || e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB
	}
	if !damaged {
		return fmt.Errorf("%s popularity database %s: %w", tried, s.path, err)
	}
	return fmt.Errorf("%s %s: %w (%w); move it away, with %s-wal and %s-shm where they exist, and run again: "+
		"no package is lost, only the ranks, and they come back with the logs that are still there",
		tried, s.path, ErrDamaged, err, filepath.Base(s.path), filepath.Base(s.path))
}

// migrate brings the schema up to date. The number of migrations that were
// done is SQLite's user_version.
func (s *Store) migrate(ctx context.Context) error {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	// Looked at without a write lock first: most opens have nothing to do.
	done, err := userVersion(ctx, s.db)
	if err != nil || done == len(names) {
		return err
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if done, err = userVersion(ctx, tx); err != nil {
		return err
	}
	if done > len(names) {
		return fmt.Errorf("its schema is number %d and this program knows %d: it was written by a newer version; "+
			"upgrade, or move it away (only ranks are lost)", done, len(names))
	}
	for _, name := range names[done:] {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(text)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", len(names))); err != nil {
		return err
	}
	return tx.Commit()
}

type querier interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

func userVersion(ctx context.Context, q querier) (n int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&n)
	return n, err
}

// snapshot runs read on one connection, in a transaction that takes no lock
// which a writer would wait for: all that it reads is of one moment. (The
// transactions of database/sql begin with the write lock here, see the DSN.)
func (s *Store) snapshot(ctx context.Context, read func(*sql.Conn) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "BEGIN"); err != nil {
		return err
	}
	// The connection goes back to the pool: its transaction must end, also
	// when ctx is done.
	defer conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	return read(conn)
}
