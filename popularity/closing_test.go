package popularity

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// count is the number of rows of a table.
func count(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	if err := s.db.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// Closing days forgets clients and paths, and leaves the ranking as it was.
func TestClosingKeepsTheRanking(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	hits := traffic(11, 3000)
	writeFile(t, dir+"/log", write(hits, "imserve"))
	ingest1(t, s, dir+"/log")
	if count(t, s, "requests") == 0 || count(t, s, "paths") == 0 {
		t.Fatal("nothing is open")
	}

	closes := now.Truncate(24 * time.Hour).Add(24*time.Hour + keepClients*time.Second)
	clock = closes.Add(-time.Second)
	ingest1(t, s, dir+"/log")
	if n := count(t, s, "open_days"); n != 1 {
		t.Errorf("%d days are open a second before the last one closes", n)
	}
	clock = closes
	ingest1(t, s, dir+"/log")
	for _, table := range []string{"requests", "paths", "open_days"} {
		if n := count(t, s, table); n != 0 {
			t.Errorf("%d %s are left", n, table)
		}
	}
	if count(t, s, "overlaps") == 0 {
		t.Error("the traffic has no client with one name in two directories")
	}
	clock = now
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error(diff)
	}

	// The root that nobody asked for becomes known only now: the directories
	// below it are one name, and their clients are not counted twice.
	late := hit{client: "10.0.0.1", at: now, repo: "fedora", rest: "nowhere/known/repodata/repomd.xml", status: 200}
	hits = append(hits, late)
	appendFile(t, dir+"/log", write([]hit{late}, "imserve"))
	ingest1(t, s, dir+"/log")
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error("with the late root:", diff)
	}
}

// The clients of one name in two directories without a known root are those of
// one root when it becomes known, on a closed day too.
func TestRootKnownAfterClosing(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	hits := []hit{
		{client: "10.0.0.1", at: now, repo: "fedora", rest: "site/a/x-1-1.noarch.rpm", status: 200, bytes: 10},
		{client: "10.0.0.1", at: now, repo: "fedora", rest: "site/b/x-1-1.noarch.rpm", status: 200, bytes: 20},
		{client: "10.0.0.1", at: now, repo: "fedora", rest: "other/x-1-1.noarch.rpm", status: 200, bytes: 30},
		{client: "10.0.0.2", at: now, repo: "fedora", rest: "site/a/x-1-1.noarch.rpm", status: 200, bytes: 40},
	}
	writeFile(t, dir+"/log", write(hits, "common"))
	ingest1(t, s, dir+"/log")
	clock = now.AddDate(0, 0, 20)
	writeFile(t, dir+"/log2", line("10.0.0.9", now.AddDate(0, 0, 19), "site/repodata/repomd.xml"))
	ingest1(t, s, dir+"/log2")
	if n := count(t, s, "requests"); n != 0 {
		t.Fatalf("%d clients are left", n)
	}
	clock = now
	want := []Rank{
		{1, "x", "noarch", "fedora/site", 2, 2, 2, 3, 70, now},
		{2, "x", "noarch", "fedora/other", 1, 1, 1, 1, 30, now},
	}
	if diff := cmp.Diff(want, ranks(t, s)); diff != "" {
		t.Error(diff)
	}
}

// A day stays open while its lines still come, however old it is; a line that
// comes after it was closed counts.
func TestLateLines(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	old := now.AddDate(-1, 0, 0)
	vlc := updates + "/Packages/v/vlc-3-1.fc41.x86_64.rpm"
	requests := func(when string, want int) {
		t.Helper()
		if got := ranks(t, s)[0].Requests; got != want {
			t.Errorf("%s: %d requests, want %d", when, got, want)
		}
	}
	writeFile(t, dir+"/a", line("10.0.0.1", old, vlc))
	ingest1(t, s, dir+"/*")
	clock = clock.AddDate(0, 0, 6)
	writeFile(t, dir+"/b", line("10.0.0.1", old.Add(time.Second), vlc)+line("10.0.0.2", old, vlc))
	ingest1(t, s, dir+"/*")
	requests("the same request in another log", 2)
	clock = clock.AddDate(0, 0, 6)
	writeFile(t, dir+"/c", line("10.0.0.1", old.Add(2*time.Second), vlc))
	ingest1(t, s, dir+"/*")
	requests("again, twelve days after the first", 2)
	clock = clock.AddDate(0, 0, 9)
	ingest1(t, s, dir+"/*")
	if n := count(t, s, "requests"); n != 0 {
		t.Errorf("%d clients are left", n)
	}
	requests("closed", 2)
	writeFile(t, dir+"/d", line("10.0.0.3", old, vlc))
	ingest1(t, s, dir+"/*")
	requests("late", 3)
	writeFile(t, dir+"/e", line("10.0.0.3", old.Add(time.Second), vlc))
	ingest1(t, s, dir+"/*")
	requests("late and repeated", 3)
	clock = clock.AddDate(0, 0, 9)
	ingest1(t, s, dir+"/*")
	requests("closed again", 3)
	if got := ranks(t, s)[0]; got.ClientDays != 3 || got.Clients != 3 || got.Bytes != 300 {
		t.Errorf("%+v", got)
	}
}

