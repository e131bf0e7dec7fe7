package systest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// unsteadyRounds is how often a mirror goes through all that it does; with -unsteady=20
// each of the tests takes half an hour.
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
	options   map[string][]string         // of createrepo_c, by the directories of editions
	sameNames bool                        // that is called the same in all publications
	server    *server
	own       *server // to it, for the test itself
	second    string  // the repository's directory on the mirror that lags
	other     *testrepo.Server
	editions  []edition
	byEntry   map[string]*edition // by the digest of repomd.xml

	states  int // of the mirrors, in which clients came by
	offline atomic.Bool
	over    chan struct{} // closed when the last publication is whole upstream

	callers map[string]caller

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

// newUnsteady makes one of RPM packages, whose metadata testrepo makes or, with
// createrepo, createrepo_c.
func newUnsteady(t *testing.T, createrepo bool) *unsteady {
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
		err := testrepo.Build(dir, specs, testrepo.BuildOptions{Seed: 1, Time: at})
		if err == nil && createrepo {
			err = u.describe(dir, at, specs)
		}
		return err
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
		u.do(mirror, s)
	}
}

// do makes one step of a mirror's and waits for clients.
func (u *unsteady) do(mirror string, s testrepo.Step) {
	u.t.Helper()
	if !s.Gone {
		u.seen(mirror, map[string]stamp{s.Path: {}})
	}
	if err := s.Do(); err != nil {
		u.t.Fatal(err)
	}
	u.states++
	if isMetadata(s.Path) {
		u.pause(u.around) // most clients come by while it is so
	} else {
		u.pause(unsteadyBetween)
	}
}

// TestUnsteadyMirror: while a mirror's publications come, half-come, go back, lose
// packages, creep over a slow line, are listed before their packages are there and are
// out of reach for a week, no client fails that would have succeeded if the mirror had
// stood still, and no file differs from the digest that its metadata gave.
func TestUnsteadyMirror(t *testing.T) {
	t.Parallel()
	u := newUnsteady(t, false)
	u.underRace()
	list, url := u.lister()
	u.live("", func() map[string]caller { list(0); return u.programs(url) }, func(at int) { u.usual(at, list) })
}

// lister is a metalink of the repository at that URL: list makes the publication of
// that number its current one, and the others those that it lists besides.
func (u *unsteady) lister() (list func(current int), url string) {
	u.t.Helper()
	lists := testrepo.Start(u.t, u.t.TempDir())
	return func(current int) {
		u.t.Helper()
		m := testrepo.Metalink{Mirrors: []string{u.server.url + u.base}, Time: today()}
		for _, e := range u.editions {
			b, err := os.ReadFile(filepath.Join(e.dir, u.entryFile))
			if err != nil {
				u.t.Fatal(err)
			}
			if e.number == current {
				m.Current = b
			} else {
				m.Alternates = append(m.Alternates, b)
			}
		}
		if err := lists.Put("/list", m.Bytes()); err != nil {
			u.t.Fatal(err)
		}
	}, lists.URL + "/list"
}

// live has the mirrors, a second one lags, go through all that they do, while clients
// of the test's own and the real ones that programs gives, by their names, go on. Each
// round begins with the mirror at publication at, and ends with it at that after
// perRound more. At the end what they complained of fails the test. repo is what the
// configuration says of the repository.
func (u *unsteady) live(repo string, programs func() map[string]caller, round func(at int)) {
	t := u.t
	t.Helper()
	second := filepath.Join(u.dir, "second")
	u.second = filepath.Join(second, strings.TrimPrefix(u.top, u.tree))
	for _, dir := range []string{u.top, u.second} {
		// With the files' times, as mirrors have them.
		steps, err := testrepo.Sync(dir, u.editions[0].dir, testrepo.Careful, unsteadySeed)
		for _, s := range steps {
			err = errors.Join(err, s.Do())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range u.editions[0].files {
		u.came[name] = true
	}
	u.other = testrepo.Start(t, second)
	u.others = []string{u.other.URL}
	u.configure("[serve]\nmetadata_max_age = \"0s\"", "[[repo]]\n"+repo)
	b, err := os.ReadFile(u.config)
	if err != nil {
		t.Fatal(err)
	}
	// Who is behind has what was replaced before the week in which nobody could be asked.
	u.write(u.config, "generation_keep = \"8d\"\n"+string(b))
	u.server = u.serve()
	u.own = &server{u.server.process, u.line(u.server, "127.0.0.9")}

	var clients sync.WaitGroup
	for i := range unsteadyClients {
		by := &server{u.server.process, u.line(u.server, fmt.Sprintf("127.0.0.%d", 10+i))}
		clients.Go(func() { u.client(by, uint64(i), i < unsteadyBehind) })
	}
	u.callers = programs()
	for name, c := range u.callers {
		clients.Go(func() { u.loop(name, c.line) })
	}
	t.Cleanup(func() {
		if !u.isOver() {
			close(u.over) // the test has failed
		}
		clients.Wait()
	})
	u.pause(20)
	for n := range *unsteadyRounds {
		round(n * perRound)
		u.awaitEdition("the last publication", (n+1)*perRound)
	}
	close(u.over)
	clients.Wait()
	for name, c := range u.callers {
		u.wake(name, c.wakes)
	}

	for _, wrong := range u.wrong[:min(len(u.wrong), 20)] {
		t.Error(wrong)
	}
	t.Logf("%d publications in %d states, %d answers, %d of them wrong: %v", len(u.editions), u.states, u.answers, len(u.wrong), u.statuses)
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

// awaitEdition waits until clients get the publication of that number.
func (u *unsteady) awaitEdition(what string, number int) {
	u.t.Helper()
	u.await(what, func() bool {
		e, _ := u.entry(u.own)
		return e != nil && e.number == number
	})
}

// usual is a round of what mirrors do by testrepo's orders. list is told which
// publication is the current one.
func (u *unsteady) usual(at int, list func(current int)) {
	u.t.Helper()
	next := func(i int) edition { return u.editions[at+i] }
	u.sync(u.top, next(1), testrepo.Careful, 1)
	u.sync(u.top, next(2), testrepo.Hasty, 1)
	u.sync(u.second, next(1), testrepo.Careful, 1)

	list(at + 3)
	u.sync(u.top, next(3), testrepo.Shuffled, 0.8) // it comes by half
	u.sync(u.top, next(2), testrepo.Careful, 1)    // and is taken back
	u.sync(u.top, next(3), testrepo.Hasty, 1)

	u.up.SetRate(250_000) // 2 Mbit/s
	u.sync(u.top, next(4), testrepo.Careful, 1)
	u.sync(u.second, next(3), testrepo.Shuffled, 1)
	u.everybody()
	u.up.SetRate(0)

	u.offline.Store(true)
	u.up.Stop()
	u.other.Stop()
	u.pause(40)
	if at == 0 {
		u.age(7 * 24 * time.Hour)
	}
	u.pause(40)
	u.everybody()
	if err := errors.Join(u.up.Restart(), u.other.Restart()); err != nil {
		u.t.Fatal(err)
	}
	// A mirror that was away is asked again some time after it is back.
	u.awaitEdition("the mirrors that are back", at+4)
	u.sync(u.top, next(5), testrepo.Shuffled, 1)
	u.awaitEdition("the publication after that", at+5)
	u.offline.Store(false)

	list(at + 6)
	u.sync(u.top, next(6), testrepo.MetadataFirst, 1)
}
