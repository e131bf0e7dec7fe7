// Ingest measures how fast `imsync rank` reads access logs, beside goaccess on the
// same file in the same run: whole processes with an empty database, several
// rounds, medians. It makes its log itself, and checks that what is counted is
// what stands in it.
//
//	go run ./contrib/bench/ingest
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"

	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("ingest", run) }

// contender is a program with the log that it reads.
type contender struct {
	name    string
	prepare func() error
	command []string
	samples []peer.Sample
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("ingest", flag.ContinueOnError)
	var s shape
	flags.IntVar(&s.lines, "lines", 2_000_000, "lines of the log")
	flags.IntVar(&s.packages, "packages", 100_000, "distinct packages in it")
	flags.IntVar(&s.clients, "clients", 10_000, "clients in it")
	flags.IntVar(&s.days, "days", 7, "days that it goes over")
	rounds := flags.Int("rounds", 3, "how often each program reads it")
	imsync := flags.String("imsync", "", "the program to measure; without, it is built")
	goaccess := flags.String("goaccess", "goaccess", "the program to compare with; empty: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if s.lines < 1 || s.packages < 1 || s.clients < 1 || s.days < 1 || *rounds < 1 {
		return fmt.Errorf("lines, packages, clients, days and rounds must be positive")
	}
	dir, err := os.MkdirTemp("", "ingest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *imsync, err = peer.BuildUnless(ctx, *imsync, dir, "imsync"); err != nil {
		return err
	}
	log, config := dir+"/access.log", dir+"/config.toml"
	want, err := writeLog(log, s)
	if err != nil {
		return fmt.Errorf("write the log: %w", err)
	}
	rank := func(name, log string) *contender {
		return &contender{
			name: name, command: []string{*imsync, "rank", "--config", config, "-n", "20"},
			prepare: func() error { return configure(config, dir, log) },
		}
	}
	all := []*contender{rank("imsync rank, plain", log), rank("imsync rank, gzipped", log+".gz")}
	var other *contender
	if *goaccess != "" {
		if path, err := exec.LookPath(*goaccess); err == nil {
			other = &contender{name: "goaccess, plain", prepare: func() error { return nil }, command: []string{path, log,
				"--log-format=COMBINED", "--no-global-config", "--no-progress", "-o", dir + "/goaccess.json"}}
			all = append(all, other)
		} else {
			fmt.Fprintf(stdout, "No %s on this machine: nothing to compare with.\n\n", *goaccess)
		}
	}
	for range *rounds {
		for _, c := range all {
			if err := c.prepare(); err != nil {
				return err
			}
			m, _, err := peer.Measure(ctx, c.command[0], c.command[1:]...)
			if err != nil {
				return err
			}
			c.samples = append(c.samples, m)
		}
	}
	if err := check(ctx, *imsync, config, dir, log, want); err != nil {
		return err
	}
	if err := report(stdout, s, *rounds, all, other); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nCounted exactly: %d distinct requests.\n", want)
	return nil
}

// check compares what is counted with what the log was made of.
func check(ctx context.Context, imsync, config, dir, log string, want int) error {
	if err := configure(config, dir, log); err != nil {
		return err
	}
	_, out, err := peer.Measure(ctx, imsync, "rank", "--config", config, "-n", "0", "--json")
	if err != nil {
		return err
	}
	var ranks []struct{ Requests int }
	if err := json.Unmarshal(out, &ranks); err != nil {
		return fmt.Errorf("read what imsync rank prints: %w", err)
	}
	got := 0
	for _, r := range ranks {
		got += r.Requests
	}
	if got != want {
		return fmt.Errorf("imsync counted %d requests, the log has %d", got, want)
	}
	return nil
}

// report prints the figures.
func report(w io.Writer, s shape, rounds int, all []*contender, goaccess *contender) error {
	fmt.Fprintf(w, "%d lines, %d packages, %d clients, %d days; medians of %d rounds\n\n", s.lines, s.packages, s.clients, s.days, rounds)
	t := peer.NewTable("PROGRAM", "LINES/S", "CPU µs/LINE", "PEAK MiB", "TIMES GOACCESS")
	for _, c := range all {
		f := peer.Figures(c.samples)
		times := "-"
		if goaccess != nil {
			times = fmt.Sprintf("%.1f", peer.Figures(goaccess.samples).Wall.Seconds()/f.Wall.Seconds())
		}
		t.Row(c.name, fmt.Sprintf("%.0f", float64(s.lines)/f.Wall.Seconds()),
			fmt.Sprintf("%.2f", f.CPU.Seconds()*1e6/float64(s.lines)), fmt.Sprintf("%.0f", float64(f.Peak)/(1<<20)), times)
	}
	return t.Print(w)
}

// configure writes a configuration of imsync, whose database is empty.
func configure(path, dir, log string) error {
	if err := os.RemoveAll(dir + "/state"); err != nil {
		return err
	}
	return os.WriteFile(path, fmt.Appendf(nil, "cache_dir = %q\nstate_dir = %q\n[sync]\nlogs = [%q]\n", dir+"/cache", dir+"/state", log), 0o600)
}
