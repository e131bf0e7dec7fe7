package database

import (
	"bytes"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// begin makes a database of some pages.
func begin(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite3", "file:"+path+"?_journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec(`CREATE TABLE a (b TEXT); CREATE INDEX c ON a (b);
		WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 2000) INSERT INTO a SELECT hex(i * 77777) FROM n`)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// A damaged database is set aside, and what belongs to it does not become the next
// one's; any other stays.
func TestMend(t *testing.T) {
	noise := func(b []byte) {
		for i := range b {
			b[i] = byte(i * 7)
		}
	}
	for _, c := range []struct {
		name   string
		damage func([]byte) []byte
		aside  bool
	}{
		{"whole", func(b []byte) []byte { return b }, false},
		{"empty", func([]byte) []byte { return nil }, false},
		{"noise", func(b []byte) []byte { noise(b); return b }, true},
		{"no database", func([]byte) []byte { return bytes.Repeat([]byte("not a database "), 1000) }, true},
		{"noise behind its head", func(b []byte) []byte { noise(b[8192:]); return b }, true},
		{"cut", func(b []byte) []byte { return b[:len(b)/2] }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a b?c.db")
			begin(t, filepath.Dir(path)+"/x.db")
			b, err := os.ReadFile(filepath.Dir(path) + "/x.db")
			if err != nil {
				t.Fatal(err)
			}
			b = c.damage(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if c.aside {
				if err := os.WriteFile(path+"-wal", []byte("its"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			aside, err := Mend(t.Context(), path, slog.New(slog.DiscardHandler))
			if err != nil || aside != c.aside {
				t.Fatalf("set aside: %t, %v", aside, err)
			}
			at := path
			if c.aside {
				at += AsideSuffix
				for _, gone := range []string{path, path + "-wal"} {
					if _, err := os.Stat(gone); !os.IsNotExist(err) {
						t.Errorf("%s: %v", gone, err)
					}
				}
			}
			if got, err := os.ReadFile(at); err != nil || !bytes.Equal(got, b) {
				t.Errorf("%d bytes of %d, %v", len(got), len(b), err)
			}
		})
	}
	if aside, err := Mend(t.Context(), filepath.Join(t.TempDir(), "none"), slog.New(slog.DiscardHandler)); aside || err != nil {
		t.Errorf("one that is not there: %t, %v", aside, err)
	}
}

// What is no file at all is set aside as well, and nothing of that kind beside a
// database keeps it from being opened.
func TestMendNoFile(t *testing.T) {
	directory := func(path string) error { return os.MkdirAll(path+"/in/it", 0o755) }
	loop := func(path string) error { return os.Symlink(path, path) }
	for _, c := range []struct {
		name  string
		at    string // behind the database's name
		make  func(string) error
		aside bool
	}{
		{"a directory", "", directory, true},
		{"a link to itself", "", loop, true},
		{"a directory for its log", "-wal", directory, false},
		{"a link for its log", "-wal", loop, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.db")
			if c.at != "" {
				begin(t, path)
			}
			if err := os.MkdirAll(path+AsideSuffix+"/of/before", 0o755); err != nil {
				t.Fatal(err)
			}
			if err := c.make(path + c.at); err != nil {
				t.Fatal(err)
			}
			if aside, err := Mend(t.Context(), path, slog.New(slog.DiscardHandler)); aside != c.aside || err != nil {
				t.Errorf("set aside: %t, %v", aside, err)
			}
			if c.aside {
				begin(t, path) // which nothing is in the way of
			}
			db, err := sql.Open("sqlite3", "file:"+path+"?mode=rw")
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var n int
			if err := db.QueryRow(`SELECT count(*) FROM a`).Scan(&n); err != nil || n != 2000 {
				t.Errorf("%d rows, %v", n, err)
			}
		})
	}
}
