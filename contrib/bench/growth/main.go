// Growth measures what grows with a site: imserve and imsync with caches of 1,000,
// 10,000 and 100,000 stored files, and with 10, 100 and 1,000 clients. It makes the files
// by the cache itself, attributes and all, below a repository whose metadata lists them;
// each figure is of the programs as processes. Hits are measured beside nginx's
// proxy_cache with as many files, where nginx is installed.
//
//	go run ./contrib/bench/growth            # TMPDIR=/dev/shm to leave the disk out
//
// Read run in this file, then site.go (what is stored), serve.go and night.go (what is
// measured), load.go (who asks).
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"intelligentmirror/contrib/bench/internal/peer"
	"intelligentmirror/contrib/bench/internal/plot"
)

func main() { peer.Main("growth", run) }

// bench is what is measured with.
type bench struct {
	dir             string
	imserve, imsync string
	rounds          int
	requests        int // of each measurement of hits
	clients         int // that ask for them, where files grow
	size            int // of each file, in bytes
}

// result is what was measured with so many files, or clients.
type result struct {
	n       int
	figures map[string]float64 // by the figure's name
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("growth", flag.ContinueOnError)
	b := bench{}
	files := flags.String("files", "1000,10000,100000", "how many files are stored, one after the other")
	clients := flags.String("crowds", "10,100,1000", "how many clients ask at a time, one after the other, for the first number of files")
	flags.IntVar(&b.rounds, "rounds", 5, "how often each is measured")
	flags.IntVar(&b.requests, "requests", 20_000, "requests of each measurement of hits")
	flags.IntVar(&b.clients, "clients", 10, "clients at a time where files grow")
	flags.IntVar(&b.size, "size", 4<<10, "bytes of a file")
	names := flags.String("peers", "nginx", "nginx, to compare hits with; empty: none")
	out := flags.String("out", ".", "the `folder` for growth.svg")
	bin := flags.String("bin", "", "the `folder` with imserve and imsync; without, they are built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	stored, err := numbers(*files)
	if err != nil {
		return err
	}
	crowds, err := numbers(*clients)
	if err != nil {
		return err
	}
	if b.rounds < 1 || b.requests < 1 || b.clients < 1 || b.size < lead {
		return fmt.Errorf("rounds, requests and clients must be positive, and a file has %d bytes at least", lead)
	}
	if b.dir, err = os.MkdirTemp("", "growth-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if *bin == "" {
		*bin = b.dir
		for _, name := range []string{"imserve", "imsync"} {
			if _, err := peer.Build(ctx, b.dir, name); err != nil {
				return err
			}
		}
	}
	b.imserve, b.imsync = filepath.Join(*bin, "imserve"), filepath.Join(*bin, "imsync")
	chosen, err := peer.Choose(stdout, peer.Mirrors(b.imserve, ""), *names)
	if err != nil {
		return err
	}
	var byFiles, byClients []result
	for i, n := range stored {
		s, err := newSite(ctx, filepath.Join(b.dir, "site"), n, b.size)
		if err != nil {
			return fmt.Errorf("store %d files: %w", n, err)
		}
		if i == 0 {
			if byClients, err = b.crowds(ctx, s, crowds); err != nil {
				return errors.Join(err, s.close())
			}
		}
		r, err := b.measure(ctx, s, len(chosen) > 1)
		if err := errors.Join(err, s.close()); err != nil {
			return fmt.Errorf("with %d files: %w", n, err)
		}
		byFiles = append(byFiles, r)
	}
	svg := plot.SVG("What grows with stored files, and with clients", 3, append(panels("files", byFiles), panels("clients", byClients)...))
	if err := os.WriteFile(filepath.Join(*out, "growth.svg"), svg, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "Files of %d bytes; medians of %d rounds; %d requests by %d clients for each measurement of hits\n\n", b.size, b.rounds, b.requests, b.clients)
	if err := report(stdout, "FILES", byFiles); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nClients, with %d files\n\n", stored[0])
	return report(stdout, "CLIENTS", byClients)
}

// numbers are the positive ones of a list.
func numbers(list string) (all []int, err error) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of positive numbers", list)
		}
		all = append(all, n)
	}
	return all, nil
}

// figure is one thing that is measured.
type figure struct{ name, unit string }

// What is measured, in the order of the report.
var figures = []figure{
	{startup, "s"}, {startCPU, "s"}, {memory, "MiB"},
	{median, "ms"}, {slow, "ms"}, {nginxMedian, "ms"}, {nginxSlow, "ms"},
	{page, "ms"}, {plan, "s"}, {idleRun, "s"}, {eviction, "s"},
	{speed, "1/s"}, {crowdMemory, "MiB"},
}

const (
	startup     = "start until ready"
	startCPU    = "processor of the first 2 s" // the walk over all files included
	memory      = "memory when asked for all"
	median      = "hit, median"
	slow        = "hit, 99 % within"
	nginxMedian = "nginx: hit, median"
	nginxSlow   = "nginx: hit, 99 % within"
	page        = "status page"
	plan        = "a night's plan, processor"
	idleRun     = "a night without news, processor"
	eviction    = "eviction of a tenth, processor"
	speed       = "hits a second"
	crowdMemory = "memory with the crowd"
)

// report prints the figures that were measured, a column for each number.
func report(w io.Writer, what string, results []result) error {
	head := []string{what}
	for _, r := range results {
		head = append(head, fmt.Sprint(r.n))
	}
	t := peer.NewTable(head...)
	for _, f := range figures {
		row := []any{strings.TrimSpace(f.name + ", " + f.unit)}
		for _, r := range results {
			if v, ok := r.figures[f.name]; ok {
				row = append(row, fmt.Sprintf("%.3g", v))
			}
		}
		if len(row) > 1 {
			t.Row(row...)
		}
	}
	return t.Print(w)
}

// panels draws each figure against the number, both logarithmically; nginx's beside ours.
func panels(what string, results []result) (all []plot.Panel) {
	line := func(name, title string) (plot.Line, bool) {
		l := plot.Line{Name: title}
		for _, r := range results {
			if v, ok := r.figures[name]; ok {
				l.X, l.Y = append(l.X, float64(r.n)), append(l.Y, v)
			}
		}
		return l, len(l.X) > 0
	}
	write := func(v float64) string {
		if v < 1 {
			return strconv.FormatFloat(v, 'g', 3, 64)
		}
		return humanize.Comma(int64(math.Round(v))) // a power of ten
	}
	for _, f := range figures {
		if strings.HasPrefix(f.name, "nginx") {
			continue
		}
		ours, ok := line(f.name, "imserve")
		if !ok {
			continue
		}
		p := plot.Panel{Title: f.name, Note: f.unit + ", by " + what, Lines: []plot.Line{ours}, LogX: true, LogY: true, X: write, Y: write}
		if theirs, ok := line(cmp.Or(map[string]string{median: nginxMedian, slow: nginxSlow}[f.name], "none"), "nginx"); ok {
			p.Lines = append(p.Lines, theirs)
		} else {
			p.Lines[0].Name = ""
		}
		all = append(all, p)
	}
	return all
}

// medianOf is the median of what f returns in the rounds.
func (b *bench) medianOf(f func() (float64, error)) (float64, error) {
	var all []float64
	for range b.rounds {
		v, err := f()
		if err != nil {
			return 0, err
		}
		all = append(all, v)
	}
	return peer.Median(all), nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
