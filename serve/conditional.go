package serve

import (
	"net/http"
	"strings"
	"time"
)

// validators tell one version of a file from another.
type validators struct {
	tag      string    // a strong entity tag; "" while none is known
	modified time.Time // zero where upstream gave none
}

// verdict is what a request's preconditions lead to.
type verdict int

const (
	proceed     verdict = iota
	notModified         // 304
	unmet               // 412
)

// precondition evaluates the conditions of a GET or HEAD request in the order of
// RFC 9110, 13.2.2. If-Range, the last of them, is rangeFits's.
func precondition(h http.Header, v validators) verdict {
	if list, ok := field(h, "If-Match"); ok {
		if !matches(list, v.tag, strong) {
			return unmet
		}
	} else if since, ok := date(h, "If-Unmodified-Since"); ok && !v.modified.IsZero() {
		if v.seconds().After(since) {
			return unmet
		}
	}
	if list, ok := field(h, "If-None-Match"); ok {
		if matches(list, v.tag, weak) {
			return notModified
		}
		return proceed
	}
	if since, ok := date(h, "If-Modified-Since"); ok && !v.modified.IsZero() && !v.seconds().After(since) {
		return notModified
	}
	return proceed
}

// rangeFits reports whether a request's Range is of the version that v is of:
// there is no If-Range, or it is met (RFC 9110, 13.1.5).
func rangeFits(h http.Header, v validators, now time.Time) bool {
	list := h.Values("If-Range")
	if len(list) == 0 {
		return true
	}
	if len(list) > 1 {
		return false
	}
	if tag, rest, isWeak := entityTag(list[0]); tag != "" {
		return !isWeak && strings.Trim(rest, " \t") == "" && tag == v.tag
	}
	since, err := http.ParseTime(list[0])
	// A file may change twice in the second that its time names: only later is
	// that time a strong validator (8.8.2.2).
	return err == nil && !v.modified.IsZero() && v.seconds().Equal(since) && now.Sub(since) >= time.Second
}

// seconds is the modification time as a date field can say it.
func (v validators) seconds() time.Time { return v.modified.Truncate(time.Second) }

// field is the value of a list-based field, its lines joined.
func field(h http.Header, name string) (string, bool) {
	list := h.Values(name)
	return strings.Join(list, ", "), len(list) > 0
}

// date is the value of a date field; one that is no date is ignored, and so is
// one that there is twice.
func date(h http.Header, name string) (time.Time, bool) {
	list := h.Values(name)
	if len(list) != 1 {
		return time.Time{}, false
	}
	t, err := http.ParseTime(list[0])
	return t, err == nil
}

// comparison is how entity tags are compared (RFC 9110, 8.8.3.2).
type comparison bool

const (
	strong comparison = true  // two weak tags never match
	weak   comparison = false // W/ is left out of account
)

// matches reports whether tag, a strong one, is in the list of an If-Match or
// If-None-Match field. What is no list ends where it stops being one.
func matches(list, tag string, c comparison) bool {
	if strings.Trim(list, " \t") == "*" {
		return true
	}
	if tag == "" {
		return false
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		one, rest, isWeak := entityTag(list)
		if one == "" {
			return false
		}
		if one == tag && !(isWeak && c == strong) {
			return true
		}
		list = rest
	}
}

// entityTag reads the entity tag that s begins with, without its W/; tag is ""
// where there is none.
func entityTag(s string) (tag, rest string, isWeak bool) {
	body, isWeak := strings.CutPrefix(s, "W/")
	if len(body) < 2 || body[0] != '"' {
		return "", "", false
	}
	for i := 1; i < len(body); i++ {
		switch c := body[i]; {
		case c == '"':
			return body[:i+1], body[i+1:], isWeak
		case c == 0x21, c >= 0x23 && c != 0x7f:
		default:
			return "", "", false
		}
	}
	return "", "", false
}
