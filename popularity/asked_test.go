package popularity

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestAsked: the files that clients asked for, with the last day, as long as that
// is known.
func TestAsked(t *testing.T) {
	dir := t.TempDir()
	clock := now
	o := options()
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	before := now.Add(-48 * time.Hour)
	writeFile(t, dir+"/log", line("a", before, "x/vlc-1-1.x86_64.rpm")+line("b", before, "x/g%2B%2B-1-1.x86_64.rpm")+
		line("a", now, "x/vlc-1-1.x86_64.rpm")+line("a", before, "x/vlc-1-1.x86_64.rpm"))
	ingest1(t, s, dir+"/log")
	day := func(at time.Time) time.Time { return at.Truncate(24 * time.Hour) }
	got, err := s.Asked(t.Context())
	want := map[string]time.Time{"fedora/x/vlc-1-1.x86_64.rpm": day(now), "fedora/x/g++-1-1.x86_64.rpm": day(before)}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	clock = now.Add(20 * 24 * time.Hour)
	ingest1(t, s, dir+"/log") // closes the days
	if got, err := s.Asked(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("when the days are closed: %v, %v", got, err)
	}
}
