package sync

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/robfig/cron/v3"

	"intelligentmirror/popularity"
)

// split deals the lines of logs out to files, one for what comes between two runs:
// rotated logs come in any order, and a run knows what came before it. It notes on
// the way what a Replay has to know beforehand.
type split struct {
	dir      string
	schedule cron.Schedule
	parts    map[int64]*part // by the time of the run that ends them, in Unix seconds
	current  *part           // of the line before
	buffered int             // bytes of all parts that are in no file yet

	first, last time.Time // of the requests that count
	roots       map[string]bool
	files       map[string]*asking
}

// part is what comes between two runs.
type part struct {
	from, end time.Time // the first line known of it; the run that ends it
	buf       []byte
}

// asking is what the logs show of a file.
type asking struct {
	first time.Time
	size  int64 // of the largest answer, in bytes
}

// bufferLimit is how many bytes of lines are kept before they are written.
const bufferLimit = 16 << 20

func newSplit(dir string, schedule cron.Schedule) *split {
	return &split{dir: dir, schedule: schedule, parts: map[int64]*part{}, roots: map[string]bool{}, files: map[string]*asking{}}
}

// line takes a line of a log.
func (s *split) line(l *popularity.Line) error {
	p, err := s.part(l.At)
	if err != nil {
		return err
	}
	p.buf = append(p.buf, l.Text...)
	if s.buffered += len(l.Text); s.buffered > bufferLimit {
		if err := s.finish(); err != nil {
			return err
		}
	}
	if l.Root != "" {
		s.roots[l.Root] = true
	}
	if l.Path == "" {
		return nil
	}
	if s.first.IsZero() || l.At.Before(s.first) {
		s.first = l.At
	}
	if l.At.After(s.last) {
		s.last = l.At
	}
	f := s.files[l.Path]
	if f == nil {
		f = &asking{first: l.At}
		s.files[l.Path] = f
	}
	f.size = max(f.size, l.Bytes)
	if l.At.Before(f.first) {
		f.first = l.At
	}
	return nil
}

// part finds where a line of that time belongs.
func (s *split) part(at time.Time) (*part, error) {
	if p := s.current; p != nil && !at.Before(p.from) && at.Before(p.end) {
		return p, nil
	}
	end := s.schedule.Next(at.Local())
	if end.IsZero() {
		return nil, fmt.Errorf("sync.schedule: no run is ever due after %s", at)
	}
	p := s.parts[end.Unix()]
	if p == nil {
		p = &part{from: at, end: end}
		s.parts[end.Unix()] = p
	}
	if at.Before(p.from) {
		p.from = at
	}
	s.current = p
	return p, nil
}

// finish writes what is in no file yet.
func (s *split) finish() error {
	for _, p := range s.parts {
		if len(p.buf) == 0 {
			continue
		}
		f, err := os.OpenFile(s.file(p), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(p.buf)
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fmt.Errorf("%w (the logs need as much room below $TMPDIR as they take unpacked)", err)
		}
		p.buf = p.buf[:0]
	}
	s.buffered = 0
	return nil
}

func (s *split) file(p *part) string {
	return filepath.Join(s.dir, strconv.FormatInt(p.end.Unix(), 10)+".log")
}

// runs are the times at which runs are due, from the one before the first request
// to the last one before the last. The very first stands for all that came before.
func (s *split) runs() []time.Time {
	all := []time.Time{s.first.Truncate(24 * time.Hour)}
	for p := range maps.Values(s.parts) {
		if p.from.Before(all[0]) {
			all[0] = p.from // of lines that don't count
		}
	}
	for {
		next := s.schedule.Next(all[len(all)-1].Local())
		if next.IsZero() || next.After(s.last) {
			return all
		}
		all = append(all, next)
	}
}

// after is the log of what came between a run and the next, "" where there is
// none, and when the next is due.
func (s *split) after(run time.Time) (file string, next time.Time) {
	next = s.schedule.Next(run.Local())
	if p := s.parts[next.Unix()]; p != nil {
		return s.file(p), next
	}
	return "", next
}

// rootsSeen are the roots that clients asked for, sorted.
func (s *split) rootsSeen() []string { return slices.Sorted(maps.Keys(s.roots)) }

// published makes of each file that was asked for one that was published just in
// time: for the run before its first request.
func (s *split) published() []Published {
	runs := s.runs()
	var all []Published
	for path, f := range s.files {
		i, found := slices.BinarySearchFunc(runs, f.first, time.Time.Compare)
		if !found {
			i--
		}
		all = append(all, Published{At: runs[max(i, 0)], Path: path, Size: f.size})
	}
	slices.SortFunc(all, func(a, b Published) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Path, b.Path))
	})
	return all
}
