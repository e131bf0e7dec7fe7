package popularity

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"time"
)

// Rank is a name's place in the ranking.
type Rank struct {
	Rank       int       `json:"rank"` // from 1
	Name       string    `json:"name"`
	Arch       string    `json:"arch"`
	Root       string    `json:"root"`        // "fedora/updates/41/Everything/x86_64"
	Score      float64   `json:"score"`       // client-days, each worth half after the half-life
	Clients    int       `json:"clients"`     // the most on one day
	ClientDays int       `json:"client_days"` // distinct (client, day)
	Requests   int       `json:"requests"`    // distinct (client, day, path)
	Bytes      int64     `json:"bytes"`       // of the largest answer to each request
	LastSeen   time.Time `json:"last_seen"`   // the newest request, UTC; of a log in squid's format the end of its answer
}

// Rank returns all names that were asked for, the most popular first. A name's
// score is the sum over its days of the clients on that day, each day worth half
// after halfLife; a day's age is in whole UTC days before the clock's. A client
// that asked for more packages on a day than Options.ClientCap counts less than
// one for each, and a scanner for none. What is equal in score and client-days is
// ordered by name, arch and root.
func (s *Store) Rank(ctx context.Context, halfLife time.Duration) ([]Rank, error) {
	ranks, _, err := s.Top(ctx, halfLife, 0, nil)
	return ranks, err
}

// Top is Rank without the names that gone says of, as if nobody had asked for them, and
// with the first most of the others, all of them where that is 0: a few of many are found
// sooner than all are sorted. all is how many they are. A nil gone is that none is.
func (s *Store) Top(ctx context.Context, halfLife time.Duration, most int, gone func(name, arch, root string) bool) (ranks []Rank, all int, err error) {
	r, err := s.newRanking(halfLife)
	if err != nil {
		return nil, 0, err
	}
	if err := s.snapshot(ctx, func(conn *sql.Conn) error { return r.read(ctx, conn) }); err != nil {
		return nil, 0, s.explain("rank", err)
	}
	order := r.order(gone)
	return r.ranks(r.first(order, most)), len(order), nil
}

// Roots returns the roots that clients have asked for since a time, those that they
// asked for last first, and most of them at most: "fedora/updates/41/Everything/x86_64" is
// the repository, a slash and the directory above repodata/repomd.xml. more is how many
// there are besides.
func (s *Store) Roots(ctx context.Context, since time.Time, most int) (roots []string, more int, err error) {
	roots, err = column[string](ctx, s.db, "SELECT root FROM roots WHERE last_seen >= ? ORDER BY last_seen DESC, root", since.Unix())
	if err != nil {
		return nil, 0, s.explain("read", err)
	}
	n := min(len(roots), most)
	return roots[:n], len(roots) - n, nil
}

// RootOf is the root of a package in the directory dir, a repository's name and
// the path in it: the longest known root at or above it. Without one it is what is
// above the last directory called Packages or pool, and without that dir itself.
func RootOf(dir string, roots map[string]bool) string {
	for d, ok := dir, true; ok; d, _, ok = cutLast(d, "/") {
		if roots[d] {
			return d
		}
	}
	for d, ok := dir, true; ok; {
		var name string
		d, name, ok = cutLast(d, "/")
		if ok && (name == "Packages" || name == "pool") {
			return d
		}
	}
	return dir
}

// ranking adds up days. A group is a name, an arch and a root, an index in all.
type ranking struct {
	today     int64
	halfLife  float64 // days
	clientCap int

	roots     map[string]bool
	all       []nameGroup
	places    []place
	placeOf   map[place]int32
	groups    map[groupKey]int32
	group     map[int64]int32 // of a name's id
	path      []int32         // the group of a path's id, from firstPath on; -1: none
	firstPath int64

	counts []dayCounts // of the day being added up, each of some of its clients

	name      string                // what is to be explained; "": nothing
	explained map[int32]*explaining // by group
}

// nameGroup is what becomes a Rank.
type nameGroup struct {
	groupKey
	score                                          float64
	clients, clientDays, requests, bytes, lastSeen int64
}

// groupKey is a group; place is an index in places.
type groupKey struct {
	name  string
	place int32
}

// place is an architecture and a root: there are few of them, and many names.
type place struct{ arch, root string }

// newRanking is a ranking at the Store's time.
func (s *Store) newRanking(halfLife time.Duration) (*ranking, error) {
	if halfLife <= 0 {
		return nil, fmt.Errorf("rank: the half-life must be positive, not %v", halfLife)
	}
	return &ranking{
		today: dayOf(s.opt.Clock().Unix()), halfLife: halfLife.Hours() / 24, clientCap: s.opt.ClientCap,
		roots: map[string]bool{}, placeOf: map[place]int32{},
		group: map[int64]int32{},
	}, nil
}

