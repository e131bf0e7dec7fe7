package config

import (
	"testing"
	"time"
	_ "time/tzdata" // for machines without zones
)

func TestWindow(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, window, at string
		closes           string // "" if it is not open
		opens            string // if it is not
	}{
		{"no window", "", "2026-11-22 12:00", "0001-01-01 00:00", ""},
		{"its first minute", "01:00-06:00", "2026-11-22 01:00", "2026-11-22 06:00", ""},
		{"its last minute", "01:00-06:00", "2026-11-22 05:59", "2026-11-22 06:00", ""},
		{"its end", "01:00-06:00", "2026-11-22 06:00", "", "2026-11-23 01:00"},
		{"before it", "01:00-06:00", "2026-11-22 00:59", "", "2026-11-22 01:00"},
		{"before midnight", "22:00-06:00", "2026-11-30 23:00", "2026-12-01 06:00", ""},
		{"after midnight", "22:00-06:00", "2026-12-01 00:00", "2026-12-01 06:00", ""},
		{"over midnight, by day", "22:00-06:00", "2026-11-22 06:00", "", "2026-11-22 22:00"},
		{"over the year's end", "22:00-06:00", "2026-12-31 23:00", "2027-01-01 06:00", ""},
		{"before the year's end", "22:00-06:00", "2026-12-31 21:00", "", "2026-12-31 22:00"},
		{"a window of a clock that was never set", "22:00-06:00", "1970-01-01 00:30", "1970-01-01 06:00", ""},
		{"a year that is no leap year", "22:00-06:00", "2100-02-28 23:00", "2100-03-01 06:00", ""},
		{"the night that is an hour short", "01:30-04:00", "2026-03-29 01:45", "2026-03-29 04:00", ""},
		{"an end that does not come", "01:00-02:30", "2026-03-29 01:30", "2026-03-29 03:30", ""},
		{"the night that is an hour long", "22:00-06:00", "2026-10-25 01:00", "2026-10-25 06:00", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, err := parseWindow(c.window)
			if err != nil {
				t.Fatal(err)
			}
			const layout = "2006-01-02 15:04"
			at, err := time.ParseInLocation(layout, c.at, berlin)
			if err != nil {
				t.Fatal(err)
			}
			closes, open := w.Closes(at)
			if open != (c.closes != "") || open && closes.Format(layout) != c.closes {
				t.Errorf("closes %v, %v; want %q", closes, open, c.closes)
			}
			opens := w.Opens(at)
			if c.opens == "" && !opens.Equal(at) || c.opens != "" && opens.Format(layout) != c.opens {
				t.Errorf("opens %v, want %q", opens, c.opens)
			}
			if _, open := w.Closes(opens); !open {
				t.Errorf("it is not open at %v", opens)
			}
		})
	}
	spring, _ := time.ParseInLocation("2006-01-02 15:04", "2026-03-28 23:00", berlin)
	autumn, _ := time.ParseInLocation("2006-01-02 15:04", "2026-10-24 23:00", berlin)
	w := Window{From: 22 * 60, To: 6 * 60}
	for at, want := range map[time.Time]time.Duration{spring: 6 * time.Hour, autumn: 8 * time.Hour} {
		if end, _ := w.Closes(at); end.Sub(at) != want {
			t.Errorf("from %v to %v it is %v, want %v", at, end, end.Sub(at), want)
		}
	}
}
