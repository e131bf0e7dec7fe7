package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
	imsync "intelligentmirror/sync"
)

// planner is a way of deciding what a night fetches.
type planner struct {
	name string
	plan func(n *imsync.Night, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result // nil: what runs do

	candidates []string // the sources of candidates that are asked; nil: the default
}

const (
	// clairvoyant is the name of who knows the future.
	clairvoyant = "clairvoyant"
	// byDefault is that of what runs do with the default configuration.
	byDefault = "imsync"
	// allSources is the name of imsync where all sources of candidates are asked.
	allSources = "imsync, all sources"
)

// recent is what counts as lately for the baseline that does not look further back.
const recent = 30 * 24 * time.Hour

// planners are this project's, who knows the future, and the four baselines. All
// of them plan with sync.Plan; they differ in the ranks and what these are worth.
// first is the future: when each file is first asked for.
func planners(first map[string]time.Time) []planner {
	// inOrder takes the ranks as they are, all of them.
	inOrder := func(n *imsync.Night, ranks []popularity.Rank, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result {
		b.Top, b.Idle, b.Sources, b.Value = -1, nil, nil, nil
		return imsync.Plan(ranks, n.Index, stored, b)
	}
	sorted := func(ranks []popularity.Rank, compare func(a, b *popularity.Rank) int) []popularity.Rank {
		ranks = slices.Clone(ranks)
		slices.SortStableFunc(ranks, func(a, b popularity.Rank) int { return compare(&a, &b) })
		return ranks
	}
	return []planner{
		{name: byDefault},
		{name: "imsync, ranks alone", candidates: []string{}},
		{name: "imsync, newcomers", candidates: []string{config.CandidateNewcomer}},
		{name: "imsync, siblings", candidates: []string{config.CandidateSibling}},
		{name: "imsync, groups", candidates: []string{config.CandidateGroup}},
		{name: allSources, candidates: []string{
			config.CandidateRename, config.CandidateDependency, config.CandidateNewcomer, config.CandidateSibling, config.CandidateGroup,
		}},
		{name: clairvoyant, plan: func(n *imsync.Night, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result {
			b.Top, b.Idle, b.Sources = -1, nil, nil
			b.Value = func(_ *popularity.Rank, key cache.Key, size int64) float64 {
				if at, ever := first[key.String()]; ever && !at.Before(n.At) {
					// What can wait leaves the budget to what cannot. Without that the small
					// ones come first, and fewer hits come of it.
					days := at.Sub(n.At).Hours() / 24
					return 1 / float64(size+1) / (1 + days)
				}
				return 0
			}
			return imsync.Plan(n.Ranks, n.Index, stored, b)
		}},
		{name: "ever asked for", plan: func(n *imsync.Night, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result {
			return inOrder(n, sorted(n.Ranks, func(a, b *popularity.Rank) int { return strings.Compare(a.Name, b.Name) }), stored, b)
		}},
		{name: "asked for in 30 days", plan: func(n *imsync.Night, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result {
			ranks := slices.DeleteFunc(slices.Clone(n.Ranks), func(r popularity.Rank) bool { return n.At.Sub(r.LastSeen) > recent })
			return inOrder(n, sorted(ranks, func(a, b *popularity.Rank) int { return strings.Compare(a.Name, b.Name) }), stored, b)
		}},
		{name: "most requests", plan: func(n *imsync.Night, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result {
			return inOrder(n, sorted(n.Ranks, func(a, b *popularity.Rank) int { return cmp.Compare(b.Requests, a.Requests) }), stored, b)
		}},
		{name: "decay, no sizes", plan: func(n *imsync.Night, stored func(cache.Key, cache.Want) bool, b imsync.Budget) imsync.Result {
			return inOrder(n, n.Ranks, stored, b)
		}},
	}
}
