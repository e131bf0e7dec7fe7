package systest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// unsteadyRounds is how often a mirror goes through all that it does; with -unsteady=20
// the tests of this file take half an hour.
var unsteadyRounds = flag.Int("unsteady", 1, "how often the mirrors of TestUnsteady... go through all that they do")

// perRound is how many publications come in a round.
const perRound = 6

// How many clients there are, and how many of them are behind; how many answers the
// publisher waits for between two steps; and how many packages there are.
const (
	unsteadyClients = 10
	unsteadyBehind  = 2
	unsteadyBetween = 2
	unsteadyAround  = 40 // where the step is one of metadata; of suites, which have more of them, a third

	unsteadyPackages = 60
	unsteadySeed     = 1
)

// edition is what one publication has, as its checker knows it.
type edition struct {
	dir    string
	files  map[string]string // path to digest
	entry  string            // the digest of its entry file
	number int
}

// unsteady is a mirror that is never still, the history of what it published, and
// the clients' complaints. The fields behind mu are for several goroutines.
type unsteady struct {
	*site
	base      string                      // the repository's path on the server
	top       string                      // its directory on the mirror that is asked first
	entryFile string                      // below both
	lists     func(entry []byte) []string // the metadata that a client asks for next
	around    int                         // answers between two steps of metadata
	sameNames bool                        // that is called the same in all publications
	server    *server
	editions  []edition
	byEntry   map[string]*edition // by the digest of repomd.xml

	offline atomic.Bool
	over    chan struct{} // closed when the last publication is whole upstream

	mu       sync.Mutex
	answers  int
	changed  chan struct{} // closed at the next answer
	had      map[string]bool
	came     map[string]bool // what the mirror that is asked first ever had
	wrong    []string
	statuses map[string]int
}

// program is a package of a publication.
type program struct {
	name, version string
	size          int
}

// publish gives u its publications, which build makes in a directory, each a day
// younger than the one before, the last of yesterday; the mirror has none of them.
func (u *unsteady) publish(packages int, build func(dir string, at time.Time, programs []program) error) {
	u.t.Helper()
	u.byEntry, u.over, u.changed = map[string]*edition{}, make(chan struct{}), make(chan struct{})
	u.had, u.came, u.statuses = map[string]bool{}, map[string]bool{}, map[string]int{}
	n := 1 + perRound**unsteadyRounds
	versions := make([]int, packages)
	for i := range n {
		programs := []program{{"steady", "1", 3000}}
		for j := range packages {
			if (i+j)%7 == 0 {
				versions[j]++
			}
			if i > 0 && j == i%packages {
				continue // withdrawn by this one alone
			}
			programs = append(programs, program{fmt.Sprintf("p%03d", j), fmt.Sprint(versions[j] + 1), 2000 + 100*j})
		}
		e := edition{dir: filepath.Join(u.dir, "editions", fmt.Sprint(i)), number: i}
		if err := build(e.dir, today().AddDate(0, 0, i-n), programs); err != nil {
			u.t.Fatal(err)
		}
		e.files = files(u.t, e.dir)
		e.entry = e.files[u.entryFile]
		u.editions = append(u.editions, e)
	}
	for i := range u.editions {
		u.byEntry[u.editions[i].entry] = &u.editions[i]
	}
}

// newUnsteady makes one of RPM packages.
func newUnsteady(t *testing.T) *unsteady {
	t.Helper()
	s := newSite(t)
	u := &unsteady{site: s, base: "/" + rootName, top: s.repo, entryFile: "repodata/repomd.xml", around: unsteadyAround}
	u.lists = func(entry []byte) (names []string) {
		for _, m := range listed.FindAllSubmatch(entry, -1) {
			names = append(names, string(m[1]))
		}
		return names
	}
	u.publish(unsteadyPackages, func(dir string, at time.Time, programs []program) error {
		var specs []testrepo.Spec
		for _, p := range programs {
			specs = append(specs, testrepo.Spec{Name: p.name, Version: p.version, Release: "1", Size: p.size})
		}
		return testrepo.Build(dir, specs, testrepo.BuildOptions{Seed: 1, Time: at})
	})
	return u
}

