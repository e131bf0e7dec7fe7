// Memory measures what imserve has in memory while many clients download one large
// package, as it arrives and from the cache, and while many connections are idle;
// beside it, where it is installed, nginx. Each case has a server of its own, just
// started. The clients are in the program itself, and verify what they get.
//
//	go run ./contrib/bench/memory
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"intelligentmirror/contrib/bench/internal/origin"
	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("memory", run) }

// shape is what is measured.
type shape struct {
	clients int
	size    int64         // of the package, in bytes
	pace    int64         // of a client, bytes a second
	during  time.Duration // how long they are watched
	idle    int           // connections
}

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("memory", flag.ContinueOnError)
	s := shape{}
	flags.IntVar(&s.clients, "clients", 1000, "clients that download one package")
	flags.Int64Var(&s.size, "size", 256<<20, "bytes of the package")
	flags.Int64Var(&s.pace, "pace", 512<<10, "bytes a second that a client gets; and upstream's link, as the package arrives")
	flags.DurationVar(&s.during, "during", 15*time.Second, "how long they are watched")
	flags.IntVar(&s.idle, "idle", 5000, "idle connections")
	rounds := flags.Int("rounds", 1, "how often each server is measured")
	names := flags.String("peers", "nginx", "servers to compare with, of nginx, squid and apt-cacher-ng; empty: none")
	imserve := flags.String("imserve", "", "the program to measure; without, it is built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.clients < 1 || s.size < 1 || s.pace < 1 || s.during <= 0 || s.idle < 1 || *rounds < 1 {
		return errors.New("clients, size, pace, during, idle and rounds must be positive")
	}
	if *imserve == "" {
		dir, err := os.MkdirTemp("", "memory-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		if *imserve, err = peer.Build(ctx, dir, "imserve"); err != nil {
			return err
		}
	}
	up, err := origin.Start(ctx, unlimited)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.Close()) }()
	mirrors, err := peer.Choose(stdout, peer.Mirrors(*imserve, up.URL), *names)
	if err != nil {
		return err
	}
	up.Add("/pub"+large, s.size)
	up.Add("/pub"+small, smallSize)
	results := map[[2]string][]taken{}
	for range *rounds {
		for _, c := range cases {
			for _, m := range mirrors {
				t, err := s.measure(ctx, up, m, c)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", m.Name, c.name, err)
				}
				results[[2]string{c.name, m.Name}] = append(results[[2]string{c.name, m.Name}], t)
			}
		}
	}
	return report(stdout, s, *rounds, mirrors, results)
}

// report prints the figures.
func report(w io.Writer, s shape, rounds int, mirrors []peer.Mirror, results map[[2]string][]taken) error {
	fmt.Fprintf(w, "%d clients of one package of %d bytes, %d bytes a second each, watched for %v; %d idle connections; medians of %d rounds\n\n",
		s.clients, s.size, s.pace, s.during, s.idle, rounds)
	mib := func(n int64) string { return fmt.Sprintf("%.1f", float64(n)/(1<<20)) }
	t := peer.NewTable("CASE", "PROGRAM", "RSS MIB", "PSS MIB", "ANONYMOUS MIB", "BEFORE MIB", "CLIENTS SERVED", "MIB/S", "CPU %")
	for _, c := range cases {
		for _, m := range mirrors {
			f := figures(results[[2]string{c.name, m.Name}])
			t.Row(c.name, m.Name, mib(f.most.RSS), mib(f.most.PSS), mib(f.most.Anonymous), mib(f.before.PSS),
				f.served, mib(f.rate), fmt.Sprintf("%.0f", 100*f.cpu.Seconds()/s.during.Seconds()))
		}
	}
	if err := t.Print(w); err != nil {
		return err
	}
	_, err := fmt.Fprint(w, `
RSS, PSS, ANONYMOUS  what the server's processes have resident, at its most in the time; PSS counts what
                     they share once, ANONYMOUS is what is no file's
BEFORE               PSS after one request, before the clients come
CLIENTS SERVED       clients that got bytes: the others wait
MIB/S                what all clients got together
CPU                  of one processor, the server's
`)
	return err
}
