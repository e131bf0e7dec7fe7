package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// figure is one of the things that are noted.
type figure struct {
	name, unit string
	least      float64 // a rise of so much is not worth naming
	show       func(float64) string
}

func mebibytes(v float64) string { return fmt.Sprintf("%.1f", v/(1<<20)) }
func kibibytes(v float64) string { return fmt.Sprintf("%.0f", v/(1<<10)) }
func count(v float64) string     { return fmt.Sprintf("%.0f", v) }

// figures are all that is noted, in the order of a sample's values.
var figures = []figure{
	{"imserve: resident", "MiB", 1 << 20, mebibytes},
	{"imserve: pages of Go's heap", "MiB", 1 << 20, mebibytes},
	{"imserve: other pages", "MiB", 1 << 20, mebibytes},
	{"imserve: heap", "MiB", 1 << 20, mebibytes},
	{"imserve: goroutines", "", 2, count},
	{"imserve: threads", "", 2, count},
	{"imserve: descriptors", "", 2, count},
	{"imsync: resident", "MiB", 1 << 20, mebibytes},
	{"imsync: pages of Go's heap", "MiB", 1 << 20, mebibytes},
	{"imsync: other pages", "MiB", 1 << 20, mebibytes},
	{"imsync: threads", "", 2, count},
	{"imsync: descriptors", "", 2, count},
	{"cache.db", "KiB", 16 << 10, kibibytes},
	{"cache.db-wal", "KiB", 16 << 10, kibibytes},
	{"popularity.db", "KiB", 16 << 10, kibibytes},
	{"popularity.db-wal", "KiB", 16 << 10, kibibytes},
	{"imsync.db", "KiB", 16 << 10, kibibytes},
	{"imsync.db-wal", "KiB", 16 << 10, kibibytes},
	{"stored files", "", 5, count},
	{"stored bytes", "MiB", 1 << 20, mebibytes},
	{"files of generations", "", 5, count},
	{"partial files", "", 2, count},
	{"other files of our own", "", 2, count},
}

// sample notes all figures at this moment. What can't be learned, as of a program that
// is being started, is no number.
func (s *site) sample(ctx context.Context) []float64 {
	var all []float64
	none := math.NaN()
	serveMemory, syncMemory := memoryOf(s.serve), memoryOf(s.agent)
	told, err := s.metrics(ctx, "go_memstats_heap_alloc_bytes", "go_goroutines")
	if err != nil {
		told = []float64{none, none}
		if ctx.Err() == nil {
			s.complain("look at imserve's metrics: %v", err)
		}
	}
	all = append(all, serveMemory.resident, serveMemory.heap, serveMemory.others, told[0], told[1], entries(s.serve, "task"), entries(s.serve, "fd"))
	all = append(all, syncMemory.resident, syncMemory.heap, syncMemory.others, entries(s.agent, "task"), entries(s.agent, "fd"))
	for _, name := range []string{s.cache + "/.im/cache.db", s.state + "/popularity.db", s.state + "/imsync.db"} {
		all = append(all, sizeOf(name), sizeOf(name+"-wal"))
	}
	f, err := s.files()
	if err != nil {
		s.complain("count the files: %v", err)
	}
	return append(all, f.stored, f.bytes, f.generations, f.partial, f.own)
}

// memory is what a program has in memory, in bytes.
type memory struct {
	resident float64
	heap     float64 // what of that is Go's heap, garbage and what the collector keeps at hand included
	others   float64 // and what is neither that nor a file's: the C library's, for SQLite, and the Go runtime's own
}

// inGoHeap reports whether a mapping that begins here is of Go's heap. Where that lies is
// random, but above what a linker uses and below where the kernel puts what is mapped
// without an address (runtime/malloc.go, randHeapBase).
func inGoHeap(at uint64) bool {
	bits := 47
	if runtime.GOARCH == "amd64" {
		bits = 46
	}
	return 1<<32 <= at && at < 1<<bits
}