// isMetadata reports whether a file is a repository's own, and no package.
func isMetadata(name string) bool {
	return strings.HasPrefix(name, "repodata/") || strings.HasPrefix(name, "dists/")
}

// sync makes mirror's repository the edition's, step by step, and waits for clients
// in between. part is how many of the steps are made, all of them where it is 1.
func (u *unsteady) sync(mirror string, e edition, o testrepo.Order, part float64) {
	u.t.Helper()
	steps, err := testrepo.Sync(mirror, e.dir, o, unsteadySeed)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, s := range steps[:int(part*float64(len(steps)))] {
		if mirror == u.top && !s.Gone {
			u.mu.Lock()
			u.came[s.Path] = true
			u.mu.Unlock()
		}
		if err := s.Do(); err != nil {
			u.t.Fatal(err)
		}
		if isMetadata(s.Path) {
			u.pause(u.around) // most clients come by while it is so
		} else {
			u.pause(unsteadyBetween)
		}
	}
}

// pause waits for n more answers.
func (u *unsteady) pause(n int) {
	u.t.Helper()
	late := time.After(hung)
	u.mu.Lock()
	until := u.answers + n
	for u.answers < until {
		changed := u.changed
		u.mu.Unlock()
		select {
		case <-changed:
		case <-late:
			u.t.Fatal("the clients ask for nothing any more")
		}
		u.mu.Lock()
	}
	u.mu.Unlock()
}

// note counts an answer, and remembers what is wrong with it.
func (u *unsteady) note(status, wrong string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.answers++
	u.statuses[status]++
	close(u.changed)
	u.changed = make(chan struct{})
	if wrong != "" {
		u.wrong = append(u.wrong, wrong)
	}
}

// upstreamHas reports whether the mirror that is asked first has the file now.
func (u *unsteady) upstreamHas(name string) bool {
	_, err := os.Stat(filepath.Join(u.top, name))
	return err == nil
}

// ask asks for a file of the edition e, and judges the answer: its digest is the one
// that e gave, or it is an honest word that there is none: withdrawn upstream, which
// had it, or upstream out of reach, and nobody here ever had it. Metadata has no such
// excuse, and neither has a package that upstream has not got yet.
func (u *unsteady) ask(by *server, e *edition, name string) {
	u.mu.Lock()
	had := u.had[name]
	u.mu.Unlock()
	before, away := u.upstreamHas(name), u.offline.Load()
	a, err := by.fetch(u.base + "/" + name)
	before, away = before && u.upstreamHas(name), away || u.offline.Load()
	u.mu.Lock()
	withdrawn := !before && u.came[name]
	u.mu.Unlock()
	excused := !had && !isMetadata(name)
	wrong := ""
	switch {
	case err != nil:
		wrong = fmt.Sprintf("%s: %v", name, err)
	case a.status == http.StatusOK && a.err == nil && digest(a.body) == e.files[name]:
		u.mu.Lock()
		u.had[name] = true
		u.mu.Unlock()
	case a.status == http.StatusOK && a.err == nil:
		wrong = fmt.Sprintf("%s: %d bytes that are not those of edition %d", name, len(a.body), e.number)
	case excused && a.status == http.StatusNotFound && withdrawn:
	case excused && away:
	default:
		wrong = fmt.Sprintf("%s of edition %d: status %d, %v, had before: %v, upstream has it: %v: %.200s", name, e.number, a.status, a.err, had, before, a.body)
	}
	u.note(fmt.Sprint(a.status), wrong)
}

var listed = regexp.MustCompile(`href="(repodata/[^"]*(?:primary|filelists)[^"]*)"`)

// entry asks for the entry file, and is the edition that it is of; nil where it is not
// what it should be.
func (u *unsteady) entry(by *server) (*edition, []string) {
	a, err := by.fetch(u.base + "/" + u.entryFile)
	e := u.byEntry[digest(a.body)]
	if err != nil || a.err != nil || a.status != http.StatusOK || e == nil {
		u.note(fmt.Sprint(a.status), fmt.Sprintf("the entry file: status %d, %v, %v: %.200s", a.status, err, a.err, a.body))
		return nil, nil
	}
	u.note("200", "")
	return e, u.lists(a.body)
}

