package serve

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/visible"
	"intelligentmirror/popularity"
)

func TestLine(t *testing.T) {
	e := event{
		At:     time.Date(2026, 11, 21, 9, 12, 44, 0, time.FixedZone("", 3600)),
		Took:   4 * time.Millisecond,
		Client: "10.0.0.7", Method: "GET", Target: "/fedora/v/vlc-3.0.21-4.fc41.x86_64.rpm", Proto: "HTTP/1.1",
		Code: 200, Sent: 8000123, Agent: "libdnf (Fedora Linux 41)", Status: "imserve; hit",
	}
	usual := func(from, to string) string {
		line := `10.0.0.7 - - [21/Nov/2026:09:12:44 +0100] "GET /fedora/v/vlc-3.0.21-4.fc41.x86_64.rpm HTTP/1.1" 200 8000123 "-" "libdnf (Fedora Linux 41)" "imserve; hit" 0.004` + "\n"
		return strings.Replace(line, from, to, 1)
	}
	for _, tt := range []struct {
		name   string
		change func(*event)
		want   string
	}{
		{"as it is", func(*event) {}, usual("", "")},
		{"a referer", func(e *event) { e.Referer = "http://a/" }, usual(`"-"`, `"http://a/"`)},
		{"no agent", func(e *event) { e.Agent = "" }, usual("libdnf (Fedora Linux 41)", "-")},
		{"a quote", func(e *event) { e.Agent = `x" 200 1 "` }, usual("libdnf (Fedora Linux 41)", `x\" 200 1 \"`)},
		{"a backslash", func(e *event) { e.Agent = `x\` }, usual("libdnf (Fedora Linux 41)", `x\\`)},
		{"a line's end", func(e *event) { e.Agent = "x\r\ny" }, usual("libdnf (Fedora Linux 41)", `x\x0d\x0ay`)},
		{"a terminal's commands", func(e *event) { e.Target = "/\x1b[2J" }, usual("/fedora/v/vlc-3.0.21-4.fc41.x86_64.rpm", `/\x1b[2J`)},
		{"not UTF-8", func(e *event) { e.Agent = "\xffz" }, usual("libdnf (Fedora Linux 41)", `\xffz`)},
		{"letters that are not ASCII", func(e *event) { e.Agent = "größer" }, usual("libdnf (Fedora Linux 41)", "größer")},
		{"an unusual line's end", func(e *event) { e.Agent = "x\u2028\u0085y" }, usual("libdnf (Fedora Linux 41)", `x\xe2\x80\xa8\xc2\x85y`)},
		{"the other direction of writing", func(e *event) { e.Agent = "\u202egpj" }, usual("libdnf (Fedora Linux 41)", `\xe2\x80\xaegpj`)},
		{"letters and marks without a shape", func(e *event) { e.Agent = "v\u3164l\ufe0fc\u2800" }, usual("libdnf (Fedora Linux 41)", `v\xe3\x85\xa4l\xef\xb8\x8fc\xe2\xa0\x80`)},
		{"a long one", func(e *event) { e.Agent = strings.Repeat("x", 2000) }, usual("libdnf (Fedora Linux 41)", strings.Repeat("x", maxField)+"...")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := e
			tt.change(&e)
			if got := string(e.appendLine(nil)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestLineOverSummerTime: on the nights on which the clocks are changed a line has the
// time that they show, and which of the two that is.
func TestLineOverSummerTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		"2026-10-25T00:59:59Z": "[25/Oct/2026:02:59:59 +0200]",
		"2026-10-25T01:00:00Z": "[25/Oct/2026:02:00:00 +0100]",
		"2026-03-29T00:59:59Z": "[29/Mar/2026:01:59:59 +0100]",
		"2026-03-29T01:00:00Z": "[29/Mar/2026:03:00:00 +0200]",
	} {
		when, err := time.Parse(time.RFC3339, at)
		if err != nil {
			t.Fatal(err)
		}
		e := event{Client: "10.0.0.1", At: when.In(berlin), Method: "GET", Target: "/", Proto: "HTTP/1.1"}
		if got := string(e.appendLine(nil)); !strings.Contains(got, want) {
			t.Errorf("%s: %s", at, got)
		}
	}
}

// combined is a line as a parser sees it, fields within quotes with what is escaped in them.
var combined = regexp.MustCompile(`^\S+ - - \[[^]]+\] "((?:[^"\\]|\\.)*)" \d{3} \d+ "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)" \d+\.\d{3}\n$`)

func FuzzLine(f *testing.F) {
	f.Add("/a", "x", "y")
	f.Add("/a\" 200 5 \"-\" \"imserve; hit\" 0.1\n", "\\", "\x00\xff")
	f.Add("/"+strings.Repeat("é", maxTarget), "\u2028", "\"")
	f.Add("/vl\u3164c", "\ufe0f", "\u115f\u2800")
	f.Fuzz(func(t *testing.T, target, referer, agent string) {
		e := event{Client: "10.0.0.1", Method: "GET", Target: target, Proto: "HTTP/1.1", Code: 200, Referer: referer, Agent: agent, Status: "imserve; hit"}
		line := string(e.appendLine(nil))
		parts := combined.FindStringSubmatch(line)
		if parts == nil || parts[4] != "imserve; hit" || strings.Count(line, "\n") != 1 || !utf8.ValidString(line) {
			t.Errorf("not a line of the log: %q", line)
		}
		for _, r := range strings.TrimSuffix(line, "\n") {
			if !visible.Shows(r) {
				t.Errorf("%U in %q", r, line)
			}
		}
	})
}

