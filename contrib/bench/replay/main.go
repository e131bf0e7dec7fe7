// Replay measures how well runs of imsync foresee what a site will ask for: on traces
// made from when real packages changed and from a real order of popularity, beside
// one who knows the future and beside four simpler ways, with the same budgets.
//
//	go run ./contrib/bench/replay -history DIR -index Packages -comps comps.xml
//
// -index is a Debian Packages file, unpacked, which says what of the order of
// popularity is built from one source, and which of it makes a task; without it
// each is from its own. -comps has Fedora's groups.
// DIR has fedora-package-updates.tsv.gz (date, name, old and new version) and
// popularity-contest.stretch (names in the order of their popularity).
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/repodata"
	imsync "intelligentmirror/sync"
)

func main() { peer.Main("replay", run) }

// budgets are the shares of the bytes that changed which a night may fetch.
var budgets = []float64{0.10, 0.25, 1}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	history := flags.String("history", "../shared/data/history", "the folder with the real histories")
	clients := flags.String("clients", "30,300,3000", "numbers of clients, each a trace of its own")
	index := flags.String("index", "", "a Debian index, unpacked: which packages are built from one source, and which make a task")
	comps := flags.String("comps", "", "a comps.xml with Fedora's groups")
	grouped := flags.Float64("grouped", 0, "share of what groups have that is installed by the group, and of machines that begin with an environment")
	seed := flags.Uint64("seed", 1, "of all that is invented")
	from := flags.String("from", "2022-06-01", "the first day of the trace")
	days := flags.Int("days", 225, "how long a trace is, with the warm-up")
	warmup := flags.Int("warmup", 45, "days of it that count nowhere")
	tail := flags.Int("tail", 1500, "packages beside those whose history is known")
	halfLife := flags.String("half-life", "", "sync.half_life; empty: the default")
	objective := flags.String("objective", "requests", "sync.objective")
	oneOff := flags.Float64("one-off", 0.06, "chance a day that somebody installs one thing more on a machine")
	kept := flags.Float64("kept", 0.6, "chance that it stays there")
	only := flags.String("ways", "", "a regular expression: which ways are shown beside imsync and the clairvoyant; empty: all")
	keep := flags.String("keep", "", "a folder to leave the last trace in: access.log and published.tsv")
	if err := flags.Parse(args); err != nil {
		return err
	}
	beside, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-ways: %w", err)
	}
	start, err := time.Parse(time.DateOnly, *from)
	if err != nil {
		return err
	}
	changes, err := readChanges(*history)
	if err != nil {
		return fmt.Errorf("read the history: %w", err)
	}
	order, err := readOrder(*history)
	if err != nil {
		return fmt.Errorf("read the order of popularity: %w", err)
	}
	of, err := readIndex(*index)
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	groups, err := readComps(*comps)
	if err != nil {
		return fmt.Errorf("read the groups: %w", err)
	}
	groups = append(groups, of.tasks...)
	packs := packages(*seed, changes, order, *tail, of.sources)
	dir, err := os.MkdirTemp("", "bench-replay-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *keep != "" {
		dir = *keep
	}
	cfg, err := configuration(dir, *halfLife, *objective)
	if err != nil {
		return err
	}
	for number := range strings.SplitSeq(*clients, ",") {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 {
			return fmt.Errorf("-clients %q: numbers with commas between them", *clients)
		}
		s := site{seed: *seed, packs: packs, clients: n, from: start, days: *days, oneOff: *oneOff, kept: *kept, groups: group(packs, groups), grouped: *grouped}
		if err := measure(ctx, stdout, &s, groups, beside, cfg, dir, *warmup); err != nil {
			return err
		}
	}
	return nil
}

