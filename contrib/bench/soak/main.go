// Soak lets a site live for two hours, a day of its in each minute: imserve and the
// agent, imsync run, as processes before an upstream of this program's own, which
// publishes a new generation for every day, withdraws packages, and misbehaves now and
// then; clients that update, install, come in crowds, leave, resume, ask for parts, or
// come by the proxy; logs that are rotated, configurations that are read again, and a
// cache that is too small for what flows through it. Every body is compared with what
// upstream published. In between it notes what both programs hold, and in the end says
// of each of these figures whether it has stopped growing.
//
//	go run ./contrib/bench/soak                       # -for 2h by default
//	go run ./contrib/bench/soak -again DIR/samples.tsv   # judges and draws what a run has noted
//
// An interrupted run is judged by what it has.
//
// Read site.go (what there is), upstream.go and clients.go (what happens to it),
// night.go (what passes), sample.go (what is noted), trend.go (what is said of it).
package main

import (
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("soak", run) }

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	o := options{}
	flags.DurationVar(&o.during, "for", 2*time.Hour, "how long it goes on")
	flags.DurationVar(&o.day, "day", time.Minute, "how long a day of the site is")
	flags.DurationVar(&o.every, "every", 5*time.Second, "how often figures are noted")
	flags.IntVar(&o.clients, "clients", 4, "clients at a time, crowds apart")
	flags.Uint64Var(&o.seed, "seed", 1, "what clients and upstream draw")
	out := flags.String("out", ".", "the `folder` for samples.tsv and soak.svg")
	again := flags.String("again", "", "judge and draw the samples of this `file`, and run nothing")
	bin := flags.String("bin", "", "the `folder` with imserve and imsync; without, they are built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.during <= 0 || o.day <= 0 || o.every <= 0 || o.clients < 1 {
		return errors.New("for, day, every and clients must be positive")
	}
	if *again != "" {
		table, err := readTable(*again)
		if err != nil {
			return err
		}
		return conclude(stdout, *out, table)
	}
	dir, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	o.bin = *bin
	if o.bin == "" {
		o.bin = dir
		for _, name := range []string{"imserve", "imsync"} {
			if _, err := peer.Build(ctx, dir, name); err != nil {
				return err
			}
		}
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	s, err := newSite(filepath.Join(dir, "site"), o)
	if err != nil {
		return err
	}
	table, err := s.live(ctx, filepath.Join(*out, "samples.tsv"))
	err = errors.Join(err, s.close(stdout))
	if table != nil && len(table.rows) > 0 {
		err = errors.Join(err, conclude(stdout, *out, table))
	}
	return err
}

// options say how a site lives.
type options struct {
	during, day, every time.Duration
	clients            int
	seed               uint64
	bin                string
}

// conclude says what became of each series, and draws them. Its error names those that
// grow.
func conclude(w io.Writer, out string, table *table) error {
	verdicts := table.judge()
	if err := os.WriteFile(filepath.Join(out, "soak.svg"), picture(table, verdicts), 0o644); err != nil {
		return err
	}
	return report(w, table, verdicts)
}
