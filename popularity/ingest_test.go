package popularity

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each line that does not count is told with its reason, and does not count.
func TestSkipped(t *testing.T) {
	const vlc = "/fedora/updates/Packages/v/vlc-3-1.fc41.x86_64.rpm"
	good := `10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] "GET ` + vlc + ` HTTP/1.1" 200 512 "-" "dnf" "imserve; hit" 0.1`
	with := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the line", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	for _, c := range []struct {
		name, line string
		want       reason
	}{
		{"counts", good, reasonNone},
		{"not modified", with("200 512", "304 -"), reasonNone},
		{"a range", with("200 512", "206 10"), reasonNone},
		{"a query", with(".rpm HTTP", ".rpm?mirror=1 HTTP"), reasonNone},
		{"invalid UTF-8 in the agent", with("dnf", "\xff\xfe"), reasonNone},
		{"HEAD", with("GET", "HEAD"), reasonMethod},
		{"lower case is another method", with("GET", "get"), reasonMethod},
		{"not found", with(" 200 ", " 404 "), reasonStatus},
		{"moved", with(" 200 ", " 302 "), reasonStatus},
		{"another imserve", with("dnf", "imserve/1.0 (IntelligentMirror)"), reasonReplica},
		{"a load balancer's check", with("dnf", "HAProxy/2.6"), reasonHealth},
		{"a check of Kubernetes", with("dnf", "kube-probe/1.30"), reasonHealth},
		{"imsync's own", with("dnf", "imsync/1.0 (+http://mirror)"), reasonOwn},
		{"not imsync's own", with("dnf", "not imsync/1.0"), reasonNone},
		{"aborted", with("imserve; hit", "imserve; hit; detail=aborted"), reasonAborted},
		{"squid, aborted", "1795252364.588 16 10.0.0.7 TCP_HIT_ABORTED/200 210 GET http://dl.fedoraproject.org/pub/fedora/linux/a-1-1.noarch.rpm - HIER_NONE/- -", reasonAborted},
		{"before there were mirrors", with("2026", "1970"), reasonDate},
		{"far in the future", with("2026", "2027"), reasonDate},
		{"squid, the year 5000", "95617584000.000 16 10.0.0.7 TCP_HIT/200 210 GET http://dl.fedoraproject.org/pub/fedora/linux/a-1-1.noarch.rpm - HIER_NONE/- -", reasonDate},
		{"nobody's host", with(vlc, "http://example.org/a-1-1.noarch.rpm"), reasonNoRepo},
		{"nobody's path", with(vlc, "/favicon.ico"), reasonNoRepo},
		{"not a URL", with(vlc, "*"), reasonTarget},
		{"a directory", with(vlc, "/fedora/updates/"), reasonTarget},
		{"an escaped slash", with("Packages/v", "Packages%2fv"), reasonTarget},
		{"path of invalid UTF-8", with("vlc", `vlc\xff`), reasonTarget},
		{"metadata", with(vlc, "/fedora/updates/repodata/primary.xml.gz"), reasonNoPackage},
		{"not called like a package", with("vlc-3-1.fc41.x86_64.rpm", "vlc.rpm"), reasonFileName},
		{"a name over 255 bytes", with("vlc", strings.Repeat("v", 256)), reasonTarget},
		{"a path over 4 KiB", with("/v/", "/"+strings.Repeat("v/", 3000)), reasonTarget},
		{"too long", good + strings.Repeat("x", maxLine), reasonTooLong},
		{"megabytes", strings.Repeat("x", 3<<20), reasonTooLong},
		{"noise", "\x00\x01\x02\xfe\xff", reasonMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			s := openStore(t, dir, options())
			// Between lines that count, and twice: what is skipped takes nothing
			// with it.
			other := strings.Replace(good, "vlc", "before", 1) + "\n"
			writeFile(t, dir+"/log", other+c.line+"\n"+c.line+"\n"+other)
			r := ingest1(t, s, dir+"/log")
			want := []string{"before", "vlc"}
			if c.want != reasonNone {
				want = want[:1]
				got := r.Skipped[c.want.String()]
				if got.Lines != 2 || len(r.Skipped) != 1 || got.Example != printable([]byte(c.line)) || got.File != dir+"/log" {
					t.Errorf("skipped %+v, want 2 of %q", r.Skipped, c.want)
				}
			}
			var names []string
			for _, rank := range ranks(t, s) {
				names = append(names, rank.Name)
			}
			if !slices.Equal(names, want) || r.Lines != 4 {
				t.Errorf("names %v, want %v; report %+v", names, want, r)
			}
		})
	}
}

