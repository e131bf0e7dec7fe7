package popularity

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestFileMode(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(dir+"/state", 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/state/popularity.db", "")
	if err := os.Chmod(dir+"/state/popularity.db", 0o644); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir, options())
	writeFile(t, dir+"/log", write(traffic(1, 10), "common"))
	ingest1(t, s, dir+"/log")
	files, err := os.ReadDir(dir + "/state")
	if err != nil || len(files) < 2 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != 0o600 {
			t.Errorf("%s: %v", f.Name(), info.Mode())
		}
	}
}

// clients are the hashes of a database's open days.
func clients(t *testing.T, s *Store) (all []uint64) {
	t.Helper()
	days, err := column[int64](t.Context(), s.db, "SELECT day FROM open_days ORDER BY day")
	for _, day := range days {
		err = errors.Join(err, eachClient(t.Context(), s.db, day, func(client uint64, _ []asked, _ []uint64) error {
			all = append(all, client)
			return nil
		}))
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// No address is in the database in the clear, and no two databases have the same
// hash of one.
func TestClientsAreSaltedHashes(t *testing.T) {
	var hashes []uint64
	for range 2 {
		dir := t.TempDir()
		s := openStore(t, dir, options())
		writeFile(t, dir+"/log", line("client-in-the-clear", now, "a/x-1-1.noarch.rpm"))
		ingest1(t, s, dir+"/log")
		hashes = append(hashes, clients(t, s)...)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(dir + "/state/popularity.db")
		if err != nil || strings.Contains(string(b), "client-in-the-clear") {
			t.Errorf("the address is in the database (%v)", err)
		}
	}
	if hashes[0] == hashes[1] {
		t.Error("two databases have one salt")
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	hits := traffic(2, 200)
	for _, part := range [][]hit{hits[:50], hits[50:]} {
		s := openStore(t, dir, options())
		appendFile(t, dir+"/log", write(part, "squid"))
		ingest1(t, s, dir+"/log")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, openStore(t, dir, options()))); diff != "" {
		t.Error(diff)
	}
}

// A path with the characters that an SQLite URI gives a meaning to.
func TestOddPath(t *testing.T) {
	dir := t.TempDir() + "/a b?c#d%41"
	s := openStore(t, dir, options())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir + "/state/popularity.db"); err != nil || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestDamaged(t *testing.T) {
	says := func(t *testing.T, err error) {
		t.Helper()
		if !errors.Is(err, ErrDamaged) || !strings.Contains(fmt.Sprint(err), "move it away") || !strings.Contains(fmt.Sprint(err), "/state/popularity.db") {
			t.Errorf("%v", err)
		}
	}
	t.Run("not a database", func(t *testing.T) {
		dir := t.TempDir()
		if err := os.Mkdir(dir+"/state", 0o700); err != nil {
			t.Fatal(err)
		}
		writeFile(t, dir+"/state/popularity.db", strings.Repeat("garbage ", 1000))
		_, err := Open(dir+"/state/popularity.db", options())
		says(t, err)
	})
	t.Run("pages overwritten", func(t *testing.T) {
		dir := t.TempDir()
		s := openStore(t, dir, options())
		writeFile(t, dir+"/log", write(traffic(3, 2000), "common"))
		ingest1(t, s, dir+"/log")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(dir + "/state/popularity.db")
		if err != nil {
			t.Fatal(err)
		}
		for i := range b[4096:] {
			b[4096+i] = byte(i * 7)
		}
		writeFile(t, dir+"/state/popularity.db", string(b))
		s = openStore(t, dir, options())
		_, err = s.Rank(t.Context(), halfLife)
		says(t, err)
		_, _, err = s.Roots(t.Context(), time.Time{}, 1)
		says(t, err)
		_, err = s.Ingest(t.Context(), []string{dir + "/log"})
		says(t, err)
	})
	for _, c := range []struct{ name, statement string }{
		{"a client's head cut short", "UPDATE requests SET clients = substr(clients, 1, 12)"},
		{"a client cut short", "UPDATE requests SET clients = substr(clients, 1, length(clients) - 1)"},
		{"a list of requests cut short", "UPDATE requests SET clients = x'0102030405060708000000000180'"},
		{"a request for no path", "UPDATE requests SET clients = x'01020304050607080000000003010101'; DELETE FROM paths"},
		{"a list of paths cut short", "UPDATE paths SET list = substr(list, 1, length(list) - 1)"},
		{"a path in no directory", "UPDATE paths SET list = x'0001'"},
		{"a list of other paths", "UPDATE paths SET last = first - 2"},
		{"more paths than there can be", "UPDATE paths SET last = 9223372036854775806"},
		{"a path without a name", "UPDATE paths SET list = x'0000016100'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, options())
			writeFile(t, dir+"/log", write(traffic(3, 20), "common"))
			ingest1(t, s, dir+"/log")
			if _, err := s.db.Exec(c.statement); err != nil {
				t.Fatal(err)
			}
			_, err := s.Rank(t.Context(), halfLife)
			says(t, err)
		})
	}
}

func TestNewerSchema(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, options())
	if _, err := s.db.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir+"/state/popularity.db", options())
	if err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("%v", err)
	}
}

func TestOpenNeedsItsFunctions(t *testing.T) {
	for name, change := range map[string]func(*Options){
		"Resolve":   func(o *Options) { o.Resolve = nil },
		"IsPackage": func(o *Options) { o.IsPackage = nil },
	} {
		o := options()
		change(&o)
		if _, err := Open(t.TempDir()+"/popularity.db", o); err == nil {
			t.Errorf("without %s: no error", name)
		}
	}
}

// Several Stores of one database, as two processes have them, read the same logs
// at the same time, and others rank meanwhile.
func TestConcurrently(t *testing.T) {
	dir := t.TempDir()
	hits := traffic(4, 2000)
	for i := range 4 {
		writeFile(t, fmt.Sprintf("%s/%d.log", dir, i), write(hits[i*500:(i+1)*500], "imserve"))
	}
	var wg sync.WaitGroup
	for range 2 {
		s := openStore(t, dir, options())
		s.limit = 300
		for range 2 {
			wg.Go(func() {
				if _, err := s.Ingest(t.Context(), []string{dir + "/*.log"}); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := s.Rank(t.Context(), halfLife); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	s := openStore(t, dir, options())
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error(diff)
	}
	if r := ingest1(t, s, dir+"/*.log"); r.Lines != 0 {
		t.Errorf("%d lines are read again", r.Lines)
	}
}
