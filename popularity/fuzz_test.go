package popularity

import (
	"bytes"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// seeds are lines of each format, and some of none.
func seeds() []string {
	lines := []string{
		"", "\r", "\x00\xff", "- - -", `x "`, ` [`, `a [21/Nov/2026:09:12:44 +0000]`,
		`a - - [21/Nov/2026:09:12:44 +0000] "GET /a\"\\ HTTP/1.1" 200 - "\\" "\"" "imserve; detail=aborted`,
		"1795252364.588     16 10.0.0.7 TCP_MISS_ABORTED/200 210 GET http://h/a.rpm - HIER_DIRECT/192.0.2.1 application/x-rpm [Host: h]",
		"1.123 ", "1795252364.588 ", "1|O|2|c|p", "1|E|2|c| [HTTP error, code: 404]", "1|I|2|c|debrep/x [HTTP error, code: 2]",
		`a, b - - [21/Nov/2026:09:12:60 -0930] "GET /a HTTP/1.1" 200 - "" "" "x, [::1]:80"`,
		`{"remote_addr":"\ud83d\ude00\ud83d","ts":1.5e3,"request":"GET /\u00e9","status":200,"size":-0,"x":[true,null,{}]}`,
	}
	for format := range formatters {
		lines = append(lines, strings.Split(strings.TrimSpace(write(traffic(13, 3), format)), "\n")...)
	}
	slices.Sort(lines)
	return lines
}

// fuzzParser compares a parser with the plain one of its format.
func fuzzParser(f *testing.F, fast func(*parser, []byte, *entry) reason, plain func(string) (said, bool), skip func(line []byte) bool) {
	for _, s := range seeds() {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		if bytes.IndexByte(line, '\n') >= 0 || skip(line) {
			return
		}
		if diff := differs(line, fast, plain); diff != "" {
			t.Error(diff)
		}
	})
}

func FuzzParseCommon(f *testing.F) {
	fuzzParser(f, (*parser).parseCommon, plainCommon, func([]byte) bool { return false })
}

func FuzzParseSquid(f *testing.F) {
	fuzzParser(f, func(_ *parser, b []byte, e *entry) reason { return parseSquid(b, e) }, plainSquidLine,
		func(line []byte) bool { return !looksLikeSquid(line) })
}

func FuzzParseACNG(f *testing.F) {
	fuzzParser(f, (*parser).parseACNG, plainACNGLine, func(line []byte) bool { return !looksLikeACNG(line) })
}

func FuzzParseJSON(f *testing.F) {
	// Where encoding/json does something else on purpose: invalid UTF-8, which no
	// URL of a package has, becomes U+FFFD, and values lie deeper.
	fuzzParser(f, (*parser).parseJSON, plainJSONLine, func(line []byte) bool {
		return !utf8.Valid(line) || twice(string(line)) || bytes.Count(line, []byte("{"))+bytes.Count(line, []byte("[")) >= maxJSONDepth
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
		b := batch{placer: placer{resolve, isPackage}, most: memoryLimit}
		b.next()
		f := b.find(target)
		v := b.index(&f)
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

// FuzzMergeAsked compares mergeAsked with a map.
func FuzzMergeAsked(f *testing.F) {
	one := appendAsked(nil, []asked{{1, 5, 9}, {3, 5, 9}, {1 << 40, 1 << 40, 1}})
	two := appendAsked(nil, []asked{{2, 5, 9}, {3, 6, 8}, {4, 0, 0}})
	f.Add([]byte{}, one)
	f.Add(one, []byte{})
	f.Add(one, two)
	f.Add(two, one)
	f.Add(one, one)
	f.Fuzz(func(t *testing.T, have, more []byte) {
		var lists [2][]asked
		all := map[int64]asked{}
		added := 0
		for i, b := range [][]byte{have, more} {
			var err error
			if lists[i], err = decodeAsked(nil, b); err != nil {
				return
			}
			for j, a := range lists[i] {
				if a.path < 0 || a.bytes < 0 || a.second < 0 || j > 0 && a.path <= lists[i][j-1].path {
					return // not what is written
				}
				old, there := all[a.path]
				if !there && i == 1 {
					added++
				}
				if there {
					a.merge(old)
				}
				all[a.path] = a
			}
		}
		var want []asked
		for _, path := range slices.Sorted(maps.Keys(all)) {
			want = append(want, all[path])
		}
		out, n, err := mergeAsked([]byte("before"), have, lists[1])
		if err != nil || n != added || string(out) != "before"+string(appendAsked(nil, want)) {
			t.Errorf("%v and %v became %q, %d of them new, %v; want %v, %d", lists[0], lists[1], out, n, err, want, added)
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
