package popularity

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math"

	"golang.org/x/sync/errgroup"
)

// The paths of the open days lie in lists, many to a row of the database, in the order
// of their ids: for each the difference to the id before it, the number of its
// directory in the list, the directory itself where the number is new, and its name
// there. Numbers are varints, and a string has its length before it. Nothing looks for
// one path alone, and the way to SQLite and back costs several times what a path does.

// pathListBytes is how long a list gets.
const pathListBytes = 64 << 10

// pathWriter writes lists. flush must be called at the end.
type pathWriter struct {
	ctx         context.Context
	tx          *sql.Tx
	list        []byte
	first, last int64 // ids in list
	dirs        map[string]uint64
}

func newPathWriter(ctx context.Context, tx *sql.Tx) *pathWriter {
	return &pathWriter{ctx: ctx, tx: tx, dirs: map[string]uint64{}}
}

// add adds a path, whose id is higher than that of the one before.
func (w *pathWriter) add(id int64, dir, base string) error {
	if len(w.list) == 0 {
		w.first, w.last = id, id
	}
	w.list = binary.AppendUvarint(w.list, uint64(id-w.last))
	number, known := w.dirs[dir]
	if !known {
		number = uint64(len(w.dirs))
		w.dirs[dir] = number
	}
	w.list = binary.AppendUvarint(w.list, number)
	if !known {
		w.list = appendString(w.list, dir)
	}
	w.list = appendString(w.list, base)
	w.last = id
	if len(w.list) >= pathListBytes {
		return w.flush()
	}
	return nil
}

