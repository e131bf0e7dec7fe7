package sync

import (
	"testing"
	"time"
	_ "time/tzdata" // machines without zones have nights too

	"intelligentmirror/internal/config"
)

// TestSchedule looks at times around the nights on which the clocks change, and
// around windows.
func TestSchedule(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	const layout = "2006-01-02 15:04 MST"
	for _, c := range []struct {
		name, schedule string
		window         config.Window
		from           string
		want           []string
	}{
		{"plain", "17 2 * * *", config.Window{}, "2026-11-22 12:00 CET", []string{"2026-11-23 02:17 CET", "2026-11-24 02:17 CET"}},
		{"a time that the night has not", "17 2 * * *", config.Window{}, "2026-03-28 12:00 CET", []string{"2026-03-29 03:17 CEST", "2026-03-30 02:17 CEST"}},
		{"a time that comes twice", "17 2 * * *", config.Window{}, "2026-10-24 12:00 CEST", []string{"2026-10-25 02:17 CEST", "2026-10-26 02:17 CET"}},
		{"hourly, in the short night", "0 * * * *", config.Window{}, "2026-03-29 00:30 CET", []string{"2026-03-29 01:00 CET", "2026-03-29 03:00 CEST", "2026-03-29 04:00 CEST"}},
		{"hourly, in the long night", "0 * * * *", config.Window{}, "2026-10-25 01:30 CEST", []string{"2026-10-25 02:00 CEST", "2026-10-25 02:00 CET", "2026-10-25 03:00 CET"}},
		{"in a zone of its own", "CRON_TZ=UTC 30 1 * * *", config.Window{}, "2026-03-28 12:00 CET", []string{"2026-03-29 03:30 CEST", "2026-03-30 03:30 CEST"}},
		{"every so often", "@every 3h", config.Window{}, "2026-03-29 00:30 CET", []string{"2026-03-29 04:30 CEST"}},
		{"within the window", "17 2 * * *", config.Window{From: 60, To: 360}, "2026-11-22 12:00 CET", []string{"2026-11-23 02:17 CET"}},
		{"it waits for the window", "17 2 * * *", config.Window{From: 180, To: 360}, "2026-11-22 12:00 CET", []string{"2026-11-23 03:00 CET", "2026-11-24 03:00 CET"}},
		{"it waits already", "17 2 * * *", config.Window{From: 180, To: 360}, "2026-11-22 02:30 CET", []string{"2026-11-22 03:00 CET"}},
		{"over midnight", "0 12 * * *", config.Window{From: 22 * 60, To: 360}, "2026-11-22 09:00 CET", []string{"2026-11-22 22:00 CET", "2026-11-23 22:00 CET"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := scheduled(&config.Sync{Schedule: c.schedule, Window: c.window})
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.ParseInLocation(layout, c.from, berlin)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if at = s.Next(at); at.In(berlin).Format(layout) != want {
					t.Fatalf("%v, want %s", at.In(berlin), want)
				}
			}
		})
	}
}
