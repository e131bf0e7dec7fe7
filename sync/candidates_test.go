package sync

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
	"intelligentmirror/popularity"
)

// loved makes ranks that somebody will ask for tomorrow.
func loved(lines ...string) []popularity.Rank {
	ranks := asked(lines...)
	for i := range ranks {
		ranks[i].Score = float64(100 - i)
	}
	return ranks
}

// TestRenames: what takes the place of a name has its rank.
func TestRenames(t *testing.T) {
	for _, tc := range []struct {
		name  string
		repos string
		ranks []popularity.Rank
		off   bool // the source is
		want  []string
		gone  int
	}{{
		name: "a name that is gone hands its rank on, and what that requires comes with it",
		repos: `
fedora/updates/41/Everything/x86_64
    libusb1-1.0.24-4.x86_64 | obsoletes libusbx < 1.0.24-3 | requires libu
    libu-1-1.x86_64
    other-1-1.x86_64
`,
		ranks: loved("libusbx.x86_64", "other.x86_64"),
		want:  []string{"rename libusb1-1.0.24-4.x86_64 (libusbx)", "dependency libu-1-1.x86_64 (libusb1)", "popular other-1-1.x86_64"},
	}, {
		name: "one that the release still has is replaced by an update of the same repository",
		repos: `
fedora/releases/41/Everything/x86_64/os
    zlib-1.2-1.x86_64
fedora/updates/41/Everything/x86_64
    zlib-ng-compat-2.1-1.x86_64 | obsoletes zlib < 1.4
`,
		ranks: loved("zlib.x86_64 " + releases),
		want:  []string{"rename zlib-ng-compat-2.1-1.x86_64 (zlib)"},
	}, {
		name: "not in a version that the name has left behind",
		repos: `
fedora/releases/41/Everything/x86_64/os
    zlib-1.4-1.x86_64
fedora/updates/41/Everything/x86_64
    zlib-libs-1.4-1.x86_64 | obsoletes zlib < 1.4
`,
		ranks: loved("zlib.x86_64 " + releases),
		want:  []string{"popular zlib-1.4-1.x86_64"},
	}, {
		name: "not by a stranger's package, unless the name is gone",
		repos: `
fedora/updates/41/Everything/x86_64
    ffmpeg-free-7-1.x86_64
rpmfusion/free/fedora/updates/41/x86_64
    ffmpeg-7-1.x86_64 | obsoletes ffmpeg-free, mplayer-old
`,
		ranks: loved("ffmpeg-free.x86_64", "mplayer-old.x86_64"),
		want:  []string{"rename ffmpeg-7-1.x86_64 (mplayer-old)", "popular ffmpeg-free-7-1.x86_64"},
	}, {
		name: "not by testing or a module's stream for those who have neither",
		repos: `
fedora/updates/41/Everything/x86_64
    perl-old-5-1.x86_64
    perl-6-1.module_f41+1.x86_64 | obsoletes perl-old
fedora/updates/testing/41/Everything/x86_64
    perl-new-6-1.x86_64 | obsoletes perl-old
`,
		ranks: loved("perl-old.x86_64"),
		want:  []string{"popular perl-old-5-1.x86_64"},
	}, {
		name: "of the architecture that clients have, or noarch",
		repos: `
fedora/updates/41/Everything/x86_64
    new-2-1.x86_64 | obsoletes old
    new-2-1.i686 | obsoletes old
    data-2-1.noarch | obsoletes old-data
`,
		ranks: loved("old.i686", "old-data.x86_64"),
		want:  []string{"rename data-2-1.noarch (old-data)", "rename new-2-1.i686 (old)"},
	}, {
		name: "what two names became has the better rank, and its own is its reason",
		repos: `
fedora/updates/41/Everything/x86_64
    new-2-1.x86_64 | obsoletes old, older
`,
		ranks: loved("old.x86_64", "new.x86_64", "older.x86_64"),
		want:  []string{"popular new-2-1.x86_64"},
	}, {
		name: "switched off, a name that is gone is gone",
		repos: `
fedora/updates/41/Everything/x86_64
    libusb1-1.0.24-4.x86_64 | obsoletes libusbx
`,
		ranks: loved("libusbx.x86_64"),
		off:   true,
		gone:  1,
	}} {
		t.Run(tc.name, func(t *testing.T) {
			b := Budget{Bytes: -1, Top: -1, Value: valueFor(config.ObjectiveRequests)}
			if tc.off {
				b.Sources = map[Reason]Trust{}
			}
			got := Plan(tc.ranks, buildIndex(parseRepos(t, tc.repos)), nothingStored, b)
			items := short(got.Items)
			if d := cmp.Diff(setOf(tc.want), setOf(items)); d != "" {
				t.Errorf("items (-want +got):\n%s", d)
			}
			if len(got.Gone) != tc.gone {
				t.Errorf("gone: %+v", got.Gone)
			}
		})
	}
}

