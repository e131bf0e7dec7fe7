package systest

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// How TestCrash kills: a few times for each of its cases, at moments that a seed
// draws, or in place of each call, which takes an hour or two:
//
//	go test ./internal/systest -run TestCrash -crash.tries 0 -timeout 3h
//
// One of these alone has its number as its name: -run TestCrash/prune/17$
var (
	crashTries = flag.Int("crash.tries", 1, "how often TestCrash kills in each case; 0 is in place of each call")
	crashSeed  = flag.Uint64("crash.seed", 0, "which calls TestCrash takes; 0 is other ones each time")
)

// second is another root of the site; it has one package in common with the first.
const second = "fedora/releases/41/Everything/x86_64/os"

// suiteName is the suite of a site that has one in the place of these.
const suiteName = "fedora/dists/stable"

// crashSite is a site that goes back to the state that a case has prepared.
type crashSite struct {
	*site
	other   *site // the second root, of the same upstream
	specs   []testrepo.Spec
	counted string            // what the logs come to; "" where there are none
	known   known             // all that upstream ever had, by paths in the cache
	now     map[string]string // what it has
	sizes   map[string]int64  // of that
	spoiled string            // the path of a file that is stored with other bytes
	bucket  *testrepo.Bucket  // what is committed goes there too; nil: nowhere
	from    *node             // whose cache is copied; nil: nobody's
}

func newCrashSite(t testing.TB) *crashSite {
	c := &crashSite{site: newSite(t), known: known{}}
	c.settings("roots = [\"" + rootName + "\", \"" + second + "\"]")
	other := *c.site
	other.repo = filepath.Join(c.tree, upstreamBase, strings.TrimPrefix(second, "fedora/"))
	c.other = &other
	return c
}

// settings makes the configuration one with these lines for imsync.
func (c *crashSite) settings(sync string) {
	c.t.Helper()
	c.configure("[serve]\naccess_log = \"-\"\nmetadata_max_age = \"0s\"\npackage_max_age = \"0s\"",
		"[sync]\nparallel = 1\ncandidates = []\npackages = [\"*\"]\n"+sync)
	c.keepNothing()
}

// edition makes upstream's repositories the first or the second of their publications.
func (c *crashSite) edition(n int) {
	c.t.Helper()
	twin := testrepo.Spec{Name: "twin", Version: "1", Release: "1", Size: 30_000}
	c.specs = []testrepo.Spec{twin, {Name: "vlc", Version: "3.0", Release: "1", Size: 60_000}}
	if n == 1 {
		c.specs = append(c.specs, testrepo.Spec{Name: "mplayer", Version: "1.5", Release: "1", Size: 20_000}, testrepo.Spec{Name: "bash", Version: "5.2", Release: "1", Size: 4000})
	} else {
		c.specs = append(c.specs, testrepo.Spec{Name: "mplayer", Version: "1.6", Release: "1", Size: 21_000}, testrepo.Spec{Name: "zsh", Version: "5.9", Release: "1", Size: 5000})
	}
	c.publish(c.specs)
	c.other.publish([]testrepo.Spec{twin, {Name: "base", Version: fmt.Sprint(n), Release: "1", Size: 3000}})
	c.published()
}

// published notes what upstream has now.
func (c *crashSite) published() {
	c.t.Helper()
	c.now, c.sizes = map[string]string{}, map[string]int64{}
	dir := filepath.Join(c.tree, upstreamBase)
	for name, sum := range files(c.t, dir) {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			c.t.Fatal(err)
		}
		c.now["fedora/"+name], c.sizes["fedora/"+name] = sum, fi.Size()
	}
	c.known.add(c.now)
}

// asked lets clients have asked for everything.
func (c *crashSite) asked() {
	c.t.Helper()
	server := c.serve()
	c.clients(server, true)
	c.settled(server)
	if code := server.stop(); code != 0 {
		c.t.Errorf("imserve: exit code %d", code)
	}
}

// stays says that clients get what is stored of the first root, and nothing newer.
func (c *crashSite) stays() {
	c.t.Helper()
	maps.DeleteFunc(c.now, func(path, _ string) bool { return strings.HasPrefix(path, rootName) })
	for path, sum := range c.stock() {
		if strings.HasPrefix(path, rootName) {
			c.now[path] = sum
		}
	}
}

// separate stores the common package twice, as those have it who got it before
// anybody could tell.
func (c *crashSite) separate() {
	c.t.Helper()
	name := filepath.Join(c.dir, "cache", second, location(c.t, c.specs, "twin"))
	c.command("cp", "--archive", name, name+".copy")
	c.command("mv", name+".copy", name)
}

