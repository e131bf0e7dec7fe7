package popularity

import (
	"bufio"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
)

// ErrNoGroup says that counts cannot be shared without Options.Group.
var ErrNoGroup = errors.New("there is no secret of a group")

// Export writes all that the database has counted to w, compressed, for others of
// the group to take in: of open days each client's requests, with the client as a
// hash, of closed days numbers. What was taken in here from others is a part of it.
func (s *Store) Export(ctx context.Context, w io.Writer) error {
	if s.group == nil {
		return fmt.Errorf("export counts: %w", ErrNoGroup)
	}
	z := gzip.NewWriter(w)
	x := &exporter{s: s, seal: s.group.seal(), paths: map[int64]int64{}, dirs: map[string]int{}, names: map[int64]int{}}
	x.to = bufio.NewWriter(io.MultiWriter(z, x.seal))
	if err := s.snapshot(ctx, func(conn *sql.Conn) error { return x.write(ctx, conn) }); err != nil {
		return s.explain("export counts of", err)
	}
	// The seal is over what went before it.
	if err := x.to.Flush(); err != nil {
		return err
	}
	end := hex.EncodeToString(x.seal.Sum(nil))
	if err := x.line(&countsLine{End: &end}); err != nil {
		return err
	}
	return errors.Join(x.to.Flush(), z.Close())
}

// exporter is one Export.
type exporter struct {
	s    *Store
	to   *bufio.Writer
	seal hash.Hash

	// The numbers that ids of the database have in the export.
	paths map[int64]int64
	dirs  map[string]int
	names map[int64]int
}

func (x *exporter) line(l *countsLine) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	_, err = x.to.Write(append(b, '\n'))
	return err
}

func (x *exporter) write(ctx context.Context, q queryer) error {
	nodes, err := column[string](ctx, q, "SELECT node FROM meta")
	if err != nil {
		return err
	}
	if err := x.line(&countsLine{Counts: &countsHead{
		Version: countsVersion, Group: x.s.group.name(), Node: nodes[0], Made: x.s.opt.Clock().Unix(),
	}}); err != nil {
		return err
	}
	if err := x.roots(ctx, q); err != nil {
		return err
	}
	if err := x.numberPaths(ctx, q); err != nil {
		return err
	}
	if err := x.numberNames(ctx, q); err != nil {
		return err
	}
	closed, err := column[int64](ctx, q, "SELECT DISTINCT day FROM days ORDER BY day")
	if err != nil {
		return err
	}
	for _, day := range closed {
		if err := x.closed(ctx, q, day); err != nil {
			return err
		}
	}
	open, err := column[int64](ctx, q, "SELECT day FROM open_days WHERE hashed = '"+x.s.group.name()+"' ORDER BY day")
	if err != nil {
		return err
	}
	for _, day := range open {
		if err := x.open(ctx, q, day); err != nil {
			return err
		}
	}
	return nil
}

func (x *exporter) roots(ctx context.Context, q queryer) error {
	return each(ctx, q, "SELECT root, first_seen, last_seen FROM roots", nil, func(rows *sql.Rows) error {
		var r countsRoot
		if err := rows.Scan(&r.Root, &r.First, &r.Last); err != nil {
			return err
		}
		return x.line(&countsLine{Root: &r})
	})
}

// dir is the number of a directory, which is written where it is new.
func (x *exporter) dir(dir string) (int, error) {
	n, ok := x.dirs[dir]
	if ok {
		return n, nil
	}
	n = len(x.dirs)
	x.dirs[dir] = n
	return n, x.line(&countsLine{Dir: &dir})
}

// numberPaths gives the paths of open days numbers, in the order of their ids, so
// that what a client asked for stays sorted.
func (x *exporter) numberPaths(ctx context.Context, q queryer) error {
	return eachPath(ctx, q, func(p storedPath) error {
		dir, err := x.dir(p.dir.path)
		if err != nil {
			return err
		}
		x.paths[p.id] = int64(len(x.paths) + 1)
		return x.line(&countsLine{Path: &countsPath{Dir: dir, Base: p.base}})
	})
}

func (x *exporter) numberNames(ctx context.Context, q queryer) error {
	dirs, err := loadDirs(ctx, q)
	if err != nil {
		return err
	}
	return each(ctx, q, "SELECT id, name, arch, dir FROM names", nil, func(rows *sql.Rows) error {
		var id, dir int64
		var n countsName
		err := rows.Scan(&id, &n.Name, &n.Arch, &dir)
		if err == nil {
			n.Dir, err = x.dir(dirs[dir])
		}
		if err != nil {
			return err
		}
		x.names[id] = len(x.names)
		return x.line(&countsLine{Name: &n})
	})
}

// closed writes the numbers of a day.
func (x *exporter) closed(ctx context.Context, q queryer, day int64) error {
	if err := x.line(&countsLine{Closed: &day}); err != nil {
		return err
	}
	if err := each(ctx, q, "SELECT name, clients, weight, requests, bytes, last_seen FROM days WHERE day = ?", []any{day}, func(rows *sql.Rows) error {
		var id int64
		var n countsNumber
		if err := rows.Scan(&id, &n.Clients, &n.Weight, &n.Requests, &n.Bytes, &n.LastSeen); err != nil {
			return err
		}
		n.Name = x.names[id]
		return x.line(&countsLine{Number: &n})
	}); err != nil {
		return err
	}
	return each(ctx, q, "SELECT names, clients, weight FROM overlaps WHERE day = ?", []any{day}, func(rows *sql.Rows) error {
		var list string
		var o countsOverlap
		if err := rows.Scan(&list, &o.Clients, &o.Weight); err != nil {
			return err
		}
		ids, err := splitIDs(list)
		if err != nil {
			return err
		}
		for _, id := range ids {
			o.Names = append(o.Names, x.names[id])
		}
		return x.line(&countsLine{Overlap: &o})
	})
}

// open writes the clients of a day.
func (x *exporter) open(ctx context.Context, q queryer, day int64) error {
	if err := x.line(&countsLine{Open: &day}); err != nil {
		return err
	}
	return eachClient(ctx, q, day, func(client uint64, list []asked, missing []uint64) error {
		for i := range list {
			number, ok := x.paths[list[i].path]
			if !ok {
				return fmt.Errorf("path %d is not there: %w", list[i].path, ErrDamaged)
			}
			list[i].path = number
		}
		return x.line(&countsLine{Client: &countsClient{Hash: int64(client), Asked: appendAsked(nil, list), Missing: appendMissing(nil, missing)}})
	})
}
