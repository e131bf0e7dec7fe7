package systest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"intelligentmirror/internal/testrepo"
)

// hostileLog writes a log that nobody means well with, of some 60 MB: lines of megabytes,
// names without end, requests of all years, bytes that a terminal obeys, and between them
// a few that are what they should be.
func hostileLog(t *testing.T, name string, good []byte) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriterSize(f, 1<<20)
	// An error of any Write stays until Flush.
	line := func(client string, at time.Time, target, agent string) {
		fmt.Fprintf(w, "%s - - [%s] \"GET %s HTTP/1.1\" 200 1000 \"-\" \"%s\"\n", client, at.Format("02/Jan/2006:15:04:05 -0700"), target, agent)
	}
	const root = "/" + rootName + "/Packages/x/"
	day := today().AddDate(0, 0, -1)
	names := 50_000
	if raceDetector {
		names = 5_000 // what the ranking says of them is read by the test itself
	}
	for i := range names {
		line("198.51.100.7", day.Add(time.Duration(i)*time.Second), fmt.Sprintf("%sname-%d-%d-1.noarch.rpm", root, i, i), "dnf")
	}
	for i := range 200 {
		// Each a repository that nobody has.
		line(fmt.Sprintf("10.%d.%d.7", i>>8&255, i&255), day, fmt.Sprintf("/fedora/%d/x86_64/repodata/repomd.xml", i), "dnf")
	}
	for year := range 10_000 {
		line("198.51.100.8", time.Date(year, 2, 3, 4, 5, 6, 0, time.UTC), root+"dated-1-1.noarch.rpm", "dnf")
	}
	for _, odd := range []string{"\x1b[2J\x1b]0;owned\x07", "%1b%5b2J", "\u202egpj", "%e2%80%aegpj", "<script>alert(1)</script>", "%3Cscript%3E", "'; DROP TABLE names; --", "\x00", "%00", "\\x0a", "\xff\xfe", "..%2f..%2fetc", "{{.}}", "$(id)", "-rf"} {
		for i := range 20 {
			line(fmt.Sprintf("10.1.1.%d", i+1), day, root+"odd"+odd+"-1-1.noarch.rpm", odd)
			line("10.1.1."+odd, day, odd, odd)
			line(odd, day, root+odd+".rpm", odd)
		}
	}
	for range 4 {
		line("198.51.100.9", day, root+strings.Repeat("x", 2<<20)+"-1-1.noarch.rpm", "dnf")
		line("198.51.100.9", day, root+"long-1-1.noarch.rpm", strings.Repeat("\\\"", 1<<20))
	}
	for range 3 {
		fmt.Fprintf(w, "%s\n", strings.Repeat("{\"a\":[", 300_000))
		fmt.Fprintf(w, "{\"time\":%s}\n", strings.Repeat("9", 1<<20))
	}
	_, err = w.Write(good)
	if err == nil {
		_, err = w.WriteString(strings.Repeat("no end of a line ", 1<<18))
	}
	if err == nil {
		err = w.Flush()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestHostileLog holds what imsync makes of a log that somebody has filled who means no
// good: it ends, in bounded memory, says what it could not read, ranks those who really
// asked, and nothing of what it prints is a terminal's command.
func TestHostileLog(t *testing.T) {
	t.Parallel()
	specs := []testrepo.Spec{{Name: "wanted", Version: "1", Release: "1", Size: 20_000}, {Name: "other", Version: "2", Release: "1", Size: 20_000}}
	s := newSite(t)
	s.publish(specs)
	var good strings.Builder
	for day := range 5 {
		for c := range 10 {
			at := today().AddDate(0, 0, -1-day).Add(9 * time.Hour).Format("02/Jan/2006:15:04:05 -0700")
			fmt.Fprintf(&good, "192.0.2.%d - - [%s] \"GET /%s/repodata/repomd.xml HTTP/1.1\" 200 1000 \"-\" \"dnf\"\n", c+1, at, rootName)
			fmt.Fprintf(&good, "192.0.2.%d - - [%s] \"GET /%s/%s HTTP/1.1\" 200 20000 \"-\" \"dnf\"\n", c+1, at, rootName, specs[0].Location())
		}
	}
	hostileLog(t, filepath.Join(s.logs, "access.log"), []byte(good.String()))

	var ranks []rank
	p := s.startImsync("rank", "-n", "0", "--json")
	most := p.most()
	if code := p.wait(); code != 0 {
		t.Fatalf("rank: exit code %d", code)
	}
	if err := json.Unmarshal(p.stdout.Bytes(), &ranks); err != nil {
		t.Fatal(err)
	}
	if measured() && most > hostileBound {
		t.Errorf("%d MiB were resident, more than %d", most>>20, hostileBound>>20)
	}
	t.Logf("%d names, %d MiB were resident at the most", len(ranks), most>>20)
	place := 0
	for _, r := range ranks {
		if r.Name == "wanted" {
			place = r.Rank
		}
		if r.LastSeen.After(today().AddDate(0, 0, 1)) {
			t.Errorf("%q was last seen on %s", r.Name, r.LastSeen)
		}
	}
	if place == 0 || place > 20 {
		t.Errorf("what ten clients asked for on five days has the rank %d", place)
	}
	for _, args := range [][]string{{"rank", "-n", "0"}, {"plan"}, {"once"}, {"status"}, {"rank", "-n", "0", "--json"}} {
		p := s.startImsync(args...)
		code := p.wait()
		if code != 0 && code != 1 {
			t.Errorf("imsync %s: exit code %d", strings.Join(args, " "), code)
		}
		for _, text := range []string{p.stdout.String(), p.stderr.String()} {
			for _, c := range text {
				if c != '\n' && !unicode.IsPrint(c) || c == unicode.ReplacementChar {
					t.Errorf("imsync %s prints %U", strings.Join(args, " "), c)
					break
				}
			}
		}
	}
	if got, want := s.awaitFile("/"+rootName+"/"+specs[0].Location()), files(t, s.repo)[specs[0].Location()]; got != want {
		t.Error("what clients want is stored with other bytes")
	}
}