// TestAccessLog holds what is logged of real requests.
func TestAccessLog(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	m.get(pkg, "User-Agent", "a \"b\" \\", "Referer", "http://x/", "X-Forwarded-For", "10.1.2.3")
	m.get(pkg, "Range", "bytes=0-9")
	m.do(m.request("HEAD", pkg))
	m.send("GET http://127.0.0.2/?q=\"><script> HTTP/1.1\r\nHost: x\r\nUser-Agent: a\t\xff\r\nConnection: close\r\n\r\n")
	m.get("/-/healthz")
	lines := m.lines()
	want := []string{
		`10.1.2.3 - - [_] "GET /r/` + pkg + ` HTTP/1.1" 200 3000 "http://x/" "a \"b\" \\" "imserve; hit" _`,
		`127.0.0.1 - - [_] "GET /r/` + pkg + ` HTTP/1.1" 206 10 "-" "Go-http-client/1.1" "imserve; hit" _`,
		`127.0.0.1 - - [_] "HEAD /r/` + pkg + ` HTTP/1.1" 200 0 "-" "Go-http-client/1.1" "imserve; hit" _`,
		`127.0.0.1 - - [_] "GET http://127.0.0.2/?q=\"><script> HTTP/1.1" 403 161 "-" "a\x09\xff" "imserve" _`,
		`127.0.0.1 - - [_] "GET /-/healthz HTTP/1.1" 200 3 "-" "Go-http-client/1.1" "imserve" _`,
	}
	blank := regexp.MustCompile(`\[[0-9][^]]*\]| \d+\.\d{3}$`)
	lines = lines[len(lines)-len(want):]
	for i, line := range lines {
		line = blank.ReplaceAllStringFunc(line, func(s string) string {
			if s[0] == '[' {
				return "[_]"
			}
			return " _"
		})
		if line != want[i] {
			t.Errorf("got  %s\nwant %s", line, want[i])
		}
	}
}

// TestPopularityReadsIt holds that what is logged counts as it should: whole and
// partial answers do, one that was broken off does not, nor does one that was
// never given.
func TestPopularityReadsIt(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.put("os/Packages/b-1-1.noarch.rpm", rpm(100_000, 1))
	m.put(repomd, []byte("<repomd/>"))
	m.up.On("/r/os/Packages/b-1-1.noarch.rpm", testrepo.Stall(50_000))
	m.get(pkg, "X-Forwarded-For", "10.1.2.3")
	m.get(pkg, "X-Forwarded-For", "10.1.2.4", "User-Agent", "a \"quoted\" one")
	m.get(pkg, "X-Forwarded-For", "10.1.2.4", "Range", "bytes=0-9")
	m.get(pkg, "X-Forwarded-For", "10.1.2.5", "User-Agent", "imsync/1")
	m.get(repomd)
	m.get("os/Packages/none-1-1.noarch.rpm")
	resp, err := m.http.Do(m.request("GET", "os/Packages/b-1-1.noarch.rpm"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	lines := m.lines()
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/access.log", []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := m.server.o.Config
	s, err := popularity.Open(dir+"/popularity.db", popularity.Options{
		Resolve:   cfg.Resolve,
		IsPackage: func(path string) bool { return cfg.Serve.Classify(path) == config.Package },
		Clock:     m.server.o.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	report, err := s.Ingest(t.Context(), []string{dir + "/access.log"})
	if err != nil {
		t.Fatal(err)
	}
	if report.Lines != int64(len(lines)) || report.Formats["imserve"] != report.Lines || report.Skipped["aborted"].Lines != 1 {
		t.Errorf("report %+v", report)
	}
	ranks, err := s.Rank(t.Context(), 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(ranks) != 1 || ranks[0].Name != "a" || ranks[0].Root != "r/os" || ranks[0].Clients != 2 || ranks[0].Bytes != 6000 {
		t.Errorf("ranks %+v", ranks)
	}
}

// gate is a Writer that stands still until it is opened.
type gate struct {
	open    chan struct{}
	entered chan struct{}
	writes  []string
}

func (g *gate) Write(p []byte) (int, error) {
	select {
	case g.entered <- struct{}{}:
	default:
	}
	<-g.open
	g.writes = append(g.writes, string(p))
	return len(p), nil
}

// TestSlowAccessLog holds that a disk which stands still holds up nobody, and
// that what does not fit is dropped in whole lines.
func TestSlowAccessLog(t *testing.T) {
	g := &gate{open: make(chan struct{}), entered: make(chan struct{}, 1)}
	var warned testrepo.Buffer
	l := newAccessLog(g, slog.New(slog.NewTextHandler(&warned, nil)))
	e := &event{Client: "10.0.0.1", Method: "GET", Target: "/" + strings.Repeat("x", 4000), Proto: "HTTP/1.1", Code: 200}
	l.add(e)
	<-g.entered
	const more = maxLogged/4000 + 100
	for range more {
		l.add(e)
	}
	close(g.open)
	l.close()
	l.add(e)
	n := 0
	for _, w := range g.writes {
		if !strings.HasSuffix(w, "\n") {
			t.Error("a part of a line was written")
		}
		n += strings.Count(w, "\n")
	}
	if n >= more || n < maxLogged/5000 {
		t.Errorf("%d lines of %d were written", n, more)
	}
	if want := fmt.Sprintf("lines=%d", more+1-n); !strings.Contains(warned.String(), want) {
		t.Errorf("not said: %s; said: %s", want, warned.String())
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestFailingAccessLog(t *testing.T) {
	var warned testrepo.Buffer
	l := newAccessLog(fullDisk{}, slog.New(slog.NewTextHandler(&warned, nil)))
	for range 10 {
		l.add(&event{})
	}
	l.close()
	if got := strings.Count(warned.String(), "disk full"); got != 1 {
		t.Errorf("it was said %d times: %s", got, warned.String())
	}
}
