package serve

import (
	"errors"
	"strings"
	"testing"
)

func TestParseSquidLine(t *testing.T) {
	for _, tt := range []struct {
		name, line string
		want       squidRequest
		err        error
	}{
		{"a URL alone", "http://x/a", squidRequest{url: "http://x/a"}, nil},
		{"as squid sends it", "http://x/a 10.0.0.7/- - GET myip=10.0.0.1 myport=3128", squidRequest{url: "http://x/a", method: "GET"}, nil},
		{"with a channel", "17 http://x/a 10.0.0.7/pc.example.org ann HEAD myip=- myport=0", squidRequest{"17 ", "http://x/a", "HEAD"}, nil},
		{"the first channel", "0 http://x/a", squidRequest{channel: "0 ", url: "http://x/a"}, nil},
		{"a tunnel", "3 example.org:443 10.0.0.7/- - CONNECT myip=- myport=3128", squidRequest{"3 ", "example.org:443", "CONNECT"}, nil},
		{"a tunnel to an address", "192.0.2.1:443 10.0.0.7/- - CONNECT", squidRequest{url: "192.0.2.1:443", method: "CONNECT"}, nil},
		{"a method by name", "http://x/a method=POST 1 2 3", squidRequest{url: "http://x/a", method: "POST"}, nil},
		{"other fields", "http://x/a ann PUT DELETE", squidRequest{url: "http://x/a"}, nil},
		{"a user's name in quotes", `http://x/a 10.0.0.7/- "ann \"b\" c" PUT`, squidRequest{url: "http://x/a", method: "PUT"}, nil},
		{"a user's name with escapes", "http://x/a 10.0.0.7/- ann%20b PUT", squidRequest{url: "http://x/a", method: "PUT"}, nil},
		{"a URL in quotes", `5 "http://x/a\\b" 10.0.0.7/- - GET`, squidRequest{"5 ", `http://x/a\b`, "GET"}, nil},
		{"a URL with a space in it", "http://x/a.rpm b 10.0.0.7/- - GET", squidRequest{url: "http://x/a.rpm"}, nil},
		{"spaces", "7   http://x/a   10.0.0.7/-  -   GET ", squidRequest{"7 ", "http://x/a", "GET"}, nil},
		{"a carriage return", "7 http://x/a\r", squidRequest{channel: "7 ", url: "http://x/a"}, nil},
		{"nothing", "", squidRequest{}, errNoURL},
		{"a space", " ", squidRequest{}, errNoURL},
		{"a channel alone", "12", squidRequest{channel: "12 "}, errNoURL},
		{"a channel and a space", "12 ", squidRequest{channel: "12 "}, errNoURL},
		{"an empty URL", `12 "" 10.0.0.7/- - GET`, squidRequest{channel: "12 "}, errNoURL},
		{"a quote that does not end", `12 http://x/a 10.0.0.7/- "ann GET`, squidRequest{channel: "12 ", url: "http://x/a"}, errQuote},
		{"a control character", "12 http://x/\x01", squidRequest{channel: "12 "}, errControl},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseSquidLine([]byte(tt.line))
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestAppendSquidAnswer(t *testing.T) {
	for _, tt := range []struct{ channel, result, key, value, want string }{
		{"", squidERR, "", "", "ERR\n"},
		{"17 ", squidERR, "", "", "17 ERR\n"},
		{"", squidOK, "rewrite-url", "http://m/r/a%2Bb", "OK rewrite-url=\"http://m/r/a%2Bb\"\n"},
		{"0 ", squidOK, "store-id", `a"b\c`, `0 OK store-id="a\"b\\c"` + "\n"},
	} {
		if got := appendSquidAnswer([]byte("x"), tt.channel, tt.result, tt.key, tt.value); string(got) != "x"+tt.want {
			t.Errorf("%q, want %q", got, tt.want)
		}
	}
}

// FuzzSquidLine holds that each line has one answer of one line, which begins with
// the line's channel, and that nothing of another's comes out in quotes.
func FuzzSquidLine(f *testing.F) {
	for _, line := range []string{
		"http://x.test/pub/r/a.rpm", "17 http://x.test/pub/r/a+b.rpm 10.0.0.7/- - GET myip=- myport=0", `0 "http://x.test/pub/r/a.rpm" "b c"`,
		"", "12", "http://x.test/pub/r/%22.rpm", `http://x.test/pub/r/a\".rpm`, "http://x.test/pub/r/../../a.rpm", "x.test:443 1/- - CONNECT",
		"http://x.test/pub/r/%2e%2e/%0a.rpm", "http://x.test:99999/pub/r/a.rpm", "http://u@x.test/pub/r/a.rpm", "00 https://x.test/pub/r/a.rpm#b",
	} {
		f.Add(line)
	}
	rewrite, store := squidHelperOf(f, false), squidHelperOf(f, true)
	rewrite.watch.here(&imserveState{ready: true})
	f.Fuzz(func(t *testing.T, line string) {
		if strings.Contains(line, "\n") {
			t.Skip("more than a line")
		}
		for _, h := range []*SquidHelper{rewrite, store} {
			got := string(h.answer(nil, []byte(line), nil))
			r, _ := parseSquidLine([]byte(line))
			rest, ok := strings.CutPrefix(got, r.channel)
			if !ok || strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
				t.Fatalf("%q is answered %q", line, got)
			}
			if strings.Trim(r.channel, "0123456789") != "" && strings.Trim(r.channel, "0123456789") != " " {
				t.Fatalf("%q has the channel %q", line, r.channel)
			}
			rest = strings.TrimSuffix(rest, "\n")
			if value, ok := strings.CutPrefix(rest, `OK rewrite-url="http://127.0.0.1:3180/r/`); ok {
				rest = value
			} else if value, ok := strings.CutPrefix(rest, `OK store-id="http://imserve.squid.internal/r/`); ok {
				rest = value
			} else if rest == "ERR" || strings.HasPrefix(rest, `BH message="`) {
				continue
			} else {
				t.Fatalf("%q is answered %q", line, got)
			}
			path, ok := strings.CutSuffix(rest, `"`)
			if !ok || path == "" || strings.ContainsAny(path, "\"\\ ?#") || strings.Contains("/"+path+"/", "/../") {
				t.Fatalf("%q is answered %q", line, got)
			}
		}
	})
}