// flush writes the list that has gathered.
func (w *pathWriter) flush() error {
	if len(w.list) == 0 {
		return nil
	}
	if _, err := w.tx.ExecContext(w.ctx, "INSERT INTO paths (first, last, list) VALUES (?, ?, ?)", w.first, w.last, w.list); err != nil {
		return fmt.Errorf("write paths: %w", err)
	}
	w.list = w.list[:0]
	clear(w.dirs)
	return nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// storedPath is a path as the database has it.
type storedPath struct {
	id   int64
	dir  *storedDir
	base string
}

// storedDir is a directory of a pathReader, of which each has one. Its number is how many
// came before it.
type storedDir struct {
	path   string
	number int
}

// pathReader reads lists.
type pathReader struct{ dirs map[string]*storedDir }

// read calls fn for each path of a list, whose lowest id is first.
func (r *pathReader) read(first int64, list string, fn func(storedPath) error) error {
	if r.dirs == nil {
		r.dirs = map[string]*storedDir{}
	}
	in := pathScanner{rest: list}
	var dirs []*storedDir // of the list
	for id := first; len(in.rest) > 0; {
		more, number := in.number(), in.number()
		if number == uint64(len(dirs)) {
			path := in.text()
			d := r.dirs[path]
			if d == nil {
				d = &storedDir{path, len(r.dirs)}
				r.dirs[path] = d
			}
			dirs = append(dirs, d)
		}
		base := in.text()
		if in.short || number >= uint64(len(dirs)) || more > uint64(math.MaxInt64-id) {
			return fmt.Errorf("the list of paths from %d on ends too early: %w", first, ErrDamaged)
		}
		id += int64(more)
		if err := fn(storedPath{id, dirs[number], base}); err != nil {
			return err
		}
	}
	return nil
}

// pathScanner takes numbers and strings from the front of a list.
type pathScanner struct {
	rest  string
	short bool // it was too short
}

func (s *pathScanner) number() (n uint64) {
	for i := 0; i < len(s.rest) && i < binary.MaxVarintLen64; i++ {
		c := s.rest[i]
		n |= uint64(c&0x7f) << (7 * i)
		if c < 0x80 {
			s.rest = s.rest[i+1:]
			return n
		}
	}
	s.short, s.rest = true, ""
	return 0
}

func (s *pathScanner) text() string {
	n := s.number()
	if n > uint64(len(s.rest)) {
		s.short, s.rest = true, ""
		return ""
	}
	text := s.rest[:n]
	s.rest = s.rest[n:]
	return text
}

// eachPath calls fn for each path of the open days, in the order of their ids.
func eachPath(ctx context.Context, q queryer, fn func(storedPath) error) error {
	var in pathReader
	return each(ctx, q, "SELECT first, list FROM paths ORDER BY first", nil, func(rows *sql.Rows) error {
		var first int64
		var list string
		if err := rows.Scan(&first, &list); err != nil {
			return err
		}
		return in.read(first, list, fn)
	})
}

// name is what the path's file name says.
func (p *storedPath) name() (name, arch string, err error) {
	name, arch, ok := packageName(p.dir.path, p.base)
	if !ok {
		return "", "", fmt.Errorf("path %q of %q: %w", p.base, p.dir.path, ErrDamaged)
	}
	return name, arch, nil
}

// namedPath is a path with what its file name says.
type namedPath struct {
	storedPath
	name, arch string
}

// namedAtOnce is how many paths eachNamed hands over together.
const namedAtOnce = 1024

// eachNamed calls fn for each path of the open days, in the order of their ids. While it
// does, the next ones are read and their names taken apart.
func eachNamed(ctx context.Context, q queryer, fn func(*namedPath) error) error {
	const ahead = 3
	full, free := make(chan []namedPath, ahead), make(chan []namedPath, ahead)
	for range ahead {
		free <- make([]namedPath, 0, namedAtOnce)
	}
	var reading errgroup.Group
	reading.Go(func() error {
		defer close(full)
		some := <-free
		err := eachPath(ctx, q, func(p storedPath) error {
			name, arch, err := p.name()
			if err != nil {
				return err
			}
			if some = append(some, namedPath{p, name, arch}); len(some) == namedAtOnce {
				full <- some
				some = <-free
			}
			return nil
		})
		full <- some
		return err
	})
	var err error
	for some := range full {
		for i := range some {
			if err != nil {
				break // what is still read is of no use
			}
			err = fn(&some[i])
		}
		free <- some[:0]
	}
	return cmp.Or(err, reading.Wait())
}

// keepPaths deletes the paths that are not to be kept.
func keepPaths(ctx context.Context, tx *sql.Tx, keep func(id int64) bool) error {
	lists, err := column[int64](ctx, tx, "SELECT first FROM paths ORDER BY first")
	if err != nil {
		return err
	}
	var in pathReader
	out := newPathWriter(ctx, tx)
	for _, first := range lists {
		// What is written before the next one is read has lower ids than that.
		var list string
		if err := tx.QueryRowContext(ctx, "DELETE FROM paths WHERE first = ? RETURNING list", first).Scan(&list); err != nil {
			return err
		}
		if err := in.read(first, list, func(p storedPath) error {
			if !keep(p.id) {
				return nil
			}
			return out.add(p.id, p.dir.path, p.base)
		}); err != nil {
			return err
		}
	}
	return out.flush()
}

// writePaths sees to it that the paths of the job's records have ids.
func (w *writer) writePaths(ctx context.Context, tx *sql.Tx, j *job) error {
	var epoch, next int64
	if err := tx.QueryRowContext(ctx, "SELECT epoch, next_path FROM meta").Scan(&epoch, &next); err != nil {
		return err
	}
	if epoch != w.epoch {
		// Another process forgot paths since: their ids may be gone.
		clear(w.pathIDs)
		w.epoch = epoch
	}
	w.pathIDs = append(w.pathIDs, make([]int64, len(j.paths)-len(w.pathIDs))...)
	wanted := 0
	for _, d := range j.days {
		for _, c := range d.records {
			for i := range c {
				if id := &w.pathIDs[c[i].path]; *id == 0 {
					*id = wantedPath
					wanted++
				}
			}
		}
	}
	if wanted == 0 {
		return nil
	}
	if err := w.findPaths(ctx, tx, j, wanted); err != nil {
		return err
	}
	// Ids in the order of the indices, so that a client's records stay sorted.
	out := newPathWriter(ctx, tx)
	for i := range w.pathIDs {
		if w.pathIDs[i] != wantedPath {
			continue
		}
		p := &j.paths[i]
		if err := out.add(next, j.dirs[p.dir], p.base); err != nil {
			return err
		}
		w.pathIDs[i] = next
		next++
	}
	if err := out.flush(); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "UPDATE meta SET next_path = ?", next)
	return err
}

// wantedPath is in writer.pathIDs what has no id yet, and needs one.
const wantedPath = -1

// findPaths sets the ids of those wanted paths that the database has.
func (w *writer) findPaths(ctx context.Context, tx *sql.Tx, j *job, wanted int) error {
	var some bool
	if err := tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM paths)").Scan(&some); err != nil || !some {
		return err
	}
	indices := make(map[pathInfo]int, wanted)
	for i, id := range w.pathIDs {
		if id == wantedPath {
			indices[j.paths[i]] = i
		}
	}
	numbers := make(map[string]uint32, len(j.dirs))
	for i, dir := range j.dirs {
		numbers[dir] = uint32(i)
	}
	// The job's number of a directory that was read; -1: it has none.
	var theirs []int64
	return eachPath(ctx, tx, func(p storedPath) error {
		if p.dir.number == len(theirs) {
			theirs = append(theirs, -1)
			if n, ok := numbers[p.dir.path]; ok {
				theirs[p.dir.number] = int64(n)
			}
		}
		if n := theirs[p.dir.number]; n >= 0 {
			if i, ok := indices[pathInfo{uint32(n), p.base}]; ok {
				w.pathIDs[i] = p.id
			}
		}
		return nil
	})
}
