package sync

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"time"
)

// arrivedFor is how long a name counts as new in its repositories.
const arrivedFor = 30 * 24 * time.Hour

// Arrivals are the names that are new in the repositories of a group.
type Arrivals map[arrival]bool

type arrival struct{ group, name string }

func (a Arrivals) has(g *group, name string) bool {
	return len(a) > 0 && a[arrival{g.place.String(), name}]
}

// familiar are the names that companion roots have had so far, by group: what comes
// to them is new. It does not hold a name twice that goes and comes back.
type familiar map[string]*familiarNames

// familiarNames are those of one group.
type familiarNames struct {
	roots   map[string]bool
	names   []uint64         // hashes, sorted: in vain is fetched at worst what has the same one
	arrived map[string]int64 // the new ones, with when they came in Unix seconds
}

// look takes notice of what x has at that time. What a root brings that was not there
// before is no news. It returns the groups that have changed.
func (f familiar) look(x *Index, at time.Time) (changed []string) {
	roots := make([]map[string]bool, len(x.groups))
	for g := range roots {
		roots[g] = map[string]bool{}
	}
	for _, r := range x.roots {
		for _, g := range x.groupsOf(r.root) {
			roots[g][r.root] = true
		}
	}
	names := make([]map[uint64]symbol, len(x.groups))
	for g := range names {
		names[g] = map[uint64]symbol{}
	}
	for p := range x.pkgs {
		if k := &x.pkgs[p]; p == 0 || k.name != x.pkgs[p-1].name || k.in != x.pkgs[p-1].in {
			h := hashName(x.syms.text(k.name))
			for _, g := range x.sets[k.in] {
				names[g][h] = k.name
			}
		}
	}
	for g := range x.groups {
		id := x.groups[g].place.String()
		old := f[id]
		if old == nil {
			old = &familiarNames{roots: map[string]bool{}, arrived: map[string]int64{}}
			f[id] = old
		}
		if old.add(x, roots[g], names[g], at) {
			changed = append(changed, id)
		}
	}
	return changed
}

// add adds roots and the names that they have, and reports whether anything changed.
func (n *familiarNames) add(x *Index, roots map[string]bool, names map[uint64]symbol, at time.Time) (changed bool) {
	news := true
	for r := range roots {
		if !n.roots[r] {
			n.roots[r], news, changed = true, false, true
		}
	}
	for name, came := range n.arrived {
		if at.Sub(time.Unix(came, 0)) > arrivedFor {
			delete(n.arrived, name)
			changed = true
		}
	}
	before := n.names
	for h, name := range names {
		if _, ok := slices.BinarySearch(before, h); ok {
			continue
		}
		changed = true
		n.names = append(n.names, h)
		if news {
			n.arrived[x.syms.text(name)] = at.Unix()
		}
	}
	slices.Sort(n.names)
	return changed
}

// arrivals are the names that are new.
func (f familiar) arrivals() Arrivals {
	all := Arrivals{}
	for id, n := range f {
		for name := range n.arrived {
			all[arrival{id, name}] = true
		}
	}
	return all
}

func hashName(name string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	return h.Sum64()
}

// familiar is what was remembered of the repositories' names.
func (h *history) familiar() (familiar, error) {
	rows, err := h.db.Query(`SELECT place, roots, names, arrived FROM familiar`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	f := familiar{}
	for rows.Next() {
		var id string
		var roots, names, arrived []byte
		if err := rows.Scan(&id, &roots, &names, &arrived); err != nil {
			return nil, err
		}
		n := &familiarNames{roots: map[string]bool{}, arrived: map[string]int64{}}
		var list []string
		if err := json.Unmarshal(roots, &list); err != nil {
			return nil, fmt.Errorf("the roots of %q: %w", id, err)
		}
		for _, r := range list {
			n.roots[r] = true
		}
		if err := json.Unmarshal(arrived, &n.arrived); err != nil {
			return nil, fmt.Errorf("the new names of %q: %w", id, err)
		}
		for ; len(names) >= 8; names = names[8:] {
			n.names = append(n.names, binary.LittleEndian.Uint64(names))
		}
		f[id] = n
	}
	return f, rows.Err()
}

// meet remembers what x has, and returns the names that are new.
func (h *history) meet(x *Index, at time.Time) (Arrivals, error) {
	f, err := h.familiar()
	if err != nil {
		return nil, err
	}
	for _, id := range f.look(x, at) {
		n := f[id]
		roots, err := json.Marshal(slices.Sorted(maps.Keys(n.roots)))
		if err != nil {
			return nil, err
		}
		arrived, err := json.Marshal(n.arrived)
		if err != nil {
			return nil, err
		}
		names := make([]byte, 0, 8*len(n.names))
		for _, v := range n.names {
			names = binary.LittleEndian.AppendUint64(names, v)
		}
		if _, err := h.db.Exec(`INSERT INTO familiar (place, roots, names, arrived) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT (place) DO UPDATE SET roots = ?2, names = ?3, arrived = ?4`, id, roots, names, arrived); err != nil {
			return nil, err
		}
	}
	return f.arrivals(), nil
}