func (r *ranking) read(ctx context.Context, q queryer) error {
	if err := r.readGroups(ctx, q); err != nil {
		return err
	}
	days, err := column[int64](ctx, q, "SELECT day FROM open_days UNION SELECT DISTINCT day FROM days ORDER BY day")
	if err != nil {
		return err
	}
	for _, day := range days {
		if err := r.addClosed(ctx, q, day); err != nil {
			return err
		}
		if err := r.addOpen(ctx, q, day); err != nil {
			return err
		}
		r.endDay(day)
	}
	return nil
}

// readGroups finds the group of each name and of each path.
func (r *ranking) readGroups(ctx context.Context, q queryer) error {
	list, err := column[string](ctx, q, "SELECT root FROM roots")
	if err != nil {
		return err
	}
	for _, root := range list {
		r.roots[root] = true
	}
	// As many groups as there can be, since growing would cost more than counting; and ids
	// are given one after the other: a slice has few holes.
	ends, err := column[int64](ctx, q, `SELECT count(*) FROM names UNION ALL SELECT coalesce(min(first), 0) FROM paths
		UNION ALL SELECT coalesce(max(last) + 1, 0) FROM paths`)
	if err != nil {
		return err
	}
	names, paths := ends[0], ends[2]-ends[1]
	if paths < 0 || paths > math.MaxInt32 {
		return fmt.Errorf("paths from %d to %d: %w", ends[1], ends[2], ErrDamaged)
	}
	r.all, r.groups = make([]nameGroup, 0, names+paths), make(map[groupKey]int32, names+paths)
	r.firstPath, r.path = ends[1], slices.Repeat([]int32{-1}, int(paths))
	// A path got its id when it was first asked for, so that what is popular comes first,
	// and what a client asked for comes in order. With groups in the order of their first
	// paths few of many are counted most of the time, and these lie together.
	var dirs []dirPlaces // by their numbers
	if err := eachNamed(ctx, q, func(p *namedPath) error {
		if p.dir.number == len(dirs) {
			dirs = append(dirs, r.placesOf(p.dir.path))
		}
		i := p.id - r.firstPath
		if i < 0 || i >= paths {
			return fmt.Errorf("path %d is in a list of others: %w", p.id, ErrDamaged)
		}
		r.path[i] = r.groupOf(groupKey{p.name, r.placeIn(&dirs[p.dir.number], p.arch)})
		return nil
	}); err != nil {
		return err
	}
	if err := r.readNames(ctx, q); err != nil {
		return err
	}
	r.groups = nil
	counters := 1 // of what is explained there is one account
	if r.name == "" {
		counters = maxCounters
	}
	r.counts = make([]dayCounts, counters)
	for i := range r.counts {
		r.counts[i].of = make([]groupDay, len(r.all))
	}
	if r.name == "" {
		return nil
	}
	r.choose()
	return eachPath(ctx, q, func(p storedPath) error {
		if x := r.explained[r.path[p.id-r.firstPath]]; x != nil {
			x.files[p.id] = &FileShare{Path: p.dir.path + "/" + p.base}
		}
		return nil
	})
}

// readNames finds the groups of the names of closed days.
func (r *ranking) readNames(ctx context.Context, q queryer) error {
	dirs, err := loadDirs(ctx, q)
	if err != nil {
		return err
	}
	places := map[int64]*dirPlaces{}
	return each(ctx, q, "SELECT id, name, arch, dir FROM names", nil, func(rows *sql.Rows) error {
		var id, dir int64
		var name, arch string
		if err := rows.Scan(&id, &name, &arch, &dir); err != nil {
			return err
		}
		d := places[dir]
		if d == nil {
			found := r.placesOf(dirs[dir])
			d = &found
			places[dir] = d
		}
		r.group[id] = r.groupOf(groupKey{name, r.placeIn(d, arch)})
		return nil
	})
}

// dirPlaces are the places of what is in a directory.
type dirPlaces struct {
	root  string
	archs []string
	place []int32 // of each arch
}

func (r *ranking) placesOf(dir string) dirPlaces { return dirPlaces{root: RootOf(dir, r.roots)} }

// placeIn is the place of an arch in a directory.
func (r *ranking) placeIn(d *dirPlaces, arch string) int32 {
	if i := slices.Index(d.archs, arch); i >= 0 {
		return d.place[i]
	}
	at := place{arch, d.root}
	p, ok := r.placeOf[at]
	if !ok {
		p = int32(len(r.places))
		r.placeOf[at] = p
		r.places = append(r.places, at)
	}
	d.archs, d.place = append(d.archs, arch), append(d.place, p)
	return p
}

// groupOf is the number of a group.
func (r *ranking) groupOf(k groupKey) int32 {
	g, ok := r.groups[k]
	if !ok {
		g = int32(len(r.all))
		r.groups[k] = g
		r.all = append(r.all, nameGroup{groupKey: k})
	}
	return g
}