// setOf is what list has, in whatever order.
func setOf(list []string) map[string]bool {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return set
}

// TestGuesses: which names that nobody asked for each source comes upon.
func TestGuesses(t *testing.T) {
	const repos = `
fedora/updates/41/Everything/x86_64
    vim-9-1.x86_64 size 50 | source vim
    vim-x11-9-1.x86_64 size 60 | source vim | requires libx
    vim-data-9-1.noarch size 40 | source vim
    vim-new-9-1.x86_64 size 70 | source vim
    vim-devel-9-1.x86_64 size 1 | source vim
    vim-9-1.i686 size 2 | source vim
    vim-9-1.src size 3
    libx-1-1.x86_64 size 9
    rare-1-1.x86_64 size 5 | source rare
    rare-doc-1-1.x86_64 size 5 | source rare
    a-1-1.x86_64 size 5 | source a
    b-1-1.x86_64 size 5 | source b
    c-1-1.x86_64 size 5 | source c
    d-1-1.x86_64 size 5 | source d
    e-1-1.x86_64 size 10 | source e
fedora/updates/testing/41/Everything/x86_64
    vim-test-9-1.x86_64 size 4 | source vim
fedora/updates/40/Everything/x86_64
    vim-old-9-1.x86_64 size 4 | source vim
`
	build := func() *Index {
		var b IndexBuilder
		b.Group(updates, &repodata.Group{ID: "letters", Packages: []string{"a", "b", "c", "d", "e", "nowhere"}})
		b.Group(updates, &repodata.Group{ID: "few", Packages: []string{"a", "rare-doc"}})
		for _, p := range parseRepos(t, repos) {
			b.Add(p.root, p.Package)
		}
		return b.Index()
	}
	all := map[Reason]Trust{ReasonSibling: {1, 10}, ReasonNewcomer: {1, 10}, ReasonGroup: {1, 10}, ReasonDependency: {1, 1}}
	with := func(s Reason, trust Trust) map[Reason]Trust { return map[Reason]Trust{s: trust} }
	ranks := loved("vim.x86_64", "a.x86_64", "b.x86_64", "c.x86_64", "d.x86_64", "rare.x86_64")
	ranks[5].Score = 0.3
	popular := []string{"popular a-1-1.x86_64", "popular b-1-1.x86_64", "popular c-1-1.x86_64", "popular d-1-1.x86_64", "popular vim-9-1.x86_64", "popular rare-1-1.x86_64"}
	arrived := Arrivals{{locate(updates).String(), "vim-new"}: true}
	siblings := []string{"sibling vim-data-9-1.noarch (vim)", "sibling vim-x11-9-1.x86_64 (vim)"}
	for _, tc := range []struct {
		name   string
		budget Budget
		stored string
		want   []string // beside what is popular
	}{
		{name: "none that is not asked", budget: Budget{Sources: with(ReasonDependency, Trust{1, 1})}},
		{name: "none by default"},
		{name: "siblings, but for what is new, testing, 32-bit, excluded or of a release or source that is not popular",
			budget: Budget{Sources: with(ReasonSibling, Trust{1, 10})}, want: siblings},
		{name: "the best, as many as the source is trusted with", budget: Budget{Sources: with(ReasonSibling, Trust{1, 1})}, want: siblings[:1]},
		{name: "none that is too unlikely", budget: Budget{Sources: with(ReasonSibling, Trust{leastGuess - 0.01, 10})}},
		{name: "none that was tried in vain",
			budget: Budget{Sources: with(ReasonSibling, Trust{1, 10}), Tried: map[PackageName]bool{{"vim-data", "noarch", updates}: true}}, want: siblings[1:]},
		{name: "what is stored takes no place", budget: Budget{Sources: with(ReasonSibling, Trust{1, 1})}, stored: "vim-data", want: siblings[1:]},
		{name: "newcomers", budget: Budget{Sources: with(ReasonNewcomer, Trust{1, 10})}, want: []string{"newcomer vim-new-9-1.x86_64 (vim)"}},
		{name: "what is missing of a group", budget: Budget{Sources: with(ReasonGroup, Trust{1, 10})}, want: []string{"group e-1-1.x86_64 (@letters)"}},
		{name: "all of them", budget: Budget{Sources: all},
			want: append([]string{"newcomer vim-new-9-1.x86_64 (vim)", "group e-1-1.x86_64 (@letters)"}, siblings...)},
		{name: "a seed is no guess", budget: Budget{Sources: all, Seeds: named("vim-x11", "e")},
			want: []string{"newcomer vim-new-9-1.x86_64 (vim)", "seed e-1-1.x86_64 (e)", "sibling vim-data-9-1.noarch (vim)",
				"seed vim-x11-9-1.x86_64 (vim-x11)", "dependency libx-1-1.x86_64 (vim-x11)"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := tc.budget
			b.Bytes, b.Top, b.Exclude, b.Value = -1, -1, []config.Pattern{"*-devel", "*-doc"}, valueFor(config.ObjectiveRequests)
			b.Arrived = arrived
			if b.Sources != nil && b.Sources[ReasonNewcomer].Left == 0 && b.Sources[ReasonSibling].Left > 0 {
				// What is new is the other source's, whether that is asked or not.
				b.Sources[ReasonNewcomer] = Trust{}
			}
			stored := func(k cache.Key, _ cache.Want) bool { return tc.stored != "" && k.Path == keyPath(t, repos, tc.stored) }
			got := Plan(ranks, build(), stored, b)
			if d := cmp.Diff(setOf(append(tc.want, popular...)), setOf(short(got.Items))); d != "" {
				t.Errorf("items (-want +got):\n%s", d)
			}
			for _, it := range got.Items {
				if want := it.Reason; it.Source != want && it.Name != "libx" {
					t.Errorf("%s: source %s, want %s", it.Name, it.Source, want)
				} else if it.Name == "libx" && it.Source != ReasonSeed {
					t.Errorf("%s: source %s, want that of the seed", it.Name, it.Source)
				}
			}
		})
	}
}

