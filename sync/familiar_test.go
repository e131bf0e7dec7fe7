package sync

import (
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestFamiliar: what counts as new in companion roots, and for how long.
func TestFamiliar(t *testing.T) {
	const base = "\nfedora/releases/41/Everything/x86_64/os\n    a-1-1.x86_64\n    b-1-1.x86_64\n"
	began := time.Date(2026, 11, 1, 2, 0, 0, 0, time.UTC)
	h := newHistory(t)
	for _, tc := range []struct {
		name  string
		day   int
		repos string
		want  []string
	}{
		{"what was there first is not", 0, base, nil},
		{"what a root brings that was not there before is not", 1, base + updates + "\n    c-1-1.x86_64\n", nil},
		{"the update of a name is not, a new name is", 2, base + updates + "\n    c-2-1.x86_64\n    b-2-1.x86_64\n    d-1-1.x86_64\n", []string{"d"}},
		{"it still is, though a root is not there", 3, base, []string{"d"}},
		{"what comes back is not", 4, base + updates + "\n    c-1-1.x86_64\n    e-1-1.noarch\n", []string{"d", "e"}},
		{"after a month the first is not any more", 33, base + updates + "\n    d-1-1.x86_64\n    e-1-1.noarch\n", []string{"e"}},
		{"and then none is", 40, base + updates + "\n    d-1-1.x86_64\n    e-1-1.noarch\n", nil},
	} {
		got, err := h.meet(buildIndex(parseRepos(t, tc.repos)), began.Add(time.Duration(tc.day)*day))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for a := range got {
			names = append(names, a.name)
		}
		if slices.Sort(names); !slices.Equal(names, tc.want) {
			t.Errorf("%s: %q are new, want %q", tc.name, names, tc.want)
		}
	}
	other := buildIndex(parseRepos(t, "fedora/updates/40/Everything/x86_64\n    e-1-1.x86_64\n"))
	if got, err := h.meet(other, began.Add(4*day)); err != nil || got.has(&other.groups[0], "e") {
		t.Errorf("what is new in one release is new in another: %v, %v", got, err)
	}
}

// TestCandidatesOfRuns does runs: a package that is split from a popular one is
// there before anybody asks, its source is told of it, what is gone leaves the
// ranking, and what takes its place is fetched.
func TestCandidatesOfRuns(t *testing.T) {
	vim := func(name, version string) testrepo.Spec {
		return testrepo.Spec{Name: name, Version: version, Release: "1", Size: 2000, Source: "vim"}
	}
	b := newBench(t, `packages = []`, []string{"vim", "lost"}, vim("vim", "1"), vim("vim-x11", "1"))
	if got, want := fetched(b.once()), []string{"vim popular", "vim-x11 sibling"}; !slices.Equal(got, want) {
		t.Fatalf("fetched %q, want %q", got, want)
	}
	ranks, _, err := b.agent.Ranking(t.Context(), 0)
	if err != nil || len(ranks) != 1 || ranks[0].Name != "vim" || ranks[0].Rank != 1 {
		t.Errorf("the ranking: %+v, %v", ranks, err)
	}
	b.set(b.now().Add(day))
	found := testrepo.Spec{Name: "found", Version: "1", Release: "1", Size: 2000, Obsoletes: []string{"lost < 1"}}
	b.publish(vim("vim", "2"), vim("vim-x11", "2"), vim("vim-split", "2"), found)
	if got, want := fetched(b.once()), []string{"found rename", "vim popular", "vim-split newcomer"}; !slices.Equal(got, want) {
		t.Errorf("fetched %q, want %q", got, want)
	}
	b.set(b.now().Add(31 * day))
	r := b.once()
	s, err := b.agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string][]SourceWorth{"the report": r.Sources, "the status": s.Sources} {
		if len(got) != 4 || got[2].Source != ReasonRename || got[2].Wasted != 1 || got[3].Source != ReasonSibling || got[3].Wasted != 1 || got[0].Source != ReasonNewcomer || got[0].Wasted != 1 || got[0].WastedBytes < 2000 ||
			got[1].Source != ReasonPopular || got[1].Wasted != 2 || got[1].Used != 0 {
			t.Errorf("%s has of the sources %+v", name, got)
		}
	}
	b.publish(vim("vim", "3"), vim("vim-x11", "3"), vim("vim-split", "3"), found)
	if got := fetched(b.once()); !slices.Equal(got, []string{"vim popular"}) {
		t.Errorf("guessed in vain, and once more: %q", got)
	}
}