// client does what dnf and apt do until the mirror is still: the entry file, what that
// lists, some packages. One that is behind goes by the metadata that it had at first.
func (u *unsteady) client(by *server, seed uint64, behind bool) {
	draw := rand.New(rand.NewPCG(unsteadySeed, seed))
	last := -1
	var e *edition
	var metadata []string
	for !u.isOver() {
		if e == nil || !behind {
			if e, metadata = u.entry(by); e == nil {
				continue
			}
		} else if u.sameNames {
			metadata = nil // it has it, and those names are others' by now
		}
		for _, name := range metadata {
			u.ask(by, e, name)
		}
		if e.number < last {
			u.note("", fmt.Sprintf("a client that had edition %d got edition %d", last, e.number))
		}
		last = e.number
		var packages []string
		for name := range e.files {
			if !isMetadata(name) {
				packages = append(packages, name)
			}
		}
		slices.Sort(packages)
		for range 2 {
			// Some are popular, and some nobody asks for in weeks.
			at := math.Pow(draw.Float64(), 4) * float64(len(packages))
			u.ask(by, e, packages[int(at)])
		}
	}
}

func (u *unsteady) isOver() bool {
	select {
	case <-u.over:
		return true
	default:
		return false
	}
}

// loop runs a foreign program again and again until the mirror is still.
func (u *unsteady) loop(name string, line []string) {
	for runs := 0; !u.isOver(); runs++ {
		out, err := u.attempt(line)
		wrong := ""
		if err != nil {
			wrong = fmt.Sprintf("%s, run %d: %v", name, runs, err)
		} else if !strings.Contains(out, "steady") {
			wrong = fmt.Sprintf("%s, run %d: no word of the package: %s", name, runs, out)
		}
		u.note(name, wrong)
	}
}

