package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// site is what the clients of a trace are like.
type site struct {
	seed    uint64
	packs   []*pack
	clients int
	from    time.Time // a midnight
	days    int

	oneOff float64 // chance a day that somebody installs one thing more on a machine
	kept   float64 // chance that it stays

	groups *grouping
	// grouped is the chance that a machine begins with its role's environment, and that
	// who installs a thing which a group has installs that group.
	grouped float64
}

const (
	roles = 8 // kinds of machines; those of a kind have much in common

	reinstalled = 1.0 / 250 // chance a day that a machine is installed afresh
	drift       = 0.015     // chance a day that a machine drops one thing, and that it takes up another
)

// machine is a client. has is the number of the version that it has, by package; -1
// for none.
type machine struct {
	address string
	every   int // days between its updates
	phase   int
	role    int
	has     []int
	wants   []bool
}

// trace is a site at work.
type trace struct {
	site
	rand     *rand.Rand
	machines []*machine
	weights  []float64 // of the packages, what somebody takes up; they drift
	sum      []float64 // of the weights so far
	out      *bufio.Writer
	first    map[string]time.Time // of each file, the first request
	requests int

	// Of each package, the newest version as the day begins, and whether another comes
	// before the next day has ended.
	today  []int
	moving []bool
	escape *strings.Replacer // of paths in requests
}

// chance is how likely a machine of a role has a package: the first ones are
// everywhere, and then it falls off to a long tail.
func (s *site) chance(p *pack, role int) float64 {
	base := math.Min(1, math.Pow(140/float64(p.popularity+1), 1.4))
	if base == 1 {
		return 1
	}
	// What one kind of machine has, another has not.
	taste := random(s.seed, "taste", p.name, fmt.Sprint(role)).NormFloat64()
	return math.Min(1, base*math.Exp(1.3*taste-0.8))
}

// before is, for each package that comes to the distribution within the trace, what
// machines have in its place until then, and who has that takes it: the name that it
// obsoletes, else the most popular one of the same source; -1 for the others, which
// are wanted for themselves.
func (s *site) before() []int {
	of := map[string]int{} // what was there before, by source and by name
	old := func(p *pack) bool { return !p.releases[0].at.After(s.from) }
	for j, p := range s.packs {
		if _, ok := of["source "+p.source]; !ok && old(p) {
			of["source "+p.source] = j
		}
		if old(p) {
			of["name "+p.name] = j
		}
	}
	all := make([]int, len(s.packs))
	for j, p := range s.packs {
		all[j] = -1
		if !p.added || old(p) {
			continue
		}
		for _, key := range []string{"source " + p.source, "name " + p.obsoletes} {
			if i, ok := of[key]; ok {
				all[j] = i
			}
		}
	}
	return all
}

// write writes the site's log, and returns when each file was first asked for.
func (s *site) write(w io.Writer) (first map[string]time.Time, requests int, err error) {
	t := &trace{site: *s, rand: random(s.seed, "clients"), out: bufio.NewWriter(w), first: map[string]time.Time{},
		today: make([]int, len(s.packs)), moving: make([]bool, len(s.packs)), escape: strings.NewReplacer("^", "%5E")}
	chances := make([][]float64, roles)
	for role := range chances {
		for _, p := range s.packs {
			chances[role] = append(chances[role], s.chance(p, role))
		}
	}
	before := s.before()
	for i := range s.clients {
		m := &machine{address: fmt.Sprintf("10.%d.%d.%d", 1+i/50000, i/250%200, 1+i%250), role: t.rand.IntN(roles)}
		switch x := t.rand.Float64(); {
		case x < 0.5:
			m.every = 1
		case x < 0.85:
			m.every = 7
		default:
			m.every = 30
		}
		m.phase = t.rand.IntN(m.every)
		m.has, m.wants = make([]int, len(s.packs)), make([]bool, len(s.packs))
		for j, p := range s.packs {
			m.has[j] = -1
			if m.wants[j] = t.rand.Float64() < chances[m.role][j]; m.wants[j] {
				m.has[j] = p.newest(s.from)
			}
		}
		if t.grouped > 0 && t.rand.Float64() < t.grouped {
			for _, j := range s.groups.environment(s.seed, m.role) {
				m.wants[j], m.has[j] = true, s.packs[j].newest(s.from)
			}
		}
		for j, of := range before {
			if of >= 0 {
				m.wants[j] = m.wants[of]
			}
		}
		t.machines = append(t.machines, m)
	}
	for _, p := range s.packs {
		t.weights = append(t.weights, 1/float64(p.popularity+20))
	}
	for day := range s.days {
		t.day(day)
	}
	return t.first, t.requests, t.out.Flush()
}

