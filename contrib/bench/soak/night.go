package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	_ "github.com/mattn/go-sqlite3" // the driver
)

const (
	keptLogs    = 3   // rotated logs
	reloadEvery = 4   // days
	faultEvery  = 3   // days
	older       = 30  // days that all that is remembered grows older in one of the site's
	between     = 150 // runs that were between two of the site's days
)

// days lets a day after the other pass, until ctx ends: mirrors are well or not, and
// before the next one begins, upstream publishes, logs are rotated, and what both
// programs remember grows older.
func (s *site) days(ctx context.Context) {
	for day := 1; ; day++ {
		if day%faultEvery == 0 {
			s.up.misbehave()
			if !wait(ctx, s.day/3) {
				return
			}
			s.up.heal()
		}
		if !wait(ctx, s.day/3) {
			return
		}
		if err := s.night(ctx, day); err != nil && ctx.Err() == nil {
			s.complain("the night of day %d: %v", day, err)
		}
		if !wait(ctx, s.day/3) {
			return
		}
		if day%faultEvery != 0 && !wait(ctx, s.day/3) {
			return
		}
	}
}

// wait reports whether d has passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// night is what happens between two days; the agent does its part by itself.
func (s *site) night(ctx context.Context, day int) error {
	if err := s.up.publish(); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	if err := s.rotate(day); err != nil {
		return fmt.Errorf("rotate the log: %w", err)
	}
	if err := s.age(ctx); err != nil {
		return fmt.Errorf("grow older: %w", err)
	}
	if day%reloadEvery == 0 {
		for _, p := range []*program{s.serve, s.agent} {
			if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				return err
			}
		}
	}
	for _, c := range []struct {
		args []string
		most int // the exit code that is in order
	}{
		{[]string{"rank", "--json"}, 0},
		{[]string{"status", "--json"}, 0},
		// Of a repository that is renewed so often too much goes within a day: a person says
		// that it may. Where the agent is at it, it is tried tomorrow.
		{[]string{"prune", "--confirm", "fedora/" + rootPath}, otherRun},
	} {
		if out, code := s.imsync(ctx, c.args...); code != 0 && code != c.most && ctx.Err() == nil {
			return fmt.Errorf("imsync %s ends with %d: %s", c.args[0], code, out)
		}
	}
	return nil
}

// otherRun is imsync's exit code where another run is under way.
const otherRun = 4

// imsync runs a command of the agent's to its end, and returns what it said and its exit
// code, -1 where it has none.
func (s *site) imsync(ctx context.Context, args ...string) (string, int) {
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "imsync"), append(args, "--config", s.config)...)
	cmd.Env = append(os.Environ(), "TMPDIR="+s.temp)
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		return err.Error(), -1
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// rotate renames the access log, as logrotate does, and lets the oldest go.
func (s *site) rotate(day int) error {
	name := s.state + "/access.log"
	err := errors.Join(os.Rename(name, fmt.Sprintf("%s.%d", name, day)), s.serve.cmd.Process.Signal(syscall.SIGUSR1))
	if gone := os.Remove(fmt.Sprintf("%s.%d", name, day-keptLogs)); !errors.Is(gone, fs.ErrNotExist) {
		err = errors.Join(err, gone)
	}
	return err
}

// aged is what of the databases is told by the calendar, or by how many came since: what
// a statement does of it with the days, or runs, that have passed.
var aged = []struct{ database, statement string }{
	{"cache.db", "UPDATE file SET last_used = last_used - :days * 86400 WHERE last_used > 0"},
	{"cache.db", "UPDATE file SET prefetched = prefetched - :days * 86400 WHERE prefetched > 0"},
	{"cache.db", "UPDATE evicted SET at = at - :days * 86400"},
	{"popularity.db", "UPDATE open_days SET day = day - :days, read = read - :days * 86400"},
	{"popularity.db", "UPDATE requests SET part = part - 256 * :days"},
	{"popularity.db", "UPDATE days SET day = day - :days, last_seen = last_seen - :days * 86400"},
	{"popularity.db", "UPDATE overlaps SET day = day - :days"},
	{"popularity.db", "UPDATE logs SET seen = seen - :days * 86400"},
	{"imsync.db", "UPDATE prefetched SET at = at - :days * 86400, used = max(0, used - :days * 86400)"},
	// But for the newest: the next one's number is the one after it.
	{"imsync.db", "UPDATE run SET rowid = rowid - :runs WHERE rowid < (SELECT max(rowid) FROM run)"},
}

// age makes what both programs remember older, since they go by the calendar, which
// nobody can hurry: what is forgotten after half a year is forgotten after six of the
// site's days, and what after three years after 37, well before the half of a run that is
// judged.
func (s *site) age(ctx context.Context) error {
	for _, path := range []string{s.cache + "/.im/cache.db", s.state + "/popularity.db", s.state + "/imsync.db"} {
		if err := age(ctx, path, older, between); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return s.ageFiles(older)
}

// age makes one database older. One that is not there yet is as old as it gets.
func age(ctx context.Context, path string, days, runs int) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	db, err := sql.Open("sqlite3", "file:"+path+"?_busy_timeout=20000&_txlock=immediate")
	if err != nil {
		return err
	}
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for _, a := range aged {
		if !strings.HasSuffix(path, "/"+a.database) {
			continue
		}
		var args []any
		if strings.Contains(a.statement, ":days") {
			args = append(args, sql.Named("days", days))
		}
		if strings.Contains(a.statement, ":runs") {
			args = append(args, sql.Named("runs", runs))
		}
		if _, err := tx.ExecContext(ctx, a.statement, args...); err != nil {
			return fmt.Errorf("%s: %w", a.statement, err)
		}
	}
	return tx.Commit()
}