// TestUnsteadyMirror: while a mirror's publications come, half-come, go back, lose
// packages, creep over a slow line, are listed before their packages are there and are
// out of reach for a week, no client fails that would have succeeded if the mirror had
// stood still, and no file differs from the digest that its metadata gave.
func TestUnsteadyMirror(t *testing.T) {
	u := newUnsteady(t)
	lists := testrepo.Start(t, t.TempDir())
	list := func(current int) {
		t.Helper()
		m := testrepo.Metalink{Mirrors: []string{u.server.url + "/" + rootName}, Time: today()}
		for _, e := range u.editions {
			b, err := os.ReadFile(filepath.Join(e.dir, "repodata/repomd.xml"))
			if err != nil {
				t.Fatal(err)
			}
			if e.number == current {
				m.Current = b
			} else {
				m.Alternates = append(m.Alternates, b)
			}
		}
		if err := lists.Put("/list", m.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	u.live("", list, func(*server) map[string][]string { return u.programs(lists.URL + "/list") })
}

// live has the mirrors, a second one lags, go through all that they do, while clients
// of the test's own and those that programs gives, loops of command lines by their
// names, go on. At the end what they complained of fails the test. repo is what the
// configuration says of the repository, and list, if it is set, is told which
// publication is the current one.
func (u *unsteady) live(repo string, list func(current int), programs func(*server) map[string][]string) {
	t := u.t
	t.Helper()
	second := filepath.Join(u.dir, "second")
	behind := filepath.Join(second, strings.TrimPrefix(u.top, u.tree))
	for _, dir := range []string{u.top, behind} {
		if err := os.CopyFS(dir, os.DirFS(u.editions[0].dir)); err != nil {
			t.Fatal(err)
		}
	}
	for name := range u.editions[0].files {
		u.came[name] = true
	}
	other := testrepo.Start(t, second)
	u.others = []string{other.URL}
	u.configure("[serve]\nmetadata_max_age = \"0s\"", "[[repo]]\n"+repo)
	b, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	// Who is behind has what was replaced before the week in which nobody could be asked.
	u.write(u.config, "generation_keep = \"8d\"\n"+string(b))
	u.server = u.serve()
	if list == nil {
		list = func(int) {}
	}
	list(0)

	var clients sync.WaitGroup
	for i := range unsteadyClients {
		by := &server{u.server.process, u.line(u.server, fmt.Sprintf("127.0.0.%d", 10+i))}
		clients.Go(func() { u.client(by, uint64(i), i < unsteadyBehind) })
	}
	for name, line := range programs(u.server) {
		clients.Go(func() { u.loop(name, line) })
	}
	t.Cleanup(func() {
		if !u.isOver() {
			close(u.over) // the test has failed
		}
		clients.Wait()
	})
	own := &server{u.server.process, u.line(u.server, "127.0.0.9")}
	await := func(what string, number int) {
		t.Helper()
		u.await(what, func() bool {
			e, _ := u.entry(own)
			return e != nil && e.number == number
		})
	}
	u.pause(20)
	for round := range *unsteadyRounds {
		at := round * perRound
		next := func(i int) edition { return u.editions[at+i] }
		u.sync(u.top, next(1), testrepo.Careful, 1)
		u.sync(u.top, next(2), testrepo.Hasty, 1)
		u.sync(behind, next(1), testrepo.Careful, 1)

		list(at + 3)
		u.sync(u.top, next(3), testrepo.Shuffled, 0.8) // it comes by half
		u.sync(u.top, next(2), testrepo.Careful, 1)    // and is taken back
		u.sync(u.top, next(3), testrepo.Hasty, 1)

		u.up.SetRate(250_000) // 2 Mbit/s
		u.sync(u.top, next(4), testrepo.Careful, 1)
		u.sync(behind, next(3), testrepo.Shuffled, 1)
		u.up.SetRate(0)

		u.offline.Store(true)
		u.up.Stop()
		other.Stop()
		u.pause(40)
		if round == 0 {
			u.age(7 * 24 * time.Hour)
		}
		u.pause(40)
		if err := errors.Join(u.up.Restart(), other.Restart()); err != nil {
			t.Fatal(err)
		}
		// A mirror that was away is asked again some time after it is back.
		await("the mirrors that are back", at+4)
		u.sync(u.top, next(5), testrepo.Shuffled, 1)
		await("the publication after that", at+5)
		u.offline.Store(false)

		list(at + 6)
		u.sync(u.top, next(6), testrepo.MetadataFirst, 1)
		await("the last publication", at+6)
	}
	close(u.over)
	clients.Wait()

	for _, wrong := range u.wrong[:min(len(u.wrong), 20)] {
		t.Error(wrong)
	}
	t.Logf("%d answers, %d of them wrong: %v", u.answers, len(u.wrong), u.statuses)
	if u.statuses["200"] < 300 {
		t.Errorf("%d files were had: too few for this test", u.statuses["200"])
	}
	// What is stored is what some edition had under that name.
	for name, sum := range files(t, filepath.Join(u.dir, "cache", u.base)) {
		if !slices.ContainsFunc(u.editions, func(e edition) bool { return e.files[name] == sum }) {
			t.Errorf("%s is stored with bytes that nobody published", name)
		}
	}
	u.server.insist()
}

// programs are the command lines of the real clients that are here, by their names.
func (u *unsteady) programs(list string) map[string][]string {
	u.t.Helper()
	lines := map[string][]string{}
	if os.Geteuid() != 0 {
		u.t.Log("dnf and zypper work only as root: the clients are all of the test's own")
		return lines
	}
	url := u.server.url + "/" + rootName
	for name, entry := range map[string]string{"dnf, baseurl": "baseurl=" + url + "\n", "dnf, metalink": "metalink=" + list + "\n"} {
		m := u.machine(url)
		m.entry = entry
		lines[name] = m.dnfLine("--refresh", "download", "--destdir="+m.dir+"/downloads", "--downloaddir="+m.dir+"/downloads", "steady")
	}
	g := u.geeko(url, "")
	repo := g.dir + "/repos/campus.repo"
	b, err := os.ReadFile(repo)
	if err != nil {
		u.t.Fatal(err)
	}
	u.write(repo, string(bytes.Replace(b, []byte("repo_gpgcheck=1"), []byte("repo_gpgcheck=0\ngpgcheck=0"), 1)))
	lines["zypper"] = []string{"sh", "-c", `"$@" refresh --force && "$@" download steady`, "sh"}
	lines["zypper"] = append(lines["zypper"], g.zypperLine()...)
	return lines
}