// A path that was forgotten while another process remembers its id gets a new
// one.
func TestPathsForgottenByAnother(t *testing.T) {
	dir := t.TempDir()
	o := options()
	var passed atomic.Int64 // days
	o.Clock = func() time.Time { return now.AddDate(0, 0, int(passed.Load())) }
	vlc := updates + "/Packages/v/vlc-3-1.fc41.x86_64.rpm"
	s := openStore(t, dir, o)
	other := openStore(t, dir, o)
	forgot := false
	s.opt.IsPackage = func(path string) bool {
		// Asked for the second log's first line: the first log's batch is
		// committed and its paths' ids are remembered.
		if len(path) > 0 && path[len(path)-1] == 'x' && !forgot {
			forgot = true
			passed.Store(20)
			if _, err := other.Ingest(t.Context(), nil); err != nil {
				t.Error(err)
			}
			if n := count(t, other, "paths"); n != 0 {
				t.Errorf("%d paths are left", n)
			}
		}
		return isPackage(path)
	}
	writeFile(t, dir+"/log1", line("10.0.0.1", now, vlc))
	writeFile(t, dir+"/log2", line("10.0.0.1", now, "x")+line("10.0.0.2", now, vlc))
	ingest1(t, s, dir+"/log1", dir+"/log2")
	if !forgot {
		t.Fatal("the paths were not forgotten in between")
	}
	if got := ranks(t, s)[0]; got.Requests != 2 || got.Name != "vlc" {
		t.Errorf("%+v", got)
	}
}

// TestForgetsOldDays: a day of long before the newest is forgotten when days are closed,
// with names and roots that nobody has asked for since, and is not taken in again; of logs
// that are all old nothing is.
func TestForgetsOldDays(t *testing.T) {
	clock := now
	list := func(day int, release string) hit {
		h := aHit("10.0.0.1", day, "")
		h.rest = "updates/" + release + "/Everything/x86_64/repodata/repomd.xml"
		return h
	}
	old := []hit{list(-keepDays-20, "20"), aHit("10.0.0.1", -keepDays-20, "old"), aHit("10.0.0.1", -keepDays-19, "old")}
	m, past := newMember(t, &clock, secret), newMember(t, &clock, secret)
	past.reads(old...)
	m.reads(append(old, aHit("10.0.0.1", -keepDays+20, "kept"), aHit("10.0.0.1", -1, "new"), list(-1, "41"))...)
	clock = now.AddDate(0, 0, 60)
	names := func(m *member) (names []string) {
		ingest1(t, m.store, m.dir+"/log*")
		for _, r := range ranks(t, m.store) {
			names = append(names, r.Name)
		}
		slices.Sort(names)
		return names
	}
	if got, want := names(m), []string{"kept", "new"}; !slices.Equal(got, want) {
		t.Errorf("%q are remembered, want %q", got, want)
	}
	if roots, _, err := m.store.Roots(t.Context(), time.Time{}, 2); err != nil || !slices.Equal(roots, []string{"fedora/updates/41/Everything/x86_64"}) {
		t.Errorf("the roots %q are remembered, %v", roots, err)
	}
	if got := names(past); !slices.Equal(got, []string{"old"}) {
		t.Errorf("of old logs %q are remembered", got)
	}
	if done := m.takes(past.counts()); done.Past != 0 {
		t.Errorf("%d days of long ago are taken in again", done.Past)
	}
	if n := count(t, m.store, "names"); n != 2 {
		t.Errorf("there are %d names", n)
	}
}
