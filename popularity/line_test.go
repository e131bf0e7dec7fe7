package popularity

import (
	"strings"
	"testing"
	"time"
)

// said is an entry with strings, to compare.
type said struct {
	format         string
	client         string
	at             string
	method, target string
	status         int
	bytes          int64
	agent          string
	aborted        bool
}

func parseLine(line string) (said, reason) {
	var p parser
	var e entry
	why := p.parse([]byte(line), &e)
	if why != reasonNone {
		return said{}, why
	}
	return said{
		e.format.String(), string(e.client), time.Unix(e.at, 0).UTC().Format(time.RFC3339),
		string(e.method), string(e.target), e.status, e.bytes, string(e.agent), e.aborted,
	}, why
}

func TestParse(t *testing.T) {
	const at = "2026-11-21T09:12:44Z"
	for _, c := range []struct {
		name, line string
		want       said
	}{
		{"common", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /fedora/a.rpm HTTP/1.1" 200 512`,
			said{"common", "10.0.0.7", at, "GET", "/fedora/a.rpm", 200, 512, "", false}},
		{"no size", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 304 -`,
			said{"common", "10.0.0.7", at, "GET", "/a", 304, 0, "", false}},
		{"common and fields behind", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 1234 x`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false}},
		{"combined", `host.example.org - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 206 5 "http://x/" "dnf/4"`,
			said{"combined", "host.example.org", at, "GET", "/a", 206, 5, "dnf/4", false}},
		{"CRLF", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"` + "\r",
			said{"combined", "10.0.0.7", at, "GET", "/a", 200, 5, "x", false}},
		{"escaped quotes", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a\"b HTTP/1.1" 200 5 "\\" "say \"imserve; hit\" \\" "tail"`,
			said{"combined", "10.0.0.7", at, "GET", `/a\"b`, 200, 5, `say \"imserve; hit\" \\`, false}},
		{"an agent cannot pass for a cache status", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x\" \"imserve; detail=aborted" 0.1`,
			said{"combined", "10.0.0.7", at, "GET", "/a", 200, 5, `x\" \"imserve; detail=aborted`, false}},
		{"third field unfinished", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x" "unfinished`,
			said{"combined", "10.0.0.7", at, "GET", "/a", 200, 5, "x", false}},
		{"IPv6", `2001:db8::7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"`,
			said{"combined", "2001:db8::7", at, "GET", "/a", 200, 5, "x", false}},
		{"a user with spaces and brackets", `10.0.0.7 - Anne [x] Smith [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false}},
		{"raw spaces in the path", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a b HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a b", 200, 5, "", false}},
		{"HTTP/0.9", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false}},
		{"absolute form", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET http://h/a?b HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "http://h/a?b", 200, 5, "", false}},
		{"a zone", `10.0.0.7 - - [21/Nov/2026:01:42:44 -0730] "GET /a HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false}},
		{"another day in UTC", `10.0.0.7 - - [01/Mar/2024:00:30:00 +0100] "GET /a HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", "2024-02-29T23:30:00Z", "GET", "/a", 200, 5, "", false}},
		{"imserve", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 8 "-" "libdnf (Fedora Linux 41; ...)" "imserve; hit" 0.004`,
			said{"imserve", "10.0.0.7", at, "GET", "/a", 200, 8, "libdnf (Fedora Linux 41; ...)", false}},
		{"imserve, aborted", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 8 "-" "x" "imserve; fwd=uri-miss; stored; detail=aborted" 0.004`,
			said{"imserve", "10.0.0.7", at, "GET", "/a", 200, 8, "x", true}},
		{"squid", `1795252364.588     16 10.0.0.7 TCP_MISS/200 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 application/x-rpm`,
			said{"squid", "10.0.0.7", at, "GET", "http://h/a.rpm", 200, 210, "", false}},
		{"squid, aborted", `1795252364.588 16 10.0.0.7 TCP_MISS_ABORTED/200 210 GET http://h/a.rpm user HIER_DIRECT/192.0.2.1 -`,
			said{"squid", "10.0.0.7", at, "GET", "http://h/a.rpm", 200, 210, "", true}},
		{"squid, tunnel and headers", `1795252364.588 16 2001:db8::1 TCP_TUNNEL/200 210 CONNECT h:443 - HIER_DIRECT/2001:db8::2 - [Host: h\r\n] [x]`,
			said{"squid", "2001:db8::1", at, "CONNECT", "h:443", 200, 210, "", false}},
		{"squid, never answered", `1795252364.588 0 10.0.0.7 NONE_NONE/000 0 - error:invalid-request - HIER_NONE/- -`,
			said{"squid", "10.0.0.7", at, "-", "error:invalid-request", 0, 0, "", false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, why := parseLine(c.line); got != c.want {
				t.Errorf("got  %+v (%v)\nwant %+v", got, why, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	const good = `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 512 "-" "dnf"`
	for _, c := range []struct {
		name, line string
		want       reason
	}{
		{"empty", "", reasonMalformed},
		{"prose", "the quick brown fox", reasonMalformed},
		{"NUL bytes", strings.Repeat("\x00", 100), reasonMalformed},
		{"a client of noise", "\xff\xfe" + good, reasonMalformed},
		{"no client", "- " + good[9:], reasonMalformed},
		{"no request", strings.Replace(good, "GET /a HTTP/1.1", "-", 1), reasonMalformed},
		{"an empty request", strings.Replace(good, "GET /a HTTP/1.1", "", 1), reasonMalformed},
		{"a method alone", strings.Replace(good, "GET /a HTTP/1.1", "GET ", 1), reasonMalformed},
		{"status of two digits", strings.Replace(good, "200", "20", 1), reasonMalformed},
		{"no status", good[:len(`10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1"`)], reasonMalformed},
		{"negative size", strings.Replace(good, "512", "-512", 1), reasonMalformed},
		{"size of 30 digits", strings.Replace(good, "512", strings.Repeat("9", 30), 1), reasonMalformed},
		{"unfinished agent", good[:len(good)-1], reasonMalformed},
		{"unfinished referer", strings.TrimSuffix(good, `-" "dnf"`), reasonMalformed},
		{"torn in the date", good[:30], reasonMalformed},
		{"another date format", strings.Replace(good, "21/Nov/2026:09:12:44 +0000", "2026-11-21 09:12:44 +00:00", 1), reasonMalformed},
		{"no such month", strings.Replace(good, "Nov", "Nuv", 1), reasonDate},
		{"no such day", strings.Replace(good, "21/Nov", "31/Nov", 1), reasonDate},
		{"no leap year", strings.Replace(good, "21/Nov/2026", "29/Feb/2026", 1), reasonDate},
		{"day nought", strings.Replace(good, "21/Nov", "00/Nov", 1), reasonDate},
		{"no such hour", strings.Replace(good, "09:12", "24:12", 1), reasonDate},
		{"no such zone", strings.Replace(good, "+0000", "+9900", 1), reasonDate},
		{"squid, torn", `1795252364.588     16 10.0.0.7 TCP_MISS/200 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1`, reasonMalformed},
		{"squid, no status", `1795252364.588 16 10.0.0.7 TCP_MISS 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 x`, reasonMalformed},
		{"squid, no size", `1795252364.588 16 10.0.0.7 TCP_MISS/200 x GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 x`, reasonMalformed},
		{"squid, no client", `1795252364.588 16 - TCP_MISS/200 1 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 x`, reasonMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got, why := parseLine(c.line); why != c.want {
				t.Errorf("%v, want %v: %+v", why, c.want, got)
			}
		})
	}
}

// The dates of four centuries, against package time.
func TestDayNumber(t *testing.T) {
	for at := time.Date(1890, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2310; at = at.AddDate(0, 0, 1) {
		if got := dayNumber(int64(at.Year()), int64(at.Month()), int64(at.Day())); got*secondsPerDay != at.Unix() {
			t.Fatalf("%v: day %d", at, got)
		}
		if next := at.AddDate(0, 0, 1); (next.Day() == 1) != (daysIn(int64(at.Year()), int64(at.Month())) == int64(at.Day())) {
			t.Fatalf("%v: the month has %d days", at, daysIn(int64(at.Year()), int64(at.Month())))
		}
	}
}

func TestParseDoesNotAllocate(t *testing.T) {
	var p parser
	var e entry
	lines := [][]byte{
		[]byte(`10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 8 "-" "x" "imserve; hit" 0.004`),
		[]byte(`1795252364.588     16 10.0.0.7 TCP_MISS/200 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 application/x-rpm`),
	}
	if n := testing.AllocsPerRun(100, func() {
		for _, line := range lines {
			if why := p.parse(line, &e); why != reasonNone {
				t.Fatal(why)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
