package config

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, never negative.
type Size int64

// Rate is a number of bytes a second; 0 is no limit.
type Rate int64

// Duration is a time.Duration that is written with days and weeks too.
type Duration time.Duration

// sizeUnits has, per unit, its bytes. "B" is last, since all end in it.
var sizeUnits = [...]struct {
	name  string
	bytes int64
}{
	{"PiB", 1 << 50}, {"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"PB", 1e15}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"KB", 1e3}, {"B", 1},
}

// ParseSize reads "20GiB", "1.5TB" or "1048576", which is bytes. Case counts,
// so that no one's megabits are taken for megabytes.
func ParseSize(s string) (Size, error) {
	number := strings.TrimSpace(s)
	factor := int64(1)
	for _, u := range sizeUnits {
		if n, ok := strings.CutSuffix(number, u.name); ok {
			number, factor = strings.TrimSpace(n), u.bytes
			break
		}
	}
	if strings.HasPrefix(number, "-") {
		return 0, errors.New("a size is not negative")
	}
	// A longer number than any that fits is no size, whatever its digits are.
	if number == "" || len(number) > 20 || strings.Trim(number, "0123456789.") != "" {
		return 0, errors.New("not a size")
	}
	n, ok := new(big.Rat).SetString(number)
	if !ok {
		return 0, errors.New("not a size")
	}
	n.Mul(n, new(big.Rat).SetInt64(factor))
	bytes := new(big.Int).Quo(n.Num(), n.Denom())
	if !bytes.IsInt64() {
		return 0, errors.New("too large")
	}
	return Size(bytes.Int64()), nil
}

// String is the exact form with the smallest number that ParseSize reads.
func (s Size) String() string {
	number, unit := int64(s), ""
	for _, u := range sizeUnits {
		if n := int64(s) / u.bytes; n < number && int64(s)%u.bytes == 0 {
			number, unit = n, u.name
		}
	}
	return strconv.FormatInt(number, 10) + unit
}

// ParseRate reads "10MiB/s", or "" and "0" for no limit.
func ParseRate(s string) (Rate, error) {
	if s == "" {
		return 0, nil
	}
	number, perSecond := strings.CutSuffix(strings.TrimSpace(s), "/s")
	if !perSecond && strings.Trim(number, "0123456789") != "" {
		return 0, errors.New(`a rate ends with "/s"`)
	}
	size, err := ParseSize(number)
	if err != nil {
		return 0, errors.New("not a rate")
	}
	return Rate(size), nil
}

// String is a form that ParseRate reads.
func (r Rate) String() string {
	if r == 0 {
		return ""
	}
	return Size(r).String() + "/s"
}

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// ParseDuration reads what time.ParseDuration does, and "d" and "w" beside it:
// "90s", "12h", "7d", "1w2d12h".
func ParseDuration(s string) (Duration, error) {
	if strings.HasPrefix(s, "-") {
		return 0, errors.New("a duration is not negative")
	}
	if s == "0" {
		return 0, nil
	}
	var total time.Duration
	for rest := s; ; {
		number := len(rest) - len(strings.TrimLeft(rest, "0123456789."))
		unit := len(rest) - number - len(strings.TrimLeft(rest[number:], "nuµμmshdw"))
		if number == 0 || unit == 0 {
			return 0, errors.New("not a duration")
		}
		d, err := parsePart(rest[:number], rest[number:number+unit])
		if err != nil {
			return 0, err
		}
		if d > math.MaxInt64-total {
			return 0, errTooLong
		}
		total += d
		if rest = rest[number+unit:]; rest == "" {
			return Duration(total), nil
		}
	}
}

var errTooLong = errors.New("longer than 292 years")

// parsePart reads one number with its unit.
func parsePart(number, unit string) (time.Duration, error) {
	times := time.Duration(1)
	switch unit {
	case "d":
		unit, times = "h", day/time.Hour
	case "w":
		unit, times = "h", week/time.Hour
	}
	d, err := time.ParseDuration(number + unit)
	if err != nil {
		return 0, errors.New("not a duration")
	}
	if d > math.MaxInt64/times {
		return 0, errTooLong
	}
	return d * times, nil
}

// String is a form that ParseDuration reads, as people write it: "7d", "12h",
// "90s".
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t == 0:
		return "0s"
	case t%day == 0:
		return fmt.Sprintf("%dd", t/day)
	case t%time.Hour == 0:
		return fmt.Sprintf("%dh", t/time.Hour)
	case t < 2*time.Minute && t%time.Second == 0:
		return fmt.Sprintf("%ds", t/time.Second)
	case t%time.Minute == 0:
		return fmt.Sprintf("%dm", t/time.Minute)
	}
	return t.String()
}
