package repodata

import (
	"cmp"
	"math"
	"strconv"
	"strings"
)

// EVR is the version of an RPM: epoch, version, release. An empty Release is
// none, as dependencies often have it.
type EVR struct {
	Epoch            int
	Version, Release string
}

// ParseEVR splits "[epoch:]version[-release]" as rpm does: the epoch is the
// digits before a colon, the release what follows the last dash. It never fails;
// an epoch that is too large becomes the largest.
func ParseEVR(s string) EVR {
	var e EVR
	if digits, rest, ok := strings.Cut(s, ":"); ok && allDigits(digits) {
		e.Epoch, s = parseEpoch(digits), rest
	}
	e.Version = s
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		e.Version, e.Release = s[:i], s[i+1:]
	}
	return e
}

// parseEpoch is the number that digits spell, "" being 0.
func parseEpoch(digits string) int {
	if digits == "" {
		return 0
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil {
		return math.MaxInt32
	}
	return int(n)
}

func allDigits(s string) bool {
	for _, b := range []byte(s) {
		if !isDigit(b) {
			return false
		}
	}
	return true
}

// Compare is negative, 0 or positive as a is older than, the same as or newer
// than b by rpm's rules, `~` and `^` included. A missing release is older than
// any. That orders versions; whether a dependency without a release is met is
// another question, in which the release does not count.
func (a EVR) Compare(b EVR) int {
	if c := cmp.Compare(a.Epoch, b.Epoch); c != 0 {
		return c
	}
	if c := compareVersions(a.Version, b.Version); c != 0 {
		return c
	}
	if a.Release == "" || b.Release == "" {
		return cmp.Compare(min(len(a.Release), 1), min(len(b.Release), 1))
	}
	return compareVersions(a.Release, b.Release)
}

// String is "1:2.3-4". An epoch of 0 and an empty release are left out, unless a
// colon or a dash in the version would be taken for theirs.
func (a EVR) String() string {
	s := a.Version
	if a.Epoch != 0 || strings.Contains(s, ":") {
		s = strconv.Itoa(a.Epoch) + ":" + s
	}
	if a.Release != "" || strings.Contains(a.Version, "-") {
		s += "-" + a.Release
	}
	return s
}

// compareVersions compares two versions or two releases as rpm does. They are
// runs of digits and runs of letters, with anything else as mere separators; `~`
// is older than the end of the string, `^` newer than the end but older than
// anything else that could follow.
func compareVersions(a, b string) int {
	if a == b {
		return 0
	}
	for {
		a, b = trimSeparators(a), trimSeparators(b)
		if strings.HasPrefix(a, "~") || strings.HasPrefix(b, "~") {
			if !strings.HasPrefix(a, "~") {
				return 1
			}
			if !strings.HasPrefix(b, "~") {
				return -1
			}
			a, b = a[1:], b[1:]
			continue
		}
		if strings.HasPrefix(a, "^") || strings.HasPrefix(b, "^") {
			switch {
			case a == "":
				return -1
			case b == "":
				return 1
			case a[0] != '^':
				return 1
			case b[0] != '^':
				return -1
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			// Whoever has something left is newer.
			return cmp.Compare(min(len(a), 1), min(len(b), 1))
		}
		class := isLetter
		if isDigit(a[0]) {
			class = isDigit
		}
		var x, y string
		x, a = cutRun(a, class)
		y, b = cutRun(b, class)
		if y == "" {
			// Of two different kinds, the number is newer.
			if isDigit(x[0]) {
				return 1
			}
			return -1
		}
		if isDigit(x[0]) {
			x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
			if c := cmp.Compare(len(x), len(y)); c != 0 {
				return c
			}
		}
		if c := strings.Compare(x, y); c != 0 {
			return c
		}
	}
}

// trimSeparators takes off what neither counts nor separates specially.
func trimSeparators(s string) string {
	for s != "" && !isDigit(s[0]) && !isLetter(s[0]) && s[0] != '~' && s[0] != '^' {
		s = s[1:]
	}
	return s
}

// cutRun splits s behind its leading bytes of a class.
func cutRun(s string, class func(byte) bool) (run, rest string) {
	i := 0
	for i < len(s) && class(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isDigit(b byte) bool  { return '0' <= b && b <= '9' }
func isLetter(b byte) bool { return 'a' <= b|0x20 && b|0x20 <= 'z' }
