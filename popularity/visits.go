package popularity

import (
	"cmp"
	"slices"
)

// visit is what a client asked for on a day.
type visit struct {
	client  uint64 // as the database has it
	index   uint32 // in job.clients
	records []record
}

// visits puts the requests of a day together by client, as the database sorts
// clients. They are the writer's until the next call.
func (w *writer) visits(j *job, d *dayRequests) []visit {
	w.counts = append(w.counts, make([]uint32, max(0, len(j.clients)-len(w.counts)))...)
	visits, total := w.visited[:0], 0
	for _, c := range d.records {
		for i := range c {
			n := &w.counts[c[i].client]
			if *n == 0 {
				visits = append(visits, visit{index: c[i].client})
			}
			*n++
		}
		total += len(c)
	}
	for client := range d.missing {
		if w.counts[client] == 0 {
			visits = append(visits, visit{index: client})
		}
	}
	for i := range visits {
		visits[i].client = j.hash(visits[i].index, d.day)
	}
	slices.SortFunc(visits, func(x, y visit) int { return cmp.Compare(x.client, y.client) })
	w.records = slices.Grow(w.records[:0], total)[:total]
	next := uint32(0)
	for i := range visits {
		v := &visits[i]
		n := &w.counts[v.index]
		v.records = w.records[next : next+*n]
		next, *n = next+*n, next
	}
	for _, c := range d.records {
		for i := range c {
			n := &w.counts[c[i].client]
			w.records[*n] = c[i]
			*n++
		}
	}
	for i := range visits {
		w.counts[visits[i].index] = 0
	}
	d.release(w.free)
	w.visited = visits
	return visits
}

// hash is a client as the database has it on a day.
func (j *job) hash(client uint32, day int32) uint64 {
	h := j.clients[client]
	if j.group != nil {
		h = j.group.client(h, int64(day))
	}
	return h
}

// recordBits hold the place of a record among those of a visit, of which there are
// no more than batchRequests. What they leave of 64 is enough for every id that a
// path gets.
const recordBits = 20

// asked appends to list what records ask for, ordered by path and each path once.
func (w *writer) asked(list []asked, records []record) []asked {
	// Numbers are sorted several times as fast as what they stand for.
	order := w.order[:0]
	for i := range records {
		order = append(order, uint64(w.pathIDs[records[i].path])<<recordBits|uint64(i))
	}
	slices.Sort(order)
	w.order = order
	for _, o := range order {
		r := &records[o&(1<<recordBits-1)]
		a := asked{int64(o >> recordBits), r.bytes(), r.second()}
		if n := len(list); n > 0 && list[n-1].path == a.path {
			list[n-1].merge(a)
			continue
		}
		list = append(list, a)
	}
	return list
}