// aged makes the generations that are no longer current, and a partial file, old
// enough to go.
func (c *crashSite) aged() {
	c.t.Helper()
	c.write(c.dir+"/cache/.im/partial/0123456789abcdef0123456789abcdef", "broken off")
	old := time.Now().AddDate(0, -1, 0)
	for _, pattern := range []string{"gen/*", "partial/*"} {
		names, err := filepath.Glob(c.dir + "/cache/.im/" + pattern)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, name := range names {
			if err := os.Chtimes(name, old, old); err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// spoil damages a stored file as a bad disk does: nothing but its bytes changes.
func (c *crashSite) spoil(name string) {
	c.t.Helper()
	c.spoiled = rootName + "/" + name
	path := filepath.Join(c.cached(), name)
	fi, err := os.Stat(path)
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		c.t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte("spoiled"), 3000); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chtimes(path, fi.ModTime(), fi.ModTime()); err != nil {
		c.t.Fatal(err)
	}
}

// keep puts the site's directories by, and back returns to them.
func (c *crashSite) keep() {
	c.t.Helper()
	for _, dir := range []string{"cache", "state", "kept"} {
		c.mkdir(filepath.Join(c.dir, dir))
	}
	c.command("cp", "--archive", c.dir+"/cache", c.dir+"/state", c.dir+"/kept")
	c.keepBucket()
}

func (c *crashSite) back() {
	c.t.Helper()
	c.command("rm", "--recursive", "--force", c.dir+"/cache", c.dir+"/state")
	c.command("cp", "--archive", c.dir+"/kept/.", c.dir)
	c.backBucket()
}

// try carries out the case's command, or lets clients ask, and kills in place of
// call number at.
func (c *crashSite) try(x crashCase, at int) (calls []string, killed bool) {
	c.t.Helper()
	if x.command != nil {
		w := c.doom(at, "imsync", c.words(x)...)
		calls, killed = w.end()
		if code := w.cmd.ProcessState.ExitCode(); !killed && code != 0 {
			c.t.Errorf("imsync %s: exit code %d", x.command[0], code)
		}
		return calls, killed
	}
	w := c.doom(at, "imserve")
	if line, err := w.stderr.await("msg=listening", w.ended); err == nil {
		from := &server{w.process, "http://" + listening.FindStringSubmatch(line)[1]}
		c.clients(from, false)
		c.settled(from)
		if c.bucket != nil && at == 0 {
			c.shares(from)
		}
		w.signal(syscall.SIGTERM)
	}
	return w.end()
}

// clients asks for all that upstream has, and for what it had before. Where all is
// well each answer is right; of a server that is being killed none is wrong.
func (c *crashSite) clients(from *server, well bool) {
	c.t.Helper()
	paths := make([]string, 0, len(c.known))
	for k := range c.known {
		paths = append(paths, k[0])
	}
	slices.SortFunc(paths, func(a, b string) int {
		// A client begins with the entry file, and goes on with what that lists.
		entry := func(p string) int {
			return 2*strings.Count(p, "/repomd.xml") + strings.Count(p, "/repodata/") + 2*strings.Count(p, "/InRelease") + strings.Count(p, "/dists/")
		}
		if d := entry(b) - entry(a); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	for _, path := range slices.Compact(paths) {
		a, err := from.fetch("/" + path)
		whole := err == nil && a.err == nil && a.status == http.StatusOK
		switch {
		case whole && !c.known[[2]string{path, digest(a.body)}]:
			c.t.Errorf("%s: a client got %d bytes that are not upstream's", path, len(a.body))
		case well && c.now[path] != "" && (!whole || digest(a.body) != c.now[path]):
			c.t.Errorf("%s: a client got %v, %v, status %d, %d bytes: %.60s", path, err, a.err, a.status, len(a.body), a.body)
		}
	}
}

// TestCrash kills each program in place of a system call that changes the disk, in
// each way into the cache. What lies there then is upstream's, with facts that fit, and
// whole; a server that is started on it, with upstream out of reach, serves it at once;
// and whoever goes on ends where an undisturbed one ends, and asks upstream for no byte
// that was there.
func TestCrash(t *testing.T) {
	t.Parallel()
	seed := seedOf(t, "crash.seed", *crashSeed)
	for i, x := range crashCases {
		t.Run(x.name, func(t *testing.T) {
			c := newCrashSite(t)
			testrepo.Program(t, "cp")
			x.prepare(c)
			c.keep()
			calls, _ := c.try(x, 0)
			if len(calls) == 0 {
				t.Fatal("nothing changes the disk")
			}
			t.Logf("%d calls", len(calls))
			if x.counts {
				c.counted = c.ranked()
			}
			c.asked()
			want := c.stock()
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			for _, at := range moments(r, len(calls), *crashTries) {
				t.Run(fmt.Sprint(at), func(t *testing.T) {
					c.lend(t)
					c.back()
					before := c.stock()
					calls, killed := c.try(x, at)
					if !killed {
						t.Logf("it came to its end after %d calls, before number %d", len(calls), at)
					}
					c.judge(x, before, want)
					if t.Failed() {
						t.Fatalf("-crash.seed %d: killed in place of call %d, %q, after\n%s", seed, at, calls[len(calls)-1],
							strings.Join(calls[max(0, len(calls)-12):len(calls)-1], "\n"))
					}
				})
			}
		})
	}
}

// lend lets the site be one test's, which ends what it starts from here on.
func (c *crashSite) lend(t testing.TB) {
	for _, s := range []*site{c.site, c.other} {
		was := s.t
		s.t = t
		t.Cleanup(func() { s.t = was })
	}
}

// moments are n of the numbers from 1 to last, spread over them; all where n is 0.
func moments(r *rand.Rand, last, n int) (list []int) {
	if n == 0 || n > last {
		n = last
	}
	for i := range n {
		from, to := i*last/n, (i+1)*last/n
		list = append(list, from+1+r.IntN(to-from))
	}
	return list
}
