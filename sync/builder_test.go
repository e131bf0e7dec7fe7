package sync

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
)

// TestIndexKeepsTheNewest lists what an Index holds.
func TestIndexKeepsTheNewest(t *testing.T) {
	for _, tc := range []struct {
		name  string
		repos string
		want  []string // "nevra root", sorted
	}{{
		name: "nothing",
	}, {
		name: "of one root and of companions",
		repos: `
fedora/releases/41/Everything/x86_64/os
    a-1-1.x86_64
    b-3-1.x86_64
fedora/updates/41/Everything/x86_64
    a-1-3.x86_64
    a-2-1.x86_64
    a-1-2.x86_64
    b-2-1.x86_64
`,
		want: []string{"a-2-1.x86_64 updates", "b-3-1.x86_64 releases"},
	}, {
		name: "epoch, tilde and caret, and numbers as numbers",
		repos: `
fedora/updates/41/Everything/x86_64
    epoch-9-1.x86_64
    epoch-1:1-1.x86_64
    tilde-1~rc1-1.x86_64
    tilde-1-1.x86_64
    caret-1^20250101-1.x86_64
    caret-1-1.x86_64
    number-1.9-1.x86_64
    number-1.10-1.x86_64
`,
		want: []string{
			"caret-1^20250101-1.x86_64 updates", "epoch-1:1-1.x86_64 updates",
			"number-1.10-1.x86_64 updates", "tilde-1-1.x86_64 updates",
		},
	}, {
		name: "each architecture has its own, but noarch replaces all and is replaced by the machine's",
		repos: `
fedora/releases/41/Everything/x86_64/os
    a-1-1.x86_64
    a-2-1.i686
    b-1-1.x86_64
    b-1-1.i686
    c-1-1.noarch
    d-1-1.noarch
    d-1-1.x86_64
    e-1-1.x86_64
    e-2-1.src
    f-1-1.src
    g-1-1.noarch
fedora/updates/41/Everything/x86_64
    b-2-1.noarch
    c-2-1.x86_64
    f-2-1.noarch
    g-2-1.i686
`,
		want: []string{
			"a-1-1.x86_64 releases", "a-2-1.i686 releases", "b-2-1.noarch updates", "c-2-1.x86_64 updates",
			"d-1-1.noarch releases", "d-1-1.x86_64 releases", "e-1-1.x86_64 releases", "e-2-1.src releases",
			"f-1-1.src releases", "f-2-1.noarch updates", "g-1-1.noarch releases", "g-2-1.i686 updates",
		},
	}, {
		name: "other architectures and releases are none of its business",
		repos: `
fedora/updates/41/Everything/x86_64
    a-1-1.x86_64
    n-1-1.noarch
fedora/updates/41/Everything/aarch64
    a-2-1.aarch64
    n-2-1.noarch
fedora/updates/42/Everything/x86_64
    a-3-1.x86_64
    n-3-1.noarch
`,
		want: []string{
			"a-1-1.x86_64 updates", "a-2-1.aarch64 updates", "a-3-1.x86_64 updates",
			"n-1-1.noarch updates", "n-2-1.noarch updates", "n-3-1.noarch updates",
		},
	}, {
		name: "what is newest for one line is kept, though another has newer",
		repos: `
rocky/9/BaseOS/x86_64/os
    a-1-1.x86_64
    b-1-1.x86_64
centos-stream/9-stream/BaseOS/x86_64/os
    a-2-1.x86_64
epel/9/Everything/x86_64
    b-2-1.x86_64
    a-1-0.x86_64
`,
		want: []string{"a-1-1.x86_64 BaseOS", "a-2-1.x86_64 BaseOS", "b-2-1.x86_64 9"},
	}, {
		name: "one version in two roots, and rebuilt in one",
		repos: `
fedora/releases/41/Everything/x86_64/os
    a-1-1.x86_64
    b-1-1.x86_64 | rebuilt 1
    b-1-1.x86_64 | rebuilt 2
    c-1-1.x86_64
    c-1-1.x86_64
fedora/updates/41/Everything/x86_64
    a-1-1.x86_64
`,
		want: []string{
			"a-1-1.x86_64 releases", "a-1-1.x86_64 updates", "b-1-1.x86_64 releases", "b-1-1.x86_64 releases", "c-1-1.x86_64 releases",
		},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			all := parseRepos(t, tc.repos)
			for range 2 {
				x := buildIndex(all)
				var got []string
				for p := range x.pkgs {
					k := &x.pkgs[p]
					parts := strings.Split(x.roots[k.root].root, "/")
					n := repodata.NEVRA{Name: x.name(pkgID(p)), EVR: x.evrs[k.evr], Arch: x.arch(pkgID(p))}
					got = append(got, n.String()+" "+parts[1])
				}
				slices.Sort(got)
				want := slices.Clone(tc.want)
				for i := range want {
					want[i] = strings.Replace(want[i], " BaseOS", " 9", 1)
				}
				for i := range got {
					got[i] = strings.Replace(got[i], " 9-stream", " 9", 1)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("(-want +got):\n%s", d)
				}
				if x.Len() != len(got) {
					t.Errorf("Len is %d", x.Len())
				}
				slices.Reverse(all)
			}
		})
	}
}

