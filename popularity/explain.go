package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"slices"
	"strings"
	"time"
)

// Explanation says where a name's score comes from.
type Explanation struct {
	Rank
	Days []DayShare `json:"days"` // the newest first; their scores add up to Score
	// Files are those of the days that are still open: of a closed day only
	// numbers are left. The most popular first.
	Files []FileShare `json:"files"`
}

// DayShare is what one UTC day gives to a score.
type DayShare struct {
	Day      time.Time `json:"day"`
	Clients  int       `json:"clients"`
	Requests int       `json:"requests"`
	Bytes    int64     `json:"bytes"`
	Worth    float64   `json:"worth"` // of a client of that day, by its age
	Score    float64   `json:"score"`
	Capped   int       `json:"capped"`   // clients that count less than one, of an open day
	Scanners int       `json:"scanners"` // clients that do not count, of an open day
}

// FileShare is one file of a name: a version, in one directory.
type FileShare struct {
	Path     string    `json:"path"`
	Requests int       `json:"requests"` // distinct (client, day)
	LastSeen time.Time `json:"last_seen"`
}

// Explain says where the scores of all that is called name come from, in the
// order of the ranking, each architecture and root by itself. The name may have
// its architecture behind it, "vlc.x86_64", if nothing is called so itself.
func (s *Store) Explain(ctx context.Context, halfLife time.Duration, name string) ([]Explanation, error) {
	r, err := s.newRanking(halfLife)
	if err != nil {
		return nil, err
	}
	r.name = name
	if err := s.snapshot(ctx, func(conn *sql.Conn) error { return r.read(ctx, conn) }); err != nil {
		return nil, s.explain("rank", err)
	}
	all := []Explanation{}
	type key struct{ name, arch, root string }
	explained := map[key]*explaining{}
	for g, x := range r.explained {
		at := r.places[r.all[g].place]
		explained[key{r.all[g].name, at.arch, at.root}] = x
	}
	for _, rank := range r.ranks(r.first(r.order(nil), 0)) {
		if x := explained[key{rank.Name, rank.Arch, rank.Root}]; x != nil {
			all = append(all, x.finished(rank))
		}
	}
	return all, nil
}

// explaining is an Explanation under way.
type explaining struct {
	files map[int64]*FileShare // by the path's id
	days  map[int64]*DayShare
}

// choose finds the groups that are to be explained.
func (r *ranking) choose() {
	named := func(match func(name, arch string) bool) {
		for g := range r.all {
			if x := &r.all[g]; match(x.name, r.places[x.place].arch) {
				r.explained[int32(g)] = &explaining{days: map[int64]*DayShare{}, files: map[int64]*FileShare{}}
			}
		}
	}
	r.explained = map[int32]*explaining{}
	named(func(name, _ string) bool { return name == r.name })
	if len(r.explained) == 0 {
		named(func(name, arch string) bool { return name+"."+arch == r.name })
	}
}

func (e *explaining) day(day int64) *DayShare {
	d := e.days[day]
	if d == nil {
		d = &DayShare{Day: time.Unix(day*secondsPerDay, 0).UTC()}
		e.days[day] = d
	}
	return d
}

// explainRequest notes a client's request on a day, if its group is to be explained:
// whether it is the client's first for that group, whether the client is a scanner, and
// what it counts.
func (r *ranking) explainRequest(g int32, day int64, a *asked, first, scanner bool, each int64) {
	x := r.explained[g]
	switch {
	case x == nil:
	case scanner:
		if first {
			x.day(day).Scanners++
		}
	default:
		if first && each < oneClient {
			x.day(day).Capped++
		}
		f := x.files[a.path]
		f.Requests++
		if at := time.Unix(day*secondsPerDay+a.second, 0).UTC(); at.After(f.LastSeen) {
			f.LastSeen = at
		}
	}
}

// finished is the explanation of rank.
func (e *explaining) finished(rank Rank) Explanation {
	x := Explanation{Rank: rank, Days: []DayShare{}, Files: []FileShare{}}
	for _, d := range e.days {
		x.Days = append(x.Days, *d)
	}
	slices.SortFunc(x.Days, func(a, b DayShare) int { return b.Day.Compare(a.Day) })
	for _, f := range e.files {
		if f.Requests > 0 {
			x.Files = append(x.Files, *f)
		}
	}
	slices.SortFunc(x.Files, func(a, b FileShare) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.Path, b.Path))
	})
	return x
}
