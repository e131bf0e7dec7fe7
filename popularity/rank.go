package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
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
	LastSeen   time.Time `json:"last_seen"`   // the newest request, UTC
}

// Rank returns all names that were asked for, the most popular first. A name's
// score is the sum over its days of the clients on that day, each day worth half
// after halfLife; a day's age is in whole UTC days before the clock's. A client
// that asked for more packages on a day than Options.ClientCap counts less than
// one for each, and a scanner for none. What is equal in score and client-days is
// ordered by name, arch and root.
func (s *Store) Rank(ctx context.Context, halfLife time.Duration) ([]Rank, error) {
	r, err := s.newRanking(halfLife)
	if err != nil {
		return nil, err
	}
	if err := s.snapshot(ctx, func(conn *sql.Conn) error { return r.read(ctx, conn) }); err != nil {
		return nil, s.explain("rank", err)
	}
	return r.sorted(), nil
}

// Roots returns the roots that clients asked for, sorted:
// "fedora/updates/41/Everything/x86_64" is the repository, a slash and the
// directory above repodata/repomd.xml.
func (s *Store) Roots(ctx context.Context) ([]string, error) {
	roots, err := column[string](ctx, s.db, "SELECT root FROM roots ORDER BY root")
	if err != nil {
		return nil, s.explain("read", err)
	}
	return roots, nil
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
	rootOfDir map[string]string
	all       []Rank
	places    map[place]int
	groups    map[groupKey]int
	lastSeen  []int64       // by group
	group     map[int64]int // of a name's id
	path      []int32       // the group of a path's id, from firstPath on; -1: none
	firstPath int64

	counts  []groupDay // of the day being added up, by group
	touched []int
	client  int // the number of the client being added

	name      string              // what is to be explained; "": nothing
	explained map[int]*explaining // by group
}

// groupDay is what a group has on a day. client is the number of the last client
// that was counted in it.
type groupDay struct {
	dayCount
	client int
}

