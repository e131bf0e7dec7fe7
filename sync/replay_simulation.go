package sync

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// ReplayBudget is what a replayed run may fetch.
type ReplayBudget struct {
	Share float64 // of the bytes published since the run before; 0: Bytes says it
	Bytes int64
}

// ParseReplayBudget reads "10%" or a size such as "20GiB".
func ParseReplayBudget(s string) (ReplayBudget, error) {
	if number, ok := strings.CutSuffix(s, "%"); ok {
		percent, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(percent > 0 && percent <= 1e6) {
			return ReplayBudget{}, fmt.Errorf("%q is no share such as 10%%", s)
		}
		return ReplayBudget{Share: percent / 100}, nil
	}
	size, err := config.ParseSize(s)
	if err != nil {
		return ReplayBudget{}, fmt.Errorf("%q is neither a share such as 10%% nor a size such as 20GiB: %w", s, err)
	}
	return ReplayBudget{Bytes: int64(size)}, nil
}

// Times is the budget n times.
func (b ReplayBudget) Times(n float64) ReplayBudget {
	return ReplayBudget{Share: b.Share * n, Bytes: int64(float64(b.Bytes) * n)}
}

// String is a form that ParseReplayBudget reads.
func (b ReplayBudget) String() string {
	if b.Share != 0 {
		return strconv.FormatFloat(b.Share*100, 'f', -1, 64) + "%"
	}
	return config.Size(b.Bytes).String()
}

// of is the budget in bytes.
func (b ReplayBudget) of(published []Published) int64 {
	if b.Share == 0 {
		return b.Bytes
	}
	var sum int64
	for _, p := range published {
		sum += p.Size
	}
	return int64(b.Share * float64(sum))
}

// Counts are what happened in a time. Bytes of requests are those of the answers,
// bytes of what was prefetched those of the files. A first request is the first one
// for a version that anyone at the site made: it waits for upstream, unless the
// version was prefetched, when it is a first hit too.
type Counts struct {
	Requests          int   `json:"requests"` // distinct (client, day, file)
	Bytes             int64 `json:"bytes"`
	FirstRequests     int   `json:"first_requests"`
	FirstRequestBytes int64 `json:"first_request_bytes"`
	FirstHits         int   `json:"first_hits"`
	FirstHitBytes     int64 `json:"first_hit_bytes"`
	PrefetchedBytes   int64 `json:"prefetched_bytes"`
	UsedBytes         int64 `json:"used_bytes"`   // of these, what a client came for by the end of the logs
	WastedBytes       int64 `json:"wasted_bytes"` // and what none came for
}

func (c *Counts) add(d Counts) {
	c.Requests += d.Requests
	c.Bytes += d.Bytes
	c.FirstRequests += d.FirstRequests
	c.FirstRequestBytes += d.FirstRequestBytes
	c.FirstHits += d.FirstHits
	c.FirstHitBytes += d.FirstHitBytes
	c.PrefetchedBytes += d.PrefetchedBytes
	c.UsedBytes += d.UsedBytes
	c.WastedBytes += d.WastedBytes
}

// DayCounts are the Counts of one UTC day; what became of a prefetched file counts
// on the day on which it was fetched.
type DayCounts struct {
	Date string `json:"date"` // "2024-11-21"
	Counts
}

// Outcome is what came of a variant.
type Outcome struct {
	Days int `json:"days"`
	Counts
	// Sources has what was prefetched by the source that brought it, sorted by name.
	// What nobody came for by the end of the logs is wasted; nothing is waiting.
	Sources []SourceWorth `json:"sources"`
	ByDay   []DayCounts   `json:"-"`
}

// simulation is the cache of one variant. It is pure: it knows what it is told.
type simulation struct {
	Variant
	from  time.Time
	days  []Counts
	asked map[string]bool              // files that anybody asked for
	ahead map[string]ahead             // by path, what was prefetched
	names map[PackageName][]prefetched // the latest first
}

// ahead is a file that was prefetched.
type ahead struct {
	prefetched
	day int
}

func newSimulation(v Variant, from, last time.Time) *simulation {
	return &simulation{
		Variant: v, from: from, days: make([]Counts, int(last.Sub(from)/(24*time.Hour))+1),
		asked: map[string]bool{}, ahead: map[string]ahead{}, names: map[PackageName][]prefetched{},
	}
}

// day is where what happens at that time counts, after the warm-up.
func (s *simulation) day(at time.Time) int { return int(at.Sub(s.from) / (24 * time.Hour)) }

// run plans a night, and fetches what is planned.
func (s *simulation) run(n *Night, b Budget) {
	b.Bytes = s.Budget.of(n.Published)
	b.learn(slices.Collect(maps.Values(s.names)), s.Candidates, n.At)
	stored := func(k cache.Key, _ cache.Want) bool {
		path := k.String()
		_, there := s.ahead[path]
		return there || s.asked[path]
	}
	for _, it := range s.Plan(n, stored, b).Items {
		a := ahead{prefetched{PackageName: PackageName{it.Name, it.Arch, it.Root}, source: it.Source, size: it.Size, at: n.At}, s.day(n.At)}
		s.ahead[it.Key.String()] = a
		s.names[a.PackageName] = slices.Insert(s.names[a.PackageName], 0, a.prefetched)
		d := &s.days[a.day]
		d.PrefetchedBytes += it.Size
		d.WastedBytes += it.Size // until somebody comes
	}
}

// request lets a client ask.
func (s *simulation) request(r *request) {
	first := !s.asked[r.path]
	s.asked[r.path] = true
	if r.at.Before(s.from) {
		return
	}
	d := &s.days[s.day(r.at)]
	d.Requests++
	d.Bytes += r.bytes
	if !first {
		return
	}
	d.FirstRequests++
	d.FirstRequestBytes += r.bytes
	if a, there := s.ahead[r.path]; there {
		d.FirstHits++
		d.FirstHitBytes += r.bytes
		s.use(a)
	}
}

// use notes that somebody came for a.
func (s *simulation) use(a ahead) {
	// What came of a name in one night is one version.
	of := s.names[a.PackageName]
	for i := range of {
		of[i].used = of[i].used || of[i].at.Equal(a.at)
	}
	d := &s.days[a.day]
	d.UsedBytes += a.size
	d.WastedBytes -= a.size
}

func (s *simulation) outcome() Outcome {
	o := Outcome{Days: len(s.days), Sources: s.sources()}
	for i, c := range s.days {
		o.Counts.add(c)
		o.ByDay = append(o.ByDay, DayCounts{s.from.Add(time.Duration(i) * 24 * time.Hour).Format(time.DateOnly), c})
	}
	return o
}

// sources sums up what came of what each source has brought.
func (s *simulation) sources() []SourceWorth {
	var all [][]prefetched
	var end time.Time
	for path, a := range s.ahead {
		a.used = s.asked[path]
		all = append(all, []prefetched{a.prefetched})
		if a.at.After(end) {
			end = a.at
		}
	}
	// No version has replaced another, but time enough has passed.
	return judge(all, end.Add(wastedAfter+1))
}