// Two spellings of one path, client or URL are one.
func TestSpellings(t *testing.T) {
	const at = ` - - [21/Nov/2026:09:12:44 +0000] "GET `
	const end = ` HTTP/1.1" 200 512 "-" "dnf"` + "\n"
	lines := []string{
		"10.0.0.7" + at + "/fedora/p/libstdc++-1~rc1-1.x86_64.rpm" + end,
		"10.0.0.7" + at + "/fedora/p/libstdc%2B%2b-1%7Erc1-1.x86_64.rpm" + end,
		"10.0.0.7" + at + "/fedora//p/./libstdc++-1~rc1-1.x86_64.rpm?x" + end,
		"10.0.0.7" + at + `/fedora/p/libstdc\x2b\x2b-1~rc1-1.x86_64.rpm` + end,
		"::ffff:10.0.0.7" + at + "http://DL.fedoraproject.org:80/pub/fedora/linux/p/libstdc++-1~rc1-1.x86_64.rpm" + end,
		"::ffff:10.0.0.7" + at + "https://dl.fedoraproject.org:443/pub/fedora/linux/p/libstdc++-1~rc1-1.x86_64.rpm" + end,
	}
	// Whichever comes first.
	for range lines {
		lines = append(lines[1:], lines[0])
		dir := t.TempDir()
		s := openStore(t, dir, options())
		writeFile(t, dir+"/log", strings.Join(lines, ""))
		r := ingest1(t, s, dir+"/log")
		if r.Counted != 6 || r.Requests != 1 {
			t.Errorf("%+v", r)
		}
		want := []Rank{{1, "libstdc++", "x86_64", "fedora/p", ranks(t, s)[0].Score, 1, 1, 1, 512, time.Date(2026, 11, 21, 9, 12, 44, 0, time.UTC)}}
		if diff := cmp.Diff(want, ranks(t, s)); diff != "" {
			t.Error(diff)
		}
	}
}

// A path whose own spelling is another repository's file by that one's rules is not
// taken for it.
func TestPathOfAnotherRepository(t *testing.T) {
	o := options()
	o.Resolve = func(host, path string) (repo, rest string, ok bool) {
		if host == "" { // the mirror's own names are old ones
			return "b", strings.TrimPrefix(path, "/a/"), strings.HasPrefix(path, "/a/")
		}
		return "a", strings.TrimPrefix(path, "/"), true
	}
	const of = "10.0.0.7 - - [21/Nov/2026:09:12:44 +0000] \"GET "
	const end = "/p/x-1-1.x86_64.rpm HTTP/1.1\" 200 512\n"
	for _, text := range []string{of + "/a" + end + of + "http://host" + end, of + "http://host" + end + of + "/a" + end} {
		dir := t.TempDir()
		s := openStore(t, dir, o)
		writeFile(t, dir+"/log", text)
		if r := ingest1(t, s, dir+"/log"); r.Requests != 2 {
			t.Errorf("%q: %d requests, want b/p/x and a/p/x", text, r.Requests)
		}
	}
}

// A log that cannot be read does not stop the others.
func TestFailedLogs(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, options())
	hits := traffic(8, 100)
	if err := os.Mkdir(dir+"/a-dir.log", 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, dir+"/b.log", "\xfd7zXZ\x00 and more")
	writeFile(t, dir+"/c.log", "\x28\xb5\x2f\xfd and more")
	damaged := []byte(gzipped(t, write(hits, "squid")))
	damaged[len(damaged)-5] ^= 1 // in the checksum: all of the content is there
	writeFile(t, dir+"/d.log", string(damaged))
	writeFile(t, dir+"/e.log", "")
	writeFile(t, dir+"/f[1].log", write(hits[:10], "common"))
	r := ingest1(t, s, dir+"/*.log", dir+"/*.log", dir+"/nothing*", dir+"/f[1].log")
	if r.Files != 6 || len(r.Failed) != 4 || !slices.Equal(r.Unmatched, []string{dir + "/nothing*"}) {
		t.Errorf("%+v", r)
	}
	for i, want := range []string{"not a regular file", "xz", "zstd", "checksum"} {
		if !strings.Contains(r.Failed[i].Error, want) {
			t.Errorf("%s: %s, want %q", r.Failed[i].Path, r.Failed[i].Error, want)
		}
	}
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error(diff)
	}
	if r := ingest1(t, s, dir+"/*.log"); r.Lines != 0 || len(r.Failed) != 4 {
		t.Errorf("again: %+v", r)
	}
	if _, err := s.Ingest(t.Context(), []string{"[x"}); err == nil {
		t.Error("a malformed glob is no error")
	}
}

