package popularity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/config"
)

// The parsers of this file say as plainly as possible what a line of each format
// is. The real ones are compared with them; ok is false for what is none.

var (
	plainClient = regexp.MustCompile(`^[!#-~]{1,255}$`)
	plainDate   = regexp.MustCompile(`^\d\d/(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/\d{4}:\d\d:\d\d:\d\d [+-](0\d|1[0-4])[0-5]\d$`)
	plainQuoted = regexp.MustCompile(`(?s)^ "((?:[^"\\]|\\.)*)"(.*)$`)
	plainAnswer = regexp.MustCompile(`(?s)^ (\d{3}) (-|\d{1,18})(?: (.*))?$`)
	plainSquid  = regexp.MustCompile(`(?s)^(\d{1,11})\.\d{3} +[^ ]+ +([^ ]+) +([^ /]*)/(\d{3}) +(\d{1,18}) +([^ ]+) +([^ ]+) +[^ ]+ +[^ ]+ +[^ ]+( .*)?$`)
	plainACNG   = regexp.MustCompile(`(?s)^(\d{1,18})\|([OIE])\|(\d{1,18})\|([^|]+)\|(.*?)(?: \[HTTP error, code: (\d{3})\])?$`)
)

func isPlainClient(s string) bool { return plainClient.MatchString(s) && s != "-" }

func plainCommonDate(s string) (int64, bool) {
	if !plainDate.MatchString(s) {
		return 0, false
	}
	leap := int64(0)
	if s[18:20] == "60" {
		s, leap = s[:18]+"59"+s[20:], 1
	}
	at, err := time.Parse("02/Jan/2006:15:04:05 -0700", s)
	return at.Unix() + leap, err == nil
}

// plainRequest takes a request line apart.
func plainRequest(s string) (method, target string, ok bool) {
	method, target, ok = strings.Cut(s, " ")
	if i := strings.LastIndex(target, " "); i >= 0 && strings.HasPrefix(target[i+1:], "HTTP/") {
		target = target[:i]
	}
	return method, target, ok && method != "" && target != ""
}

func plainCommon(line string) (s said, ok bool) {
	words := strings.SplitAfter(line, " ")
	n := 0
	for ; n+1 < len(words); n++ {
		word := strings.TrimSuffix(words[n], " ")
		if !isPlainClient(word) {
			return s, false
		}
		if !strings.HasSuffix(word, ",") {
			break
		}
	}
	if n+1 >= len(words) {
		return s, false
	}
	s.format, s.client = "common", strings.TrimSuffix(words[n], " ")
	s.forwarded = strings.TrimSuffix(strings.Join(words[:n], ""), ", ")
	line = " " + strings.Join(words[n+1:], "")
	for {
		i := strings.Index(line, " [")
		if i < 0 || len(line) <= i+2+26 {
			return s, false
		}
		date := line[i+2 : i+2+26]
		line = line[i+2:]
		if line[26] != ']' {
			continue
		}
		at, ok := plainCommonDate(date)
		if !ok {
			return s, false
		}
		s.at, line = time.Unix(at, 0).UTC().Format(time.RFC3339), line[27:]
		break
	}
	m := plainQuoted.FindStringSubmatch(line)
	if m == nil {
		return s, false
	}
	if s.method, s.target, ok = plainRequest(m[1]); !ok {
		return s, false
	}
	if m = plainAnswer.FindStringSubmatch(m[2]); m == nil {
		return s, false
	}
	s.status, _ = strconv.Atoi(m[1])
	s.bytes, _ = strconv.ParseInt(m[2], 10, 64)
	if !strings.HasPrefix(m[3], `"`) {
		return s, true
	}
	s.format = "combined"
	if m = plainQuoted.FindStringSubmatch(" " + m[3]); m == nil {
		return s, false
	}
	if m = plainQuoted.FindStringSubmatch(m[2]); m == nil {
		return s, false
	}
	s.agent = m[1]
	if m = plainQuoted.FindStringSubmatch(m[2]); m == nil {
		return s, true
	}
	if strings.HasPrefix(m[1], "imserve;") {
		s.format, s.aborted = "imserve", strings.Contains(m[1], "detail=aborted")
	} else if hops := strings.Split(m[1], ","); s.forwarded == "" {
		last := strings.TrimSpace(hops[len(hops)-1])
		if _, ok := parseHop([]byte(last)); ok && strings.ContainsAny(last, ".:") {
			s.forwarded = m[1]
		}
	}
	return s, true
}

func plainSquidLine(line string) (s said, ok bool) {
	m := plainSquid.FindStringSubmatch(line)
	if m == nil || !isPlainClient(m[2]) {
		return s, false
	}
	at, _ := strconv.ParseInt(m[1], 10, 64)
	s = said{format: "squid", client: m[2], at: time.Unix(at, 0).UTC().Format(time.RFC3339), method: m[6], target: m[7],
		aborted: strings.Contains(m[3], "_ABORTED")}
	s.status, _ = strconv.Atoi(m[4])
	s.bytes, _ = strconv.ParseInt(m[5], 10, 64)
	return s, true
}

