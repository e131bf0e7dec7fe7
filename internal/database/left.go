package database

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"time"
)

// leftSuffix is behind the name of the file that tells how a database was left.
const leftSuffix = ".left"

// left is how a program left a database that it had read to see whether it is damaged.
// Whatever else has written to it since, a person, a crash or another program, has given
// it another time or left a journal beside it.
type left struct {
	Read     time.Time `json:"read"`
	Size     int64     `json:"size"` // bytes
	Modified time.Time `json:"modified"`
}

// readEvery is after how long a database is read though nobody has written to it: disks
// forget, too.
const readEvery = 24 * time.Hour

// MendOften is Mend for a program that is started often and calls Leave in the end: a
// database that is as it was left is not read again within a day.
func MendOften(ctx context.Context, path string, now time.Time, log *slog.Logger) (aside bool, err error) {
	was, is := leftAt(path), found(path)
	if age := now.Sub(was.Read); age >= 0 && age < readEvery && was.Size == is.Size && was.Modified.Equal(is.Modified) && !inUse(path) {
		return false, nil
	}
	if aside, err = Mend(ctx, path, log); err == nil {
		if err := note(path, now); err != nil {
			log.Debug("that a database was read can't be noted", "file", path, "error", err)
		}
	}
	return aside, err
}

// Leave notes how the database at path is left, which its caller has closed. The error is
// that it can't be noted: the next MendOften reads it, then.
func Leave(path string) error { return note(path, leftAt(path).Read) }

// note writes down how the database is, and when it was read.
func note(path string, read time.Time) error {
	is := found(path)
	is.Read = read
	b, err := json.Marshal(is)
	if err != nil {
		return err
	}
	return os.WriteFile(path+leftSuffix, b, 0o600)
}

// leftAt is what was noted, zero where nothing was that can be read.
func leftAt(path string) (l left) {
	b, err := os.ReadFile(path + leftSuffix)
	if err != nil || json.Unmarshal(b, &l) != nil {
		return left{}
	}
	return l
}

// found is how the database is now; of one that is not there nothing is known.
func found(path string) (l left) {
	if fi, err := os.Stat(path); err == nil {
		l.Size, l.Modified = fi.Size(), fi.ModTime()
	}
	return l
}

// inUse reports whether somebody has the database open, or was stopped before it was
// closed.
func inUse(path string) bool {
	for _, suffix := range companions {
		if _, err := os.Stat(path + suffix); err == nil {
			return true
		}
	}
	return false
}
