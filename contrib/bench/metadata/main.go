// Metadata measures what a large repository's metadata costs imsync: a repository of
// RPM packages is made of a Debian index, served on 127.0.0.1, and planned for, by
// whole processes: for the first time, again, and in a run that has nothing to do; and
// for the looks of a process that stays.
// It checks what is planned, and what the mirror is asked.
//
//	go run ./contrib/bench/metadata
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"intelligentmirror/contrib/bench/internal/peer"
)

func main() { peer.Main("metadata", run) }

// site is a site with that repository, and the imsync that is measured.
type site struct {
	imsync, dir string
	mirror      *mirror
	popular     int // packages that clients have asked for
}

func run(ctx context.Context, args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("metadata", flag.ContinueOnError)
	packages := flags.Int("packages", 60_000, "packages of the repository")
	popular := flags.Int("popular", 400, "packages that clients have asked for, spread over all")
	index := flags.String("index", "", "a Debian Packages file, unpacked; without, what apt on this machine has")
	rounds := flags.Int("rounds", 5, "how often each is measured")
	imsync := flags.String("imsync", "", "the program to measure; without, it is built")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *packages < 1 || *rounds < 1 || *popular < 1 || *popular > *packages {
		return fmt.Errorf("packages, popular and rounds must be positive, and popular ones among the packages")
	}
	dir, err := os.MkdirTemp("", "metadata-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *imsync, err = peer.BuildUnless(ctx, *imsync, dir, "imsync"); err != nil {
		return err
	}
	r, err := openIndex(ctx, *index)
	if err != nil {
		return err
	}
	all, err := readIndex(r, *packages)
	r.Close()
	if err != nil {
		return err
	}
	repo, err := newRepository(dir+"/upstream", all)
	if err != nil {
		return fmt.Errorf("make the repository: %w", err)
	}
	s := site{imsync: *imsync, dir: dir, mirror: newMirror(dir+"/upstream", repo), popular: *popular}
	defer s.mirror.Close()
	if err := s.configure(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d packages, primary.xml %.1f MB, packed %.1f MB, %d packages popular; medians of %d rounds\n\n",
		len(repo.packages), float64(repo.open)/1e6, float64(repo.packed)/1e6, *popular, *rounds)
	first, again, idle, err := s.measure(ctx, *rounds)
	if err != nil {
		return err
	}
	bare, err := s.bare(ctx, *rounds)
	if err != nil {
		return err
	}
	look, err := s.looks(ctx, *rounds)
	if err != nil {
		return err
	}
	t := peer.NewTable("COMMAND", "CPU", "WALL", "PEAK MiB")
	for _, row := range []struct {
		what    string
		samples []peer.Sample
	}{
		{"imsync plan, fetch the metadata and read it", first},
		{"imsync plan, the metadata is there", again},
		{"imsync once, nothing has changed", idle},
		{"imsync --version, which does nothing", bare},
	} {
		f := peer.Figures(row.samples)
		t.Row(row.what, f.CPU.Round(time.Millisecond), f.Wall.Round(time.Millisecond), fmt.Sprintf("%.0f", float64(f.Peak)/(1<<20)))
	}
	t.Row("imsync run, each look while nothing has changed", look.Round(100*time.Microsecond), "", "")
	if err := t.Print(stdout); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "\nPlanned as it should be; when nothing has changed, one conditional request.\n")
	return nil
}

// configure writes the configuration, and a log in which clients ask for the
// repository and for the popular packages.
func (s *site) configure() error {
	if err := os.WriteFile(s.dir+"/config.toml", fmt.Appendf(nil, `cache_dir = %q
state_dir = %q
[[repo]]
name = "bench"
upstreams = [%q]
[sync]
packages = []
logs = [%q]
`, s.dir+"/cache", s.dir+"/state", s.mirror.URL+"/bench", s.dir+"/access.log"), 0o600); err != nil {
		return err
	}
	var log []byte
	line := func(client int, path string) {
		log = fmt.Appendf(log, "10.0.%d.%d - - [%s] \"GET /bench/%s HTTP/1.1\" 200 512 \"-\" \"libdnf\"\n",
			client/250, client%250+1, time.Now().Add(-time.Hour).Format("02/Jan/2006:15:04:05 -0700"), path)
	}
	for _, p := range s.asked() {
		for client := range 3 {
			line(client, "repodata/repomd.xml")
			line(client, p.file)
		}
	}
	return os.WriteFile(s.dir+"/access.log", log, 0o600)
}

// asked are the packages that clients have asked for, spread over all.
func (s *site) asked() []*rpm {
	all := s.mirror.repo.packages
	asked := make([]*rpm, s.popular)
	for i := range asked {
		asked[i] = &all[i*len(all)/s.popular]
	}
	return asked
}

// run runs the program with the configuration.
func (s *site) run(ctx context.Context, args ...string) (peer.Sample, []byte, error) {
	return peer.Measure(ctx, s.imsync, append(args, "--config", s.dir+"/config.toml")...)
}

