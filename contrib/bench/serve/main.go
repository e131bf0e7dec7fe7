// Serve measures hits: how fast a warm cache answers over loopback, and what that
// costs, beside nginx with proxy_cache, nginx with the same files on its disk, squid and
// apt-cacher-ng, where they are installed, in turns in the same run. wrk asks.
//
// Each server is asked for every package before, which is verified byte for byte,
// and must not ask upstream once more afterwards.
//
//	go run ./contrib/bench/serve
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"intelligentmirror/contrib/bench/internal/origin"
	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("serve", run) }

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	rounds := flags.Int("rounds", 7, "how often each server is measured with each load")
	length := flags.Duration("duration", 3*time.Second, "how long, in whole seconds")
	packages := flags.Int("packages", 1500, "packages in the mix")
	names := flags.String("peers", "nginx,nginx-static,squid,apt-cacher-ng", "servers to compare with; empty: none")
	only := flags.String("loads", "small,mix,large", "what is asked for")
	imserve := flags.String("imserve", "", "the program to measure; without, it is built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *length < time.Second || *packages < 2 {
		return errors.New("rounds must be positive, duration a second at least, and packages two")
	}
	if _, err := exec.LookPath("wrk"); err != nil {
		return fmt.Errorf("%w: install it (Debian: apt-get install wrk)", err)
	}
	dir, err := os.MkdirTemp("", "serve-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// Whoever the servers run as reads the files there.
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if *imserve, err = peer.BuildUnless(ctx, *imserve, dir, "imserve"); err != nil {
		return err
	}
	up, err := origin.Start(ctx, 1<<40)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, up.Close()) }()
	loads := slices.DeleteFunc(loads(*packages), func(l load) bool { return !slices.Contains(strings.Split(*only, ","), l.name) })
	files := filepath.Join(dir, "files")
	if err := publish(loads, up, files); err != nil {
		return err
	}
	all, err := contenders(ctx, *imserve, *names, up.URL, files, stdout)
	defer func() {
		for _, c := range all {
			err = errors.Join(err, c.Stop())
		}
	}()
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := c.warm(ctx, loads); err != nil {
			return fmt.Errorf("%s: %w", c.Name, err)
		}
	}
	asked := gets(loads, up)
	for _, l := range loads {
		script, err := l.script(dir)
		if err != nil {
			return err
		}
		for i := range *rounds {
			// Each has each place in a round.
			for j := range all {
				c := all[(i+j)%len(all)]
				if err := c.measure(ctx, l, script, *length); err != nil {
					return fmt.Errorf("%s, %s: %w", c.Name, l.name, err)
				}
			}
		}
	}
	for _, l := range loads {
		if err := report(stdout, l, all); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprint(stdout, legend); err != nil {
		return err
	}
	if again := gets(loads, up) - asked; again > 0 {
		return fmt.Errorf("upstream was asked %d times for what the caches had", again)
	}
	return nil
}

// contender is a server with what was measured of it.
type contender struct {
	*peer.Peer
	prefix  string              // of the packages on it
	results map[string][]result // by load, a round each
}

// contenders starts imserve, and those of the named peers that are on this machine.
func contenders(ctx context.Context, imserve, names, upstream, files string, stdout io.Writer) ([]*contender, error) {
	mirrors, err := peer.Choose(stdout, append(peer.Mirrors(imserve, upstream), peer.Static(files)), names)
	if err != nil {
		return nil, err
	}
	var all []*contender
	for _, m := range mirrors {
		p, err := m.Start(ctx)
		if err != nil {
			return all, err
		}
		all = append(all, &contender{p, m.Prefix, map[string][]result{}})
	}
	return all, nil
}

// measure lets wrk ask c for a while.
func (c *contender) measure(ctx context.Context, l load, script string, length time.Duration) error {
	before, err := c.CPU()
	if err != nil {
		return err
	}
	r, err := wrk(ctx, c.URL+c.prefix, l.connections, script, length)
	if err != nil {
		return err
	}
	after, err := c.CPU()
	if err != nil {
		return err
	}
	m, err := c.Memory()
	if err != nil {
		return err
	}
	r.cpu, r.memory = after-before, m.PSS
	c.results[l.name] = append(c.results[l.name], r)
	return nil
}

// base is the server that the others are compared with.
const base = "nginx"

// report prints the figures of one load.
func report(w io.Writer, l load, all []*contender) error {
	fmt.Fprintf(w, "%s: %s, %d connections\n\n", l.name, l.what, l.connections)
	var nginx []result
	for _, c := range all {
		if c.Name == base {
			nginx = c.results[l.name]
		}
	}
	t := peer.NewTable("PROGRAM", "REQ/S", "MIB/S", "CPU US/REQ", "CPU MS/GIB", "99% MS", "MIB", "SPEED", "CPU")
	for _, c := range all {
		r := c.results[l.name]
		median := func(f func(result) float64) float64 {
			var list []float64
			for _, x := range r {
				list = append(list, f(x))
			}
			return peer.Median(list)
		}
		// Of a round each, so that what slows down both is out of it.
		ratio := func(f func(result) float64) string {
			var list []float64
			for i := range min(len(r), len(nginx)) {
				list = append(list, f(r[i])/f(nginx[i]))
			}
			if len(list) == 0 {
				return "-"
			}
			return fmt.Sprintf("%.2f", peer.Median(list))
		}
		figure := func(digits int, f func(result) float64) string { return fmt.Sprintf("%.*f", digits, median(f)) }
		t.Row(c.Name, figure(0, result.rate), figure(0, func(r result) float64 { return r.speed() / (1 << 20) }),
			figure(1, func(r result) float64 { return r.perRequest() * 1e6 }), figure(0, func(r result) float64 { return r.perByte() * (1 << 30) * 1e3 }),
			figure(1, func(r result) float64 { return r.late.Seconds() * 1e3 }), figure(0, func(r result) float64 { return float64(r.memory) / (1 << 20) }),
			ratio(result.speed), ratio(result.perByte))
	}
	if err := t.Print(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

const legend = `REQ/S, MIB/S  answers and their bodies, a second
CPU           processor time of the server, for an answer and for a GiB
99% MS        the time that all but one in a hundred answers took at most
MIB           memory of the server (PSS)
SPEED, CPU    bytes a second, and processor time for a byte, as a multiple of nginx's (proxy_cache):
              the median of the rounds' ratios

All figures are medians of the rounds. The servers write their access logs.
`
