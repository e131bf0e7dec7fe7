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
// context's, that of a malformed glob, or that the clock was never set. Whatever was committed before it stays
// and is in the Report; the next Ingest goes on from there.
func (s *Store) Ingest(ctx context.Context, globs []string) (Report, error) {
	s.one.Lock()
	defer s.one.Unlock()
	report := newReport()
	if now := s.opt.Clock(); now.Unix() < earliest {
		return report, fmt.Errorf("no log is read while the clock says %s, since its lines would be passed over as the future's: "+
			"the next run reads them once the clock is set", now.UTC().Format(time.DateOnly))
	}
	paths, err := expand(globs, &report)
	if err != nil {
		return report, err
	}
	if err := s.closeDays(ctx); err != nil {
		return report, s.explain("close days in", err)
	}
	chunks := newChunkPool()
	in := &ingest{s: s, report: &report, writer: writer{s: s, free: chunks},
		batch: batch{placer: placer{s.opt.Resolve, s.opt.IsPackage}, most: s.most, chunks: chunks}}
	in.batch.next()
	if s.group != nil {
		in.batch.salt = s.group.salt()
	} else if err := s.db.QueryRowContext(ctx, "SELECT salt FROM meta").Scan(&in.batch.salt); err != nil {
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
	s.checkpoint()
	return report, nil
}

// expand finds the files of the globs, each once and sorted.
func expand(globs []string, report *Report) (paths []string, err error) {
	for _, glob := range globs {
		if glob == Stdin {
			paths = append(paths, glob)
			continue
		}
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
	writer writer
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
	var st stamp
	var stamped bool
	var src *source
	var err error
	if path == Stdin {
		src, err = openStdin(in.s.opt.Stdin)
	} else {
		info, serr := os.Stat(path)
		if serr == nil && !info.Mode().IsRegular() {
			serr = errors.New("not a regular file")
		}
		if serr != nil {
			failed(serr)
			return nil
		}
		st, stamped = stampOf(info)
		if id, ok := in.knowns.unmoved[st]; ok && stamped {
			in.knowns.ended[id] = true
			in.report.Files++
			return nil
		}
		src, err = openSource(path)
	}
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
	lines := newBlockReader(src, start, tail)
	newParser := func() *parser { return in.s.newParser(&in.batch) }
	p := startPipeline(lines, newParser)
	defer p.close()
	out := newOutput(ctx, in, path, head, from)
	defer out.wait()
	for b := p.next(); b != nil; b = p.next() {
		for i := 0; ; {
			if b.memory != in.batch.memory.Load() {
				// What was known of its lines is forgotten.
				newParser().block(b)
			}
			i = in.batch.count(b, i, in.s.limit)
			// Where the counted lines end.
			at := len(b.buf)
			if i < len(b.parsed) {
				at = b.start
				if i > 0 {
					at = int(b.parsed[i-1].end)
				}
			}
			off := b.off + int64(at-b.start)
			out.at(off, b.tail(at))
			if in.batch.over || in.batch.full(in.s.limit) || off-out.committed >= batchBytes {
				if err := out.commit(); err != nil {
					return nil, nil, err
				}
			}
			if i == len(b.parsed) {
				break
			}
		}
		p.release(b)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
	}
	if p.err != io.EOF {
		damage = fmt.Errorf("at byte %d: %w", lines.off, p.err)
	}
	if err := out.finish(); err != nil {
		return nil, nil, err
	}
	if out.committed > start {
		in.report.FilesRead++
	}
	if out.end != nil {
		in.knowns.ended[out.end.id] = true
	}
	return out.end, damage, nil
}

// newParser makes a parser of the Store's lines, which looks up what b remembers and
// finds what it does not.
func (s *Store) newParser(b *batch) *parser {
	return &parser{latest: s.opt.Clock().Add(maxAhead).Unix(), trusted: s.opt.Trusted, fields: s.fields, memory: &b.memory, placer: &b.placer}
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