// memoryOf is what a program has in memory at this moment, by its mappings.
func memoryOf(p *program) memory {
	unknown := memory{math.NaN(), math.NaN(), math.NaN()}
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps", p.cmd.Process.Pid))
	if err != nil {
		return unknown
	}
	defer f.Close()
	var m memory
	var inHeap bool
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), " ")
		if first, _, ok := strings.Cut(name, "-"); ok {
			at, err := strconv.ParseUint(first, 16, 64)
			if err != nil {
				return unknown
			}
			inHeap = inGoHeap(at)
			continue
		}
		of := map[string]*float64{"Rss:": &m.resident, "Anonymous:": &m.others}[name]
		if of == &m.others && inHeap {
			of = &m.heap
		}
		if of == nil {
			continue
		}
		kilobytes, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
		if err != nil {
			return unknown
		}
		*of += kilobytes * 1024
	}
	if lines.Err() != nil || m.resident == 0 {
		return unknown
	}
	return m
}

// entries is how many a directory of a program in /proc has.
func entries(p *program, dir string) float64 {
	names, err := os.ReadDir(fmt.Sprintf("/proc/%d/%s", p.cmd.Process.Pid, dir))
	if err != nil {
		return math.NaN()
	}
	return float64(len(names))
}

// sizeOf is a file's size; one that is not there has none.
func sizeOf(name string) float64 {
	fi, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return float64(fi.Size())
}

// metrics are values that imserve tells, by their names.
func (s *site) metrics(ctx context.Context, names ...string) ([]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/-/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.watcher.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	values := make([]float64, len(names))
	for i, name := range names {
		_, rest, ok := strings.Cut(string(text), "\n"+name+" ")
		if !ok {
			return nil, fmt.Errorf("%s is not among them: %s", name, resp.Status)
		}
		line, _, _ := strings.Cut(rest, "\n")
		if values[i], err = strconv.ParseFloat(line, 64); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// counted are the files below the two directories of the programs.
type counted struct{ stored, bytes, generations, partial, own float64 }

// files counts them; what goes meanwhile does not count.
func (s *site) files() (c counted, err error) {
	for _, dir := range []string{s.cache, s.state, s.temp} {
		err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || e.IsDir() {
				return err
			}
			own, isOwn := strings.CutPrefix(name, s.cache+"/.im/")
			switch {
			case dir != s.cache:
				c.own++
			case strings.HasPrefix(own, "gen/"):
				c.generations++
			case strings.HasPrefix(own, "partial/"):
				c.partial++
			case isOwn:
				c.own++
			default:
				c.stored++
				if fi, err := e.Info(); err == nil {
					c.bytes += float64(fi.Size())
				}
			}
			return nil
		})
		if err != nil {
			return c, err
		}
	}
	return c, nil
}

// table is the samples of a run, as they were noted.
type table struct{ rows []row }

// row is one sample.
type row struct {
	at     time.Duration // since the run began
	values []float64     // of figures
}

// lasted is how long the run has been noted.
func (t *table) lasted() time.Duration { return t.rows[len(t.rows)-1].at }

// column is a series: seconds and values.
func (t *table) column(i int) (at, values []float64) {
	for _, r := range t.rows {
		at, values = append(at, r.at.Seconds()), append(values, r.values[i])
	}
	return at, values
}

// header is the first line of a file of samples.
func header() string {
	names := []string{"seconds"}
	for _, f := range figures {
		names = append(names, f.name)
	}
	return strings.Join(names, "\t")
}

func (r row) String() string {
	cells := []string{strconv.FormatFloat(r.at.Seconds(), 'f', 1, 64)}
	for _, v := range r.values {
		cells = append(cells, strconv.FormatFloat(v, 'f', -1, 64))
	}
	return strings.Join(cells, "\t")
}

// readTable reads the samples that a run has noted, which may still be under way.
func readTable(name string) (*table, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	if !lines.Scan() || lines.Text() != header() {
		return nil, fmt.Errorf("%s has other figures than this program notes", name)
	}
	t := &table{}
	for lines.Scan() {
		cells := strings.Split(lines.Text(), "\t")
		if len(cells) != 1+len(figures) {
			return nil, fmt.Errorf("%s: line %d has %d cells", name, len(t.rows)+2, len(cells))
		}
		values := make([]float64, len(cells))
		for i, c := range cells {
			if values[i], err = strconv.ParseFloat(c, 64); err != nil {
				return nil, fmt.Errorf("%s: line %d: %w", name, len(t.rows)+2, err)
			}
		}
		t.rows = append(t.rows, row{time.Duration(values[0] * float64(time.Second)), values[1:]})
	}
	if len(t.rows) == 0 {
		return nil, fmt.Errorf("%s has no samples", name)
	}
	return t, lines.Err()
}
