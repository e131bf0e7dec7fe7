package database

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A database is read again where anything else than the program that left it may have
// written to it, and once a day. Each case spoils it so that only reading it shows.
func TestMendOften(t *testing.T) {
	now := time.Unix(1_790_000_000, 0)
	// spoil changes the middle of a database, and not its time.
	spoil := func(path string) error {
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		fi, err := os.Stat(path)
		if err != nil {
			return err
		}
		for i := range b[8192:] {
			b[8192+i] = byte(i * 7)
		}
		return errors.Join(os.WriteFile(path, b, 0o600), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
	}
	for _, c := range []struct {
		name   string
		after  time.Duration
		change func(path string) error
		aside  bool
	}{
		{"as it was left", time.Hour, spoil, false},
		{"a day later", 24 * time.Hour, spoil, true},
		{"the clock was set back", -time.Second, spoil, true},
		{"somebody has written to it", time.Hour, func(path string) error {
			return errors.Join(spoil(path), os.Chtimes(path, now, now))
		}, true},
		{"it has another size", time.Hour, func(path string) error {
			fi, err := os.Stat(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Truncate(path, fi.Size()/2), os.Chtimes(path, fi.ModTime(), fi.ModTime()))
		}, true},
		{"a crash has left its journal", time.Hour, func(path string) error {
			return errors.Join(spoil(path), os.WriteFile(path+"-wal", nil, 0o600))
		}, true},
		{"what was noted can't be read", time.Hour, func(path string) error {
			return errors.Join(spoil(path), os.WriteFile(path+leftSuffix, []byte("{"), 0o600))
		}, true},
		{"it was not left in order", time.Hour, func(path string) error {
			return errors.Join(spoil(path), os.Remove(path+leftSuffix))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			log := slog.New(slog.DiscardHandler)
			// The first time there is none.
			if aside, err := MendOften(t.Context(), path, now, log); aside || err != nil {
				t.Fatalf("before there is one: %t, %v", aside, err)
			}
			begin(t, path)
			if err := errors.Join(Leave(path), c.change(path)); err != nil {
				t.Fatal(err)
			}
			if aside, err := MendOften(t.Context(), path, now.Add(c.after), log); err != nil || aside != c.aside {
				t.Errorf("set aside: %t, %v; want %t", aside, err, c.aside)
			}
		})
	}
}