// keyPath is the path of the package of that name in the updates.
func keyPath(t *testing.T, repos, name string) string {
	t.Helper()
	for _, p := range parseRepos(t, repos) {
		if p.Name == name {
			key := newRootInfo(p.root)
			k, err := key.key(p.Location)
			if err != nil {
				t.Fatal(err)
			}
			return k.Path
		}
	}
	t.Fatalf("there is no %s", name)
	return ""
}

// TestGuessesAreOfOtherNames: what is popular is no guess in another root, nor in another
// architecture, and of twins one is guessed.
func TestGuessesAreOfOtherNames(t *testing.T) {
	all := parseRepos(t, `
fedora/updates/41/Everything/x86_64
    vim-9-1.x86_64 size 50 | source vim
    vim-data-9-1.noarch size 40 | source vim
fedora/releases/41/Everything/x86_64/os
    vim-9-1.x86_64 size 50 | source vim
    vim-9-1.noarch size 50 | source vim
    vim-data-9-1.noarch size 40 | source vim
`)
	b := Budget{Bytes: -1, Top: -1, Sources: map[Reason]Trust{ReasonSibling: {1, 10}}}
	got := Plan(loved("vim.x86_64"), buildIndex(all), nothingStored, b)
	want := []string{"popular vim-9-1.x86_64", "sibling vim-data-9-1.noarch (vim)"}
	if d := cmp.Diff(want, short(got.Items)); d != "" {
		t.Errorf("items (-want +got):\n%s", d)
	}
}

// TestGuessesFillTheTrial: where a guess is there anyway another takes its place, so that
// a second run finds none left to bring.
func TestGuessesFillTheTrial(t *testing.T) {
	idx := buildIndex(parseRepos(t, `
fedora/updates/41/Everything/x86_64
    vim-9-1.x86_64 size 5 | source vim | requires vim-a
    vim-a-9-1.x86_64 size 10 | source vim
    vim-b-9-1.x86_64 size 20 | source vim
fedora/releases/41/Everything/x86_64/os
    vim-c-9-1.x86_64 size 30 | source vim
`))
	b := Budget{Bytes: -1, Top: -1, Value: valueFor(config.ObjectiveRequests),
		Sources: map[Reason]Trust{ReasonSibling: {1, 1}, ReasonDependency: {1, 1}}}
	vim := loved("vim.x86_64")
	for _, tc := range []struct {
		name string
		only map[string]bool
		want []string
	}{
		{"of all roots", nil, []string{"popular vim-9-1.x86_64", "dependency vim-a-9-1.x86_64 (vim)", "sibling vim-b-9-1.x86_64 (vim)"}},
		{"of a root that has none of the best", map[string]bool{"fedora/releases/41/Everything/x86_64/os": true}, nil},
	} {
		b.Only = tc.only
		if d := cmp.Diff(tc.want, short(Plan(vim, idx, nothingStored, b).Items)); d != "" {
			t.Errorf("%s, items (-want +got):\n%s", tc.name, d)
		}
	}
}