func plainACNGLine(line string) (s said, ok bool) {
	m := plainACNG.FindStringSubmatch(line)
	if m == nil || !isPlainClient(m[4]) || m[6] == "" && strings.Contains(m[5], " [HTTP error, code: ") {
		return s, false
	}
	at, _ := strconv.ParseInt(m[1], 10, 64)
	s = said{format: "apt-cacher-ng", client: m[4], at: time.Unix(at, 0).UTC().Format(time.RFC3339), method: "GET"}
	s.bytes, _ = strconv.ParseInt(m[3], 10, 64)
	s.status, _ = strconv.Atoi(m[6])
	switch {
	case m[2] == "O":
		s.status = 200
	case m[2] == "I":
		s.fetched = true
	case s.status < 400:
		s.status = 502
	}
	first, rest, _ := strings.Cut(m[5], "/")
	known := map[string]string{"debrep": "/debian/", "secdeb": "/debian-security/", "uburep": "/ubuntu/"}[first]
	switch {
	case known != "" && strings.Contains(m[5], "/"):
		s.target = known + rest
	case strings.Index(first, ".") > 0:
		s.target = "http://" + m[5]
	default:
		s.target = "/" + m[5]
	}
	return s, true
}

// plainJSONLine understands what is valid for encoding/json.
func plainJSONLine(line string) (s said, ok bool) {
	d := json.NewDecoder(strings.NewReader(line))
	d.UseNumber()
	var all map[string]any
	if err := d.Decode(&all); err != nil || all == nil {
		return s, false
	}
	if _, err := d.Token(); err != io.EOF {
		return s, false
	}
	found := map[string]string{}
	for _, f := range config.DefaultLogFields() {
		var v any = all
		for name := range strings.SplitSeq(f.Path, ".") {
			below, _ := v.(map[string]any)
			v = below[name]
		}
		for list, ok := v.([]any); ok; list, ok = v.([]any) {
			if v = nil; len(list) > 0 {
				v = list[0]
			}
		}
		text := ""
		switch v := v.(type) {
		case string:
			text = v
		case json.Number:
			text = v.String()
		}
		if text != "" && text != "-" && found[f.Of] == "" {
			found[f.Of] = text
		}
	}
	s = said{format: "json", client: found["client"], forwarded: found["forwarded"], method: found["method"], target: found["target"], agent: found["agent"]}
	if s.method == "" || s.target == "" {
		if s.method, s.target, ok = plainRequest(found["request"]); !ok {
			return s, false
		}
	}
	at, ok := plainTime(found["time"])
	if !ok || !isPlainClient(s.client) || len(found["status"]) != 3 || len(found["bytes"]) > 18 {
		return s, false
	}
	s.at = time.Unix(at, 0).UTC().Format(time.RFC3339)
	status, err := strconv.ParseUint(found["status"], 10, 64)
	if err != nil {
		return s, false
	}
	s.status = int(status)
	if found["bytes"] != "" {
		size, err := strconv.ParseUint(found["bytes"], 10, 63)
		if err != nil {
			return s, false
		}
		s.bytes = int64(size)
	}
	return s, true
}

var plainNumber = regexp.MustCompile(`^(\d{1,18})(\.\d+)?$`)

func plainTime(s string) (int64, bool) {
	if at, ok := plainCommonDate(s); ok {
		return at, true
	}
	if m := plainNumber.FindStringSubmatch(s); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64)
		for len(strconv.FormatInt(n, 10)) > 11 {
			n /= 1000
		}
		return n, true
	}
	for _, layout := range []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700"} {
		if at, err := time.Parse(layout, s); err == nil {
			return at.Unix(), true
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	return int64(f), err == nil && f >= 0 && f < 1e11
}

// twice says whether an object of a JSON line has a name twice: encoding/json
// then mixes what both have.
func twice(line string) bool {
	d := json.NewDecoder(strings.NewReader(line))
	type level struct {
		names map[string]bool // nil: an array
		value bool            // what comes is a value, in an object
	}
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		var top *level
		if len(levels) > 0 {
			top = &levels[len(levels)-1]
		}
		if name, ok := token.(string); ok && top != nil && top.names != nil && !top.value {
			if top.names[name] {
				return true
			}
			top.names[name], top.value = true, true
			continue
		}
		if d, ok := token.(json.Delim); !ok || d == '{' || d == '[' {
			if top != nil {
				top.value = false
			}
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
		case json.Delim('['):
			levels = append(levels, level{})
		case json.Delim('}'), json.Delim(']'):
			levels = levels[:len(levels)-1]
		}
	}
}

// saidBy is what a parser said, to compare.
func saidBy(e *entry) said {
	return said{
		e.format.String(), string(e.client), time.Unix(e.at, 0).UTC().Format(time.RFC3339),
		string(e.method), string(e.target), e.status, e.bytes, string(e.agent), e.aborted, e.fetched, string(e.forwarded),
	}
}

// differs says how what a parser made of a line differs from the plain one's;
// "" if it does not.
func differs(line []byte, fast func(*parser, []byte, *entry) reason, plain func(string) (said, bool)) string {
	p := parser{fields: newJSONNode(config.DefaultLogFields())}
	var e entry
	given := bytes.Clone(line)
	why := fast(&p, line, &e)
	want, ok := plain(string(given))
	switch {
	case !bytes.Equal(line, given):
		return "the line was changed"
	case ok != (why == reasonNone):
		return fmt.Sprintf("%q: %v, want %v: %+v", line, why, ok, want)
	case ok && saidBy(&e) != want:
		return fmt.Sprintf("%q:\ngot  %+v\nwant %+v", line, saidBy(&e), want)
	}
	return ""
}
