package systest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// Where the fixture's repository is: as a client of the mirror asks for it, and
// on upstream.
const (
	rootName     = "fedora/updates/41/Everything/x86_64"
	upstreamBase = "/pub/fedora/linux"
	upstreamRoot = upstreamBase + "/updates/41/Everything/x86_64"
)

// site is one site: an upstream, a configuration, and room for what the
// programs keep.
type site struct {
	t      testing.TB
	dir    string // everything of it lies below
	tree   string // what upstream serves
	repo   string // the repository's directory in tree
	logs   string // the directory of the access logs
	config string // the configuration file
	up     *testrepo.Server
	base   string   // upstream's URL, as the configuration has it
	others []string // more of the configuration's upstreams, for the repository
	more   string   // what the repository's entry has besides
	bin    string   // the directory of its programs
	env    []string // variables of the environment that they have besides
}

// newSite makes a site with an empty upstream. extra is what its configuration
// says beyond the directories and the upstream: tables with their keys, those of
// its repo under [[repo]].
func newSite(t testing.TB, extra ...string) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{
		t: t, dir: dir, tree: filepath.Join(dir, "upstream"),
		logs: filepath.Join(dir, "logs"), config: filepath.Join(dir, "config.toml"), bin: programs,
	}
	s.repo = filepath.Join(s.tree, upstreamRoot)
	s.mkdir(s.repo)
	s.mkdir(s.logs)
	s.up = testrepo.Start(t, s.tree)
	s.base = s.up.URL
	s.configure(extra...)
	return s
}

// underRace lets the site run the programs that have the race detector.
func (s *site) underRace() *site {
	s.bin = raced
	return s
}

// configure writes the configuration file.
func (s *site) configure(extra ...string) {
	s.t.Helper()
	tables := map[string]string{
		"[serve]": `listen = "127.0.0.1:0"`,
		"[sync]":  fmt.Sprintf("logs = [%q, %q]", s.logs+"/access.log*", s.dir+"/state/access.log*"),
	}
	for _, text := range extra {
		table, keys, ok := strings.Cut(text, "\n")
		if !ok {
			s.t.Fatalf("configuration %q: want a table's name and its keys on lines of their own", text)
		}
		tables[table] += "\n" + keys
	}
	text := fmt.Sprintf(`cache_dir = %q
state_dir = %q

[[repo]]
name      = "fedora"
upstreams = [%s]
aliases   = ["https://dl.fedoraproject.org%s"]
%s
`, s.dir+"/cache", s.dir+"/state", s.upstreams(), upstreamBase, tables["[[repo]]"]+s.more)
	for _, table := range []string{"[serve]", "[sync]"} {
		text += "\n" + table + "\n" + tables[table] + "\n"
	}
	s.write(s.config, text)
}

// upstreams is the repository's, as TOML.
func (s *site) upstreams() string {
	list := make([]string, 0, 1+len(s.others))
	for _, base := range append([]string{s.base}, s.others...) {
		list = append(list, strconv.Quote(base+upstreamBase))
	}
	return strings.Join(list, ", ")
}

// another is a second site with the same upstream, and nothing in its cache.
func (s *site) another(t testing.TB, extra ...string) *site {
	t.Helper()
	o := *s
	o.t, o.dir = t, t.TempDir()
	o.logs, o.config = filepath.Join(o.dir, "logs"), filepath.Join(o.dir, "config.toml")
	o.mkdir(o.logs)
	o.configure(extra...)
	return &o
}

// publish makes upstream's repository one of these packages.
func (s *site) publish(specs []testrepo.Spec) {
	s.t.Helper()
	if err := testrepo.Build(s.repo, specs, testrepo.BuildOptions{Seed: 1}); err != nil {
		s.t.Fatal(err)
	}
}

// log writes the requests of the two weeks before today into the site's log.
func (s *site) log(specs []testrepo.Spec) {
	s.t.Helper()
	s.write(filepath.Join(s.logs, "access.log"), string(logText(s.t, testrepo.Combined, traffic(specs))))
}

// traffic is two weeks of requests that end yesterday.
func traffic(specs []testrepo.Spec) []testrepo.Visit {
	return testrepo.Traffic(testrepo.TrafficOptions{Seed: 1, Specs: specs, Until: today()})
}

// today is when it began.
func today() time.Time { return time.Now().UTC().Truncate(24 * time.Hour) }

// logText is the log of these visits.
func logText(t testing.TB, f testrepo.LogFormat, visits []testrepo.Visit) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := testrepo.WriteLog(&b, f, visits); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// result is a program that has run to its end.
type result struct {
	code           int
	stdout, stderr string
}