// TestGuessThatIsRequired: what a package requires is its dependency, whoever
// guessed it, and comes with it.
func TestGuessThatIsRequired(t *testing.T) {
	all := parseRepos(t, `
fedora/updates/41/Everything/x86_64
    vim-9-1.x86_64 size 9 | source vim | requires vim-data
    vim-data-9-1.x86_64 size 1 | source vim | requires deep
    deep-1-1.x86_64
`)
	b := Budget{Bytes: -1, Top: -1, Sources: map[Reason]Trust{ReasonSibling: {1, 1}, ReasonDependency: {1, 1}}}
	got := Plan(loved("vim.x86_64"), buildIndex(all), nothingStored, b)
	want := []string{"popular vim-9-1.x86_64", "dependency vim-data-9-1.x86_64 (vim)", "dependency deep-1-1.x86_64 (vim -> vim-data)"}
	if d := cmp.Diff(want, short(got.Items)); d != "" {
		t.Errorf("items (-want +got):\n%s", d)
	}
	// The guess is worth more, and comes first.
	b.Value = valueFor(config.ObjectiveRequests)
	got = Plan(loved("vim.x86_64"), buildIndex(all), nothingStored, b)
	want = []string{"sibling vim-data-9-1.x86_64 (vim)", "popular vim-9-1.x86_64", "dependency deep-1-1.x86_64 (vim -> vim-data)"}
	if d := cmp.Diff(want, short(got.Items)); d != "" {
		t.Errorf("with the guess first, items (-want +got):\n%s", d)
	}
	b.Value = nil
	b.Sources = map[Reason]Trust{}
	b.Seeds = named("vim-data")
	got = Plan(loved("vim.x86_64"), buildIndex(all), nothingStored, b)
	want = []string{"popular vim-9-1.x86_64", "seed vim-data-9-1.x86_64 (vim-data)", "dependency deep-1-1.x86_64 (vim-data)"}
	if d := cmp.Diff(want, short(got.Items)); d != "" {
		t.Errorf("without dependencies, but for the seeds' (-want +got):\n%s", d)
	}
}

// TestTrust follows a source through what becomes of what it brings.
func TestTrust(t *testing.T) {
	for _, tc := range []struct {
		name string
		of   SourceWorth
		want Trust
	}{
		{"a guess on trial", SourceWorth{Source: ReasonSibling}, Trust{0.5, 10}},
		{"the trial is under way", SourceWorth{Source: ReasonSibling, Waiting: 9}, Trust{0.5, 1}},
		{"the trial has failed", SourceWorth{Source: ReasonSibling, Wasted: 10}, Trust{0.25, 0}},
		{"worse", SourceWorth{Source: ReasonSibling, Wasted: 8, Waiting: 30}, Trust{5. / 18, 0}},
		{"success allows more", SourceWorth{Source: ReasonNewcomer, Used: 15, Wasted: 15}, Trust{0.5, 40}},
		{"what follows from metadata has no limit", SourceWorth{Source: ReasonRename, Waiting: 1000}, Trust{0.9, math.MaxInt}},
		{"until it fails", SourceWorth{Source: ReasonDependency, Used: 1, Wasted: 29}, Trust{0.25, math.MaxInt}},
		{"the used ones are small", SourceWorth{Source: ReasonSibling, Used: 10, Wasted: 10, UsedBytes: 10, WastedBytes: 90}, Trust{7. / 30, 0}},
		{"the used ones are large", SourceWorth{Source: ReasonSibling, Used: 10, Wasted: 10, UsedBytes: 90, WastedBytes: 10}, Trust{0.5, 30}},
		{"large ones wait", SourceWorth{Source: ReasonSibling, Used: 10, Waiting: 10, UsedBytes: 10, WaitingBytes: 90}, Trust{7. / 12, 0}},
		{"for good", SourceWorth{Source: ReasonDependency, Used: 1, Wasted: 30}, Trust{10. / 41, 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := trusts([]string{string(tc.of.Source)}, []SourceWorth{{Source: "other", Used: 5}, tc.of})[tc.of.Source]; got != tc.want {
				t.Errorf("%+v, want %+v", got, tc.want)
			}
		})
	}
	if got := trusts(nil, []SourceWorth{{Source: ReasonSibling, Used: 100}}); len(got) != 0 {
		t.Errorf("switched off: %v", got)
	}
}
