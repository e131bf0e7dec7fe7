// Package database keeps a program from being stopped by a damaged SQLite file that
// holds what can be lost: it is set aside, and another is begun. A program that imports
// it, directly or not, has one arena of the C library's for SQLite on all threads.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"

	"github.com/mattn/go-sqlite3"
)

// AsideSuffix is behind the name of a database that was set aside. There is one of
// each at the most, the last.
const AsideSuffix = ".damaged"

// companions are what SQLite has beside a database.
var companions = []string{"-wal", "-shm", "-journal"}

// Mend reads the database at path and, where it is damaged, gives it another name, so
// that whoever opens path begins anew; it reports whether it did. It is for what opens
// the database next, when no other process is known to write to it: who has it open goes on
// with the file that was set aside. It takes a second for some hundred MiB. A file that is
// not there, or that can't be looked at now, is not damaged. The error is that a damaged
// one can't be renamed.
func Mend(ctx context.Context, path string, log *slog.Logger) (aside bool, err error) {
	if _, err := os.Lstat(path); err != nil {
		return false, nil
	}
	for _, suffix := range companions {
		if fi, err := os.Lstat(path + suffix); err == nil && !fi.Mode().IsRegular() {
			// SQLite opens nothing beside such a thing, which is not its own.
			if err := os.RemoveAll(path + suffix); err != nil {
				return false, fmt.Errorf("remove what is in a database's way: %w", err)
			}
		}
	}
	damage := check(ctx, path)
	if damage == nil {
		return false, nil
	}
	if err := errors.Join(os.RemoveAll(path+AsideSuffix), os.Rename(path, path+AsideSuffix)); err != nil {
		return false, fmt.Errorf("set aside %s, which is damaged (%w): %w", path, damage, err)
	}
	for _, suffix := range companions {
		// They would be taken for the next one's.
		if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("remove what belongs to a damaged database: %w", err)
		}
	}
	log.Warn("a damaged database was set aside, and a new one is begun", "file", path, "aside", path+AsideSuffix, "error", damage)
	return true, nil
}

// errNoFile is what is wrong with a directory, or a link that leads nowhere.
var errNoFile = errors.New("it is no file")

// check is what is wrong with the bytes of a database, nil where nothing is known to be.
func check(ctx context.Context, path string) error {
	if fi, err := os.Stat(path); err != nil || !fi.Mode().IsRegular() {
		return errors.Join(errNoFile, err)
	}
	db, err := sql.Open("sqlite3", "file:"+(&url.URL{Path: path}).EscapedPath()+"?mode=rw&_busy_timeout=5000")
	if err != nil {
		return nil
	}
	defer db.Close()
	var found string
	err = db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	var e sqlite3.Error
	switch {
	case errors.As(err, &e) && (e.Code == sqlite3.ErrCorrupt || e.Code == sqlite3.ErrNotADB):
		return err
	case err == nil && found != "ok":
		return errors.New(found)
	}
	return nil
}
