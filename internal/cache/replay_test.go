package cache

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

var replayFrom = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// request is a client's wish for a package.
type request struct {
	path string
	size int64
	at   time.Time
}

// campusRequests is what the clients of a site ask for in some days, of a
// repository that has updates each night. The same seed gives the same requests.
func campusRequests(seed uint64, days int) (all []request, distinct int64) {
	specs := testrepo.Campus(seed)
	sizes := map[string]int64{}
	for d := range days {
		for _, v := range testrepo.Traffic(testrepo.TrafficOptions{
			Seed: seed + uint64(d), Specs: specs, Until: replayFrom.AddDate(0, 0, d+1), Days: 1, Clients: 200,
		}) {
			if v.Package == "" || v.Status != 200 {
				continue
			}
			path, err := url.PathUnescape(v.Target)
			if err != nil {
				continue
			}
			if sizes[path] == 0 {
				sizes[path] = v.Bytes
				distinct += v.Bytes
			}
			all = append(all, request{path, sizes[path], v.Time})
		}
		specs = testrepo.Overnight(specs, seed)
	}
	return all, distinct
}

// policy is a rule for what goes: the worth of a file that was used at the time
// now, by what was known of it before. aged is the worth of what went last.
type policy struct {
	name string
	use  func(f *trial, now time.Time, aged float64)
}

// trial is a file in a replay.
type trial struct {
	path       string
	size       int64
	uses, heat float64
	worth      float64
	stored     bool
}

func decayed(halfLife time.Duration, size func(int64) float64) func(*trial, time.Time, float64) {
	return func(f *trial, now time.Time, _ float64) {
		f.heat += math.Exp2(float64(now.Sub(replayFrom)) / float64(halfLife))
		f.worth = f.heat / size(f.size)
	}
}

// What a policy divides by: the size alone, none, or the size by what a miss costs.
func bySize(n int64) float64 { return float64(n) }
func byCount(int64) float64  { return 1 }
func byCost(n int64) float64 { return float64(n) / float64(n+askingCosts) }

var policies = []policy{
	{"LRU", func(f *trial, now time.Time, _ float64) { f.worth = float64(now.Unix()) }},
	{"GDSF", func(f *trial, _ time.Time, aged float64) {
		f.uses++
		f.worth = aged + f.uses/float64(f.size)
	}},
	{"GDSF-cost", func(f *trial, _ time.Time, aged float64) {
		f.uses++
		f.worth = aged + f.uses/byCost(f.size)
	}},
	{"decay-12h-cost", decayed(day/2, byCost)},
	{"decay-1d-cost", decayed(useHalfLife, byCost)},
	{"decay-7d-cost", decayed(7*day, byCost)},
	{"decay-1d-size", decayed(day, bySize)},
	{"decay-1d-count", decayed(day, byCount)},
}

// replay is the requests and the bytes that a cache of that size answers from
// what it has.
func replay(p policy, requests []request, size int64) (hits, hitBytes int64) {
	files := map[string]*trial{}
	var stored int64
	aged := 0.0
	s := newSpace(size, 0)
	for _, r := range requests {
		f := files[r.path]
		if f == nil {
			f = &trial{path: r.path, size: r.size}
			files[r.path] = f
		}
		p.use(f, r.at, aged)
		if f.stored {
			hits++
			hitBytes += f.size
			continue
		}
		if f.size > size {
			continue
		}
		f.stored = true
		stored += f.size
		over := s.over(stored, math.MaxInt64)
		if over == 0 {
			continue
		}
		var all []*trial
		for _, f := range files {
			if f.stored {
				all = append(all, f)
			}
		}
		slices.SortFunc(all, func(a, b *trial) int {
			return cmp.Or(cmp.Compare(a.worth, b.worth), cmp.Compare(b.size, a.size), cmp.Compare(a.path, b.path))
		})
		for _, f := range all {
			if over <= 0 {
				break
			}
			f.stored = false
			stored -= f.size
			over -= f.size
			aged = max(aged, f.worth)
			if strings.HasPrefix(p.name, "GDSF") {
				f.uses = 0 // it forgets what it does not store
			}
		}
	}
	return hits, hitBytes
}

// BenchmarkReplay compares rules for what goes, by the share of the requests and
// of the bytes that the cache answers, at sizes of the cache in percent of what
// all the files take that clients ask for in eight weeks.
func BenchmarkReplay(b *testing.B) {
	requests, distinct := campusRequests(1, 56)
	var bytes int64
	for _, r := range requests {
		bytes += r.size
	}
	for _, percent := range []int64{2, 5, 10, 25} {
		for _, p := range policies {
			b.Run(fmt.Sprintf("%d%%/%s", percent, p.name), func(b *testing.B) {
				var hits, hitBytes int64
				for b.Loop() {
					hits, hitBytes = replay(p, requests, distinct*percent/100)
				}
				b.ReportMetric(100*float64(hits)/float64(len(requests)), "hit%")
				b.ReportMetric(100*float64(hitBytes)/float64(bytes), "bytes%")
			})
		}
	}
}