// groupKey is a group; place is an index in places.
type groupKey struct {
	name  string
	place int
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
		roots: map[string]bool{}, rootOfDir: map[string]string{}, places: map[place]int{},
		group: map[int64]int{},
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
		if err := eachClient(ctx, q, day, func(_ int64, list []asked, missing []uint64) error {
			return r.addClient(day, list, missing)
		}); err != nil {
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
	dirs, err := loadDirs(ctx, q)
	if err != nil {
		return err
	}
	// As many as there can be: growing would cost more than counting.
	n, err := column[int](ctx, q, "SELECT (SELECT count(*) FROM names) + (SELECT count(*) FROM paths)")
	if err != nil {
		return err
	}
	r.all, r.groups = make([]Rank, 0, n[0]), make(map[groupKey]int, n[0])
	// Ids are given one after the other: a slice has few holes.
	ends, err := column[int64](ctx, q, "SELECT coalesce(min(id), 0) FROM paths UNION ALL SELECT coalesce(max(id) + 1, 0) FROM paths")
	if err != nil {
		return err
	}
	r.firstPath, r.path = ends[0], slices.Repeat([]int32{-1}, int(ends[1]-ends[0]))
	rows, err := q.QueryContext(ctx, "SELECT id, name, arch, dir FROM names")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, dir int64
		var name, arch string
		if err := rows.Scan(&id, &name, &arch, &dir); err != nil {
			return err
		}
		r.group[id] = r.groupOf(name, arch, dirs[dir])
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if err := eachPath(ctx, q, func(id, dir int64, name, arch, base string) error {
		r.path[id-r.firstPath] = int32(r.groupOf(name, arch, dirs[dir]))
		return nil
	}); err != nil {
		return err
	}
	r.counts, r.lastSeen = make([]groupDay, len(r.all)), make([]int64, len(r.all))
	if r.name == "" {
		return nil
	}
	r.choose()
	return eachPath(ctx, q, func(id, dir int64, _, _, base string) error {
		if x := r.explained[int(r.path[id-r.firstPath])]; x != nil {
			x.files[id] = &FileShare{Path: dirs[dir] + "/" + base}
		}
		return nil
	})
}

// groupOf is the group of a name in a directory.
func (r *ranking) groupOf(name, arch, dir string) int {
	root, ok := r.rootOfDir[dir]
	if !ok {
		root = RootOf(dir, r.roots)
		r.rootOfDir[dir] = root
	}
	at := place{arch, root}
	p, ok := r.places[at]
	if !ok {
		p = len(r.places)
		r.places[at] = p
	}
	k := groupKey{name, p}
	g, ok := r.groups[k]
	if !ok {
		g = len(r.all)
		r.groups[k] = g
		r.all = append(r.all, Rank{Name: name, Arch: arch, Root: root})
	}
	return g
}

// addClosed adds what is left of a closed day.
func (r *ranking) addClosed(ctx context.Context, q queryer, day int64) error {
	rows, err := q.QueryContext(ctx, "SELECT name, clients, weight, requests, bytes, last_seen FROM days WHERE day = ?", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name int64
		var c dayCount
		if err := rows.Scan(&name, &c.clients, &c.weight, &c.requests, &c.bytes, &c.lastSeen); err != nil {
			return err
		}
		r.add(r.group[name], c)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows, err = q.QueryContext(ctx, "SELECT names, clients, weight FROM overlaps WHERE day = ?", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var list string
		var o overlap
		if err := rows.Scan(&list, &o.clients, &o.weight); err != nil {
			return err
		}
		ids, err := splitIDs(list)
		if err != nil {
			return err
		}
		// Counted in each directory: once too often for each further one that
		// turned out to have the same root.
		seen := map[int]bool{}
		for _, id := range ids {
			if g := r.group[id]; seen[g] {
				r.counts[g].clients -= o.clients
				r.counts[g].weight -= o.weight
			} else {
				seen[g] = true
			}
		}
	}
	return rows.Err()
}

// addClient adds what one client asked for on an open day.
func (r *ranking) addClient(day int64, list []asked, missing []uint64) error {
	r.client++
	scanner, each := scans(list, missing), weight(len(list), r.clientCap)
	for _, a := range list {
		g := -1
		if i := a.path - r.firstPath; i >= 0 && i < int64(len(r.path)) {
			g = int(r.path[i])
		}
		if g < 0 {
			return fmt.Errorf("path %d is not there: %w", a.path, ErrDamaged)
		}
		x := r.explained[g]
		first := r.counts[g].client != r.client
		r.counts[g].client = r.client
		if scanner {
			if x != nil && first {
				x.day(day).Scanners++
			}
			continue
		}
		c := dayCount{requests: 1, bytes: a.bytes, lastSeen: day*secondsPerDay + a.second}
		if first {
			c.clients, c.weight = 1, each
			if x != nil && each < oneClient {
				x.day(day).Capped++
			}
		}
		if x != nil {
			x.file(a.path, c)
		}
		r.add(g, c)
	}
	return nil
}

// add adds to a group's day.
func (r *ranking) add(g int, c dayCount) {
	d := &r.counts[g].dayCount
	if *d == (dayCount{}) {
		r.touched = append(r.touched, g)
	}
	d.clients += c.clients
	d.weight += c.weight
	d.requests += c.requests
	d.bytes += c.bytes
	d.lastSeen = max(d.lastSeen, c.lastSeen)
}

// endDay takes the day's clients into the scores.
func (r *ranking) endDay(day int64) {
	worth := math.Exp2(-float64(max(0, r.today-day)) / r.halfLife)
	for _, g := range r.touched {
		c, x := r.counts[g].dayCount, &r.all[g]
		r.counts[g].dayCount = dayCount{}
		score := float64(c.weight) / oneClient * worth
		x.Clients = max(x.Clients, int(c.clients))
		x.ClientDays += int(c.clients)
		x.Score += score
		x.Requests += int(c.requests)
		x.Bytes += c.bytes
		r.lastSeen[g] = max(r.lastSeen[g], c.lastSeen)
		if e := r.explained[g]; e != nil {
			d := e.day(day)
			d.Clients, d.Requests, d.Bytes = int(c.clients), int(c.requests), c.bytes
			d.Worth, d.Score = worth, score
		}
	}
	r.touched = r.touched[:0]
}

// sorted is the ranking.
func (r *ranking) sorted() []Rank {
	for g := range r.all {
		r.all[g].LastSeen = time.Unix(r.lastSeen[g], 0).UTC()
	}
	ranks := slices.DeleteFunc(r.all, func(x Rank) bool { return x.ClientDays == 0 })
	slices.SortFunc(ranks, func(a, b Rank) int {
		return cmp.Or(
			cmp.Compare(b.Score, a.Score), cmp.Compare(b.ClientDays, a.ClientDays),
			strings.Compare(a.Name, b.Name), strings.Compare(a.Arch, b.Arch), strings.Compare(a.Root, b.Root))
	})
	for i := range ranks {
		ranks[i].Rank = i + 1
	}
	if ranks == nil {
		ranks = []Rank{} // an empty array in JSON
	}
	return ranks
}
