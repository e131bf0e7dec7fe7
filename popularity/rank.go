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
// after halfLife; a day's age is in whole UTC days before the clock's. What is
// equal in score and client-days is ordered by name, arch and root.
func (s *Store) Rank(ctx context.Context, halfLife time.Duration) ([]Rank, error) {
	if halfLife <= 0 {
		return nil, fmt.Errorf("rank: the half-life must be positive, not %v", halfLife)
	}
	r := &ranking{
		today: dayOf(s.opt.Clock().Unix()), halfLife: halfLife.Hours() / 24,
		group: map[int64]int{}, path: map[int64]int{},
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

// rootOf is the root of a package in the directory dir: the longest known root
// at or above it. Without one it is what is above the last directory called
// Packages or pool, and without that dir itself.
func rootOf(dir string, roots map[string]bool) string {
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
	today    int64
	halfLife float64 // days

	all   []Rank
	group map[int64]int // of a name's id
	path  map[int64]int // the group of a path's id

	// Of the day being added up, by group.
	clients []int
	touched []int
	// The last client that was counted in a group, by number.
	last   []int
	client int
}

func (r *ranking) read(ctx context.Context, q queryer) error {
	if err := r.readGroups(ctx, q); err != nil {
		return err
	}
	rows, err := q.QueryContext(ctx, "SELECT id, name FROM paths")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var path, name int64
		if err := rows.Scan(&path, &name); err != nil {
			return err
		}
		r.path[path] = r.group[name]
	}
	if err := rows.Err(); err != nil {
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
		if err := eachClient(ctx, q, day, r.addClient); err != nil {
			return err
		}
		r.endDay(day)
	}
	return nil
}

// readGroups finds the group of each name.
func (r *ranking) readGroups(ctx context.Context, q queryer) error {
	list, err := column[string](ctx, q, "SELECT root FROM roots")
	if err != nil {
		return err
	}
	roots := make(map[string]bool, len(list))
	for _, root := range list {
		roots[root] = true
	}
	type key struct{ name, arch, root string }
	groups := map[key]int{}
	rootOfDir := map[string]string{}
	rows, err := q.QueryContext(ctx, "SELECT id, name, arch, dir, last_seen FROM names")
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var id, seen int64
		var k key
		var dir string
		if err := rows.Scan(&id, &k.name, &k.arch, &dir, &seen); err != nil {
			return err
		}
		root, ok := rootOfDir[dir]
		if !ok {
			root = rootOf(dir, roots)
			rootOfDir[dir] = root
		}
		k.root = root
		g, ok := groups[k]
		if !ok {
			g = len(r.all)
			groups[k] = g
			r.all = append(r.all, Rank{Name: k.name, Arch: k.arch, Root: k.root})
		}
		r.group[id] = g
		if t := time.Unix(seen, 0).UTC(); t.After(r.all[g].LastSeen) {
			r.all[g].LastSeen = t
		}
	}
	r.clients, r.last = make([]int, len(r.all)), make([]int, len(r.all))
	return rows.Err()
}

// addClosed adds what is left of a closed day.
func (r *ranking) addClosed(ctx context.Context, q queryer, day int64) error {
	rows, err := q.QueryContext(ctx, "SELECT name, clients, requests, bytes FROM days WHERE day = ?", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var name int64
		var c dayCount
		if err := rows.Scan(&name, &c.clients, &c.requests, &c.bytes); err != nil {
			return err
		}
		g := r.group[name]
		r.addClients(g, int(c.clients))
		r.all[g].Requests += int(c.requests)
		r.all[g].Bytes += c.bytes
	}
	if err := rows.Err(); err != nil {
		return err
	}
	rows, err = q.QueryContext(ctx, "SELECT names, clients FROM overlaps WHERE day = ?", day)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var list string
		var clients int
		if err := rows.Scan(&list, &clients); err != nil {
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
				r.clients[g] -= clients
			} else {
				seen[g] = true
			}
		}
	}
	return rows.Err()
}

// addClient adds what one client asked for on an open day.
func (r *ranking) addClient(list []asked) error {
	r.client++
	for _, a := range list {
		g, ok := r.path[a.path]
		if !ok {
			return fmt.Errorf("path %d is not there: %w", a.path, ErrDamaged)
		}
		if r.last[g] != r.client {
			r.last[g] = r.client
			r.addClients(g, 1)
		}
		r.all[g].Requests++
		r.all[g].Bytes += a.bytes
	}
	return nil
}

func (r *ranking) addClients(g, n int) {
	if r.clients[g] == 0 {
		r.touched = append(r.touched, g)
	}
	r.clients[g] += n
}

// endDay takes the day's clients into the scores.
func (r *ranking) endDay(day int64) {
	worth := math.Exp2(-float64(max(0, r.today-day)) / r.halfLife)
	for _, g := range r.touched {
		n := r.clients[g]
		r.clients[g] = 0
		r.all[g].Clients = max(r.all[g].Clients, n)
		r.all[g].ClientDays += n
		r.all[g].Score += float64(n) * worth
	}
	r.touched = r.touched[:0]
}

// sorted is the ranking.
func (r *ranking) sorted() []Rank {
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
