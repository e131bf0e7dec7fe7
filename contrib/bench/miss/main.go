// Miss measures what clients wait for that ask, one after the other, for a
// package that is not in the cache, while it arrives over a slow link: behind
// imserve and, where they are installed, behind nginx, squid and apt-cacher-ng, in
// turns in the same run. It has the upstream and the clients in itself, verifies
// every byte that a client gets, and fails if imserve asks upstream twice.
//
//	go run ./contrib/bench/miss
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"intelligentmirror/contrib/bench/internal/origin"
	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("miss", run) }

// shape is what is measured.
type shape struct {
	clients  int
	apart    time.Duration // between two clients' requests
	size     int64         // of the package, in bytes
	rate     int64         // of upstream's link, bytes a second
	slow     int64         // of the slow client, bytes a second
	patience time.Duration // for all clients to have all of it
}

// link is how long the package is on the link if nothing else is.
func (s shape) link() time.Duration {
	return time.Duration(float64(s.size) / float64(s.rate) * float64(time.Second))
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("miss", flag.ContinueOnError)
	s := shape{}
	flags.IntVar(&s.clients, "clients", 20, "clients that ask for the package")
	flags.DurationVar(&s.apart, "apart", 100*time.Millisecond, "time between two clients' requests")
	flags.Int64Var(&s.size, "size", 32<<20, "bytes of the package")
	flags.Int64Var(&s.rate, "rate", 20<<20, "bytes a second of upstream's link")
	flags.Int64Var(&s.slow, "slow", 100_000, "bytes a second of the slow client that comes first in every second measurement")
	flags.DurationVar(&s.patience, "patience", 30*time.Second, "time for all clients to have all of it")
	rounds := flags.Int("rounds", 5, "how often each server is measured")
	names := flags.String("peers", "nginx,squid,apt-cacher-ng", "servers to compare with; empty: none")
	imserve := flags.String("imserve", "", "the program to measure; without, it is built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.clients < 1 || s.apart < 0 || s.size < 1 || s.rate < 1 || s.slow < 1 || s.patience < s.link() || *rounds < 1 {
		return errors.New("clients, size, rate, slow and rounds must be positive, and patience longer than the link takes")
	}
	if *imserve == "" {
		dir, err := os.MkdirTemp("", "miss-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if *imserve, err = peer.Build(ctx, dir, "imserve"); err != nil {
			return err
		}
	}
	up, err := origin.Start(ctx, s.rate)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.Close()) }()
	all, err := contenders(ctx, *imserve, *names, up.URL, stdout)
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err != nil {
		return err
	}
	b := &bench{shape: s, up: up}
	for range *rounds {
		for _, c := range all {
			for _, slow := range []bool{false, true} {
				if err := b.measure(ctx, c, slow); err != nil {
					return fmt.Errorf("%s: %w", c.Name, err)
				}
			}
		}
	}
	if err := report(stdout, s, *rounds, all); err != nil {
		return err
	}
	return all[0].check()
}

// contender is a server with what was measured of it.
type contender struct {
	*peer.Peer
	prefix        string    // of the packages on it
	alone, beside []outcome // a round each: without, and with the slow client
}

// contenders starts imserve, and those of the named peers that are on this machine.
func contenders(ctx context.Context, imserve, names, upstream string, stdout io.Writer) ([]*contender, error) {
	mirrors, err := peer.Choose(stdout, peer.Mirrors(imserve, upstream), names)
	if err != nil {
		return nil, err
	}
	var all []*contender
	for _, m := range mirrors {
		p, err := m.Start(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, &contender{Peer: p, prefix: m.Prefix})
	}
	return all, nil
}

// check is an error where imserve did not do what it promises, on a machine of
// whatever speed: one download, and all of it for each client.
func (c *contender) check() error {
	for _, o := range slices.Concat(c.alone, c.beside) {
		if o.gets != 1 {
			return fmt.Errorf("%s asked upstream %d times for one package", c.Name, o.gets)
		}
		if o.failed != nil {
			return fmt.Errorf("%s: %d clients did not get it: %w", c.Name, o.failures, o.failed)
		}
	}
	return nil
}

// report prints the figures.
func report(w io.Writer, s shape, rounds int, all []*contender) error {
	fmt.Fprintf(w, "%d clients, %v apart, ask for a package of %d bytes, over a link of %d bytes/s that takes %v; medians of %d rounds\n\n",
		s.clients, s.apart, s.size, s.rate, s.link().Round(time.Millisecond), rounds)
	t := peer.NewTable("PROGRAM", "SLOW CLIENT", "GETS", "FIRST BYTE MS", "SLOWEST MS", "WORST MS", "ALL DONE S", "OVER %", "CPU S", "FAILED")
	for _, c := range all {
		for _, rows := range []struct {
			slow string
			of   []outcome
		}{{"no", c.alone}, {"yes", c.beside}} {
			f := figures(rows.of)
			ms := func(d time.Duration) string { return fmt.Sprintf("%.1f", d.Seconds()*1000) }
			t.Row(c.Name, rows.slow, f.gets, ms(f.first), ms(f.slowest), ms(f.worst), fmt.Sprintf("%.2f", f.done.Seconds()),
				fmt.Sprintf("%.1f", 100*(f.done-f.least).Seconds()/s.link().Seconds()),
				fmt.Sprintf("%.2f", f.cpu.Seconds()), f.failures)
		}
	}
	if err := t.Print(w); err != nil {
		return err
	}
	for _, c := range all {
		if f := figures(slices.Concat(c.alone, c.beside)); f.failed != nil {
			fmt.Fprintf(w, "\n%s failed: %v\n", c.Name, f.failed)
		}
	}
	_, err := fmt.Fprint(w, `
GETS         to upstream for one package, the most of all rounds
FIRST BYTE   of a client, from when it asked and upstream had sent one: the median client
SLOWEST      the same, the slowest client of a round
WORST        the same, the slowest client of all rounds
ALL DONE     from the link's begin until each client has all of it
OVER         how much longer that is than the link takes (or than it takes until the last client has
             asked, where that is longer), in per cent of what the link takes
CPU          processor time of the server
FAILED       clients that did not get all of it in time, of all rounds
`)
	return err
}
