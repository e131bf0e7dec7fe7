package popularity

import (
	"context"
	"database/sql/driver"
	"fmt"
	"net/url"

	"github.com/mattn/go-sqlite3"
)

// connector opens connections to a popularity database.
type connector struct {
	dsn    string
	driver sqlite3.SQLiteDriver
}

// walPages is how many pages of a WAL may gather during an Ingest before a commit has to
// copy them into the database, which takes longer than to write them: 64 MiB.
const walPages = 16 << 10

func newConnector(path string) *connector {
	// NORMAL may lose the last commits with the power: offsets and counts
	// alike, so that the lines are read again. The cache is twice SQLite's own,
	// so that few pages of a batch are written before it is complete.
	dsn := url.URL{Scheme: "file", Path: path, RawQuery: "_journal_mode=WAL&_busy_timeout=5000&_txlock=immediate&_foreign_keys=on&_synchronous=NORMAL&_cache_size=-4096"}
	return &connector{dsn.String(), sqlite3.SQLiteDriver{ConnectHook: func(c *sqlite3.SQLiteConn) error {
		_, err := c.Exec(fmt.Sprintf("PRAGMA wal_autocheckpoint = %d", walPages), nil)
		return err
	}}}
}

// Connect implements driver.Connector.
func (c *connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }

// Driver implements driver.Connector.
func (c *connector) Driver() driver.Driver { return &c.driver }

// checkpoint begins to copy what is in the WAL into the database, which Close waits for:
// whoever reads goes on meanwhile. What can't be copied stays where it is.
func (s *Store) checkpoint() {
	s.checkpoints.Go(func() {
		if _, err := s.db.Exec("PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
			s.opt.Log.Debug("the popularity database's WAL stays as it is", "error", err)
		}
	})
}
