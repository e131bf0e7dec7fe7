package popularity

import (
	"cmp"
	"context"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"
)

// maxCounters is how many goroutines count what one reads of the database: more
// would wait for it.
const maxCounters = 2

// dayCounts are a day's counts, or those of some of its clients. It is not for
// concurrent use.
type dayCounts struct {
	of      []groupDay // by group
	touched []int32    // the groups that have something
	client  uint32     // the number of the client being added
}

// groupDay is what a group has on a day. There is one for each group, and each
// request looks for its own: two of them fill a line of the processor's cache.
type groupDay struct {
	bytes, weight     int64
	clients, requests uint32
	second            int32  // of the day, of the newest request
	client            uint32 // the number of the last client that was counted in it
}

// add adds to a group's day.
func (c *dayCounts) add(g int32, more groupDay) {
	d := &c.of[g]
	if d.requests == 0 {
		c.touched = append(c.touched, g)
	}
	d.clients += more.clients
	d.weight += more.weight
	d.requests += more.requests
	d.bytes += more.bytes
	d.second = max(d.second, more.second)
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
		r.counts[0].add(r.group[name], groupDay{
			clients: uint32(c.clients), weight: c.weight, requests: uint32(c.requests), bytes: c.bytes, second: int32(c.lastSeen - day*secondsPerDay),
		})
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
		seen := map[int32]bool{}
		for _, id := range ids {
			if g := r.group[id]; seen[g] {
				d := &r.counts[0].of[g]
				d.clients -= uint32(o.clients)
				d.weight -= o.weight
			} else {
				seen[g] = true
			}
		}
	}
	return rows.Err()
}

// addOpen adds what clients asked for on an open day. The parts are read here, and
// counted side by side: whole numbers add up to the same in any order.
func (r *ranking) addOpen(ctx context.Context, q queryer, day int64) error {
	var counting errgroup.Group
	todo, free := make(chan []byte, 2*len(r.counts)), make(chan []byte, 2*len(r.counts))
	for i := range r.counts {
		free <- nil
		free <- nil
		counting.Go(func() (err error) {
			list, missing := make([]asked, 0, 256), make([]uint64, 0, maxMissing)
			for part := range todo {
				if err == nil {
					err = eachOf(part, list, missing, func(_ uint64, list []asked, missing []uint64) error {
						return r.addClient(&r.counts[i], day, list, missing)
					})
				}
				free <- part
			}
			return err
		})
	}
	err := eachPart(ctx, q, day, func(part []byte) error {
		todo <- append((<-free)[:0], part...)
		return nil
	})
	close(todo)
	return cmp.Or(err, counting.Wait())
}

// addClient adds what one client asked for on an open day.
func (r *ranking) addClient(counts *dayCounts, day int64, list []asked, missing []uint64) error {
	counts.client++
	scanner, each := scans(list, missing), weight(len(list), r.clientCap)
	for i := range list {
		a := &list[i]
		g := int32(-1)
		if i := a.path - r.firstPath; i >= 0 && i < int64(len(r.path)) {
			g = r.path[i]
		}
		if g < 0 {
			return fmt.Errorf("path %d is not there: %w", a.path, ErrDamaged)
		}
		d := &counts.of[g]
		first := d.client != counts.client
		d.client = counts.client
		if r.explained != nil {
			r.explainRequest(g, day, a, first, scanner, each)
		}
		if scanner {
			continue
		}
		if d.requests == 0 {
			counts.touched = append(counts.touched, g)
		}
		if first {
			d.clients++
			d.weight += each
		}
		d.requests++
		d.bytes += a.bytes
		d.second = max(d.second, int32(a.second))
	}
	return nil
}

// endDay takes the day's clients into the scores.
func (r *ranking) endDay(day int64) {
	sum := &r.counts[0]
	for i := range r.counts[1:] {
		part := &r.counts[1+i]
		for _, g := range part.touched {
			sum.add(g, part.of[g])
			part.of[g] = groupDay{}
		}
		part.touched = part.touched[:0]
	}
	worth := math.Exp2(-float64(max(0, r.today-day)) / r.halfLife)
	for _, g := range sum.touched {
		c, x := sum.of[g], &r.all[g]
		sum.of[g] = groupDay{}
		score := float64(c.weight) / oneClient * worth
		x.clients = max(x.clients, int64(c.clients))
		x.clientDays += int64(c.clients)
		x.score += score
		x.requests += int64(c.requests)
		x.bytes += c.bytes
		x.lastSeen = max(x.lastSeen, day*secondsPerDay+int64(c.second))
		if e := r.explained[g]; e != nil {
			d := e.day(day)
			d.Clients, d.Requests, d.Bytes = int(c.clients), int(c.requests), c.bytes
			d.Worth, d.Score = worth, score
		}
	}
	sum.touched = sum.touched[:0]
}
