package cache_test

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A clock that jumps costs one question, and not one for as long as it was wrong: what
// was validated, or found absent, in its future proves nothing, and is validated anew.
func TestClockJumps(t *testing.T) {
	since1970 := time.Duration(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).UnixNano())
	for name, jump := range map[string]time.Duration{
		"a year ahead": 365 * 24 * time.Hour, "an hour back": -time.Hour, "a day back": -24 * time.Hour, "to 1970": -since1970,
	} {
		t.Run(name, func(t *testing.T) {
			body := rpm(5000, 1)
			s := newSite(t, file(body, day0))
			c := s.open(nil)
			asks := func(want int64, when string) {
				t.Helper()
				before := s.gets.Load()
				if got, _, err := get(c, pkg); err != nil || !bytes.Equal(got, body) {
					t.Errorf("%s: %d bytes, %v", when, len(got), err)
				}
				if n := s.gets.Load() - before; n != want {
					t.Errorf("%s: upstream was asked %d times, want %d", when, n, want)
				}
			}
			asks(1, "at first")
			asks(0, "again")
			s.pass(jump)
			asks(1, "after the jump")
			asks(0, "again after it")
			s.pass(-jump)
			asks(1, "when the clock is right again")
			asks(0, "from then on")
			s.pass(-jump)
			s.answer(http.NotFound)
			if asked, _ := absence(t, s, c, asc); !asked {
				t.Error("nobody was asked for what is absent")
			}
			s.pass(jump)
			if asked, _ := absence(t, s, c, asc); !asked {
				t.Error("what was absent before the jump is taken for absent after it")
			}
			s.up.Close()
			if got, _, err := get(c, pkg); err != nil || !bytes.Equal(got, body) {
				t.Errorf("with upstream out of reach: %d bytes, %v", len(got), err)
			}
		})
	}
}

// What a clock that was wrong has left from its future goes as what is old does, and a
// clock that is put right by a little removes nothing.
func TestSweepOverJumps(t *testing.T) {
	const unused = 7 * 24 * time.Hour
	for _, tt := range []struct {
		name  string
		ahead time.Duration // of the file's time
		goes  bool
	}{
		{"of now", 0, false},
		{"of an hour ahead", time.Hour, false},
		{"of a day ahead", 24 * time.Hour, false},
		{"of a year ahead", 365 * 24 * time.Hour, true},
		{"of a year ago", -365 * 24 * time.Hour, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, http.NotFound)
			c := s.open(nil)
			left := filepath.Join(s.dir, ".im/partial/left")
			at := time.Unix(0, s.now.Load()).Add(tt.ahead)
			if err := os.WriteFile(left, []byte("half a package"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(left, at, at); err != nil {
				t.Fatal(err)
			}
			if gone, err := c.Sweep(unused, false); err != nil || (len(gone) == 1) != tt.goes {
				t.Errorf("%v, %v", gone, err)
			}
			if _, err := os.Stat(left); os.IsNotExist(err) != tt.goes {
				t.Errorf("the file: %v", err)
			}
		})
	}
}
