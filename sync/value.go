package sync

import (
	"math"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/popularity"
)

// leastChance is the chance below which a package is not fetched for its rank: a
// name with one client-day comes to it after about three and a half half-lives. It
// keeps what the site once tried from being fetched for ever, and costs few hits:
// docs/BENCHMARKS.md has what other values did.
const leastChance = 0.08

// chance is how likely it is that anyone asks for a name's next version. The score
// stands for the clients that still use the name. Each of them is taken to come for
// the version independently of the others, so that the chance saturates: whether
// twenty clients use a name or two hundred, someone will come.
func chance(score float64) float64 { return -math.Expm1(-score) }

// valueFor is what fetching a package is worth by an objective: for each byte of the
// budget the waits that it spares, or the bytes that it moves to the night. A package
// that most likely nobody asks for is worth nothing.
func valueFor(objective string) Value {
	return func(rank *popularity.Rank, _ cache.Key, size int64) float64 {
		p := chance(rank.Score)
		switch {
		case p < leastChance:
			return 0
		case objective == config.ObjectiveBytes:
			// The size is gained and paid alike.
			return p
		}
		return p / float64(size+1)
	}
}
