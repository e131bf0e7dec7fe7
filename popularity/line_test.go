package popularity

import (
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/config"
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
	fetched        bool
	forwarded      string
}

func parseLine(line string) (said, reason) {
	p := parser{fields: newJSONNode(config.DefaultLogFields())}
	var e entry
	if why := p.parse([]byte(line), &e); why != reasonNone {
		return said{}, why
	}
	return saidBy(&e), reasonNone
}

func TestParse(t *testing.T) {
	const at = "2026-11-21T09:12:44Z"
	for _, c := range []struct {
		name, line string
		want       said
	}{
		{"common", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /fedora/a.rpm HTTP/1.1" 200 512`,
			said{"common", "10.0.0.7", at, "GET", "/fedora/a.rpm", 200, 512, "", false, false, ""}},
		{"no size", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 304 -`,
			said{"common", "10.0.0.7", at, "GET", "/a", 304, 0, "", false, false, ""}},
		{"common and fields behind", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 1234 x`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false, false, ""}},
		{"combined", `host.example.org - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 206 5 "http://x/" "dnf/4"`,
			said{"combined", "host.example.org", at, "GET", "/a", 206, 5, "dnf/4", false, false, ""}},
		{"CRLF", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"` + "\r",
			said{"combined", "10.0.0.7", at, "GET", "/a", 200, 5, "x", false, false, ""}},
		{"escaped quotes", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a\"b HTTP/1.1" 200 5 "\\" "say \"imserve; hit\" \\" "tail"`,
			said{"combined", "10.0.0.7", at, "GET", `/a\"b`, 200, 5, `say \"imserve; hit\" \\`, false, false, ""}},
		{"an agent cannot pass for a cache status", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x\" \"imserve; detail=aborted" 0.1`,
			said{"combined", "10.0.0.7", at, "GET", "/a", 200, 5, `x\" \"imserve; detail=aborted`, false, false, ""}},
		{"third field unfinished", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x" "unfinished`,
			said{"combined", "10.0.0.7", at, "GET", "/a", 200, 5, "x", false, false, ""}},
		{"IPv6", `2001:db8::7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x"`,
			said{"combined", "2001:db8::7", at, "GET", "/a", 200, 5, "x", false, false, ""}},
		{"a user with spaces and brackets", `10.0.0.7 - Anne [x] Smith [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false, false, ""}},
		{"raw spaces in the path", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a b HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a b", 200, 5, "", false, false, ""}},
		{"HTTP/0.9", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false, false, ""}},
		{"absolute form", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET http://h/a?b HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "http://h/a?b", 200, 5, "", false, false, ""}},
		{"a zone", `10.0.0.7 - - [21/Nov/2026:01:42:44 -0730] "GET /a HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", at, "GET", "/a", 200, 5, "", false, false, ""}},
		{"another day in UTC", `10.0.0.7 - - [01/Mar/2024:00:30:00 +0100] "GET /a HTTP/1.1" 200 5`,
			said{"common", "10.0.0.7", "2024-02-29T23:30:00Z", "GET", "/a", 200, 5, "", false, false, ""}},
		{"imserve", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 8 "-" "libdnf (Fedora Linux 41; ...)" "imserve; hit" 0.004`,
			said{"imserve", "10.0.0.7", at, "GET", "/a", 200, 8, "libdnf (Fedora Linux 41; ...)", false, false, ""}},
		{"imserve, aborted", `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 8 "-" "x" "imserve; fwd=uri-miss; stored; detail=aborted" 0.004`,
			said{"imserve", "10.0.0.7", at, "GET", "/a", 200, 8, "x", true, false, ""}},
		{"squid", `1795252364.588     16 10.0.0.7 TCP_MISS/200 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 application/x-rpm`,
			said{"squid", "10.0.0.7", at, "GET", "http://h/a.rpm", 200, 210, "", false, false, ""}},
		{"squid, aborted", `1795252364.588 16 10.0.0.7 TCP_MISS_ABORTED/200 210 GET http://h/a.rpm user HIER_DIRECT/192.0.2.1 -`,
			said{"squid", "10.0.0.7", at, "GET", "http://h/a.rpm", 200, 210, "", true, false, ""}},
		{"squid, tunnel and headers", `1795252364.588 16 2001:db8::1 TCP_TUNNEL/200 210 CONNECT h:443 - HIER_DIRECT/2001:db8::2 - [Host: h\r\n] [x]`,
			said{"squid", "2001:db8::1", at, "CONNECT", "h:443", 200, 210, "", false, false, ""}},
		{"squid, never answered", `1795252364.588 0 10.0.0.7 NONE_NONE/000 0 - error:invalid-request - HIER_NONE/- -`,
			said{"squid", "10.0.0.7", at, "-", "error:invalid-request", 0, 0, "", false, false, ""}},
		{"X-Forwarded-For behind", `192.0.2.1 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x" "203.0.113.9, 10.0.0.7" rt=0.1`,
			said{"combined", "192.0.2.1", at, "GET", "/a", 200, 5, "x", false, false, "203.0.113.9, 10.0.0.7"}},
		{"another field behind", `192.0.2.1 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5 "-" "x" "0.35"`,
			said{"combined", "192.0.2.1", at, "GET", "/a", 200, 5, "x", false, false, ""}},
		{"X-Forwarded-For in the client's place", `203.0.113.9, 10.0.0.7, 192.0.2.1 - - [21/Nov/2026:09:12:44 +0000] "GET /a HTTP/1.1" 200 5`,
			said{"common", "192.0.2.1", at, "GET", "/a", 200, 5, "", false, false, "203.0.113.9, 10.0.0.7"}},
		{"apt-cacher-ng", `1795252364|O|5276|10.0.0.7|debrep/pool/main/v/vlc/vlc_3.0.18-2_amd64.deb`,
			said{"apt-cacher-ng", "10.0.0.7", at, "GET", "/debian/pool/main/v/vlc/vlc_3.0.18-2_amd64.deb", 200, 5276, "", false, false, ""}},
		{"apt-cacher-ng, a host", `1795252364|O|5276|2001:db8::7|ftp.debian.org/debian/pool/main/v/vlc/vlc_3.0.18-2_amd64.deb`,
			said{"apt-cacher-ng", "2001:db8::7", at, "GET", "http://ftp.debian.org/debian/pool/main/v/vlc/vlc_3.0.18-2_amd64.deb", 200, 5276, "", false, false, ""}},
		{"apt-cacher-ng, what it fetched", `1795252364|I|370|10.0.0.7|127.0.0.1/debian/no_1-2_amd64.deb [HTTP error, code: 404]`,
			said{"apt-cacher-ng", "10.0.0.7", at, "GET", "http://127.0.0.1/debian/no_1-2_amd64.deb", 404, 370, "", false, true, ""}},
		{"apt-cacher-ng, an error", `1795252364|E|628|10.0.0.7|fedora/no_1-2_amd64.deb [HTTP error, code: 404]`,
			said{"apt-cacher-ng", "10.0.0.7", at, "GET", "/fedora/no_1-2_amd64.deb", 404, 628, "", false, false, ""}},
		{"apt-cacher-ng, an error of its own", `1795252364|E|832|10.0.0.7| [HTTP error, code: 200]`,
			said{"apt-cacher-ng", "10.0.0.7", at, "GET", "/", 502, 832, "", false, false, ""}},
		{"Caddy", `{"level":"info","ts":1795252364.588,"request":{"remote_ip":"192.0.2.1","client_ip":"10.0.0.7","method":"GET","uri":"/a?b=\u0041","headers":{"X-Forwarded-For":["10.0.0.7"],"User-Agent":["dnf \"4\"","x"]}},"size":5,"status":200}`,
			said{"json", "10.0.0.7", at, "GET", "/a?b=A", 200, 5, `dnf "4"`, false, false, "10.0.0.7"}},
		{"nginx in JSON", ` {"a":[[{"status":7}]],"time_iso8601":"2026-11-21T10:12:44+01:00","remote_addr":"10.0.0.7","request":"GET \/a b HTTP/1.1","status":"304","http_user_agent":"-"}`[1:],
			said{"json", "10.0.0.7", at, "GET", "/a b", 304, 0, "", false, false, ""}},
		{"JSON, milliseconds", `{"msec":1795252364588,"remote_addr":"h","request_method":"GET","request_uri":"/","status":200,"bytes_sent":"7"}`,
			said{"json", "h", at, "GET", "/", 200, 7, "", false, false, ""}},
		{"JSON, twice the same", `{"request":{"method":"PUT"},"ts":1,"request":{"method":"GET","uri":"/"},"remote_addr":"h","status":200,"ts":1795252364}`,
			said{"json", "h", at, "GET", "/", 200, 0, "", false, false, ""}},
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
		{"a list of clients without an end", "10.0.0.7, 10.0.0.8,", reasonMalformed},
		{"a list of clients with nothing in it", "10.0.0.7,  - - [21/Nov/2026:09:12:44 +0000] \"GET /a HTTP/1.1\" 200 512", reasonMalformed},
		{"apt-cacher-ng without a path", "1795252364|O|5276|10.0.0.7", reasonMalformed},
		{"apt-cacher-ng, something else", "1795252364|X|5276|10.0.0.7|a", reasonMalformed},
		{"apt-cacher-ng without clients", "1795252364|O|5276", reasonMalformed},
		{"apt-cacher-ng, no code", "1795252364|E|5|10.0.0.7|a [HTTP error, code: x]", reasonMalformed},
		{"JSON without a client", `{"ts":1,"request":"GET /","status":200}`, reasonMalformed},
		{"JSON without a time", `{"remote_addr":"h","request":"GET /","status":200}`, reasonMalformed},
		{"JSON with a client of noise", `{"remote_addr":"\u0001","ts":1,"request":"GET /","status":200}`, reasonMalformed},
		{"JSON, torn", `{"remote_addr":"h","ts":1,"request":"GET /","status":200`, reasonMalformed},
		{"JSON and more", `{"remote_addr":"h","ts":1,"request":"GET /","status":200} x`, reasonMalformed},
		{"JSON that nests without end", strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), reasonMalformed},
		{"JSON, an absurd date", `{"remote_addr":"h","time_local":"31/Nov/2026:09:12:44 +0000","request":"GET /","status":200}`, reasonDate},
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

// What a parser remembers of the date before changes none that follows.
func TestDateAfterDate(t *testing.T) {
	dates := []string{
		"21/Nov/2026:09:12:44 +0000", "21/Nov/2026:09:12:45 +0000", "21/Nov/2026:09:12:60 +0000", "21/Nov/2026:09:12:00 +0000",
		"21/Nov/2026:09:12:61 +0000", "21/Nov/2026:09:12:6x +0000", "21/Nov/2026:09:12::4 +0000", "21/Nov/2026:09:12: 4 +0000",
		"21/Nov/2026:09:12:44 +0100", "21/Nov/2026:09:13:44 +0000", "22/Nov/2026:09:12:44 +0000", "31/Feb/2026:09:12:44 +0000",
		strings.Repeat("\x00", 18) + "44" + strings.Repeat("\x00", 6), strings.Repeat("x", clfDateLen),
	}
	for _, before := range dates {
		for _, date := range dates {
			var used, fresh parser
			used.date([]byte(before))
			for range 2 {
				at, why := used.date([]byte(date))
				if wantAt, want := fresh.date([]byte(date)); at != wantAt || why != want {
					t.Errorf("%q after %q: %d, %v; want %d, %v", date, before, at, why, wantAt, want)
				}
			}
		}
	}
}
