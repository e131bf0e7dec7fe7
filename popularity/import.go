package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"io"
	"slices"
	"time"
)

// Imported is what one Import has taken in.
type Imported struct {
	Node     string    `json:"node"`      // whose counts they are
	Made     time.Time `json:"made"`      // UTC
	Days     int       `json:"days"`      // open days that they have
	Requests int64     `json:"requests"`  // distinct (client, day, path) that were new
	Past     int       `json:"past"`      // closed days whose numbers were taken over
	NewRoots []string  `json:"new_roots"` // roots that were not known before
	// Late is the days, UTC, of which they have clients, and that are closed here: these
	// clients were counted before, or do not count.
	Late []time.Time `json:"late"`
}

// Import takes in what another database of the group has written by Export, all of
// it or, after an error, nothing. To take in the same once more, or what is older,
// changes nothing. r is read from its beginning, twice.
func (s *Store) Import(ctx context.Context, r io.ReadSeeker) (Imported, error) {
	if s.group == nil {
		return Imported{}, fmt.Errorf("import counts: %w", ErrNoGroup)
	}
	s.one.Lock()
	defer s.one.Unlock()
	head, err := s.verify(r)
	if err != nil {
		return Imported{}, err
	}
	done := Imported{Node: head.Node, Made: time.Unix(head.Made, 0).UTC(), NewRoots: []string{}, Late: []time.Time{}}
	if err := s.closeDays(ctx); err != nil {
		return done, s.explain("close days in", err)
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return done, s.explain("write", err)
	}
	defer tx.Rollback()
	m := &importer{s: s, ctx: ctx, tx: tx, now: s.opt.Clock().Unix(), w: writer{s: s, free: newChunkPool()}, done: &done}
	if err := m.begin(); err != nil {
		return done, s.explain("read", err)
	}
	if err = eachCount(r, m.line); err == nil {
		err = m.flush()
	}
	if err == nil {
		// No day waits for its own database, nor for a copy of it.
		_, err = tx.ExecContext(ctx, `INSERT INTO members (node, made) SELECT ?1, ?2 WHERE ?1 <> (SELECT node FROM meta)
			ON CONFLICT DO UPDATE SET made = max(made, excluded.made)`, head.Node, min(head.Made, m.now))
	}
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return done, s.explain("import counts into", err)
	}
	return done, nil
}

// dayState is what the database had of a day before the Import.
type dayState struct{ open, closed bool }

// importer is one Import after its counts were verified.
type importer struct {
	s    *Store
	ctx  context.Context
	tx   *sql.Tx
	now  int64
	w    writer
	days map[int64]dayState
	done *Imported

	oldest int64 // closed day that would not be forgotten at once

	// By their numbers in the counts.
	dirs  []string
	paths []pathInfo
	names []countsName
	ids   []int64 // of names in the database; 0: not known yet

	day   int64
	take  bool // what belongs to day is taken in
	job   *job
	taken int // requests in it
}

// begin looks at what there is.
func (m *importer) begin() error {
	m.days, m.job = map[int64]dayState{}, newImportJob()
	open, err := column[int64](m.ctx, m.tx, "SELECT day FROM open_days")
	if err != nil {
		return err
	}
	for _, day := range open {
		m.days[day] = dayState{open: true}
	}
	closed, err := column[int64](m.ctx, m.tx, "SELECT DISTINCT day FROM days")
	for _, day := range closed {
		m.days[day] = dayState{open: m.days[day].open, closed: true}
		m.oldest = max(m.oldest, day-keepDays)
	}
	return err
}

func newImportJob() *job { return &job{again: true} }

// line takes in a line.
func (m *importer) line(l *countsLine) error {
	switch {
	case l.Root != nil:
		return m.root(l.Root)
	case l.Dir != nil:
		if clean, ok := cleanPath("/" + *l.Dir); !ok || clean != *l.Dir {
			return wrong("no directory", *l.Dir)
		}
		m.dirs = append(m.dirs, *l.Dir)
	case l.Path != nil:
		return m.path(l.Path)
	case l.Name != nil:
		if l.Name.Dir < 0 || l.Name.Dir >= len(m.dirs) || l.Name.Name == "" {
			return wrong("no name", *l.Name)
		}
		m.names, m.ids = append(m.names, *l.Name), append(m.ids, 0)
	case l.Open != nil:
		if m.day = *l.Open; !m.plausible() {
			return wrong("an absurd day", m.day)
		}
		if m.take = !m.days[m.day].closed; m.take {
			m.done.Days++
		} else {
			m.done.Late = append(m.done.Late, time.Unix(m.day*secondsPerDay, 0).UTC())
		}
	case l.Client != nil:
		return m.client(l.Client)
	case l.Closed != nil:
		if m.day = *l.Closed; !m.plausible() {
			return wrong("an absurd day", m.day)
		}
		if m.take = m.days[m.day] == (dayState{}) && m.day >= m.oldest; m.take {
			m.done.Past++
		}
	case l.Number != nil:
		return m.number(l.Number)
	case l.Overlap != nil:
		return m.overlap(l.Overlap)
	}
	return nil
}