// imsync runs imsync to its end.
func (s *site) imsync(args ...string) result {
	s.t.Helper()
	p := s.startImsync(args...)
	code := p.wait()
	return result{code, p.stdout.String(), p.stderr.String()}
}

func (s *site) startImsync(args ...string) *process {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "imsync"), append(args, "--config", s.config)...)
	cmd.Env = s.env
	return launch(s.t, "imsync", cmd)
}

// report is what `imsync once --json` prints.
type report struct {
	Started, Finished time.Time
	Roots             []struct {
		Root             string
		Changed          bool
		Planned, Fetched int
		Bytes            int64
		Failed           []struct{ Path, Error string }
	}
	Fetched      int
	Bytes        int64
	ResumedBytes int64 `json:"resumed_bytes"`
	Failures     int
	Unchanged    bool
	Guarded      []struct{ Root string }
}

// once does a sync run in which nothing fails.
func (s *site) once() report {
	s.t.Helper()
	var r report
	s.decode(s.imsync("once", "--json"), &r)
	if r.Failures != 0 {
		s.t.Fatalf("the run had failures: %+v", r)
	}
	return r
}

// item is one element of what `imsync plan --json` prints.
type item struct {
	Path, Name, EVR, Arch, Root, SHA256, Reason string
	Size                                        int64
	Rank                                        int
}

// plan is what a run would fetch.
func (s *site) plan() []item {
	s.t.Helper()
	var items []item
	s.decode(s.imsync("plan", "--json"), &items)
	return items
}

// decode reads the JSON of a program that did all that it should.
func (s *site) decode(r result, v any) {
	s.t.Helper()
	if r.code != 0 {
		s.t.Fatalf("exit code %d: %s", r.code, r.stderr)
	}
	d := json.NewDecoder(strings.NewReader(r.stdout))
	if err := d.Decode(v); err != nil {
		s.t.Fatalf("%v in:\n%s", err, r.stdout)
	}
}

// command runs a foreign program to its end and returns what it printed.
func (s *site) command(name string, args ...string) string {
	s.t.Helper()
	out, err := s.attempt(append([]string{name}, args...))
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// attempt is command for a goroutine that is not the test's own.
func (s *site) attempt(line []string) (string, error) {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = environment(s.dir) // one for all: Debian's rpm keeps its database below HOME
	cmd.Dir = s.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return string(out), nil
}

func (s *site) mkdir(dir string) {
	s.t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// cached is the repository's directory in the cache.
func (s *site) cached() string { return filepath.Join(s.dir, "cache", rootName) }

// awaitPartial waits until a file that is being downloaded has n bytes at least
// on the disk.
func (s *site) awaitPartial(n int64) {
	s.t.Helper()
	s.await(fmt.Sprintf("a partial file of %d bytes", n), func() bool {
		names, err := filepath.Glob(s.dir + "/cache/.im/partial/*")
		if err != nil {
			s.t.Fatal(err)
		}
		return slices.ContainsFunc(names, func(name string) bool {
			fi, err := os.Stat(name) // one that can't be looked at has just been committed
			return err == nil && fi.Size() >= n
		})
	})
}

// awaitStalled waits until upstream stands still in the middle of an answer.
func (s *site) awaitStalled() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	if err := s.up.AwaitStalled(ctx, 1); err != nil {
		s.t.Fatal(err)
	}
}

// awaitGeneration waits until the cache has a generation of the site's one repository:
// from then on its packages are promised.
func (s *site) awaitGeneration() {
	s.t.Helper()
	s.await("a generation", func() bool {
		found, err := filepath.Glob(s.dir + "/cache/.im/gen/*/catalog")
		return err == nil && len(found) == 1
	})
}

// awaitFile waits until the file of a path on the mirror is stored, and returns
// its digest.
func (s *site) awaitFile(path string) string {
	s.t.Helper()
	var b []byte
	s.await(path+" in the cache", func() bool {
		var err error
		b, err = os.ReadFile(s.dir + "/cache" + path)
		return err == nil
	})
	return digest(b)
}

// await waits for what only the disk tells.
func (s *site) await(what string, there func() bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	end := time.After(hung)
	for !there() {
		select {
		case <-tick.C:
		case <-end:
			s.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// files are the regular files below dir, by their paths in it, with their digests.
func files(t testing.TB, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		all[filepath.ToSlash(rel)] = digest(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// difference is how two sets of files differ, a line each; "" where they don't.
func difference(want, got map[string]string) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if sum, ok := got[name]; !ok {
			fmt.Fprintln(&b, "missing:", name)
		} else if sum != want[name] {
			fmt.Fprintln(&b, "other bytes:", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[name]; !ok {
			fmt.Fprintln(&b, "too much:", name)
		}
	}
	return b.String()
}

// digest is the SHA-256 of b in hexadecimal.
func digest(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }
