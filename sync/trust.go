package sync

import (
	"math"
	"slices"
	"strings"
	"time"
)

// SourceWorth is what became of the packages that a source of candidates has brought
// within a year.
type SourceWorth struct {
	Source       Reason `json:"source"`
	Used         int    `json:"used"`    // packages that a client came for
	Wasted       int    `json:"wasted"`  // that nobody came for; see Worth
	Waiting      int    `json:"waiting"` // that nobody came for yet
	UsedBytes    int64  `json:"used_bytes"`
	WastedBytes  int64  `json:"wasted_bytes"`
	WaitingBytes int64  `json:"waiting_bytes"`
}

// judge sums up what became of what was prefetched, name by name and the latest of
// each first, as it is known at that time: by source, sorted by name.
func judge(all [][]prefetched, now time.Time) (sources []SourceWorth) {
	sources = []SourceWorth{} // an empty array in JSON
	of := map[Reason]int{}
	for _, list := range all {
		for _, p := range list {
			i, ok := of[p.source]
			if !ok {
				i = len(sources)
				of[p.source] = i
				sources = append(sources, SourceWorth{Source: p.source})
			}
			s := &sources[i]
			switch {
			case p.used:
				s.Used++
				s.UsedBytes += p.size
			case p.at.Before(list[0].at) || now.Sub(p.at) > wastedAfter:
				s.Wasted++
				s.WastedBytes += p.size
			default:
				s.Waiting++
				s.WaitingBytes += p.size
			}
		}
	}
	slices.SortFunc(sources, func(a, b SourceWorth) int { return strings.Compare(string(a.Source), string(b.Source)) })
	return sources
}

// total is what became of all of it.
func total(sources []SourceWorth) (w Worth) {
	for _, s := range sources {
		w.Used += s.UsedBytes
		w.Wasted += s.WastedBytes
		w.Waiting += s.WaitingBytes
	}
	return w
}

// tried are the names that were brought on a guess, and nobody came for.
func tried(all [][]prefetched) map[PackageName]bool {
	in := map[PackageName]bool{}
	for _, list := range all {
		guessed := slices.ContainsFunc(list, func(p prefetched) bool { return p.source.guessed() })
		if guessed && !slices.ContainsFunc(list, func(p prefetched) bool { return p.used }) {
			in[list[0].PackageName] = true
		}
	}
	return in
}

// Trust is how far a source of candidates is believed.
type Trust struct {
	Chance float64 // that someone asks for what it brings
	Left   int     // how many packages more it may bring; 0: it is not asked
}

// leastGuess is the chance below which nothing is fetched on a guess. It is higher
// than what a rank needs: most of what guesses bring is as unlikely as the last of
// them. docs/BENCHMARKS.md has what other values did.
const leastGuess = 0.25

// trusts says how far the sources are believed that the site has not switched off.
func trusts(enabled []string, worth []SourceWorth) map[Reason]Trust {
	all := make(map[Reason]Trust, len(enabled))
	for _, name := range enabled {
		source := Reason(name)
		w := SourceWorth{Source: source}
		if i := slices.IndexFunc(worth, func(s SourceWorth) bool { return s.Source == source }); i >= 0 {
			w = worth[i]
		}
		all[source] = w.trust()
	}
	return all
}

// trust is how far a source is believed that has done so well. Before the site has
// shown anything it counts as if nine of ten of what follows from metadata had been
// used, and five of ten guesses. A guess that nobody came for yet is one of the tries
// until someone does: what a source may bring on trial is bounded, in the first night
// too, and one that fails is not asked again until that is a year ago. It goes by
// packages and by bytes, and by the worse of the two: where small packages are used and
// large ones are not, most of what comes is in vain.
func (w SourceWorth) trust() Trust {
	used, of := 9.0, 10.0
	if w.Source.guessed() {
		used = 5
	}
	t := trustIn(used+float64(w.Used), of+float64(w.Used+w.Wasted), float64(w.Waiting), w.Source.guessed())
	if all := w.UsedBytes + w.WastedBytes + w.WaitingBytes; all > 0 {
		one := float64(all) / float64(w.Used+w.Wasted+w.Waiting) // what a package counts for
		bytes := trustIn(used+float64(w.UsedBytes)/one, of+float64(w.UsedBytes+w.WastedBytes)/one, float64(w.WaitingBytes)/one, w.Source.guessed())
		t = Trust{min(t.Chance, bytes.Chance), min(t.Left, bytes.Left)}
	}
	return t
}

// trustIn is how far a source is believed of which so much was used, of so much that
// is decided, while so much waits.
func trustIn(used, of, waiting float64, guessed bool) Trust {
	t := Trust{Chance: used / of}
	switch {
	case guessed:
		t.Left = max(0, int(used/leastGuess-of-waiting))
	case t.Chance >= leastGuess:
		t.Left = math.MaxInt
	}
	return t
}
