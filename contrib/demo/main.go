// Demo shows IntelligentMirror at work on one machine, without a network: an
// upstream with a real RPM repository, a site's access log, the agent's nights,
// the server's day, and what it was good for.
//
// It runs bin/imsync and bin/imserve as anybody would, works below one folder of
// its own, and stops what it has started. Read run in this file first; stage.go
// has the site, clients.go its clients, show.go the tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.dir, "dir", "demo", "the `folder` to work in; it is emptied first")
	flag.StringVar(&o.bin, "bin", "bin", "the `folder` with imserve and imsync")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:0", "the `address` of imserve; port 0 is a free one")
	flag.BoolVar(&o.keep, "keep", false, "leave the server running at the end, until Ctrl-C")
	flag.BoolVar(&o.noDNF, "no-dnf", false, "do without dnf, where it is installed")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "demo: takes no argument %q\n", flag.Args())
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, context.Canceled) {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// options say how the demonstration runs.
type options struct {
	dir, bin, listen string
	keep, noDNF      bool
	small            bool // packages of a hundredth of the size, for tests
}

// run is the demonstration. It ends with ctx.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	began := time.Now()
	p := page{out}
	p.opening(o)
	s, err := newStage(o)
	if err != nil {
		return err
	}
	defer s.up.Close()
	p.site(s)

	p.step("What does this site use?", s.command("imsync", "rank"))
	ranks, err := s.rank(ctx)
	if err != nil {
		return err
	}
	p.ranks(ranks)

	nightly := s.command("imsync", "plan") + " && " + s.command("imsync", "once")
	p.step("The first night: what is popular, the seed list, and what these need", nightly)
	first, err := s.night(ctx)
	if err != nil {
		return err
	}
	p.firstNight(first)

	if err := s.overnight(); err != nil {
		return err
	}
	p.step(fmt.Sprintf("The second night: upstream has published %d updates", s.updates()), nightly)
	second, err := s.night(ctx)
	if err != nil {
		return err
	}
	p.secondNight(second)

	p.step("The day: clients ask the mirror", s.command("imserve"))
	server, err := s.serve(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.stop()) }()
	p.opened(server.url)
	day, err := s.day(ctx, server)
	if err != nil {
		return err
	}
	p.day(day)

	s.up.Stop()
	p.step("Upstream is gone, and the same clients ask again", "")
	gone, err := s.day(ctx, server)
	if err != nil {
		return err
	}
	p.day(gone)
	answer, err := s.missing(ctx, server)
	if err != nil {
		return err
	}
	p.missing(answer)
	installed, err := s.install(ctx, server)
	if err != nil {
		return err
	}
	p.installed(installed)

	p.step("What it was good for", "")
	p.balance(s, []night{first, second}, append(day, gone...))
	p.end(server.url, time.Since(began), o)
	if o.keep {
		<-ctx.Done()
	}
	return nil
}
