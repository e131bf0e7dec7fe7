package systest

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

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

// caller is a real client.
type caller struct {
	line []string // what it does again and again, until the mirror is still
	// wakes is what it does then, and prints the names of the packages that it has got: it
	// was behind, and comes to be as the others are. nil where it never was.
	wakes []string
}

// behind is the package that clients which are behind ask for: it was withdrawn long
// ago in the version that they know.
const behind = "p003"

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

// everybody waits until each of the real clients has done its work once, from its
// beginning on.
func (u *unsteady) everybody() {
	u.t.Helper()
	runs := func(name string) int {
		u.mu.Lock()
		defer u.mu.Unlock()
		return u.statuses[name]
	}
	until := map[string]int{}
	for name := range u.callers {
		until[name] = runs(name) + 2 // one may be under way
	}
	for name, n := range until {
		u.await(name, func() bool { return runs(name) >= n })
	}
}

// wake has a client that was behind come to be as the others are: it has to get the
// package's last version.
func (u *unsteady) wake(name string, line []string) {
	u.t.Helper()
	if line == nil {
		return
	}
	out, err := u.attempt(line)
	if err != nil {
		u.t.Errorf("%s has woken up: %v", name, err)
		return
	}
	last := u.editions[len(u.editions)-1]
	for file := range last.files {
		if base := path.Base(file); strings.HasPrefix(base, behind) && !strings.Contains(out, base) {
			u.t.Errorf("%s has woken up and has not got %s: %s", name, base, out)
		}
	}
}

// programs are the real clients, by their names: some that want the newest each time,
// and some that go by the metadata of the first publication, some of whose packages
// they have had from here. In a short test there are only those that it names.
func (u *unsteady) programs(list string, short ...string) map[string]caller {
	u.t.Helper()
	callers := map[string]caller{}
	if os.Geteuid() != 0 {
		u.t.Log("dnf and zypper work only as root: the clients are all of the test's own")
		return callers
	}
	url := u.server.url + u.base
	dnf := func(entry string) *machine {
		m := u.machine(url)
		m.entry = entry + "\n"
		return m
	}
	for name, make := range map[string]func() caller{
		"dnf, baseurl":  func() caller { return caller{line: dnf("baseurl="+url).downloads("--refresh", "steady")} },
		"dnf, metalink": func() caller { return caller{line: dnf("metalink="+list).downloads("--refresh", "steady")} },
		"zypper":        func() caller { return caller{line: u.unsigned(url).downloads("refresh --force", "steady")} },
		"dnf behind": func() caller {
			m := dnf("baseurl=" + url)
			c := caller{m.downloads("--setopt=metadata_expire=never", "steady", behind), m.downloads("--refresh", behind)}
			u.first(c.line)
			return c
		},
		"zypper behind": func() caller {
			g := u.unsigned(url)
			u.first(g.downloads("refresh", "steady", behind))
			return caller{g.downloads("", "steady", behind), g.downloads("refresh --force", behind)}
		},
	} {
		if *unsteadyRounds > 1 || len(short) == 0 || slices.Contains(short, name) {
			callers[name] = make()
		}
	}
	return callers
}

// first is what a client does before anything changes.
func (u *unsteady) first(line []string) {
	u.t.Helper()
	if _, err := u.attempt(line); err != nil {
		u.t.Fatal(err)
	}
}

// downloads is the command line that gets packages anew each time, and prints which.
func (m *machine) downloads(option string, packages ...string) []string {
	to := m.dir + "/downloads"
	dnf := m.dnfLine(append([]string{option, "download", "--destdir=" + to, "--downloaddir=" + to}, packages...)...)
	return append([]string{"sh", "-c", `rm -rf "$0" && "$@" && ls "$0"`, to}, dnf...)
}

// unsigned is a machine with zypper that asks for no signature.
func (s *site) unsigned(url string) *geeko {
	s.t.Helper()
	g := s.geeko(url, "")
	repo := g.dir + "/repos/campus.repo"
	b, err := os.ReadFile(repo)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(repo, string(bytes.Replace(b, []byte("repo_gpgcheck=1"), []byte("repo_gpgcheck=0\ngpgcheck=0"), 1)))
	return g
}

// downloads is the command line that gets packages anew each time, and prints which.
// refresh is what has zypper look for metadata before; with "" it goes by what it has.
func (g *geeko) downloads(refresh string, packages ...string) []string {
	to := filepath.Join(g.dir, "cache/packages")
	script := fmt.Sprintf(`rm -rf "$0" && "$@" --no-refresh download %s && ls -R "$0"`, strings.Join(packages, " "))
	if refresh != "" {
		script = `"$@" ` + refresh + " && " + script
	}
	return append([]string{"sh", "-c", script, to}, g.zypperLine()...)
}
