package sync

import (
	"encoding/json"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/popularity"
)

// asked makes ranks of lines "name.arch root", best first.
func asked(lines ...string) []popularity.Rank {
	var ranks []popularity.Rank
	for i, line := range lines {
		na, root, ok := strings.Cut(line, " ")
		if !ok {
			root = updates
		}
		dot := strings.LastIndexByte(na, '.')
		ranks = append(ranks, popularity.Rank{Rank: i + 1, Name: na[:dot], Arch: na[dot+1:], Root: root})
	}
	return ranks
}

// named makes seeds of patterns.
func named(patterns ...string) []Seed {
	var seeds []Seed
	for _, p := range patterns {
		seeds = append(seeds, Seed{Pattern: p})
	}
	return seeds
}

func nothingStored(cache.Key, cache.Want) bool { return false }

// short tells of each item what most tests look at: "reason name-evr.arch", and
// what it is for in brackets.
func short(items []Item) []string {
	var out []string
	for _, i := range items {
		s := string(i.Reason) + " " + i.Name + "-" + i.EVR + "." + i.Arch
		if i.Because != "" {
			s += " (" + i.Because + ")"
		}
		out = append(out, s)
	}
	return out
}

func TestPlan(t *testing.T) {
	const player = `
fedora/releases/41/Everything/x86_64/os
    glibc-2.40-3.fc41.x86_64 size 20 | provides libc.so.6()(64bit)
    vlc-3.0.20-1.fc41.x86_64 size 9 | requires libc.so.6()(64bit), vlc-libs = 3.0.20-1.fc41
    vlc-libs-3.0.20-1.fc41.x86_64 size 9
    bash-5.2-1.fc41.x86_64 size 5 | requires libc.so.6()(64bit) | files /usr/bin/bash | provides /bin/sh
fedora/updates/41/Everything/x86_64
    vlc-3.0.21-4.fc41.x86_64 size 10 | requires libc.so.6()(64bit), vlc-libs = 3.0.21-4.fc41, /bin/sh
    vlc-libs-3.0.21-4.fc41.x86_64 size 30 | requires libc.so.6()(64bit)
rpmfusion/free/fedora/updates/41/x86_64
    mplayer-1.5-9.fc41.x86_64 size 8 | requires libmp.so.1, vlc-libs
    libmp-1-1.fc41.x86_64 size 4 | provides libmp.so.1 | requires libdeep.so.1
    libdeep-1-1.fc41.x86_64 size 4 | provides libdeep.so.1
    mplayer-devel-1.5-9.fc41.x86_64 size 3
`
	for _, tc := range []struct {
		name   string
		repos  string
		ranks  []popularity.Rank
		budget Budget
		stored []string // names
		want   []string
		cut    []string
		gone   int
	}{{
		name:   "a popular name is fetched in its newest version, with what it needs behind it",
		repos:  player,
		ranks:  asked("vlc.x86_64 "+releases, "glibc.x86_64 "+releases),
		budget: Budget{Bytes: -1, Top: -1},
		want: []string{
			"popular vlc-3.0.21-4.fc41.x86_64",
			"dependency vlc-libs-3.0.21-4.fc41.x86_64 (vlc)",
			"dependency bash-5.2-1.fc41.x86_64 (vlc)",
			"popular glibc-2.40-3.fc41.x86_64",
		},
	}, {
		name:   "a seed's closure is as deep as it is",
		repos:  player,
		budget: Budget{Bytes: -1, Seeds: named("mplayer")},
		want: []string{
			"seed mplayer-1.5-9.fc41.x86_64 (mplayer)",
			"dependency libmp-1-1.fc41.x86_64 (mplayer)",
			"dependency vlc-libs-3.0.21-4.fc41.x86_64 (mplayer)",
			"dependency libdeep-1-1.fc41.x86_64 (mplayer -> libmp)",
			"dependency glibc-2.40-3.fc41.x86_64 (mplayer -> vlc-libs)",
		},
	}, {
		name:   "what is stored is left out, and what it needs is not",
		repos:  player,
		budget: Budget{Bytes: -1, Seeds: named("mplayer")},
		stored: []string{"mplayer", "libmp", "glibc"},
		want: []string{
			"dependency vlc-libs-3.0.21-4.fc41.x86_64 (mplayer)",
			"dependency libdeep-1-1.fc41.x86_64 (mplayer -> libmp)",
		},
	}, {
		name:   "what does not fit is left out, what is smaller goes in, its own needs do not",
		repos:  player,
		ranks:  asked("vlc.x86_64 " + updates),
		budget: Budget{Bytes: 25, Top: -1, Seeds: named("mplayer")},
		want: []string{
			"popular vlc-3.0.21-4.fc41.x86_64",
			"dependency bash-5.2-1.fc41.x86_64 (vlc)",
			"seed mplayer-1.5-9.fc41.x86_64 (mplayer)",
		},
		cut: []string{
			"dependency glibc-2.40-3.fc41.x86_64 (vlc)",
			"dependency vlc-libs-3.0.21-4.fc41.x86_64 (vlc)",
			"dependency libmp-1-1.fc41.x86_64 (mplayer)",
		},
	}, {
		name:   "nothing is needed for a package that is not fetched",
		repos:  player,
		budget: Budget{Bytes: 7, Seeds: named("mplayer")},
		cut:    []string{"seed mplayer-1.5-9.fc41.x86_64 (mplayer)"},
	}, {
		name:   "a budget of nothing",
		repos:  player,
		ranks:  asked("vlc.x86_64"),
		budget: Budget{Top: -1},
		cut:    []string{"popular vlc-3.0.21-4.fc41.x86_64"},
	}, {
		name:   "only the first of the ranks are wanted, and the names that are gone take no place among these",
		repos:  player,
		ranks:  asked("gone.x86_64", "vlc.x86_64 fedora/updates/40/Everything/x86_64", "libdeep.x86_64", "glibc.x86_64", "bash.x86_64", "none.x86_64"),
		budget: Budget{Bytes: -1, Top: 2},
		want:   []string{"popular libdeep-1-1.fc41.x86_64", "popular glibc-2.40-3.fc41.x86_64"},
		gone:   2, // of release 40 nothing is known
	}, {
		name:   "a seed that a popular package requires comes with it",
		repos:  player,
		ranks:  asked("mplayer.x86_64 " + fusion),
		budget: Budget{Bytes: -1, Top: -1, Seeds: named("bash", "vlc-*")},
		want: []string{
			"popular mplayer-1.5-9.fc41.x86_64",
			"dependency libmp-1-1.fc41.x86_64 (mplayer)",
			"seed vlc-libs-3.0.21-4.fc41.x86_64 (vlc-*)",
			"dependency libdeep-1-1.fc41.x86_64 (mplayer -> libmp)",
			"dependency glibc-2.40-3.fc41.x86_64 (vlc-libs)",
			"seed bash-5.2-1.fc41.x86_64 (bash)",
		},
	}, {
		name: "a package that has become noarch, and one that no longer is",
		repos: `
fedora/releases/41/Everything/x86_64/os
    fonts-1-1.x86_64
    tool-1-1.noarch
fedora/updates/41/Everything/x86_64
    fonts-2-1.noarch
    tool-2-1.x86_64
    tool-2-1.i686
`,
		ranks:  asked("fonts.x86_64", "tool.noarch"),
		budget: Budget{Bytes: -1, Top: -1},
		want:   []string{"popular fonts-2-1.noarch", "popular tool-2-1.x86_64"},
	}, {
		name: "one version in two roots: the root that is asked for",
		repos: `
fedora/releases/41/Everything/x86_64/os
    same-1-1.x86_64 | rebuilt 1
    other-1-1.x86_64 | rebuilt 1
fedora/updates/41/Everything/x86_64
    same-1-1.x86_64 size 2 | rebuilt 2
    other-1-1.x86_64 size 2 | rebuilt 2
`,
		ranks:  asked("same.x86_64 "+releases, "other.x86_64 "+updates),
		budget: Budget{Bytes: 3, Top: -1},
		want:   []string{"popular same-1-1.x86_64", "popular other-1-1.x86_64"},
	}, {
		name: "modular packages do not hide the others, nor do those in testing",
		repos: `
fedora/releases/41/Everything/x86_64/os
    perl-5-1.fc41.x86_64
    perl-6-1.module_f41+1.x86_64
fedora/updates/testing/41/Everything/x86_64
    perl-5-2.fc41.x86_64
`,
		ranks:  asked("perl.x86_64"),
		budget: Budget{Bytes: -1, Top: -1},
		want:   []string{"popular perl-5-1.fc41.x86_64", "popular perl-6-1.module_f41+1.x86_64"},
	}, {
		name: "testing for those who ask for it, once it is newer",
		repos: `
fedora/updates/41/Everything/x86_64
    old-1-1.x86_64
    new-2-1.x86_64
    same-2-1.x86_64
    lib-1-1.x86_64
fedora/updates/testing/41/Everything/x86_64
    old-2-1.x86_64 | requires lib
    new-1-1.x86_64
    same-2-1.x86_64
    lib-2-1.x86_64
`,
		ranks: asked("old.x86_64 fedora/updates/testing/41/Everything/x86_64",
			"new.x86_64 fedora/updates/testing/41/Everything/x86_64", "same.x86_64 fedora/updates/testing/41/Everything/x86_64"),
		budget: Budget{Bytes: -1, Top: -1},
		want: []string{
			"popular old-2-1.x86_64",
			"dependency lib-2-1.x86_64 (old)",
			"popular new-2-1.x86_64",
			"popular same-2-1.x86_64",
		},
	}, {
		name: "a package of a root beside two lines is fetched once, with what it needs in each",
		repos: `
epel/9/Everything/x86_64
    htop-3-1.el9.x86_64 | requires libx
rocky/9/BaseOS/x86_64/os
    libx-1-1.rocky.x86_64
almalinux/9/BaseOS/x86_64/os
    libx-2-1.alma.x86_64
`,
		ranks:  asked("htop.x86_64 epel/9/Everything/x86_64", "libx.x86_64 rocky/9.4/BaseOS/x86_64/os"),
		budget: Budget{Bytes: -1, Top: 1},
		want: []string{
			"popular htop-3-1.el9.x86_64",
			"dependency libx-2-1.alma.x86_64 (htop)",
			"dependency libx-1-1.rocky.x86_64 (htop)",
		},
	}, {
		name: "nothing is needed in either line for what is not fetched",
		repos: `
epel/9/Everything/x86_64
    htop-3-1.el9.x86_64 size 9 | requires libx
rocky/9/BaseOS/x86_64/os
    libx-1-1.rocky.x86_64
almalinux/9/BaseOS/x86_64/os
    libx-2-1.alma.x86_64
`,
		ranks:  asked("htop.x86_64 epel/9/Everything/x86_64"),
		budget: Budget{Bytes: 8, Top: 1},
		cut:    []string{"popular htop-3-1.el9.x86_64"},
	}, {
		name: "modules in testing",
		repos: `
fedora/updates/41/Everything/x86_64
    perl-5-1.x86_64
fedora/updates/testing/41/Everything/x86_64
    perl-6-1.module_f41+1.x86_64
    perl-6-2.module_f41+1.x86_64
`,
		ranks:  asked("perl.x86_64 fedora/updates/testing/41/Everything/x86_64"),
		budget: Budget{Bytes: -1, Top: -1},
		want:   []string{"popular perl-5-1.x86_64", "popular perl-6-2.module_f41+1.x86_64"},
	}, {
		name: "two packages that name one file are one",
		repos: `
fedora/updates/41/Everything/x86_64
    a-1-1.x86_64
    a-1-1.x86_64 | rebuilt 2
`,
		ranks:  asked("a.x86_64"),
		budget: Budget{Bytes: -1, Top: -1, Seeds: named("*")},
		want:   []string{"popular a-1-1.x86_64"},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			all := parseRepos(t, tc.repos)
			stored := func(k cache.Key, w cache.Want) bool {
				for _, p := range all {
					for _, name := range tc.stored {
						if p.Name == name && p.root+"/"+p.Location == k.String() && w.Digest.Hex() == p.Checksum.Hex && w.Size == p.Size {
							return true
						}
					}
				}
				return false
			}
			// The order in which packages are added must not matter.
			for seed := range uint64(4) {
				got := Plan(tc.ranks, buildIndex(all), stored, tc.budget)
				if d := cmp.Diff(tc.want, short(got.Items)); d != "" {
					t.Errorf("items (-want +got):\n%s", d)
				}
				if d := cmp.Diff(tc.cut, short(got.Cut)); d != "" {
					t.Errorf("cut (-want +got):\n%s", d)
				}
				if len(got.Gone) != tc.gone {
					t.Errorf("gone: %v, want %d", got.Gone, tc.gone)
				}
				var bytes int64
				for _, i := range got.Items {
					bytes += i.Size
				}
				if got.Bytes != bytes || tc.budget.Bytes >= 0 && bytes > tc.budget.Bytes {
					t.Errorf("%d bytes, of items of %d, within %d", got.Bytes, bytes, tc.budget.Bytes)
				}
				if got.Stored != len(tc.stored) {
					t.Errorf("%d stored, want %d", got.Stored, len(tc.stored))
				}
				rand.New(rand.NewPCG(seed, 0)).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			}
		})
	}
}