func wrong(what string, v any) error { return fmt.Errorf("%w: %s: %v", ErrCounts, what, v) }

// plausible reports whether the day is one that a log may have.
func (m *importer) plausible() bool {
	latest := m.s.opt.Clock().Add(maxAhead).Unix()
	return m.day >= dayOf(earliest) && m.day <= dayOf(latest)
}

func (m *importer) root(r *countsRoot) error {
	if clean, ok := cleanPath("/" + r.Root); !ok || clean != r.Root {
		return wrong("no root", r.Root)
	}
	m.job.roots = append(m.job.roots, rootInfo{r.Root, r.First, r.Last})
	return nil
}

func (m *importer) path(p *countsPath) error {
	if p.Dir < 0 || p.Dir >= len(m.dirs) {
		return wrong("no path", *p)
	}
	dir := m.dirs[p.Dir]
	if clean, ok := cleanPath("/" + dir + "/" + p.Base); !ok || clean != dir+"/"+p.Base {
		return wrong("no path", p.Base)
	}
	if _, _, ok := packageName(dir, p.Base); !ok {
		return wrong("no package's file name", p.Base)
	}
	m.paths = append(m.paths, pathInfo{uint32(p.Dir), p.Base})
	return nil
}

// client takes in what a client asked for.
func (m *importer) client(c *countsClient) error {
	if !m.take {
		return nil
	}
	list, err := decodeAsked(nil, c.Asked)
	if err != nil {
		return wrong("a client's requests", err)
	}
	missing, err := decodeMissing(nil, c.Missing)
	if err != nil {
		return wrong("what a client missed", err)
	}
	for {
		// More than a job takes goes on in the next one.
		n := min(len(list), m.s.limit)
		d, client := m.requests(), uint32(len(m.job.clients))
		for _, a := range list[:n] {
			if a.path < 1 || a.path > int64(len(m.paths)) || a.bytes < 0 || a.second < 0 || a.second >= secondsPerDay {
				return wrong("a client's request", a)
			}
			d.add(newRecord(client, uint32(a.path-1), a.second, a.bytes), m.w.free)
		}
		m.job.clients = append(m.job.clients, uint64(c.Hash))
		if len(missing) > 0 {
			d.missing[client] = missing
		}
		if m.taken += n; m.taken >= m.s.limit || len(m.job.clients) >= m.s.limit {
			if err := m.flush(); err != nil {
				return err
			}
		}
		if list = list[n:]; len(list) == 0 {
			return nil
		}
	}
}

// requests are the job's of the day.
func (m *importer) requests() *dayRequests {
	j := m.job
	i, there := slices.BinarySearchFunc(j.days, int32(m.day), func(d *dayRequests, day int32) int { return cmp.Compare(d.day, day) })
	if !there {
		j.days = slices.Insert(j.days, i, &dayRequests{day: int32(m.day), missing: map[uint32][]uint64{}})
	}
	return j.days[i]
}

// flush writes what has gathered.
func (m *importer) flush() error {
	j := m.job
	m.job, m.taken = newImportJob(), 0
	j.dirs, j.paths = m.dirs, m.paths
	if err := m.w.write(m.ctx, m.tx, j, m.now); err != nil {
		return err
	}
	m.done.Requests += j.added
	m.done.NewRoots = append(m.done.NewRoots, j.newRoots...)
	return nil
}

// nameID is the id that a name has in the database.
func (m *importer) nameID(number int) (int64, error) {
	if number < 0 || number >= len(m.names) {
		return 0, wrong("no name's number", number)
	}
	if m.ids[number] != 0 {
		return m.ids[number], nil
	}
	n := &m.names[number]
	dir, err := dirID(m.ctx, m.tx, m.dirs[n.Dir])
	if err != nil {
		return 0, err
	}
	err = m.tx.QueryRowContext(m.ctx, `INSERT INTO names (name, arch, dir) VALUES (?, ?, ?)
		ON CONFLICT DO UPDATE SET name = name RETURNING id`, n.Name, n.Arch, dir).Scan(&m.ids[number])
	return m.ids[number], err
}

func (m *importer) number(n *countsNumber) error {
	if !m.take {
		return nil
	}
	if n.Clients < 0 || n.Weight < 0 || n.Requests < 0 || n.Bytes < 0 {
		return wrong("numbers", *n)
	}
	id, err := m.nameID(n.Name)
	if err != nil {
		return err
	}
	_, err = m.tx.ExecContext(m.ctx, "INSERT INTO days (day, name, clients, weight, requests, bytes, last_seen) VALUES (?, ?, ?, ?, ?, ?, ?)",
		m.day, id, n.Clients, n.Weight, n.Requests, n.Bytes, n.LastSeen)
	return err
}

func (m *importer) overlap(o *countsOverlap) error {
	if !m.take {
		return nil
	}
	var ids []int64
	for _, n := range o.Names {
		id, err := m.nameID(n)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	_, err := m.tx.ExecContext(m.ctx, "INSERT INTO overlaps (day, names, clients, weight) VALUES (?, ?, ?, ?)", m.day, joinIDs(ids), o.Clients, o.Weight)
	return err
}
