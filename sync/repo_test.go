package sync

import (
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"
	"testing"

	"intelligentmirror/internal/repodata"
)

// The root that most tests need no more than.
const (
	releases = "fedora/releases/41/Everything/x86_64/os"
	updates  = "fedora/updates/41/Everything/x86_64"
	fusion   = "rpmfusion/free/fedora/updates/41/x86_64"
)

// listed is a package as a repository lists it.
type listed struct {
	root string
	*repodata.Package
}

// parseRepos reads repositories as tests write them: a root on a line of its
// own, then a package a line, indented:
//
//	fedora/updates/41/Everything/x86_64
//	    foo-1:2.3-4.fc41.x86_64  size 100 | requires bar >= 2, /bin/sh | provides baz = 1 | files /usr/bin/foo | rebuilt 7
//	    bar-2-1.fc41.x86_64 | obsoletes foo < 2 | source barsource
//
// Each package provides its own name and version. Its digest is that of its name,
// and of the number behind `rebuilt`, which is the time it was built too.
func parseRepos(t testing.TB, text string) []listed {
	t.Helper()
	var all []listed
	var root string
	for line := range strings.Lines(text) {
		fields := strings.Split(strings.TrimSpace(line), "|")
		if strings.TrimSpace(line) == "" {
			continue
		}
		if strings.TrimLeft(line, " \t") == line {
			root = strings.TrimSpace(line)
			continue
		}
		nevra, first, _ := strings.Cut(strings.TrimSpace(fields[0]), " ")
		dot := strings.LastIndexByte(nevra, '.')
		rel := strings.LastIndexByte(nevra[:dot], '-')
		ver := strings.LastIndexByte(nevra[:rel], '-')
		p := &repodata.Package{Name: nevra[:ver], Arch: nevra[dot+1:], EVR: repodata.ParseEVR(nevra[ver+1 : dot]), Size: 1}
		p.Provides = []repodata.Dep{{Name: p.Name, Flags: "EQ", EVR: p.EVR}}
		for _, f := range append([]string{first}, fields[1:]...) {
			key, value, _ := strings.Cut(strings.TrimSpace(f), " ")
			switch key {
			case "":
			case "size":
				n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				p.Size = n
			case "requires":
				p.Requires = parseDeps(value)
			case "provides":
				p.Provides = append(p.Provides, parseDeps(value)...)
			case "obsoletes":
				p.Obsoletes = parseDeps(value)
			case "source":
				p.SourceRPM = value + "-" + p.EVR.Version + "-" + p.EVR.Release + ".src.rpm"
			case "files":
				p.Files = strings.Fields(value)
			case "rebuilt":
				n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
				if err != nil {
					t.Fatal(err)
				}
				p.BuildTime = n
			default:
				t.Fatalf("%q in %q", key, line)
			}
		}
		file := strings.ReplaceAll(nevra, ":", "_") + ".rpm"
		p.Location = "Packages/" + file[:1] + "/" + file
		sum := sha256.Sum256([]byte(nevra + strconv.FormatInt(p.BuildTime, 10)))
		p.Checksum = repodata.Checksum{Type: "sha256", Hex: hex.EncodeToString(sum[:])}
		all = append(all, listed{root, p})
	}
	return all
}

// parseDeps reads "foo, bar >= 1:2-3, (a or b)".
func parseDeps(text string) []repodata.Dep {
	var deps []repodata.Dep
	for s := range strings.SplitSeq(text, ",") {
		s = strings.TrimSpace(s)
		d := repodata.Dep{Name: s}
		if f := strings.Fields(s); len(f) == 3 && s[0] != '(' {
			flags := map[string]string{"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
			d = repodata.Dep{Name: f[0], Flags: flags[f[1]], EVR: repodata.ParseEVR(f[2])}
		}
		deps = append(deps, d)
	}
	return deps
}

func buildIndex(all []listed) *Index {
	var b IndexBuilder
	for _, p := range all {
		b.Add(p.root, p.Package)
	}
	return b.Index()
}
