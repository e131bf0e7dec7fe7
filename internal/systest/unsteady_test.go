package systest

import (
	"bytes"
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

// How many clients there are, and how many of them are behind; how many answers the
// publisher waits for between two steps; and how many packages there are.
const (
	unsteadyClients = 10
	unsteadyBehind  = 2
	unsteadyBetween = 2
	unsteadyAround  = 40 // where the step is one of metadata

	unsteadyPackages = 60
	unsteadySeed     = 1
)

// edition is what one publication has, as its checker knows it.
type edition struct {
	dir    string
	files  map[string]string // path to digest
	number int
}

// unsteady is a mirror that is never still, the history of what it published, and
// the clients' complaints. The fields behind mu are for several goroutines.
type unsteady struct {
	*site
	server   *server
	editions []edition
	byEntry  map[string]*edition // by the digest of repomd.xml

	offline atomic.Bool
	over    chan struct{} // closed when the last publication is whole upstream

	mu       sync.Mutex
	answers  int
	changed  chan struct{} // closed at the next answer
	had      map[string]bool
	wrong    []string
	statuses map[string]int
}

// newUnsteady makes one with so many publications, of which the mirror has the first.
func newUnsteady(t *testing.T, n int) *unsteady {
	t.Helper()
	u := &unsteady{
		site: newSite(t), byEntry: map[string]*edition{}, over: make(chan struct{}), changed: make(chan struct{}),
		had: map[string]bool{}, statuses: map[string]int{},
	}
	versions := map[string]int{}
	var names []string
	for i := range unsteadyPackages {
		names = append(names, fmt.Sprintf("p%03d", i))
	}
	for i := range n {
		specs := []testrepo.Spec{{Name: "steady", Version: "1", Release: "1", Size: 3000}}
		for j, name := range names {
			if (i+j)%7 == 0 {
				versions[name]++
			}
			if i > 0 && j == i {
				continue // withdrawn by this one alone
			}
			specs = append(specs, testrepo.Spec{Name: name, Version: fmt.Sprint(versions[name] + 1), Release: "1", Size: 2000 + 100*j})
		}
		e := edition{dir: filepath.Join(u.dir, "editions", fmt.Sprint(i)), number: i}
		// Each is a day younger than the one before, the last of yesterday.
		o := testrepo.BuildOptions{Seed: 1, Time: today().AddDate(0, 0, i-n)}
		if err := testrepo.Build(e.dir, specs, o); err != nil {
			t.Fatal(err)
		}
		e.files = files(t, e.dir)
		u.editions = append(u.editions, e)
	}
	for i := range u.editions {
		e := &u.editions[i]
		u.byEntry[e.files["repodata/repomd.xml"]] = e
	}
	return u
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
		if err := s.Do(); err != nil {
			u.t.Fatal(err)
		}
		if strings.HasPrefix(s.Path, "repodata/") {
			u.pause(unsteadyAround) // most clients come by while it is so
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
	_, err := os.Stat(filepath.Join(u.repo, name))
	return err == nil
}

// ask asks for a file of the edition e, and judges the answer: its digest is the one
// that e gave, or it is an honest word that there is none: withdrawn upstream, or
// upstream out of reach, and nobody here ever had it. Metadata has no such excuse.
func (u *unsteady) ask(e *edition, name string) {
	u.mu.Lock()
	had := u.had[name]
	u.mu.Unlock()
	before, away := u.upstreamHas(name), u.offline.Load()
	a, err := u.server.fetch("/" + rootName + "/" + name)
	before, away = before && u.upstreamHas(name), away || u.offline.Load()
	excused := !had && !strings.HasPrefix(name, "repodata/")
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
	case excused && a.status == http.StatusNotFound && !before:
	case excused && away:
	default:
		wrong = fmt.Sprintf("%s of edition %d: status %d, %v, had before: %v, upstream has it: %v: %.200s", name, e.number, a.status, a.err, had, before, a.body)
	}
	u.note(fmt.Sprint(a.status), wrong)
}

var listed = regexp.MustCompile(`href="(repodata/[^"]*(?:primary|filelists)[^"]*)"`)

// entry asks for repomd.xml, and is the edition that it is of; nil where it is not
// what it should be.
func (u *unsteady) entry() (*edition, []string) {
	a, err := u.server.fetch("/" + rootName + "/repodata/repomd.xml")
	e := u.byEntry[digest(a.body)]
	if err != nil || a.err != nil || a.status != http.StatusOK || e == nil {
		u.note(fmt.Sprint(a.status), fmt.Sprintf("repomd.xml: status %d, %v, %v: %.200s", a.status, err, a.err, a.body))
		return nil, nil
	}
	u.note("200", "")
	var metadata []string
	for _, m := range listed.FindAllSubmatch(a.body, -1) {
		metadata = append(metadata, string(m[1]))
	}
	return e, metadata
}

// client does what dnf does until the mirror is still: repomd.xml, what that lists,
// some packages. One that is behind goes by the metadata that it had at first.
func (u *unsteady) client(seed uint64, behind bool) {
	draw := rand.New(rand.NewPCG(unsteadySeed, seed))
	last := -1
	var e *edition
	var metadata []string
	for !u.isOver() {
		if e == nil || !behind {
			if e, metadata = u.entry(); e == nil {
				continue
			}
		}
		if e.number < last {
			u.note("", fmt.Sprintf("a client that had edition %d got edition %d", last, e.number))
		}
		last = e.number
		for _, name := range metadata {
			u.ask(e, name)
		}
		var packages []string
		for name := range e.files {
			if strings.HasSuffix(name, ".rpm") {
				packages = append(packages, name)
			}
		}
		slices.Sort(packages)
		for range 2 {
			// Some are popular, and some nobody asks for in weeks.
			at := math.Pow(draw.Float64(), 4) * float64(len(packages))
			u.ask(e, packages[int(at)])
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
// packages, creep over a slow line and are out of reach, no client fails that would
// have succeeded if the mirror had stood still, and no file differs from the digest
// that its metadata gave.
func TestUnsteadyMirror(t *testing.T) {
	u := newUnsteady(t, 7)
	second := filepath.Join(u.dir, "second")
	behind := filepath.Join(second, upstreamRoot)
	for _, dir := range []string{u.repo, behind} {
		if err := os.CopyFS(dir, os.DirFS(u.editions[0].dir)); err != nil {
			t.Fatal(err)
		}
	}
	other := testrepo.Start(t, second)
	u.others = []string{other.URL}
	u.configure("[serve]\nmetadata_max_age = \"0s\"")
	u.server = u.serve()
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
	list(0)

	var clients sync.WaitGroup
	for i := range unsteadyClients {
		clients.Go(func() { u.client(uint64(i), i < unsteadyBehind) })
	}
	for name, line := range u.programs(lists.URL + "/list") {
		clients.Go(func() { u.loop(name, line) })
	}
	t.Cleanup(func() {
		if !u.isOver() {
			close(u.over) // the test has failed
		}
		clients.Wait()
	})

	u.pause(20)
	u.sync(u.repo, u.editions[1], testrepo.Careful, 1)
	u.sync(u.repo, u.editions[2], testrepo.Hasty, 1)
	u.sync(behind, u.editions[1], testrepo.Careful, 1)

	list(3)
	u.sync(u.repo, u.editions[3], testrepo.Shuffled, 0.8) // it comes by half
	u.sync(u.repo, u.editions[2], testrepo.Careful, 1)    // and is taken back
	u.sync(u.repo, u.editions[3], testrepo.Hasty, 1)

	u.up.SetRate(250_000) // 2 Mbit/s
	u.sync(u.repo, u.editions[4], testrepo.Careful, 1)
	u.sync(behind, u.editions[3], testrepo.Shuffled, 1)
	u.up.SetRate(0)

	u.offline.Store(true)
	u.up.Stop()
	other.Stop()
	u.pause(60)
	if err := u.up.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := other.Restart(); err != nil {
		t.Fatal(err)
	}
	// A mirror that was away is asked again some time after it is back.
	u.await("the mirrors that are back", func() bool {
		e, _ := u.entry()
		return e != nil && e.number == 4
	})
	u.sync(u.repo, u.editions[5], testrepo.Shuffled, 1)
	u.await("the publication after that", func() bool {
		e, _ := u.entry()
		return e != nil && e.number == 5
	})
	u.offline.Store(false)

	list(6)
	u.sync(u.repo, u.editions[6], testrepo.Hasty, 1)
	u.await("the last publication", func() bool {
		e, _ := u.entry()
		return e != nil && e.number == 6
	})
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
	for name, sum := range files(t, u.cached()) {
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
