package config

import (
	"testing"
	"time"
)

func TestParseSize(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Size
		text string // as String writes it
	}{
		{"0", 0, "0"},
		{"1", 1, "1"},
		{"1048576", 1 << 20, "1MiB"},
		{"20GiB", 20 << 30, "20GiB"},
		{"20 GiB", 20 << 30, "20GiB"},
		{"500MB", 500e6, "500MB"},
		{"1TiB", 1 << 40, "1TiB"},
		{"1024GiB", 1 << 40, "1TiB"},
		{"1.5GiB", 3 << 29, "1536MiB"},
		{"0.5KiB", 512, "512"},
		{"4kB", 4000, "4kB"},
		{"4KB", 4000, "4kB"},
		{"7B", 7, "7"},
		{"8191PiB", 8191 << 50, "8191PiB"},
		{"9223372036854775807", 1<<63 - 1, "9223372036854775807"},
	} {
		got, err := ParseSize(c.in)
		if err != nil || got != c.want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", c.in, got, err, c.want)
		}
		if got.String() != c.text {
			t.Errorf("%q is written as %q, want %q", c.in, got, c.text)
		}
	}
	for _, bad := range []string{
		"", " ", "GiB", "-1", "-1GiB", "1G", "1gib", "1Gib", "1Mb", "1e9", "0x10", "1/2", "1..5", "1_000", "+1", "1GiB/s", "1 GiB 2",
		"8192PiB", "9223372036854775808", "99999999999999999999", "1000000000000000000000000",
	} {
		if got, err := ParseSize(bad); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", bad, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for in, want := range map[string]Rate{"": 0, "0": 0, "10MiB/s": 10 << 20, "500kB/s": 500e3, "125000": 125000} {
		got, err := ParseRate(in)
		if err != nil || got != want {
			t.Errorf("ParseRate(%q) = %d, %v; want %d", in, got, err, want)
		}
		if again, err := ParseRate(got.String()); err != nil || again != got {
			t.Errorf("%q is written as %q, which reads as %d, %v", in, got, again, err)
		}
	}
	for _, bad := range []string{"10MiB", "10Mbit/s", "10Mb/s", "/s", "-1MiB/s", "fast", "10MiB/m"} {
		if got, err := ParseRate(bad); err == nil {
			t.Errorf("ParseRate(%q) = %d, want an error", bad, got)
		}
	}
}

func TestParseDuration(t *testing.T) {
	for _, c := range []struct {
		in   string
		want time.Duration
		text string
	}{
		{"0", 0, "0s"},
		{"0s", 0, "0s"},
		{"90s", 90 * time.Second, "90s"},
		{"60s", time.Minute, "60s"},
		{"5m", 5 * time.Minute, "5m"},
		{"12h", 12 * time.Hour, "12h"},
		{"7d", 7 * day, "7d"},
		{"2w", 14 * day, "14d"},
		{"1w2d12h", 9*day + 12*time.Hour, "228h"},
		{"1.5d", 36 * time.Hour, "36h"},
		{"1h30m", 90 * time.Minute, "90m"},
		{"250ms", 250 * time.Millisecond, "250ms"},
		{"1h0m1s", time.Hour + time.Second, "1h0m1s"},
	} {
		got, err := ParseDuration(c.in)
		if err != nil || time.Duration(got) != c.want {
			t.Errorf("ParseDuration(%q) = %v, %v; want %v", c.in, time.Duration(got), err, c.want)
		}
		if got.String() != c.text {
			t.Errorf("%q is written as %q, want %q", c.in, got, c.text)
		}
	}
	for _, bad := range []string{"", "7", "d", "-1d", "+1d", "1 d", "7days", "1y", "1d-2h", "1.d.", "106752d", "15251w", "100000d100000d", "9999999999999999999h"} {
		if got, err := ParseDuration(bad); err == nil {
			t.Errorf("ParseDuration(%q) = %v, want an error", bad, got)
		}
	}
}

// FuzzUnits holds that what is read is not negative, and is read again as the
// same from the form in which it is written.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"20GiB", "1.5TB", "10MiB/s", "", "0", "7d", "1w2d12h", "90s", "1h0m0.5s", "106751d", "8191PiB"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseSize(s); err == nil {
			if again, err := ParseSize(v.String()); v < 0 || err != nil || again != v {
				t.Errorf("size %q: %d is written as %q: %d, %v", s, v, v, again, err)
			}
		}
		if v, err := ParseRate(s); err == nil {
			if again, err := ParseRate(v.String()); v < 0 || err != nil || again != v {
				t.Errorf("rate %q: %d is written as %q: %d, %v", s, v, v, again, err)
			}
		}
		if v, err := ParseDuration(s); err == nil {
			if again, err := ParseDuration(v.String()); v < 0 || err != nil || again != v {
				t.Errorf("duration %q: %d is written as %q: %d, %v", s, v, v, again, err)
			}
		}
		if v, err := parseWindow(s); err == nil {
			if again, err := parseWindow(v.String()); err != nil || again != v {
				t.Errorf("window %q: %v is written as %q: %v, %v", s, v, v, again, err)
			}
		}
		if _, err := parseSchedule(s); err == nil && s == "" {
			t.Errorf("an empty schedule passed")
		}
	})
}
