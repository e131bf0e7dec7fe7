// Sync measures how long a first sync takes: imsync brings all packages of an RPM
// repository from a mirror that is some tens of milliseconds away, over a line of a
// given speed, and so do aria2c, which is told every URL, and dnf reposync, where
// they are installed, in turns in the same run. The mirror and the line are in the
// program itself. It compares every byte that was brought, and fails if imsync asks
// for a package twice.
//
//	go run ./contrib/bench/sync
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("sync", run) }

func run(ctx context.Context, args []string, stdout io.Writer) (err error) {
	flags := flag.NewFlagSet("sync", flag.ContinueOnError)
	packages := flags.Int("packages", 1000, "packages of the repository")
	total := flags.Int64("bytes", 200_000_000, "bytes of all packages together, about")
	away := flags.Duration("away", 40*time.Millisecond, "a round trip to the mirror")
	speed := flags.Int64("rate", 50_000_000, "bytes a second of the line to it")
	parallel := flags.Int("parallel", 16, "files that aria2c downloads at a time")
	rounds := flags.Int("rounds", 5, "how often each is measured")
	names := flags.String("peers", "aria2c,dnf", "programs to compare with; empty: none")
	imsync := flags.String("imsync", "", "the program to measure; without, it is built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *packages < 1 || *total < 1 || *away < 0 || *speed < 1 || *parallel < 1 || *rounds < 1 {
		return errors.New("packages, bytes, rate, parallel and rounds must be positive, and away not negative")
	}
	dir, err := os.MkdirTemp("", "sync-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if *imsync, err = peer.BuildUnless(ctx, *imsync, dir, "imsync"); err != nil {
		return err
	}
	all, err := contenders(*imsync, *names, *parallel, stdout)
	if err != nil {
		return err
	}
	repo, err := newRepository(filepath.Join(dir, "upstream"), *packages, *total)
	if err != nil {
		return fmt.Errorf("make the repository: %w", err)
	}
	m, err := newMirror(ctx, repo.dir, *away/2, *speed)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, m.Close()) }()
	fmt.Fprintf(stdout, "%d packages, %.1f MB, from a mirror %v away, over a line of %.1f MB/s that they take %.2f s of; medians of %d rounds\n\n",
		len(repo.files), float64(repo.bytes)/1e6, *away, float64(*speed)/1e6, float64(repo.bytes)/float64(*speed), *rounds)
	for range *rounds {
		for _, c := range all {
			if err := c.measure(ctx, dir, m, repo); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return report(stdout, all)
}

// measure lets c bring the repository into an empty directory below dir.
func (c *contender) measure(ctx context.Context, dir string, m *mirror, r *repository) (err error) {
	if dir, err = os.MkdirTemp(dir, "round-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	args, err := c.prepare(dir, m, r)
	if err != nil {
		return err
	}
	m.took()
	sample, out, err := peer.Measure(ctx, c.path, args...)
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	asked, passed := m.took()
	if err := r.check(filepath.Join(dir, c.got)); err != nil {
		return err
	}
	if c.name == ours {
		if err := once(asked, r.files); err != nil {
			return err
		}
	}
	requests := 0
	for _, n := range asked {
		requests += n
	}
	c.samples, c.requests = append(c.samples, sample), append(c.requests, requests)
	c.connections, c.bytes = append(c.connections, passed.Connections), append(c.bytes, passed.Down)
	return nil
}
