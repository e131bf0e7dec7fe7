package sync

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
)

func TestSeeds(t *testing.T) {
	const repos = `
fedora/updates/41/Everything/x86_64
    gstreamer1-1-1.x86_64
    gstreamer1-1-1.i686
    gstreamer1-devel-1-1.x86_64
    gstreamer1-doc-1-1.noarch
    onlysmall-1-1.i686
    needsdevel-1-1.x86_64 | requires gstreamer1-devel
fedora/updates/41/Everything/aarch64
    gstreamer1-1-1.aarch64
fedora/updates/41/Everything/source/tree
    gstreamer1-1-1.src
    onlysource-1-1.src
opensuse/tumbleweed/repo/oss
    gstreamer-plugins-bad-1-1.x86_64
    gstreamer-plugins-bad-1-1.i586
    gstreamer-plugins-doc-1-1.noarch
    gstreamer-1-1.src
    mono-1-1.i586
fedora/updates/testing/41/Everything/x86_64
    untried-1-1.x86_64
`
	devel := []config.Pattern{"*-devel", "*-doc"}
	for _, tc := range []struct {
		name    string
		seeds   []string
		exclude []config.Pattern
		ranks   []popularity.Rank
		want    []string
		miss    []string
	}{{
		name:  "a name in every group, in the architectures of each",
		seeds: []string{"gstreamer1"},
		want:  []string{"seed gstreamer1-1-1.aarch64 (gstreamer1)", "seed gstreamer1-1-1.x86_64 (gstreamer1)"},
	}, {
		name:    "a glob, and what it leaves out",
		seeds:   []string{"gstreamer*"},
		exclude: devel,
		want: []string{
			"seed gstreamer-plugins-bad-1-1.x86_64 (gstreamer*)",
			"seed gstreamer1-1-1.aarch64 (gstreamer*)",
			"seed gstreamer1-1-1.x86_64 (gstreamer*)",
		},
	}, {
		name:    "exclude leaves out nothing that is named",
		seeds:   []string{"gstreamer1-devel", "gstreamer1-d*"},
		exclude: devel,
		want:    []string{"seed gstreamer1-devel-1-1.x86_64 (gstreamer1-devel)"},
		miss:    []string{"gstreamer1-d*: exclude takes away all that match"},
	}, {
		name:    "exclude leaves out nothing that is required",
		seeds:   []string{"needs*"},
		exclude: devel,
		want: []string{
			"seed needsdevel-1-1.x86_64 (needs*)",
			"dependency gstreamer1-devel-1-1.x86_64 (needsdevel)",
		},
	}, {
		name:    "exclude leaves out nothing that is popular, and 32 bits are fetched where they are",
		seeds:   []string{"gstreamer1-*"},
		exclude: devel,
		ranks:   asked("gstreamer1-doc.noarch", "gstreamer1.i686"),
		want:    []string{"popular gstreamer1-doc-1-1.noarch", "popular gstreamer1-1-1.i686"},
		miss:    []string{"gstreamer1-*: exclude takes away all that match"},
	}, {
		name:  "where the root names no architecture, all that are there but 32 bits beside 64 and source",
		seeds: []string{"gstreamer-*", "gstreamer", "mono"},
		want: []string{
			"seed gstreamer-plugins-bad-1-1.x86_64 (gstreamer-*)",
			"seed gstreamer-plugins-doc-1-1.noarch (gstreamer-*)",
		},
		miss: []string{
			"gstreamer: only packages of other architectures, source packages or packages in testing match",
			"mono: only packages of other architectures, source packages or packages in testing match",
		},
	}, {
		name:    "a star is all of a repository",
		seeds:   []string{"*"},
		exclude: devel,
		want: []string{
			"seed gstreamer-plugins-bad-1-1.i586 (*)",
			"seed gstreamer-plugins-bad-1-1.x86_64 (*)",
			"seed gstreamer-plugins-doc-1-1.noarch (*)",
			"seed gstreamer1-1-1.aarch64 (*)",
			"seed gstreamer1-1-1.i686 (*)",
			"seed gstreamer1-1-1.x86_64 (*)",
			"seed gstreamer1-devel-1-1.x86_64 (*)",
			"seed gstreamer1-doc-1-1.noarch (*)",
			"seed mono-1-1.i586 (*)",
			"seed needsdevel-1-1.x86_64 (*)",
			"seed onlysmall-1-1.i686 (*)",
			"seed untried-1-1.x86_64 (*)",
		},
	}, {
		name:  "what stands for nothing is told with the reason",
		seeds: []string{"mplayer", "mplayer*", "onlysmall", "onlysource", "untried", "@workstation-product", ""},
		miss: []string{
			"mplayer: no repository has a package of this name",
			"mplayer*: no repository has a package of this name",
			"onlysmall: only packages of other architectures, source packages or packages in testing match",
			"onlysource: only packages of other architectures, source packages or packages in testing match",
			"untried: only packages of other architectures, source packages or packages in testing match",
			"@workstation-product: no repository has a comps group of this id",
			": no repository has a package of this name",
		},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			idx := buildIndex(parseRepos(t, repos))
			got := Plan(tc.ranks, idx, nothingStored, Budget{Bytes: -1, Top: -1, Seeds: named(tc.seeds...), Exclude: tc.exclude})
			if d := cmp.Diff(tc.want, short(got.Items)); d != "" {
				t.Errorf("items (-want +got):\n%s", d)
			}
			var miss []string
			for _, m := range got.Seeds {
				miss = append(miss, m.Pattern+": "+m.Reason)
			}
			if d := cmp.Diff(tc.miss, miss); d != "" {
				t.Errorf("misses (-want +got):\n%s", d)
			}
		})
	}
}

func TestSeedMissOfTheBuiltInListIsANote(t *testing.T) {
	got := Plan(nil, new(IndexBuilder).Index(), nothingStored, Budget{Seeds: []Seed{{"vlc", true}, {"vlc", false}}})
	if len(got.Seeds) != 2 || !got.Seeds[0].Note() || got.Seeds[1].Note() {
		t.Errorf("got %+v", got.Seeds)
	}
}