// measure takes samples of a first plan, of one more, and of a run with nothing to do.
func (s *site) measure(ctx context.Context, rounds int) (first, again, idle []peer.Sample, err error) {
	for range rounds {
		for _, d := range []string{"/cache", "/state"} {
			if err := os.RemoveAll(s.dir + d); err != nil {
				return nil, nil, nil, err
			}
		}
		for _, samples := range []*[]peer.Sample{&first, &again} {
			m, out, err := s.run(ctx, "plan", "--json")
			if err == nil {
				err = s.check(out)
			}
			if err != nil {
				return nil, nil, nil, err
			}
			*samples = append(*samples, m)
		}
	}
	if err := s.settle(ctx); err != nil {
		return nil, nil, nil, err
	}
	for range rounds {
		m, _, err := s.run(ctx, "once", "--json")
		if err != nil {
			return nil, nil, nil, err
		}
		if asked := s.mirror.took(); !slices.Equal(asked, []string{"304 repodata/repomd.xml"}) {
			return nil, nil, nil, fmt.Errorf("nothing has changed, and upstream was asked %q", asked)
		}
		idle = append(idle, m)
	}
	return first, again, idle, nil
}

// bare takes samples of a process that does nothing.
func (s *site) bare(ctx context.Context, rounds int) (all []peer.Sample, err error) {
	for range rounds {
		m, _, err := peer.Measure(ctx, s.imsync, "--version")
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// looksARound is how many looks of one process are measured together, since its
// processor time is told in steps of 10 ms.
const looksARound = 5

// looks is the processor time that a look at what may have changed (sync.poll) takes in a
// process that stays, in the mean of rounds.
func (s *site) looks(ctx context.Context, rounds int) (each time.Duration, err error) {
	config := s.dir + "/staying.toml"
	b, err := os.ReadFile(s.dir + "/config.toml")
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(config, fmt.Appendf(b, "schedule = \"0 0 29 2 *\"\npoll = \"1s\"\n"), 0o600); err != nil {
		return 0, err
	}
	ctx, stop := context.WithCancel(ctx)
	cmd := exec.CommandContext(ctx, s.imsync, "run", "--config", config)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		stop()
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		stop()
		<-ended
	}()
	s.mirror.took()
	await := func(looks int) (seen int, took time.Duration, err error) {
		for seen < looks {
			select {
			case err := <-ended:
				ended <- err
				return 0, 0, fmt.Errorf("imsync run has ended (%w): %s", err, &said)
			case <-time.After(10 * time.Millisecond):
			}
			for _, asked := range s.mirror.took() {
				if asked != "304 repodata/repomd.xml" {
					return 0, 0, fmt.Errorf("nothing has changed, and upstream was asked %q", asked)
				}
				seen++
			}
		}
		took, err = peer.CPUOf(cmd.Process.Pid)
		return seen, took, err
	}
	_, before, err := await(2) // it may have caught up on a run
	if err != nil {
		return 0, err
	}
	seen, after, err := await(looksARound * rounds)
	if err != nil {
		return 0, err
	}
	return (after - before) / time.Duration(seen), nil
}

// settle does runs until one has fetched nothing, so that the next has nothing to do.
func (s *site) settle(ctx context.Context) error {
	for range 5 {
		_, out, err := s.run(ctx, "once", "--json")
		if err != nil {
			return err
		}
		var r struct{ Fetched int }
		if err := json.Unmarshal(out, &r); err != nil {
			return fmt.Errorf("read what imsync once prints: %w", err)
		}
		s.mirror.took()
		if r.Fetched == 0 {
			return nil
		}
	}
	return fmt.Errorf("imsync once fetches more with each run")
}

// onTrial is how many packages a source of guesses brings before it has shown
// anything.
const onTrial = 10

// check holds that the popular packages are planned, what they need, and, of what was
// built from the same sources, no more than may be tried.
func (s *site) check(plan []byte) error {
	var items []struct{ Path, Name, Reason, Because string }
	if err := json.Unmarshal(plan, &items); err != nil {
		return fmt.Errorf("read what imsync plan prints: %w", err)
	}
	popular := map[string]*rpm{} // by path in the cache
	sources := map[string]string{}
	for _, p := range s.asked() {
		popular["bench/"+p.file] = p
		sources[p.name] = p.sourceName()
	}
	seen, siblings := map[string]bool{}, 0
	for _, it := range items {
		p := s.mirror.repo.byPath[strings.TrimPrefix(it.Path, "bench/")]
		switch {
		case p == nil:
			return fmt.Errorf("%s is planned, which the repository has not", it.Path)
		case seen[it.Path]:
			return fmt.Errorf("%s is planned twice", it.Path)
		case (popular[it.Path] != nil) != (it.Reason == "popular"):
			return fmt.Errorf("%s is planned as %s", it.Path, it.Reason)
		}
		seen[it.Path] = true
		switch it.Reason {
		case "popular", "dependency":
		case "sibling":
			if siblings++; siblings > onTrial {
				return fmt.Errorf("more than %d packages are planned as siblings", onTrial)
			}
			if source, ok := sources[it.Because]; !ok || source != p.sourceName() {
				return fmt.Errorf("%s is planned for %s, which is not popular or has another source", it.Path, it.Because)
			}
		default:
			return fmt.Errorf("%s is planned as %s", it.Path, it.Reason)
		}
	}
	for path := range popular {
		if !seen[path] {
			return fmt.Errorf("%s is popular and not planned", path)
		}
	}
	return nil
}
