package cache

import (
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestDays(t *testing.T) {
	now := time.Date(2024, 11, 10, 12, 0, 0, 0, time.UTC)
	clock := &now
	l, err := OpenLedger(filepath.Join(t.TempDir(), "cache.db"), func() time.Time { return *clock }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	a, b := Key{"r", "a.rpm"}, Key{"r", "repodata/b.xml"}
	flush := func() {
		t.Helper()
		if err := l.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 8 {
		l.Served(a, 100, true)
	}
	l.Fetched(a, 100, false)
	flush()
	now = now.AddDate(0, 0, 4)
	c := Key{"r", "c.rpm"}
	for range 2 {
		l.Served(c, 10, false)
		l.Served(b, 10, true)
	}
	flush()
	days, err := l.Days(t.Context(), now.AddDate(0, 0, -10))
	if err != nil || len(days) != 2 || days[0].Date != "2024-11-10" || days[0].Hits != 8 || days[0].Saved != 700 || days[1].Requests != 4 {
		t.Errorf("%+v, %v", days, err)
	}
	if days, err := l.Days(t.Context(), now); err != nil || len(days) != 1 {
		t.Errorf("since today: %+v, %v", days, err)
	}
	// Two answers of today are more than eight of four days ago, and what is no package does not count.
	list, err := l.Popular(t.Context(), 5, func(p string) bool { return strings.HasSuffix(p, ".rpm") })
	if err != nil || len(list) != 2 || list[0].Path != "r/c.rpm" || list[1].Path != "r/a.rpm" || !list[0].Last.Equal(now) {
		t.Errorf("%+v, %v", list, err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
