package sync

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// advisory makes a security advisory of "name-[epoch:]version-release.arch".
func advisory(t *testing.T, id, typ string, packages ...string) *repodata.Advisory {
	t.Helper()
	a := &repodata.Advisory{ID: id, Type: typ}
	for _, p := range packages {
		n, ok := repodata.ParseFilename(p + ".rpm")
		if !ok {
			t.Fatalf("%q is no package", p)
		}
		a.Packages = append(a.Packages, n)
	}
	return a
}

// TestSecurityFirst: what answers a security advisory goes ahead of all ranks,
// and is what a small budget is spent on.
func TestSecurityFirst(t *testing.T) {
	const repos = `
fedora/updates/41/Everything/x86_64
    bash-5.2-1.fc41.x86_64 size 10
    openssl-1:3.2-2.fc41.x86_64 size 10 | requires libcrypto
    libcrypto-3.2-2.fc41.x86_64 size 10
    vim-9-2.fc41.x86_64 size 10
    mplayer-1-1.fc41.x86_64 size 10
    unused-1-1.fc41.x86_64 size 10
    glibc-2-3.fc41.x86_64 size 10
`
	var b IndexBuilder
	for _, p := range parseRepos(t, repos) {
		b.Add(p.root, p.Package)
	}
	b.Advise(updates, advisory(t, "FEDORA-1", "security", "openssl-1:3.2-2.fc41.x86_64", "unused-1-1.fc41.x86_64", "nowhere-1-1.noarch"))
	b.Advise(updates, advisory(t, "FEDORA-2", "bugfix", "vim-9-2.fc41.x86_64"))
	b.Advise(updates, advisory(t, "FEDORA-3", "security", "mplayer-1-1.fc41.x86_64"))
	b.Advise(updates, advisory(t, "FEDORA-4", "security", "glibc-2-2.fc41.x86_64")) // an older version
	b.Advise(releases, advisory(t, "FEDORA-5", "security", "vim-9-2.fc41.x86_64"))  // another root
	idx := b.Index()
	ranks := asked("bash.x86_64", "vim.x86_64", "openssl.x86_64", "glibc.x86_64")

	res := Plan(ranks, idx, nothingStored, Budget{Bytes: -1, Top: -1, Seeds: named("mplayer")})
	want := []string{
		"security openssl-1:3.2-2.fc41.x86_64 (FEDORA-1)",
		"dependency libcrypto-3.2-2.fc41.x86_64 (openssl)",
		"security mplayer-1-1.fc41.x86_64 (FEDORA-3)",
		"popular bash-5.2-1.fc41.x86_64",
		"popular vim-9-2.fc41.x86_64",
		"popular glibc-2-3.fc41.x86_64",
	}
	if d := cmp.Diff(want, short(res.Items)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if res.Items[0].Rank != 3 {
		t.Errorf("a security update has rank %d, want its own", res.Items[0].Rank)
	}
	res = Plan(ranks, idx, nothingStored, Budget{Bytes: 30, Top: -1, Seeds: named("mplayer")})
	if d := cmp.Diff(want[:3], short(res.Items)); d != "" || len(res.Cut) != 3 {
		t.Errorf("a small budget: %d cut (-want +got):\n%s", len(res.Cut), d)
	}
}

func TestLimits(t *testing.T) {
	const repos = `
fedora/releases/41/Everything/x86_64/os
    alpha-1-1.x86_64 size 10
    beta-1-1.x86_64 size 10 | requires gamma
    small-1-1.i686 size 1
fedora/updates/41/Everything/x86_64
    gamma-1-1.x86_64 size 10
    delta-1-1.noarch size 10
    omega-1-1.x86_64 size 10 | requires alpha
`
	ranks := asked("alpha.x86_64 "+releases, "small.i686 "+releases, "beta.x86_64 "+releases, "delta.noarch", "omega.x86_64")
	for _, tc := range []struct {
		name   string
		budget Budget
		want   []string
		cut    int
	}{{
		name:   "bytes of each root",
		budget: Budget{PerRoot: 15},
		want:   []string{"popular alpha-1-1.x86_64", "popular small-1-1.i686", "popular delta-1-1.noarch"},
		cut:    2,
	}, {
		name:   "architectures",
		budget: Budget{Arches: []string{"i386"}},
		want:   []string{"popular small-1-1.i686", "popular delta-1-1.noarch"},
	}, {
		name:   "the roots that have changed, and what their packages require of others",
		budget: Budget{Only: map[string]bool{releases: true}},
		want: []string{
			"popular alpha-1-1.x86_64", "popular small-1-1.i686", "popular beta-1-1.x86_64", "dependency gamma-1-1.x86_64 (beta)",
		},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			tc.budget.Bytes, tc.budget.Top = -1, -1
			res := Plan(ranks, buildIndex(parseRepos(t, repos)), nothingStored, tc.budget)
			if d := cmp.Diff(tc.want, short(res.Items)); d != "" || len(res.Cut) != tc.cut {
				t.Errorf("%d cut, want %d (-want +got):\n%s", len(res.Cut), tc.cut, d)
			}
		})
	}
}

// TestRest: what nobody fetches of a name that was prefetched before is left out
// until somebody asks for the name.
func TestRest(t *testing.T) {
	const repos = `
fedora/updates/41/Everything/x86_64
    idle-4-1.x86_64 | requires libidle
    libidle-4-1.x86_64
    woken-4-1.x86_64
    ours-4-1.x86_64 | requires libours
    libours-4-1.x86_64
    theirs-4-1.x86_64
`
	began := time.Date(2026, 11, 1, 2, 17, 0, 0, time.UTC)
	ranks := asked("idle.x86_64", "woken.x86_64")
	ranks[0].LastSeen, ranks[1].LastSeen = began.Add(-time.Hour), began.Add(time.Hour)
	idle := map[PackageName]time.Time{}
	for _, name := range []string{"idle", "woken", "ours", "libours", "theirs"} {
		idle[PackageName{name, "x86_64", updates}] = began
	}
	seeds := []Seed{{Pattern: "ours"}, {Pattern: "theirs", BuiltIn: true}}
	plan := func(ranks []popularity.Rank, stored func(cache.Key, cache.Want) bool) Result {
		return Plan(ranks, buildIndex(parseRepos(t, repos)), stored, Budget{Bytes: -1, Top: -1, Seeds: seeds, Idle: idle})
	}
	res := plan(ranks, nothingStored)
	want := []string{"popular woken-4-1.x86_64", "seed ours-4-1.x86_64 (ours)", "dependency libours-4-1.x86_64 (ours)"}
	if d := cmp.Diff(want, short(res.Items)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"popular idle-4-1.x86_64", "seed theirs-4-1.x86_64 (theirs)"}, short(res.Resting)); d != "" {
		t.Errorf("resting (-want +got):\n%s", d)
	}
	if res := plan(ranks, func(k cache.Key, _ cache.Want) bool { return true }); len(res.Resting) != 0 {
		t.Errorf("what is stored rests: %v", short(res.Resting))
	}
}