// configuration is the default one, without a seed list: that is for what no log
// shows.
func configuration(dir, halfLife, objective string) (*config.Config, error) {
	text := fmt.Sprintf("state_dir = %q\ncache_dir = %q\n[sync]\npackages = []\nobjective = %q\n", dir, dir, objective)
	if halfLife != "" {
		text += fmt.Sprintf("half_life = %q\n", halfLife)
	}
	return config.Load(config.Options{Path: filepath.Join(dir, "config.toml"), UID: os.Geteuid(), ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
}

// measure makes the site's trace, replays it and prints what came of it.
func measure(ctx context.Context, w io.Writer, s *site, groups []*repodata.Group, beside *regexp.Regexp, cfg *config.Config, dir string, warmup int) error {
	log := filepath.Join(dir, "access.log")
	f, err := os.Create(log)
	if err != nil {
		return err
	}
	first, requests, err := s.write(f)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write the trace: %w", err)
	}
	all := published(s.packs)
	if err := writePublished(filepath.Join(dir, "published.tsv"), all); err != nil {
		return err
	}
	o := imsync.ReplayOptions{
		Config: cfg, Logs: []string{log}, Published: all, Groups: groups, Warmup: time.Duration(warmup) * 24 * time.Hour,
		Log: slog.New(slog.DiscardHandler),
	}
	ways := slices.DeleteFunc(planners(first), func(p planner) bool {
		return p.name != byDefault && p.name != allSources && p.name != clairvoyant && !beside.MatchString(p.name)
	})
	for _, share := range budgets {
		for _, p := range ways {
			o.Variants = append(o.Variants, imsync.Variant{Budget: imsync.ReplayBudget{Share: share}, Plan: p.plan, Candidates: p.candidates})
		}
	}
	r, err := imsync.Replay(ctx, o)
	if err != nil {
		return err
	}
	c := r.Outcomes[0]
	fmt.Fprintf(w, "%d clients, %d days, %d requests in all; %d that count, %d of them first requests\n", s.clients, s.days, requests, c.Requests, c.FirstRequests)
	inGroups, several := s.groups.coverage()
	fmt.Fprintf(w, "%d packages, of which groups have %d; %d groups have two or more of them\n\n", len(s.packs), inGroups, several)
	t := peer.NewTable("BUDGET", "PLANNER", "FIRST HITS", "% OF CLAIRVOYANT", "BYTES %", "PREFETCHED MiB", "WASTED %", "SETTLED: WASTED %")
	for i, share := range budgets {
		of := r.Outcomes[i*len(ways) : (i+1)*len(ways)]
		best := of[slices.IndexFunc(ways, func(p planner) bool { return p.name == clairvoyant })]
		for j, p := range ways {
			x := of[j]
			t.Row(fmt.Sprintf("%.0f %%", share*100), p.name, fmt.Sprintf("%d (%.1f %%)", x.FirstHits, ratio(x.FirstHits, x.FirstRequests)),
				fmt.Sprintf("%.1f", ratio(x.FirstHits, best.FirstHits)), fmt.Sprintf("%.1f", ratio(x.FirstHitBytes, best.FirstHitBytes)),
				fmt.Sprintf("%.0f", float64(x.PrefetchedBytes)/(1<<20)), fmt.Sprintf("%.1f", ratio(x.WastedBytes, x.PrefetchedBytes)), settledWaste(&x))
		}
	}
	if err := t.Print(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if err := printSources(w, ways, r.Outcomes); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return nil
}

// settled is after how many days most of what anybody comes for has been come for: a
// week has every day that the weekly updates of machines fall on.
const settled = 7

// settledWaste is what was wasted, in per cent, of what was fetched so long before the
// end of the trace. The rest counts as wasted where its users had no day to come.
func settledWaste(x *imsync.Outcome) string {
	if len(x.ByDay) <= settled {
		return "-"
	}
	var wasted, all int64
	for _, day := range x.ByDay[:len(x.ByDay)-settled] {
		wasted += day.WastedBytes
		all += day.PrefetchedBytes
	}
	return fmt.Sprintf("%.1f", ratio(wasted, all))
}

// printSources prints what each source of candidates brought where all are asked.
func printSources(w io.Writer, ways []planner, outcomes []imsync.Outcome) error {
	all := slices.IndexFunc(ways, func(p planner) bool { return p.name == allSources })
	t := peer.NewTable("BUDGET", "SOURCE", "PREFETCHED", "USED", "PREFETCHED MiB", "WASTED %")
	for i, share := range budgets {
		for _, s := range outcomes[i*len(ways)+all].Sources {
			size := s.UsedBytes + s.WastedBytes
			t.Row(fmt.Sprintf("%.0f %%", share*100), string(s.Source), fmt.Sprint(s.Used+s.Wasted), fmt.Sprint(s.Used),
				fmt.Sprintf("%.1f", float64(size)/(1<<20)), fmt.Sprintf("%.1f", ratio(s.WastedBytes, size)))
		}
	}
	return t.Print(w)
}

func ratio[T int | int64](n, of T) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(n) / float64(of)
}

// writePublished writes the list for `imsync replay --published`.
func writePublished(name string, all []imsync.Published) error {
	var b strings.Builder
	for _, p := range all {
		fmt.Fprintf(&b, "%s\t%s\t%d\t%s\t%s\n", p.At.UTC().Format(time.RFC3339), strings.ReplaceAll(p.Path, "%", "%25"), p.Size, p.Source, strings.Join(p.Obsoletes, ","))
	}
	return os.WriteFile(name, []byte(b.String()), 0o644)
}
