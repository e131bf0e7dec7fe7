package sync

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
)

func TestCompsSeeds(t *testing.T) {
	const repos = `
fedora/releases/41/Everything/x86_64/os
    gnome-shell-47-1.x86_64 | requires libgnome
    libgnome-47-1.x86_64
    vlc-3.0.20-1.x86_64
    gnome-devel-47-1.x86_64
    gnome-shell-47-1.i686
fedora/updates/41/Everything/x86_64
    vlc-3.0.21-1.x86_64
fedora/releases/41/Everything/aarch64/os
    gnome-shell-47-1.aarch64
fedora/releases/40/Everything/x86_64/os
    kde-1-1.x86_64
`
	build := func() *Index {
		var b IndexBuilder
		group := func(root, id string, groups []string, packages ...string) {
			b.Group(root, &repodata.Group{ID: id, Packages: packages, Groups: groups})
		}
		group(releases, "workstation", nil, "gnome-shell", "vlc", "gnome-devel", "nowhere")
		group(updates, "workstation", nil, "vlc")
		group(releases, "desktop", []string{"workstation", "desktop", "missing"})
		group("fedora/releases/40/Everything/x86_64/os", "workstation", nil, "kde")
		group(releases, "empty", nil, "nowhere")
		for _, p := range parseRepos(t, repos) {
			b.Add(p.root, p.Package)
		}
		return b.Index()
	}
	for _, tc := range []struct {
		seed string
		want []string
		miss string
	}{{
		seed: "@workstation",
		want: []string{
			"seed kde-1-1.x86_64 (@workstation)",
			"seed gnome-devel-47-1.x86_64 (@workstation)",
			"seed gnome-shell-47-1.x86_64 (@workstation)",
			"dependency libgnome-47-1.x86_64 (gnome-shell)",
			"seed vlc-3.0.21-1.x86_64 (@workstation)",
		},
	}, {
		seed: "@desktop",
		want: []string{
			"seed gnome-devel-47-1.x86_64 (@desktop)",
			"seed gnome-shell-47-1.x86_64 (@desktop)",
			"dependency libgnome-47-1.x86_64 (gnome-shell)",
			"seed vlc-3.0.21-1.x86_64 (@desktop)",
		},
	},
		{seed: "@empty", miss: "no repository has a package that this group names"},
		{seed: "@missing", miss: "no repository has a comps group of this id"},
	} {
		t.Run(tc.seed, func(t *testing.T) {
			res := Plan(nil, build(), nothingStored, Budget{Bytes: -1, Top: -1, Seeds: named(tc.seed), Exclude: []config.Pattern{"*-devel"}})
			if d := cmp.Diff(tc.want, short(res.Items)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
			miss := ""
			for _, m := range res.Seeds {
				miss += m.Reason
			}
			if miss != tc.miss {
				t.Errorf("missed: %q, want %q", miss, tc.miss)
			}
		})
	}
}
