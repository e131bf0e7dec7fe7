package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"testing"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// squidConfig is what the helper of these tests knows of repositories.
const squidConfig = `
cache_dir = "/c"
state_dir = "/s"
[[repo]]
name = "r"
upstreams = ["https://x.test/pub/r"]
aliases = ["http://*.mirror.test/r"]
alias_paths = ["/r/deep"]
[[repo]]
name = "gone"
upstreams = ["https://x.test/pub/gone"]
`

// parsedConfig is the configuration that text is.
func parsedConfig(t testing.TB, text string) *config.Config {
	t.Helper()
	c, err := config.Load(config.Options{
		Getenv:     func(string) string { return "" },
		Interfaces: func() ([]net.Addr, error) { return nil, nil },
		ReadFile: func(name string) ([]byte, error) {
			if name == config.SystemFile {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// squidHelperOf is a helper whose imserve is at 127.0.0.1:3180, and whom nobody dials.
func squidHelperOf(t testing.TB, storeID bool) *SquidHelper {
	t.Helper()
	return NewSquidHelper(SquidHelperOptions{
		Config: parsedConfig(t, squidConfig), Mirror: &url.URL{Scheme: "http", Host: "127.0.0.1:3180"}, StoreID: storeID,
		Dial: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("nobody is there") },
	})
}

func TestSquidAnswers(t *testing.T) {
	const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	rewrite, store := squidHelperOf(t, false), squidHelperOf(t, true)
	state := &imserveState{
		ready: true, repos: []string{"r"},
		learnt: upstream.Claims{"learnt.test": {{Path: "/m/f41", Repo: "r", Rest: "f/41"}}},
	}
	rewrite.watch.here(state)
	store.watch.here(state)
	for _, tt := range []struct {
		name, line string
		rewritten  string // the path on imserve; "" leaves it alone
		stored     string // of the store id; "" has none
	}{
		{"a package", "http://x.test/pub/r/a/b-1.rpm", "r/a/b-1.rpm", "r/a/b-1.rpm"},
		{"over https", "https://x.test/pub/r/b-1.rpm", "r/b-1.rpm", "r/b-1.rpm"},
		{"a mirror by its pattern", "http://de.mirror.test/r/b-1.rpm", "r/b-1.rpm", "r/b-1.rpm"},
		{"an alias path", "http://x.test/r/deep/b-1.rpm", "r/b-1.rpm", "r/b-1.rpm"},
		{"a mirror that was learnt", "http://learnt.test/m/f41/b-1.rpm", "r/f/41/b-1.rpm", "r/f/41/b-1.rpm"},
		{"capitals and a port", "http://X.Test:80/pub/r/b-1.rpm", "r/b-1.rpm", "r/b-1.rpm"},
		{"a plus", "http://x.test/pub/r/b++-1.rpm", "r/b%2B%2B-1.rpm", "r/b%2B%2B-1.rpm"},
		{"an escaped plus", "http://x.test/pub/r/b%2B%2b-1.rpm", "r/b%2B%2B-1.rpm", "r/b%2B%2B-1.rpm"},
		{"a quote", "http://x.test/pub/r/b%22-1.rpm", "r/b%22-1.rpm", "r/b%22-1.rpm"},
		{"dots", "http://x.test/pub/y/../r/./b-1.rpm", "r/b-1.rpm", "r/b-1.rpm"},
		{"metadata", "http://x.test/pub/r/repodata/repomd.xml", "r/repodata/repomd.xml", ""},
		{"metadata by its digest", "http://x.test/pub/r/repodata/" + sum + "-primary.xml.gz", "r/repodata/" + sum + "-primary.xml.gz", "r/repodata/" + sum + "-primary.xml.gz"},
		{"an install tree's file", "http://x.test/pub/r/images/boot.iso", "r/images/boot.iso", ""},
		{"GET", "http://x.test/pub/r/b-1.rpm 10.0.0.7/- - GET myip=- myport=0", "r/b-1.rpm", "r/b-1.rpm"},
		{"HEAD", "http://x.test/pub/r/b-1.rpm 10.0.0.7/- - HEAD", "r/b-1.rpm", "r/b-1.rpm"},
		{"POST", "http://x.test/pub/r/b-1.rpm 10.0.0.7/- - POST", "", "r/b-1.rpm"},
		{"a tunnel", "x.test:443 10.0.0.7/- - CONNECT", "", ""},
		{"a page", "http://x.test/pub/r/index.html", "", ""},
		{"a directory", "http://x.test/pub/r/repodata/", "", ""},
		{"a query", "http://x.test/pub/r/b-1.rpm?x", "", ""},
		{"an empty query", "http://x.test/pub/r/b-1.rpm?", "", ""},
		{"a fragment", "http://x.test/pub/r/b-1.rpm#x", "", ""},
		{"a user", "http://ann:secret@x.test/pub/r/b-1.rpm", "", ""},
		{"another protocol", "ftp://x.test/pub/r/b-1.rpm", "", ""},
		{"a host that is nobody's", "http://y.test/pub/r/b-1.rpm", "", ""},
		{"a path that is nobody's", "http://x.test/pub/rr/b-1.rpm", "", ""},
		{"imserve itself", "http://127.0.0.1:3180/r/b-1.rpm", "", ""},
		{"an escape that is none", "http://x.test/pub/r/%zz.rpm", "", ""},
		{"an escaped slash", "http://x.test/pub/r/a%2fb.rpm", "", ""},
		{"out of itself", "http://x.test/pub/r/x%2f..%2f..%2fb.rpm", "", ""},
		{"a newline in it", "http://x.test/pub/r/%0a.rpm", "", ""},
		{"a port that is none", "http://x.test:99999/pub/r/b-1.rpm", "", ""},
		{"a repository that imserve has no more", "http://x.test/pub/gone/b-1.rpm", "", "gone/b-1.rpm"},
		{"one that imserve would take for another path", "http://x.test/pub/r/deep/b-1.rpm", "r/deep/b-1.rpm", "r/deep/b-1.rpm"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := map[*SquidHelper]string{rewrite: "9 ERR\n", store: "9 ERR\n"}
			if tt.rewritten != "" {
				want[rewrite] = `9 OK rewrite-url="http://127.0.0.1:3180/` + tt.rewritten + "\"\n"
			}
			if tt.stored != "" {
				want[store] = `9 OK store-id="http://imserve.squid.internal/` + tt.stored + "\"\n"
			}
			for h, want := range want {
				if got := string(h.answer(nil, []byte("9 "+tt.line), nil)); got != want {
					t.Errorf("store id %v: %q, want %q", h.o.StoreID, got, want)
				}
			}
		})
	}
	rewrite.watch.away(io.EOF)
	store.watch.away(io.EOF)
	const line = "http://learnt.test/m/f41/b-1.rpm"
	if got := string(rewrite.answer(nil, []byte(line), nil)); got != "ERR\n" {
		t.Errorf("without imserve: %q", got)
	}
	if got := string(store.answer(nil, []byte(line), nil)); !strings.Contains(got, "/r/f/41/b-1.rpm") {
		t.Errorf("without imserve a store id is forgotten: %q", got)
	}
}

// TestSquidHelperRun holds that lines are answered as they come, one by one or many
// at once, to the end of the last whole one, whatever they are.
func TestSquidHelperRun(t *testing.T) {
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	log := &testrepo.Buffer{}
	h := NewSquidHelper(SquidHelperOptions{Config: parsedConfig(t, squidConfig), StoreID: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	ended := make(chan error, 1)
	go func() {
		ended <- h.Run(t.Context(), in, out)
		out.Close()
	}()
	from := bufio.NewReader(answers)
	say := func(text string, want ...string) {
		t.Helper()
		go func() { _, _ = io.WriteString(ask, text) }() // a helper that has ended is told below
		for _, want := range want {
			got, err := from.ReadString('\n')
			if err != nil || got != want+"\n" {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
	}
	const one, known = "http://x.test/pub/r/a.rpm", `OK store-id="http://imserve.squid.internal/r/a.rpm"`
	say(one+"\n", known)
	say("1 http://y.test/\n2 "+one+"\n\n3 "+one+"\n", "1 ERR", "2 "+known, `BH message="no URL in this line"`, "3 "+known)
	say("4 "+one+"\n5 http", "4 "+known) // the rest comes later
	say("://y.test/\n", "5 ERR")
	say("6 http://"+strings.Repeat("x", 3*maxSquidLine)+"\n7 "+one+"\n", `6 BH message="this line is too long"`, "7 "+known)
	var many, all []string
	for i := range 5000 {
		many = append(many, fmt.Sprintf("%d %s", i, one))
		all = append(all, fmt.Sprintf("%d %s", i, known))
	}
	say(strings.Join(many, "\n")+"\n", all...)
	say("8 " + one + "\n9 half a line")
	if got, err := from.ReadString('\n'); got != "8 "+known+"\n" {
		t.Errorf("%q, %v", got, err)
	}
	ask.Close()
	if err := <-ended; err != nil {
		t.Errorf("at the end: %v", err)
	}
	if rest, _ := io.ReadAll(from); len(rest) != 0 {
		t.Errorf("half a line was answered: %q", rest)
	}
	if n := strings.Count(log.String(), "squid sent what is no question"); n != 2 {
		t.Errorf("two kinds of bad lines were logged %d times:\n%s", n, log)
	}
}

// TestSquidHelperEnds holds that a helper to which squid does not listen ends.
func TestSquidHelperEnds(t *testing.T) {
	answers, out := io.Pipe()
	answers.Close()
	h := squidHelperOf(t, false)
	if err := h.Run(t.Context(), strings.NewReader("http://x.test/\n"), out); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

// TestSquidHelperWithoutConfiguration holds that a helper that knows nothing leaves
// everything alone, and asks nobody.
func TestSquidHelperWithoutConfiguration(t *testing.T) {
	var out strings.Builder
	h := NewSquidHelper(SquidHelperOptions{Mirror: &url.URL{Scheme: "http", Host: "127.0.0.1:3180"}, Dial: func(context.Context, string, string) (net.Conn, error) {
		t.Error("somebody was asked")
		return nil, io.EOF
	}})
	if err := h.Run(t.Context(), strings.NewReader("http://x.test/pub/r/a.rpm\n2 http://x.test/\n"), &out); err != nil || out.String() != "ERR\n2 ERR\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

func TestSquidMirror(t *testing.T) {
	for _, tt := range []struct{ listen, more, want string }{
		{`":3180"`, "", "http://127.0.0.1:3180"},
		{`"0.0.0.0:80"`, "", "http://127.0.0.1:80"},
		{`["[::]:3180", "10.0.0.1:1"]`, "", "http://127.0.0.1:3180"},
		{`"10.0.0.1:3180"`, "", "http://10.0.0.1:3180"},
		{`"[::1]:3180"`, "", "http://[::1]:3180"},
		{`[":443", "http://:3180"]`, "tls_cert = \"/c\"\ntls_key = \"/k\"\n", "http://127.0.0.1:3180"},
		{`":443"`, "tls_cert = \"/c\"\ntls_key = \"/k\"\n", ""},
	} {
		c := parsedConfig(t, "cache_dir = \"/c\"\nstate_dir = \"/s\"\n[serve]\nlisten = "+tt.listen+"\n"+tt.more)
		got, err := SquidMirror(&c.Serve)
		if (err != nil) != (tt.want == "") || err == nil && got.String() != tt.want {
			t.Errorf("%s: %v, %v; want %q", tt.listen, got, err, tt.want)
		}
	}
}

// BenchmarkSquidHelper is what an answer costs: half the lines are packages, the
// others pages. What whole processes do is measured by contrib/bench/squidhelper.
func BenchmarkSquidHelper(b *testing.B) {
	h := squidHelperOf(b, false)
	h.watch.here(&imserveState{ready: true})
	lines := [][]byte{
		[]byte("17 http://x.test/pub/r/updates/41/Everything/x86_64/Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm 10.0.0.7/- - GET myip=10.0.0.1 myport=3128"),
		[]byte("18 http://www.example.org/news/2026/index.html?page=3 10.0.0.7/- - GET myip=10.0.0.1 myport=3128"),
	}
	var answers []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		answers = h.answer(answers[:0], lines[i%2], nil)
	}
}
