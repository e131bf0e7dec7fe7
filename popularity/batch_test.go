package popularity

import (
	"bytes"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
)

// A batch ends with a day where it has requests enough: what a client asked for
// on a day of a log in the order of time is written once.
func TestBatchEndsWithDay(t *testing.T) {
	line := func(day, i int) string {
		return fmt.Sprintf("10.0.0.%d - - [%02d/Nov/2026:12:00:00 +0000] \"GET /fedora/p/n%d-1-1.noarch.rpm HTTP/1.1\" 200 1\n", i%3, day, i)
	}
	for _, c := range []struct {
		name string
		days []int // of ten lines each
		want []int // lines up to each commit
	}{
		{"in order", []int{10, 11, 12}, []int{10, 20, 30}},
		{"too few for a batch of their own", []int{10, 10, 10, 10, 11}, []int{32, 40, 50}},
		{"backwards", []int{12, 11, 10}, []int{30}},
		{"one from the future", []int{11, 12, 11, 12}, []int{10, 40}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := options()
			var log bytes.Buffer
			o.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			s := openStore(t, dir, o)
			s.limit = 32
			text := ""
			var ends []int
			for i := range 10 * len(c.days) {
				text += line(c.days[i/10], i)
				ends = append(ends, len(text))
			}
			writeFile(t, dir+"/log", text)
			if r := ingest1(t, s, dir+"/log"); r.Requests != int64(10*len(c.days)) {
				t.Errorf("%+v", r)
			}
			want := ""
			for _, n := range c.want {
				want += fmt.Sprintf(" offset=%d", ends[n-1])
			}
			got := strings.Join(regexp.MustCompile(` offset=\d+`).FindAllString(log.String(), -1), "")
			if got != want {
				t.Errorf("committed at%s, want%s", got, want)
			}
		})
	}
}
