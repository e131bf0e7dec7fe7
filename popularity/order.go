package popularity

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
)

// rankOrder is what the ranking is sorted by, of a group.
type rankOrder struct {
	score      float64
	clientDays int64
	group      int32
}

// compare orders what ranks higher first.
func (r *ranking) compare(a, b rankOrder) int {
	if a.score != b.score || a.clientDays != b.clientDays {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(b.clientDays, a.clientDays))
	}
	x, y := &r.all[a.group], &r.all[b.group]
	return cmp.Or(strings.Compare(x.name, y.name),
		strings.Compare(r.places[x.place].arch, r.places[y.place].arch), strings.Compare(r.places[x.place].root, r.places[y.place].root))
}

// order is what the groups are sorted by, those that somebody asked for and that are not
// gone.
func (r *ranking) order(gone func(name, arch, root string) bool) []rankOrder {
	order := make([]rankOrder, 0, len(r.all))
	for g := range r.all {
		x := &r.all[g]
		if x.clientDays == 0 || gone != nil && gone(x.name, r.places[x.place].arch, r.places[x.place].root) {
			continue
		}
		order = append(order, rankOrder{x.score, x.clientDays, int32(g)})
	}
	return order
}

// first is the first most of order, sorted, all where that is 0. It changes order.
func (r *ranking) first(order []rankOrder, most int) []rankOrder {
	if most > 0 && most < len(order)/4 {
		return r.best(order, most)
	}
	// Two halves side by side, and then together.
	low, high := order[:len(order)/2], order[len(order)/2:]
	var sorting sync.WaitGroup
	sorting.Go(func() { slices.SortFunc(low, r.compare) })
	slices.SortFunc(high, r.compare)
	sorting.Wait()
	if most <= 0 || most > len(order) {
		most = len(order)
	}
	merged := make([]rankOrder, most)
	for i := range merged {
		next := &low
		if len(low) == 0 || len(high) > 0 && r.compare(high[0], low[0]) < 0 {
			next = &high
		}
		merged[i] = (*next)[0]
		*next = (*next)[1:]
	}
	return merged
}

// best is first for a few of many: most are worse than the worst of those.
func (r *ranking) best(order []rankOrder, most int) []rankOrder {
	best := order[:0]
	full := false
	for _, o := range order {
		if full && r.compare(best[most-1], o) < 0 {
			continue
		}
		best = append(best, o)
		if len(best) == 2*most {
			slices.SortFunc(best, r.compare)
			best, full = best[:most], true
		}
	}
	slices.SortFunc(best, r.compare)
	return best[:most]
}

// ranks is what becomes of groups in their order.
func (r *ranking) ranks(order []rankOrder) []Rank {
	ranks := make([]Rank, len(order)) // an empty array in JSON, where there are none
	for i, o := range order {
		x := &r.all[o.group]
		ranks[i] = Rank{
			Rank: i + 1, Name: x.name, Arch: r.places[x.place].arch, Root: r.places[x.place].root, Score: x.score,
			Clients: int(x.clients), ClientDays: int(x.clientDays), Requests: int(x.requests), Bytes: x.bytes,
			LastSeen: time.Unix(x.lastSeen, 0).UTC(),
		}
	}
	return ranks
}