// day lets the machines of one day ask.
func (t *trace) day(day int) {
	date := t.from.AddDate(0, 0, day)
	if day%7 == 0 {
		t.driftOn()
	}
	for j, p := range t.packs {
		t.today[j] = p.newest(date)
		t.moving[j] = t.today[j] != p.newest(date.AddDate(0, 0, 2))
	}
	weekend := date.Weekday() == time.Saturday || date.Weekday() == time.Sunday
	for _, m := range t.machines {
		at := date.Add(6*time.Hour + time.Duration(t.rand.IntN(15*3600))*time.Second)
		if t.rand.Float64() < drift {
			if j := t.rand.IntN(len(m.wants)); m.wants[j] && t.packs[j].popularity >= 140 {
				m.wants[j], m.has[j] = false, -1
			}
			m.wants[t.pick()] = true // comes with the next update
		}
		if t.rand.Float64() < reinstalled {
			for j := range m.has {
				m.has[j] = -1
			}
			t.update(m, &at)
			continue
		}
		if t.rand.Float64() < t.oneOff {
			t.install(m, t.together(t.pick()), &at)
		}
		if weekend && t.rand.IntN(3) > 0 || (day+m.phase)%m.every != 0 {
			if m.every > 1 && weekend && (day+m.phase)%m.every == 0 {
				m.phase = (m.phase + m.every - 2) % m.every // done on a working day
			}
			continue
		}
		t.update(m, &at)
	}
}

// together is what is installed by whoever wants j: a group that has it, or j alone.
func (t *trace) together(j int) []int {
	if of := t.groups.of[j]; t.grouped > 0 && len(of) > 0 && t.rand.Float64() < t.grouped {
		return t.groups.members[of[t.rand.IntN(len(of))]]
	}
	return []int{j}
}

// install lets m ask for what it does not want yet. All of it stays, or nothing.
func (t *trace) install(m *machine, list []int, at *time.Time) {
	list = slices.DeleteFunc(slices.Clone(list), func(j int) bool { return m.wants[j] })
	if len(list) == 0 {
		return
	}
	for _, j := range list {
		t.ask(m, j, at)
	}
	kept := t.rand.Float64() < t.kept
	for _, j := range list {
		if m.wants[j] = kept; !kept {
			m.has[j] = -1
		}
	}
}

// driftOn changes what is taken up.
func (t *trace) driftOn() {
	total := 0.0
	t.sum = t.sum[:0]
	for j := range t.weights {
		base := 1 / float64(t.packs[j].popularity+20)
		t.weights[j] *= math.Exp(0.15 * t.rand.NormFloat64())
		t.weights[j] = math.Pow(t.weights[j], 0.95) * math.Pow(base, 0.05)
		total += t.weights[j]
		t.sum = append(t.sum, total)
	}
}

// pick is a package that somebody takes up.
func (t *trace) pick() int {
	x := t.rand.Float64() * t.sum[len(t.sum)-1]
	lo, hi := 0, len(t.sum)-1
	for lo < hi {
		if mid := (lo + hi) / 2; t.sum[mid] < x {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// update lets m ask for all that it wants and has not in the newest version.
func (t *trace) update(m *machine, at *time.Time) {
	for j, wanted := range m.wants {
		if wanted {
			t.ask(m, j, at)
		}
	}
}

// ask lets m ask for the newest version of a package, unless it has that.
func (t *trace) ask(m *machine, j int, at *time.Time) {
	p := t.packs[j]
	n := t.today[j]
	if t.moving[j] {
		n = p.newest(*at)
	}
	if n < 0 || n == m.has[j] {
		return
	}
	m.has[j] = n
	r := &p.releases[n]
	if old, seen := t.first[r.path]; !seen || at.Before(old) {
		t.first[r.path] = *at
	}
	t.requests++
	fmt.Fprintf(t.out, "%s - - [%s] \"GET /%s HTTP/1.1\" 200 %d \"-\" \"libdnf\"\n", m.address, at.Format("02/Jan/2006:15:04:05 -0700"),
		t.escape.Replace(r.path), r.size)
	*at = at.Add(time.Second)
}
