package config

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// parseSchedule checks a cron schedule with the parser that runs it. That
// parser panics on a time zone with no schedule behind it, and takes dates that
// never come: both are refused here.
func parseSchedule(s string) (string, error) {
	if (strings.HasPrefix(s, "TZ=") || strings.HasPrefix(s, "CRON_TZ=")) && !strings.Contains(s, " ") {
		return "", errors.New("a time zone without a schedule behind it")
	}
	for field := range strings.FieldsSeq(s) {
		if strings.Trim(field, ",") == "" {
			return "", errors.New("a field of commas")
		}
	}
	schedule, err := cron.ParseStandard(s)
	if err != nil {
		return "", err
	}
	// Any time serves: whatever comes at all comes within eight years of it,
	// and cron itself looks five years ahead. A leap year begins there.
	first := schedule.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC))
	if first.IsZero() {
		return "", errors.New("that date never comes")
	}
	if schedule.Next(first).Sub(first) < time.Minute {
		return "", errors.New("more often than once a minute")
	}
	return s, nil
}

// Window is a part of each day, in minutes since midnight, local time. It goes
// over midnight where From is after To. The zero Window is the whole day.
type Window struct {
	From, To int
}

// parseWindow reads "01:00-06:00", or "" for the whole day.
func parseWindow(s string) (Window, error) {
	if s == "" {
		return Window{}, nil
	}
	from, to, ok := strings.Cut(s, "-")
	if !ok {
		return Window{}, errors.New("not two times")
	}
	var w Window
	for _, end := range []struct {
		text string
		into *int
	}{{from, &w.From}, {to, &w.To}} {
		t, err := time.Parse("15:04", strings.TrimSpace(end.text))
		if err != nil {
			return Window{}, fmt.Errorf("%q is no time of the day", end.text)
		}
		*end.into = t.Hour()*60 + t.Minute()
	}
	if w.From == w.To {
		return Window{}, errors.New(`it begins when it ends; the whole day is ""`)
	}
	return w, nil
}

// String is a form that parseWindow reads.
func (w Window) String() string {
	if w == (Window{}) {
		return ""
	}
	return fmt.Sprintf("%02d:%02d-%02d:%02d", w.From/60, w.From%60, w.To/60, w.To%60)
}

// Closes is when the window that t lies in ends; open is false where t lies in
// none. The zero Window never ends: its time is the zero one. Both are meant in
// t's location, in which a day may have 23 or 25 hours.
func (w Window) Closes(t time.Time) (end time.Time, open bool) {
	if w == (Window{}) {
		return time.Time{}, true
	}
	now, days := t.Hour()*60+t.Minute(), 0
	switch {
	case w.From < w.To && (now < w.From || now >= w.To), w.From > w.To && now < w.From && now >= w.To:
		return time.Time{}, false
	case w.From > w.To && now >= w.From:
		days = 1
	}
	return w.at(t, days, w.To), true
}

// Opens is t itself if it lies in the window, else when the next one begins.
func (w Window) Opens(t time.Time) time.Time {
	if _, open := w.Closes(t); open {
		return t
	}
	days := 0
	if t.Hour()*60+t.Minute() >= w.From {
		days = 1
	}
	return w.at(t, days, w.From)
}

// at is the time of the day, days after t's.
func (w Window) at(t time.Time, days, minutes int) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day()+days, minutes/60, minutes%60, 0, 0, t.Location())
}