func TestIndexRefuses(t *testing.T) {
	good := parseRepos(t, "r\n    a-1-1.x86_64")[0].Package
	var b IndexBuilder
	for _, tc := range []struct {
		name string
		to   func(*repodata.Package)
	}{
		{"a location that leads out", func(p *repodata.Package) { p.Location = "../../other/a.rpm" }},
		{"one that does so once decoded", func(p *repodata.Package) { p.Location = "%2e%2e/other/a.rpm" }},
		{"an escaped slash", func(p *repodata.Package) { p.Location = "a%2fb.rpm" }},
		{"none", func(p *repodata.Package) { p.Location = "" }},
		{"a checksum that proves nothing", func(p *repodata.Package) { p.Checksum.Type = "md5" }},
		{"a checksum that is none", func(p *repodata.Package) { p.Checksum.Hex = "abc" }},
		{"a size that is none", func(p *repodata.Package) { p.Size = -1 }},
	} {
		p := good.Clone()
		tc.to(p)
		b.Add("fedora/updates", p)
		if len(b.refused) != 1 || b.refused[0].Location != p.Location || b.refused[0].Root != "fedora/updates" || b.refused[0].Err == nil {
			t.Errorf("%s: got %v", tc.name, b.refused)
		}
		b.refused = nil
	}
	b.Add("fedora/updates", good)
	p := good.Clone()
	p.Location = "../b.rpm"
	b.Add("fedora/updates", p)
	x := b.Index()
	if x.Len() != 1 || len(x.Refused()) != 1 || !errors.Is(x.Refused()[0].Err, cache.ErrNotAFile) {
		t.Errorf("%d packages, refused %v", x.Len(), x.Refused())
	}
	if b.Index().Len() != 0 {
		t.Error("the builder is not empty")
	}
}

// TestIndexKeepsNothingOfThePackage changes what was added behind its back.
func TestIndexKeepsNothingOfThePackage(t *testing.T) {
	buf := []byte(strings.Repeat("x", 5000))
	all := parseRepos(t, updates+`
    a-1-1.x86_64 | requires b, (c if b)
    b-1-1.x86_64
    c-1-1.x86_64`)
	var b IndexBuilder
	for _, p := range all {
		b.Add(p.root, p.Package)
		*p.Package = repodata.Package{Requires: p.Requires[:0], Name: string(buf)}
		clear(p.Requires[:cap(p.Requires)])
	}
	got := short(Plan(nil, b.Index(), nothingStored, Budget{Bytes: -1, Seeds: named("a")}).Items)
	want := []string{"seed a-1-1.x86_64 (a)", "dependency b-1-1.x86_64 (a)", "dependency c-1-1.x86_64 (a)"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestTwins(t *testing.T) {
	const repos = `
fedora/releases/41/Everything/x86_64/os
    a-1-1.x86_64 | rebuilt 7
    b-1-1.x86_64 | rebuilt 9
fedora/updates/41/Everything/x86_64
    a-1-1.x86_64 | rebuilt 2
    a-1-1.x86_64 | rebuilt 3
rpmfusion/free/fedora/updates/41/x86_64
    a-1-1.x86_64 | rebuilt 4
rpmfusion/free/fedora/releases/41/Everything/x86_64/os
    b-1-1.x86_64 | rebuilt 8
`
	for _, tc := range []struct {
		name, pkg, root string
		want            string // root and time of building
	}{
		{"the root that is asked for", "a", releases, releases + " 7"},
		{"else a root of updates, there the last built", "a", "", fusion + " 4"},
		{"the last built in the root that is asked for", "a", updates, updates + " 3"},
		{"a root that does not have it", "b", updates, releases + " 9"},
	} {
		for range 2 {
			all := parseRepos(t, repos)
			slices.Reverse(all)
			x := buildIndex(all)
			name, _ := x.syms.find(tc.pkg)
			got := x.newest(0, name, tc.root, func(pkgID) bool { return true })
			if len(got) != 1 {
				t.Fatalf("%s: got %v", tc.name, got)
			}
			k := &x.pkgs[got[0]]
			if s := x.roots[k.root].root + " " + string(rune('0'+k.built)); s != tc.want {
				t.Errorf("%s: got %s, want %s", tc.name, s, tc.want)
			}
		}
	}
}
