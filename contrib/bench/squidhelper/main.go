// Squidhelper measures how fast `imserve squid-helper` answers squid's questions,
// beside helpers that squid itself has, on the same questions in the same run:
// whole processes, each on one processor, several rounds, medians. What is asked is
// half packages of two mirrors of one repository, half pages; every answer is checked.
//
//	go run ./contrib/bench/squidhelper
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("squidhelper", run) }

// contender is a helper.
type contender struct {
	name    string
	command []string
	knows   bool // packages have an answer of their own
	rounds  []sample
}

// squidLib is where Debian has squid's helpers.
const squidLib = "/usr/lib/squid/"

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("squidhelper", flag.ContinueOnError)
	lines := flags.Int("lines", 300_000, "questions that a helper is asked, many at a time")
	single := flags.Int("single", 5_000, "questions that it is asked one by one")
	rounds := flags.Int("rounds", 3, "how often each helper is asked")
	imserve := flags.String("imserve", "", "the program to measure; without, it is built")
	others := flags.String("squid", squidLib, "the directory of squid's own helpers; empty: none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *lines < 2 || *single < 1 || *rounds < 1 {
		return fmt.Errorf("lines, single and rounds must be positive")
	}
	dir, err := os.MkdirTemp("", "squidhelper-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *imserve, err = peer.BuildUnless(ctx, *imserve, dir, "imserve"); err != nil {
		return err
	}
	all, stop, err := contenders(dir, *imserve, *others, stdout)
	if err != nil {
		return err
	}
	defer stop()
	for range *rounds {
		for _, c := range all {
			s, err := measure(ctx, c, *lines, *single)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			c.rounds = append(c.rounds, s)
		}
	}
	return report(stdout, *lines, *rounds, all)
}

// contenders is the helpers that are there; stop ends what they need.
func contenders(dir, imserve, others string, stdout io.Writer) (all []*contender, stop func(), err error) {
	ready := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/-/readyz" {
			http.NotFound(w, r)
		}
	}))
	config := filepath.Join(dir, "config.toml")
	text := fmt.Appendf(nil, "[[repo]]\nname = \"campus\"\nupstreams = [%q, %q]\n", mirrors[0], mirrors[1])
	if err := os.WriteFile(config, text, 0o600); err != nil {
		ready.Close()
		return nil, nil, err
	}
	all = []*contender{
		{name: "imserve, rewriting", knows: true, command: []string{imserve, "squid-helper", "--config", config, "--mirror", ready.URL}},
		{name: "imserve, store ids", knows: true, command: []string{imserve, "squid-helper", "--config", config, "--store-id"}},
	}
	if others == "" {
		return all, ready.Close, nil
	}
	rules := filepath.Join(dir, "rules")
	text = fmt.Appendf(nil, "^%s/([^ ]*\\.rpm)\thttp://campus.squid.internal/$1\n^%s/([^ ]*\\.rpm)\thttp://campus.squid.internal/$1\n", mirrors[0], mirrors[1])
	if err := os.WriteFile(rules, text, 0o600); err != nil {
		ready.Close()
		return nil, nil, err
	}
	for _, c := range []*contender{
		{name: "storeid_file_rewrite (Perl)", knows: true, command: []string{others + "storeid_file_rewrite", rules}},
		{name: "url_fake_rewrite (C++, knows nothing)", command: []string{others + "url_fake_rewrite"}},
	} {
		if _, err := os.Stat(c.command[0]); err != nil {
			fmt.Fprintf(stdout, "Not compared with: %v\n\n", err)
			continue
		}
		all = append(all, c)
	}
	return all, ready.Close, nil
}

// report prints the figures.
func report(w io.Writer, lines, rounds int, all []*contender) error {
	fmt.Fprintf(w, "%d questions, half of them packages; one processor; medians of %d rounds\n\n", lines, rounds)
	t := peer.NewTable("HELPER", "ANSWERS/S", "CPU µs/ANSWER", "ANSWERS/CPU s", "ONE BY ONE µs")
	for _, c := range all {
		var walls, cpus, ones []time.Duration
		for _, s := range c.rounds {
			walls, cpus, ones = append(walls, s.wall), append(cpus, s.cpu), append(ones, s.one)
		}
		cpu := peer.Median(cpus).Seconds() / float64(lines)
		t.Row(c.name, fmt.Sprintf("%.0f", float64(lines)/peer.Median(walls).Seconds()), fmt.Sprintf("%.2f", cpu*1e6),
			fmt.Sprintf("%.0f", 1/cpu), fmt.Sprintf("%.0f", float64(peer.Median(ones).Nanoseconds())/1e3))
	}
	return t.Print(w)
}