// TestGroupsServeThemselves looks at who is no provider though it has what is
// required.
func TestGroupsServeThemselves(t *testing.T) {
	for _, tc := range []struct {
		name, repos string
		unmet       string
	}{{
		name: "another release",
		repos: `
fedora/updates/41/Everything/x86_64
    app-1-1.x86_64 | requires lib
fedora/updates/42/Everything/x86_64
    lib-1-1.x86_64
`,
		unmet: "app requires lib",
	}, {
		name: "another line",
		repos: `
rocky/9/BaseOS/x86_64/os
    app-1-1.x86_64 | requires lib
almalinux/9/BaseOS/x86_64/os
    lib-1-1.x86_64
`,
		unmet: "app requires lib",
	}, {
		name: "testing",
		repos: `
fedora/updates/41/Everything/x86_64
    app-1-1.x86_64 | requires lib
fedora/updates/testing/41/Everything/x86_64
    early-1-1.x86_64 | requires lib
    lib-1-1.x86_64
`,
		unmet: "app requires lib",
	}, {
		name: "a version that an update has replaced",
		repos: `
fedora/releases/41/Everything/x86_64/os
    lib-1-1.x86_64 | provides libfoo.so.1
fedora/updates/41/Everything/x86_64
    app-1-1.x86_64 | requires libfoo.so.1
    lib-2-1.x86_64 | provides libfoo.so.2
`,
		unmet: "app requires libfoo.so.1",
	}} {
		t.Run(tc.name, func(t *testing.T) {
			ranks := asked("early.x86_64 fedora/updates/testing/41/Everything/x86_64")
			res := Plan(ranks, buildIndex(parseRepos(t, tc.repos)), nothingStored, Budget{Bytes: -1, Top: 1, Seeds: named("app")})
			if len(res.Unmet) != 1 || res.Unmet[0].By+" requires "+res.Unmet[0].Requires != tc.unmet {
				t.Errorf("unmet %+v, want %s", res.Unmet, tc.unmet)
			}
		})
	}
}

func TestPlanJSON(t *testing.T) {
	all := parseRepos(t, `
fedora/updates/41/Everything/x86_64
    gcc-c++-1:14.2.1~rc^1-3.fc41.x86_64 size 1234
`)
	all[0].Location = "Packages/g/gcc-c%2B%2B-14.2.1~rc%5e1-3.fc41.x86_64.rpm"
	ranks := asked("gone.x86_64", "gcc-c++.x86_64")
	got, err := json.Marshal(Plan(ranks, buildIndex(all), nothingStored, Budget{Bytes: -1, Top: -1}).Items)
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"path":"fedora/updates/41/Everything/x86_64/Packages/g/gcc-c++-14.2.1~rc^1-3.fc41.x86_64.rpm",` +
		`"name":"gcc-c++","evr":"1:14.2.1~rc^1-3.fc41","arch":"x86_64","root":"fedora/updates/41/Everything/x86_64",` +
		`"size":1234,"sha256":"` + all[0].Checksum.Hex + `","reason":"popular","rank":1,"source":"popular"}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
