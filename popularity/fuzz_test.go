package popularity

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seeds are lines of each format, and some of none.
func seeds() []string {
	lines := []string{
		"", "\r", "\x00\xff", "- - -", `x "`, ` [`, `a [21/Nov/2026:09:12:44 +0000]`,
		`a - - [21/Nov/2026:09:12:44 +0000] "GET /a\"\\ HTTP/1.1" 200 - "\\" "\"" "imserve; detail=aborted`,
		"1795252364.588     16 10.0.0.7 TCP_MISS_ABORTED/200 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 application/x-rpm [Host: h]",
		"1.123 ", "1795252364.588 ",
	}
	for format := range formatters {
		lines = append(lines, strings.Split(strings.TrimSpace(write(traffic(13, 3), format)), "\n")...)
	}
	slices.Sort(lines)
	return lines
}

// FuzzParseCommon checks that what was understood of a line can be written down
// plainly and is then understood alike.
func FuzzParseCommon(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p parser
		var e, again entry
		given := bytes.Clone(b)
		if p.parseCommon(b, &e) != reasonNone {
			return
		}
		if !bytes.Equal(b, given) {
			t.Error("the line was changed")
		}
		when := time.Unix(e.at, 0).UTC()
		if when.Year() < 0 || when.Year() > 9999 {
			return
		}
		plain := fmt.Appendf(nil, `%s - - [%s] "%s %s HTTP/1.1" %03d %d "-" "%s"`,
			e.client, when.Format("02/Jan/2006:15:04:05 -0700"), e.method, e.target, e.status, e.bytes, e.agent)
		switch {
		case e.format != formatImserve && isForwarded(e.forwarded):
			plain = fmt.Appendf(plain, ` "%s"`, e.forwarded)
		case len(e.forwarded) > 0:
			plain = append(append(bytes.Clone(e.forwarded), ", "...), plain...)
		}
		if e.format == formatImserve {
			plain = append(plain, ` "imserve; hit`...)
			if e.aborted {
				plain = append(plain, `; detail=aborted`...)
			}
			plain = append(plain, '"')
		}
		if why := p.parseCommon(plain, &again); why != reasonNone {
			t.Fatalf("%q: %v", plain, why)
		}
		if e.format == formatCommon {
			e.format, e.agent = formatCombined, []byte{}
		}
		if fmt.Sprintf("%+v", e) != fmt.Sprintf("%+v", again) {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}

func FuzzParseSquid(f *testing.F) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e, again entry
		if parseSquid(b, &e) != reasonNone {
			return
		}
		code := "TCP_MISS"
		if e.aborted {
			code += "_ABORTED"
		}
		plain := fmt.Appendf(nil, "%d.000 0 %s %s/%03d %d %s %s - - -", e.at, e.client, code, e.status, e.bytes, e.method, e.target)
		if why := parseSquid(plain, &again); why != reasonNone {
			t.Fatalf("%q: %v", plain, why)
		}
		if fmt.Sprintf("%+v", e) != fmt.Sprintf("%+v", again) {
			t.Errorf("%+v became %+v", e, again)
		}
	})
}

// FuzzTarget takes targets all the way to a package's name, and checks the path
// against the cache's.
func FuzzTarget(f *testing.F) {
	for _, s := range cleanPaths {
		f.Add(s)
		f.Add("http://dl.fedoraproject.org/pub/fedora/linux/" + s)
		f.Add("/fedora/" + s + "?q")
	}
	f.Add(`/fedora/\x41\"\`)
	f.Add("/fedora/x/repodata/repomd.xml")
	f.Add("/fedora/x/a-1_2-3.x.drpm")
	f.Fuzz(func(t *testing.T, target string) {
		checkCleanPath(t, target)
		b := batch{seeds: newMemoSeeds(), resolve: resolve, isPackage: isPackage}
		b.next(nil)
		v := b.find(target)
		switch v.kind {
		case kindSkip:
			if v.reason == reasonNone {
				t.Error("skipped for no reason")
			}
		case kindPackage:
			p := b.paths[v.index]
			name, arch, ok := packageName(b.dirs[p.dir], p.base)
			if !ok || name == "" || arch == "" || b.dirs[p.dir] == "" || strings.Contains(p.base, "/") {
				t.Errorf("%+v in %q: %q, %q", p, b.dirs[p.dir], name, arch)
			}
		case kindRepomd:
			if r := b.roots[v.index].root; r == "" || strings.HasSuffix(r, "/") {
				t.Errorf("root %q", r)
			}
		}
	})
}

// FuzzAsked checks that what can be decoded is what was encoded.
func FuzzAsked(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendAsked(nil, []asked{{1, 0, 0}, {2, 300, 86399}, {1 << 40, 1 << 40, 1}}))
	f.Add([]byte{0x80})
	f.Add([]byte{1, 0x80})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := decodeAsked(nil, b)
		if err != nil {
			return
		}
		again, err := decodeAsked(nil, appendAsked(nil, list))
		if err != nil || !slices.Equal(list, again) {
			t.Errorf("%v became %v, %v", list, again, err)
		}
	})
}

// FuzzIngest reads any bytes as a log, once in one step and once in two, as the
// log grows.
func FuzzIngest(f *testing.F) {
	text := write(traffic(14, 20), "combined") + write(traffic(15, 20), "squid") + strings.Join(seeds(), "\n") + "\n"
	long := write(traffic(14, 1), "common") + strings.Repeat("x", maxLine+10) + "\n" + write(traffic(15, 2), "common")
	for _, s := range []string{text, long, gzipped(f, text), gzipped(f, long), gzipped(f, text) + gzipped(f, long), "\x1f\x8b\x08", "BZh91AY&SY\n", "\n\n\n"} {
		f.Add([]byte(s), uint32(len(s)/2))
		f.Add([]byte(s), uint32(2))
		f.Add([]byte(s), uint32(len(s)-1))
	}
	dir := f.TempDir()
	s := openStore(f, dir, options())
	s.limit = 7
	f.Fuzz(func(t *testing.T, content []byte, split uint32) {
		first := content[:min(int(split), len(content))]
		one, oneLines := ingestSteps(t, s, dir+"/log", content)
		two, twoLines := ingestSteps(t, s, dir+"/log", first, content)
		if diff := cmp.Diff(one, two); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(oneLines, twoLines); diff != "" {
			t.Error(diff)
		}
	})
}

// ingestSteps ingests a log as it is at each step into an empty database, and
// returns the ranking and how many lines of each kind there were.
func ingestSteps(t *testing.T, s *Store, log string, steps ...[]byte) ([]Rank, map[string]int64) {
	// A new database for each would be most of the fuzzing's time.
	for _, table := range []string{"requests", "paths", "days", "overlaps", "open_days", "names", "dirs", "roots", "logs"} {
		if _, err := s.db.Exec("DELETE FROM " + table); err != nil {
			t.Fatal(err)
		}
	}
	lines := map[string]int64{}
	for _, content := range steps {
		if err := os.WriteFile(log, content, 0o600); err != nil {
			t.Fatal(err)
		}
		r := ingest1(t, s, log)
		lines["all"] += r.Lines
		lines["counted"] += r.Counted
		lines["requests"] += r.Requests
		lines["repomd"] += r.Repomd
		lines["bytes"] += r.Bytes
		for reason, skipped := range r.Skipped {
			lines[reason] += skipped.Lines
		}
	}
	return ranks(t, s), lines
}
