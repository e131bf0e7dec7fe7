package popularity

import (
	"context"
	"database/sql"
	"strings"
)

// bulkRows is how many rows go into one statement: the way to SQLite costs more
// than a row.
const bulkRows = 64

// bulk inserts many rows with few statements.
type bulk struct {
	tx         *sql.Tx
	head, tail string // around the rows: "INSERT INTO t (a, b) VALUES", "ON CONFLICT DO NOTHING"
	columns    int
	full       *sql.Stmt // for bulkRows rows; nil: not prepared yet
	args       []any
}

func newBulk(tx *sql.Tx, columns int, head, tail string) *bulk {
	return &bulk{tx: tx, head: head, tail: tail, columns: columns}
}

// add adds a row, and writes what has gathered if that is enough. rows is how
// many rows were written, affected how many of them the database took.
func (b *bulk) add(ctx context.Context, args ...any) (rows int, affected int64, err error) {
	b.args = append(b.args, args...)
	if len(b.args) < bulkRows*b.columns {
		return 0, 0, nil
	}
	return b.flush(ctx)
}

// flush writes what has gathered.
func (b *bulk) flush(ctx context.Context) (rows int, affected int64, err error) {
	if rows = len(b.args) / b.columns; rows == 0 {
		return 0, 0, nil
	}
	if err := ctx.Err(); err != nil {
		return 0, 0, err
	}
	// What can be cancelled costs the driver a goroutine each, and is over in no time.
	ctx = context.WithoutCancel(ctx)
	var result sql.Result
	if rows < bulkRows {
		result, err = b.tx.ExecContext(ctx, b.text(rows), b.args...)
	} else {
		if b.full == nil {
			if b.full, err = b.tx.PrepareContext(ctx, b.text(bulkRows)); err != nil {
				return 0, 0, err
			}
		}
		result, err = b.full.ExecContext(ctx, b.args...)
	}
	b.args = b.args[:0]
	if err != nil {
		return 0, 0, err
	}
	affected, err = result.RowsAffected()
	return rows, affected, err
}

func (b *bulk) text(rows int) string {
	row := "(?" + strings.Repeat(", ?", b.columns-1) + ")"
	return b.head + " " + row + strings.Repeat(", "+row, rows-1) + " " + b.tail
}

// close releases the statement; what was not flushed is not written.
func (b *bulk) close() {
	if b.full != nil {
		b.full.Close()
	}
}
