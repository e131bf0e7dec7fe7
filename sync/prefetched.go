package sync

import (
	"cmp"
	"slices"
	"time"
)

const (
	// idleVersions is after how many versions that nobody fetched a name rests.
	idleVersions = 3
	// wastedAfter is after how long a prefetched package that nobody came for
	// counts as wasted, though no newer one has followed.
	wastedAfter = 30 * 24 * time.Hour
	// rememberedFor is how long a prefetched package is remembered.
	rememberedFor = 365 * 24 * time.Hour
)

// Worth is what became of the packages that were prefetched within a year, in
// bytes of packages.
type Worth struct {
	Used    int64 // a client came for it
	Wasted  int64 // nobody did, and a newer version has followed, or a month
	Waiting int64 // nobody did yet
}

// prefetched is a package that was brought ahead of any client.
type prefetched struct {
	PackageName
	path   string
	source Reason
	size   int64
	at     time.Time
	used   bool
	last   time.Time // the beginning of the last day on which a client came for it
}

// brought remembers that an item was prefetched.
func (h *history) brought(it Item, at time.Time) error {
	why := string(it.Reason)
	if it.Because != "" {
		why += ": " + it.Because
	}
	_, err := h.db.Exec(`INSERT INTO prefetched (path, name, arch, root, size, at, source, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
		ON CONFLICT (path) DO UPDATE SET size = ?5, at = ?6, source = ?7, reason = ?8, used = 0`,
		it.Path, it.Name, it.Arch, it.Root, it.Size, at.Unix(), it.Source, why)
	if err == nil {
		// What the last settled run knew of prefetched packages is not all any more.
		_, err = h.db.Exec(`DELETE FROM settled`)
	}
	return err
}

// use remembers what of the prefetched clients came for: asked has the day, by
// path, on which they last did.
func (h *history) use(asked map[string]time.Time) error {
	rows, err := h.db.Query(`SELECT path, at, used FROM prefetched`)
	if err != nil {
		return err
	}
	defer rows.Close()
	used := map[string]time.Time{}
	for rows.Next() {
		var path string
		var at, last int64
		if err := rows.Scan(&path, &at, &last); err != nil {
			return err
		}
		// Who asked for it before it was here did so elsewhere. Which of the two
		// came first on the day itself isn't known.
		if day, ok := asked[path]; ok && day.Unix() > last && !day.Before(time.Unix(at, 0).UTC().Truncate(24*time.Hour)) {
			used[path] = day
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	tx, err := h.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it has nothing to do
	for path, day := range used {
		if _, err := tx.Exec(`UPDATE prefetched SET used = ? WHERE path = ?`, day.Unix(), path); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// versions lists what was prefetched, name by name, the latest of each first.
func (h *history) versions() ([][]prefetched, error) {
	rows, err := h.db.Query(`SELECT path, name, arch, root, source, size, at, used FROM prefetched`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	of := map[PackageName][]prefetched{}
	for rows.Next() {
		var p prefetched
		var at, used int64
		if err := rows.Scan(&p.path, &p.Name, &p.Arch, &p.Root, &p.source, &p.size, &at, &used); err != nil {
			return nil, err
		}
		p.at, p.used, p.last = time.Unix(at, 0), used != 0, time.Unix(used, 0)
		of[p.PackageName] = append(of[p.PackageName], p)
	}
	var all [][]prefetched
	for _, list := range of {
		slices.SortFunc(list, func(a, b prefetched) int { return b.at.Compare(a.at) })
		all = append(all, list)
	}
	return all, rows.Err()
}

// idle lists the names whose last versions nobody came for, for Budget.Idle.
func idle(all [][]prefetched) map[PackageName]time.Time {
	in := map[PackageName]time.Time{}
	for _, list := range all {
		if since, ok := idleSince(list); ok {
			in[list[0].PackageName] = since
		}
	}
	return in
}

// idleSince says whether nobody came for the last prefetched versions of a name,
// the latest first, and when the first of these came.
func idleSince(list []prefetched) (since time.Time, ok bool) {
	if len(list) < idleVersions || slices.ContainsFunc(list[:idleVersions], func(p prefetched) bool { return p.used }) {
		return time.Time{}, false
	}
	return list[idleVersions-1].at, true
}

// worthQuery is judge in SQL: each run asks for it, also one that finds nothing to do,
// and there may be thousands of packages. ?1 is when the oldest of those came that are
// not wasted for their age.
const worthQuery = `SELECT source,
	sum(used != 0), sum(used = 0 AND vain), sum(used = 0 AND NOT vain),
	sum((used != 0) * size), sum((used = 0 AND vain) * size), sum((used = 0 AND NOT vain) * size)
	FROM (SELECT source, used, size, at < ?1 OR at < max(at) OVER (PARTITION BY name, arch, root) AS vain FROM prefetched)
	GROUP BY source ORDER BY source`

// worth sums up what became of all that was prefetched, by source, and forgets what
// is long past.
func (h *history) worth(now time.Time) ([]SourceWorth, error) {
	if _, err := h.db.Exec(`DELETE FROM prefetched WHERE at < ?`, now.Add(-rememberedFor).Unix()); err != nil {
		return nil, err
	}
	// Times are kept in whole seconds.
	young := now.Add(-wastedAfter)
	if young.Nanosecond() > 0 {
		young = young.Add(time.Second)
	}
	rows, err := h.db.Query(worthQuery, young.Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sources := []SourceWorth{} // an empty array in JSON
	for rows.Next() {
		var s SourceWorth
		if err := rows.Scan(&s.Source, &s.Used, &s.Wasted, &s.Waiting, &s.UsedBytes, &s.WastedBytes, &s.WaitingBytes); err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, rows.Err()
}

// streamKept is how long after its last request a module's stream counts as used.
const streamKept = 180 * 24 * time.Hour

// saw remembers that clients asked for these streams of the root's modules.
func (h *history) saw(root string, streams []ModuleStream, at time.Time) error {
	for _, s := range streams {
		if _, err := h.db.Exec(`INSERT INTO stream (root, module, stream, seen) VALUES (?1, ?2, ?3, ?4)
			ON CONFLICT DO UPDATE SET seen = max(seen, ?4)`, root, s.Module, s.Stream, at.Unix()); err != nil {
			return err
		}
	}
	return nil
}

// streams are those of the root's modules that clients use; what nobody, of any root, has
// used for long is forgotten.
func (h *history) streams(root string, now time.Time) ([]ModuleStream, error) {
	// Twice as long, so that a clock which was ahead for a while costs nothing.
	if _, err := h.db.Exec(`DELETE FROM stream WHERE seen < ?`, now.Add(-2*streamKept).Unix()); err != nil {
		return nil, err
	}
	rows, err := h.db.Query(`SELECT module, stream FROM stream WHERE root = ? AND seen > ?`, root, now.Add(-streamKept).Unix())
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []ModuleStream
	for rows.Next() {
		var s ModuleStream
		if err := rows.Scan(&s.Module, &s.Stream); err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b ModuleStream) int {
		return cmp.Or(cmp.Compare(a.Module, b.Module), cmp.Compare(a.Stream, b.Stream))
	})
	return all, rows.Err()
}