// Standard input that is a file is read where it is.
func TestStdinFile(t *testing.T) {
	dir := t.TempDir()
	hits := traffic(8, 100)
	writeFile(t, dir+"/log", write(hits, "combined"))
	f, err := os.Open(dir + "/log")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := options()
	o.Stdin = f
	s := openStore(t, dir, o)
	if r := ingest1(t, s, Stdin); r.Lines != int64(len(hits)) || r.Files != 1 {
		t.Errorf("%+v", r)
	}
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error(diff)
	}
	if r := ingest1(t, s, dir+"/log"); r.Lines != 0 {
		t.Errorf("by its name: %d lines are read again", r.Lines)
	}
	s.opt.Stdin = nil
	if r := ingest1(t, s, Stdin); len(r.Failed) != 1 || r.Failed[0].Path != Stdin {
		t.Errorf("without standard input: %+v", r)
	}
}

// called is a Writer that calls it for each line.
type called func()

func (f called) Write(b []byte) (int, error) { f(); return len(b), nil }

// A run that is cancelled keeps what was committed, and the next one goes on.
func TestCancelled(t *testing.T) {
	dir := t.TempDir()
	hits := traffic(9, 3000)
	ctx, cancel := context.WithCancel(t.Context())
	o := options()
	o.Log = slog.New(slog.NewTextHandler(called(cancel), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := openStore(t, dir, o)
	s.limit = 50
	writeFile(t, dir+"/log", write(hits, "combined"))
	r, err := s.Ingest(ctx, []string{dir + "/log"})
	if !errors.Is(err, context.Canceled) || r.Lines == 0 || r.Lines == int64(len(hits)) {
		t.Fatalf("%v, %+v", err, r)
	}
	if again := ingest1(t, s, dir+"/log"); again.Lines+r.Lines != int64(len(hits)) || again.Requests == 0 {
		t.Errorf("%d lines, then %d; want %d", r.Lines, again.Lines, len(hits))
	}
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error(diff)
	}
}

// Targets and clients without end are forgotten, not remembered for ever, and
// what is counted stays right.
func TestForgetsWhatItRemembers(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, options())
	hits := traffic(10, 500)
	for i := range hits {
		hits[i].client = strings.Repeat("c", 200) + hits[i].client
	}
	b := batch{placer: placer{resolve, isPackage}, most: memoryLimit}
	b.next()
	k := &block{buf: []byte(write(hits, "combined"))}
	s.newParser(&b).block(k)
	b.remembered = memoryLimit - 1000
	for i := 0; !b.full(batchRequests); {
		i = b.count(k, i, b.taken+1)
	}
	if !b.next() || b.remembered != 0 || len(b.paths)+len(b.dirs)+b.memory.Load().targets.used+b.memory.Load().addresses.used+b.memory.Load().paths.used+len(b.clients)+b.taken+len(b.roots) != 0 {
		t.Errorf("%d bytes remembered", b.remembered)
	}
	// Blocks that were parsed before that know nothing of it.
	s.most = 20_000
	writeFile(t, dir+"/log", write(hits, "combined"))
	ingest1(t, s, dir+"/log")
	if diff := cmp.Diff(expect(hits, halfLife), ranks(t, s)); diff != "" {
		t.Error(diff)
	}
}

// The report's names in JSON, with nothing read: no nulls.
func TestReportJSON(t *testing.T) {
	s := openStore(t, t.TempDir(), options())
	got, err := json.Marshal(ingest1(t, s))
	const want = `{"files":0,"files_read":0,"unmatched":[],"failed":[],"bytes":0,"lines":0,"formats":{},"counted":0,"requests":0,"repomd":0,"new_roots":[],"skipped":{}}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"plain é":                      "plain é",
		"a\x00\x1b[31m\xff\tb":         `a\x00\x1b[31m\xff\tb`,
		strings.Repeat("é", 200):       strings.Repeat("é", 100) + "...",
		"x" + strings.Repeat("é", 200): "x" + strings.Repeat("é", 99) + `\xc3` + "...",
	} {
		if got := printable([]byte(in)); got != want {
			t.Errorf("%q: got %q", in, got)
		}
	}
}
