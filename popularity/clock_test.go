package popularity

import (
	"strings"
	"testing"
	"time"
)

const vlcPath = updates + "/Packages/v/vlc-3-1.fc41.x86_64.rpm"

// TestClockNeverSet: while the clock says 1970 no line is taken for one of the future; all
// are read when it is set.
func TestClockNeverSet(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := time.Unix(3600, 0)
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	writeFile(t, dir+"/log", line("a", now, vlcPath)+line("b", now, vlcPath))
	if r, err := s.Ingest(t.Context(), []string{dir + "/log"}); err == nil || !strings.Contains(err.Error(), "1970-01-01") || r.Lines != 0 {
		t.Errorf("in 1970: %+v, %v", r, err)
	}
	clock = now
	if r := ingest1(t, s, dir+"/log"); r.Counted != 2 {
		t.Errorf("now: %+v", r)
	}
}

// TestRankOverJumps: a clock that is wrong for a while changes scores for as long, and
// loses none of what was counted: a year ahead, an hour or a day back.
func TestRankOverJumps(t *testing.T) {
	dir := t.TempDir()
	o := options()
	clock := now
	o.Clock = func() time.Time { return clock }
	s := openStore(t, dir, o)
	writeFile(t, dir+"/log", line("a", now.AddDate(0, 0, -60), vlcPath)+line("b", now, vlcPath))
	ingest1(t, s, dir+"/log")
	before := ranks(t, s)
	for _, jump := range []time.Duration{365 * 24 * time.Hour, -time.Hour, -24 * time.Hour} {
		clock = now.Add(jump)
		if r := ingest1(t, s, dir+"/log"); r.Lines != 0 {
			t.Errorf("%v: %d lines are read again", jump, r.Lines)
		}
		if got := ranks(t, s); len(got) != 1 || got[0].ClientDays != before[0].ClientDays || jump > 0 && got[0].Score >= before[0].Score {
			t.Errorf("%v: %+v, before %+v", jump, got, before)
		}
		clock = now
		if got := ranks(t, s); len(got) != 1 || got[0] != before[0] {
			t.Errorf("after %v: %+v, before %+v", jump, got, before)
		}
	}
}

// TestLinesOverSummerTime: on the night on which an hour comes twice, and on the one that
// lacks one, lines count for when they were written.
func TestLinesOverSummerTime(t *testing.T) {
	for date, want := range map[string]string{
		"25/Oct/2026:02:59:59 +0200": "2026-10-25T00:59:59Z",
		"25/Oct/2026:02:00:00 +0100": "2026-10-25T01:00:00Z",
		"29/Mar/2026:01:59:59 +0100": "2026-03-29T00:59:59Z",
		"29/Mar/2026:03:00:00 +0200": "2026-03-29T01:00:00Z",
	} {
		dir := t.TempDir()
		s := openStore(t, dir, options())
		text := line("a", now, vlcPath)
		from, to := strings.IndexByte(text, '['), strings.IndexByte(text, ']')
		writeFile(t, dir+"/log", text[:from+1]+date+text[to:])
		ingest1(t, s, dir+"/log")
		if got := ranks(t, s); len(got) != 1 || got[0].LastSeen.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %+v, want %s", date, got, want)
		}
	}
}
