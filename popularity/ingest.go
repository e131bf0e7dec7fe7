package popularity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Ingest reads the new lines of the logs that the globs find, and counts them.
// A log that cannot be read is in the Report and does not stop the others; a
// glob without a file is too, and is no error. The error is the database's, the
// context's or that of a malformed glob. Whatever was committed before it stays
// and is in the Report; the next Ingest goes on from there.
func (s *Store) Ingest(ctx context.Context, globs []string) (Report, error) {
	s.one.Lock()
	defer s.one.Unlock()
	report := Report{
		Unmatched: []string{}, Failed: []Failure{}, Formats: map[string]int64{},
		NewRoots: []string{}, Skipped: map[string]Skipped{},
	}
	paths, err := expand(globs, &report)
	if err != nil {
		return report, err
	}
	if err := s.closeDays(ctx); err != nil {
		return report, s.explain("close days in", err)
	}
	in := &ingest{s: s, report: &report, batch: batch{
		resolve: s.opt.Resolve, isPackage: s.opt.IsPackage,
		latest:   s.opt.Clock().Add(maxAhead).Unix(),
		requests: map[request]int64{},
	}}
	in.batch.next()
	if err := s.db.QueryRowContext(ctx, "SELECT salt FROM meta").Scan(&in.batch.salt); err != nil {
		return report, s.explain("read", err)
	}
	if in.knowns, err = s.loadKnowns(ctx); err != nil {
		return report, s.explain("read", err)
	}
	for _, path := range paths {
		if err := in.file(ctx, path); err != nil {
			return report, fmt.Errorf("read %s: %w", path, err)
		}
	}
	slices.Sort(report.NewRoots)
	if err := s.settle(ctx, in.knowns); err != nil {
		return report, s.explain("write", err)
	}
	return report, nil
}

// expand finds the files of the globs, each once and sorted.
func expand(globs []string, report *Report) (paths []string, err error) {
	for _, glob := range globs {
		found, err := filepath.Glob(glob)
		if err != nil {
			return nil, fmt.Errorf("log pattern %q: %w", glob, err)
		}
		if len(found) == 0 {
			// A file whose name only looks like a pattern.
			if _, err := os.Stat(glob); err == nil {
				found = []string{glob}
			} else {
				report.Unmatched = append(report.Unmatched, glob)
			}
		}
		paths = append(paths, found...)
	}
	slices.Sort(paths)
	return slices.Compact(paths), nil
}

// ingest is one run of Ingest.
type ingest struct {
	s      *Store
	report *Report
	knowns *knowns
	batch  batch
}

// file reads the new lines of one log. Its error is one that ends the run.
func (in *ingest) file(ctx context.Context, path string) error {
	failed := func(err error) {
		// A file that was rotated away meanwhile is found by its new name.
		if !errors.Is(err, fs.ErrNotExist) {
			in.report.Files++
			in.report.Failed = append(in.report.Failed, Failure{Path: path, Error: err.Error()})
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		failed(err)
		return nil
	}
	if !info.Mode().IsRegular() {
		failed(errors.New("not a regular file"))
		return nil
	}
	st, stamped := stampOf(info)
	if id, ok := in.knowns.unmoved[st]; ok && stamped {
		in.knowns.ended[id] = true
		in.report.Files++
		return nil
	}
	src, err := openSource(path)
	if err != nil {
		failed(err)
		return nil
	}
	defer src.close()
	end, damage, err := in.read(ctx, path, src)
	if err != nil {
		return err
	}
	if damage != nil {
		failed(damage)
		return nil
	}
	in.report.Files++
	if end != nil && stamped && src.compressed() {
		if err := in.s.remember(ctx, st, end.id); err != nil {
			return in.s.explain("write", err)
		}
	}
	return nil
}

// read counts the lines of src that are new, and returns the known at its end;
// nil for a log without a complete line. damage is why it was not read to the
// end; err ends the run.
func (in *ingest) read(ctx context.Context, path string, src *source) (end *known, damage, err error) {
	head, damage := src.head()
	if damage != nil {
		return nil, damage, nil
	}
	from, tail, damage := in.knowns.find(src, head)
	if damage != nil {
		return nil, damage, nil
	}
	start := int64(0)
	if from != nil {
		start = from.readTo
	}
	lines := newLineReader(src, start, tail)
	committed := start
	end = from
	own := false // end is of this run and this file, and may be moved on
	commit := func() error {
		l := here(head, lines)
		if own {
			l.id = end.id
		}
		added, roots, err := in.s.commit(ctx, &in.batch, &l)
		if err != nil {
			return in.s.explain("write", err)
		}
		if own {
			*end = l
		} else {
			end, own = &l, true
			in.knowns.list = append(in.knowns.list, end)
		}
		in.s.opt.Log.DebugContext(ctx, "log lines committed", "file", path, "lines", in.batch.tally.lines, "offset", l.readTo)
		in.report.add(&in.batch.tally, path)
		in.report.Requests += added
		in.report.NewRoots = append(in.report.NewRoots, roots...)
		in.report.Bytes += l.readTo - committed
		committed = l.readTo
		in.batch.next()
		return nil
	}
	for n := 0; ; n++ {
		line, long, readErr := lines.next()
		if readErr != nil {
			if readErr != io.EOF {
				damage = fmt.Errorf("at byte %d: %w", lines.off, readErr)
			}
			break
		}
		if long {
			in.batch.tooLong(line)
		} else {
			in.batch.line(line)
		}
		if in.batch.full(in.s.limit) || lines.off-committed >= batchBytes {
			if err := commit(); err != nil {
				return nil, nil, err
			}
		}
		if n%1024 == 0 && ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	if lines.off > committed {
		if err := commit(); err != nil {
			return nil, nil, err
		}
	}
	if lines.off > start {
		in.report.FilesRead++
	}
	if end != nil {
		in.knowns.ended[end.id] = true
	}
	return end, damage, nil
}

// stampAge is how long a file must be left alone before its stamp is believed:
// a change within one tick of the file system's clock leaves it as it is.
const stampAge = time.Minute

// remember notes that a file was read to its end as the log id.
func (s *Store) remember(ctx context.Context, st stamp, id int64) error {
	if s.opt.Clock().Add(-stampAge).UnixNano() < st.changed {
		return nil
	}
	_, err := s.db.ExecContext(ctx, `INSERT INTO unchanged (device, inode, size, modified, changed, log) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET size = excluded.size, modified = excluded.modified, changed = excluded.changed, log = excluded.log`,
		st.device, st.inode, st.size, st.modified, st.changed, id)
	return err
}
