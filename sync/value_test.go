package sync

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
)

// scored makes ranks of names with these scores, best first.
func scored(names []string, scores ...float64) []popularity.Rank {
	ranks := asked(names...)
	for i := range ranks {
		ranks[i].Score = scores[i]
	}
	return ranks
}

func TestPlanByValue(t *testing.T) {
	const repos = `
fedora/updates/41/Everything/x86_64
    kernel-2-1.x86_64 size 1000
    bash-2-1.x86_64 size 20
    tool-2-1.x86_64 size 10
    huge-2-1.x86_64 size 1000 | requires lib
    lib-2-1.x86_64 size 1
    once-2-1.x86_64 size 1
`
	names := []string{"kernel.x86_64", "bash.x86_64", "tool.x86_64", "huge.x86_64", "once.x86_64"}
	scores := []float64{300, 200, 2, 0.5, 0.01}
	for _, tc := range []struct {
		name      string
		objective string
		bytes     int64
		top       int
		seeds     []Seed
		stored    []string
		want      []string
		cut       []string
		unlikely  []string
	}{{
		name:      "waits spared: the small ones that someone asks for anyway come first, however many do",
		objective: config.ObjectiveRequests,
		bytes:     -1, top: -1,
		want: []string{"popular tool-2-1.x86_64", "popular bash-2-1.x86_64", "popular kernel-2-1.x86_64",
			"popular huge-2-1.x86_64", "dependency lib-2-1.x86_64 (huge)"},
		unlikely: []string{"popular once-2-1.x86_64"},
	}, {
		name:      "bytes moved: the likeliest come first, whatever their size",
		objective: config.ObjectiveBytes,
		bytes:     1020, top: -1,
		want:     []string{"popular kernel-2-1.x86_64", "popular bash-2-1.x86_64"},
		cut:      []string{"popular tool-2-1.x86_64", "popular huge-2-1.x86_64"},
		unlikely: []string{"popular once-2-1.x86_64"},
	}, {
		name:      "what is unlikely and a seed is wanted",
		objective: config.ObjectiveRequests,
		bytes:     20, top: -1,
		seeds: []Seed{{Pattern: "once", BuiltIn: true}},
		want:  []string{"popular tool-2-1.x86_64", "popular once-2-1.x86_64"},
		cut:   []string{"popular bash-2-1.x86_64", "popular kernel-2-1.x86_64", "popular huge-2-1.x86_64"},
	}, {
		name:      "the place of a name that is stored is another's",
		objective: config.ObjectiveRequests,
		bytes:     -1, top: 2,
		stored: []string{"kernel", "bash"},
		want:   []string{"popular tool-2-1.x86_64", "popular huge-2-1.x86_64", "dependency lib-2-1.x86_64 (huge)"},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			idx := buildIndex(parseRepos(t, repos))
			b := Budget{Bytes: tc.bytes, Top: tc.top, Seeds: tc.seeds, Value: valueFor(tc.objective)}
			stored := func(k cache.Key, _ cache.Want) bool {
				return slices.ContainsFunc(tc.stored, func(name string) bool { return strings.Contains(k.Path, "/"+name+"-") })
			}
			got := Plan(scored(names, scores...), idx, stored, b)
			for _, x := range []struct {
				what string
				want []string
				got  []Item
			}{{"items", tc.want, got.Items}, {"cut", tc.cut, got.Cut}, {"unlikely", tc.unlikely, got.Unlikely}} {
				if diff := cmp.Diff(x.want, short(x.got)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", x.what, diff)
				}
			}
		})
	}
}

// A client-day is worth fetching for a good while; after some half-lives it isn't.
func TestChance(t *testing.T) {
	value := valueFor(config.ObjectiveRequests)
	at := func(score float64) float64 { return value(&popularity.Rank{Score: score}, cache.Key{}, 100) }
	if at(1) <= 0 || at(0.125) <= 0 || at(0.0625) > 0 {
		t.Errorf("a client-day is worth %g, after three half-lives %g, after four %g", at(1), at(0.125), at(0.0625))
	}
	if c := chance(1e9); c != 1 || chance(0) != 0 || chance(2) <= chance(1) {
		t.Errorf("chances: %g, %g, %g", c, chance(0), chance(2))
	}
}
