package systest

import (
	"errors"
	"flag"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// How long TestChaos goes on, and what it draws:
//
//	go test ./internal/systest -run TestChaos -chaos 10m -chaos.seed 7 -timeout 20m
//
// A seed gives the same disasters and the same clients in the same order; at which
// moment of a download one strikes is the machine's to say. Some of the disasters alone,
// as kill -9 in a loop, are those whose names match: -chaos.only killed
var (
	chaosFor  = flag.Duration("chaos", 15*time.Second, "how long TestChaos goes on")
	chaosSeed = flag.Uint64("chaos.seed", 1, "what TestChaos draws; 0 is another one each time")
	chaosOnly = flag.String("chaos.only", "", "a regular expression: TestChaos has no disasters but those whose names it matches")
)

const (
	chaosClients  = 6
	chaosPackages = 30
	chaosDisk     = "48m" // the file system of the cache
	chaosLeast    = 600 * time.Millisecond
	chaosLong     = 5 * time.Minute // how long it has to go on for what takes a minute
	chaosCrowd    = 200             // clients, while descriptors run out
	chaosKeep     = "10s"           // generation_keep: what is withdrawn is soon withdrawn here too
)

// chaosRoot is the root below its repository.
var chaosRoot = strings.TrimPrefix(rootName, "fedora/")

// chaos is a site to which everything happens, and what is known of it: what upstream
// ever had, and what clients were told.
type chaos struct {
	*site
	mirrors   []*testrepo.Server
	draw      *rand.Rand // of the disasters; one goroutine's
	specs     []testrepo.Spec
	lies      bool // mirrors may lie about what all metadata lists: of the rest nobody can tell
	mounted   bool // the cache has a small file system of its own
	clock     *clock
	serving   *process
	url       atomic.Value // of imserve; ""
	calm      atomic.Bool  // nothing is amiss
	over      chan struct{}
	sync      *process // the run that is under way; nil
	disasters map[string]int
	seen      map[string]bool // patterns of files that can be damaged, of which there was one
	withdrawn map[string]bool // paths of packages that upstream was without for a while

	mu       sync.Mutex
	history  map[string]map[string][]byte // path to digest to what upstream had there
	wrong    []string
	statuses map[string]int
}

func newChaos(t *testing.T, seed uint64) *chaos {
	c := &chaos{
		site: newSite(t), lies: true, clock: newClock(t), draw: rand.New(rand.NewPCG(seed, 0)), over: make(chan struct{}), disasters: map[string]int{},
		seen: map[string]bool{}, withdrawn: map[string]bool{}, history: map[string]map[string][]byte{}, statuses: map[string]int{},
	}
	c.underClock(c.clock)
	second := testrepo.Start(t, c.tree)
	c.others = []string{second.URL}
	third := testrepo.Start(t, c.dir+"/behind") // which only a list of mirrors names
	c.mirrors = []*testrepo.Server{c.up, second, third}
	c.mkdir(filepath.Dir(c.tree + "/list/" + chaosRoot))
	c.write(c.tree+"/list/"+chaosRoot, third.URL+upstreamRoot+"\n"+second.URL+upstreamRoot+"\n")
	c.more = "mirrorlist = \"" + second.URL + "/list/{root}\"\n"
	c.configure("[serve]\nmetadata_max_age = \"0s\"\npackage_max_age = \"1s\"",
		"[sync]\npackages = [\"*\"]\nroots = [\""+rootName+"\"]")
	text, err := os.ReadFile(c.config)
	if err != nil {
		t.Fatal(err)
	}
	c.write(c.config, "min_free = \"1MiB\"\ngeneration_keep = \""+chaosKeep+"\"\n"+string(text))
	cache := c.dir + "/cache"
	c.mkdir(cache)
	if err := syscall.Mount("chaos", cache, "tmpfs", 0, "size="+chaosDisk); err != nil {
		t.Logf("no disk fills and none is read-only here: mount: %v", err)
	} else {
		c.mounted = true
		t.Cleanup(func() {
			if err := syscall.Unmount(cache, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
	}
	for i := range chaosPackages {
		c.specs = append(c.specs, testrepo.Spec{Name: "p" + string(rune('a'+i%26)) + string(rune('a'+i/26)), Version: "1", Release: "1", Size: 1000 << (i % 10)})
	}
	c.edition()
	c.follow()
	return c
}

// edition is what upstream publishes next: some packages are newer, one is withdrawn
// until the next time. The first of them never changes.
func (c *chaos) edition() {
	c.t.Helper()
	for range 4 {
		i := 1 + c.draw.IntN(len(c.specs)-1)
		c.specs[i].Release += ".1"
	}
	gone := 1 + c.draw.IntN(len(c.specs)-1)
	specs := append(append([]testrepo.Spec{}, c.specs[:gone]...), c.specs[gone+1:]...)
	c.withdrawn["/"+rootName+"/"+c.specs[gone].Location()] = true
	// What clients may get is known before any of them can.
	next := c.t.TempDir()
	o := testrepo.BuildOptions{Seed: 1, Time: time.Now().Truncate(time.Second)}
	if err := testrepo.Build(next, specs, o); err != nil {
		c.t.Fatal(err)
	}
	c.mu.Lock()
	for name := range files(c.t, next) {
		b, err := os.ReadFile(filepath.Join(next, name))
		if err != nil {
			c.t.Fatal(err)
		}
		path := "/" + rootName + "/" + name
		if c.history[path] == nil {
			c.history[path] = map[string][]byte{}
		}
		c.history[path][digest(b)] = b
	}
	c.mu.Unlock()
	if err := testrepo.Build(c.repo, specs, o); err != nil {
		c.t.Fatal(err)
	}
}

// follow lets the mirror that lags catch up; meanwhile it is between two editions.
func (c *chaos) follow() {
	c.t.Helper()
	to := c.dir + "/behind" + upstreamRoot
	if err := errors.Join(os.RemoveAll(to), os.CopyFS(to, os.DirFS(c.repo))); err != nil {
		c.t.Fatal(err)
	}
}

var logged = regexp.MustCompile(`^time=(\S+) `)

// start lets imserve run, with few descriptors where files says how many. That it does
// not begin to serve is an answer too, if it says why.
func (c *chaos) start(files string) {
	c.t.Helper()
	limit := ""
	if files != "" {
		limit = "ulimit -n " + files + "; "
	}
	cmd := exec.Command("/bin/sh", "-c", limit+`exec "$0" --config "$1"`, filepath.Join(c.bin, "imserve"), c.config)
	cmd.Env = c.env
	c.serving = launch(c.t, "imserve", cmd)
	line, err := c.serving.stderr.await("msg=listening", c.serving.ended)
	if err != nil {
		c.url.Store("")
		if c.serving.running() || c.serving.cmd.ProcessState.ExitCode() < 1 || c.serving.stderr.String() == "" {
			c.complain("imserve does not start, and does not say why: %v", err)
		}
		return
	}
	c.url.Store("http://" + listening.FindStringSubmatch(line)[1])
	if at, err := time.Parse(time.RFC3339, logged.FindStringSubmatch(line)[1]); err != nil || c.clock.now().Sub(at).Abs() > hung {
		c.complain("at %s imserve logs another time: %s", c.clock.now(), line)
	}
}

// restart kills imserve and starts it anew.
func (c *chaos) restart(files string) {
	c.t.Helper()
	c.serving.kill()
	c.start(files)
}

// run lets imsync run, unless it does.
func (c *chaos) run() {
	if c.sync == nil || !c.sync.running() {
		c.sync = c.startImsync("once")
	}
}

func (c *chaos) remount(flags uintptr) {
	c.t.Helper()
	if err := syscall.Mount("chaos", c.dir+"/cache", "tmpfs", syscall.MS_REMOUNT|flags, "size="+chaosDisk); err != nil {
		c.t.Fatalf("remount: %v", err)
	}
}

func (c *chaos) heal() {
	for _, m := range c.mirrors {
		m.Heal()
	}
}

func (c *chaos) reachable() {
	for _, m := range c.mirrors {
		if err := m.Restart(); err != nil {
			c.t.Errorf("restart a mirror: %v", err)
		}
	}
}

// TestChaos lets everything happen to both programs that happens to programs, while
// clients ask. Whatever it is, no client gets a wrong byte in what looks whole, none is
// stored, every error is an honest one, what is stored stays; and when it is over, all
// is as it should be without a hand.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := seedOf(t, "chaos.seed", *chaosSeed)
	only, err := regexp.Compile(*chaosOnly)
	if err != nil {
		t.Fatal(err)
	}
	c := newChaos(t, seed)
	some := slices.DeleteFunc(slices.Clone(disasters), func(d disaster) bool { return !only.MatchString(d.name) || d.disk && !c.mounted })
	if len(some) == 0 {
		t.Fatalf("-chaos.only %s: no disaster is called so", only)
	}
	c.url.Store("")
	c.start("")
	var clients sync.WaitGroup
	for i := range uint64(chaosClients) {
		clients.Go(func() { c.client(rand.New(rand.NewPCG(seed, 1+i))) })
	}
	// However this ends, nobody waits for a client that waits for a mirror.
	stop := sync.OnceFunc(func() { close(c.over); c.heal(); clients.Wait() })
	t.Cleanup(stop)
	end := time.Now().Add(*chaosFor)
	for time.Now().Before(end) && !t.Failed() {
		d := some[c.draw.IntN(len(some))]
		c.disasters[d.name]++
		before := c.kept()
		undo := d.happen(c)
		c.pause()
		c.look()
		if undo != nil {
			undo()
			c.pause()
		}
		c.run()
		if d.name != "the disk is full" { // which makes room for what is new
			c.still(before)
		}
		if !c.serving.running() {
			c.start("") // as systemd does
		}
	}
	c.heal()
	c.clock.set(0)
	stop()
	c.recovered()
	c.complete()
	for _, wrong := range c.wrong[:min(len(c.wrong), 20)] {
		t.Error(wrong)
	}
	t.Logf("%d disasters: %v; answers: %v", len(c.disasters), c.disasters, c.statuses)
	if t.Failed() {
		t.Logf("again by -chaos.seed %d", seed)
	}
}

// look notes which of the files that can be damaged there are.
func (c *chaos) look() {
	for _, pattern := range slices.Concat(databases, indexes) {
		if !c.seen[pattern] {
			c.seen[pattern] = len(c.matches(pattern)) > 0
		}
	}
}

// complete complains of patterns that no file has matched in a run that is long enough:
// what they name has another name by now, and is damaged no more.
func (c *chaos) complete() {
	if *chaosFor < chaosLong || *chaosOnly != "" {
		return
	}
	for _, pattern := range slices.Concat(databases, indexes) {
		if !c.seen[pattern] {
			c.complain("no file was ever to be damaged that is called %s", pattern)
		}
	}
}

// stand is how long a program that stands still does: as long as clients, the other
// program and mirrors are patient, or longer.
func (c *chaos) stand() time.Duration {
	if *chaosFor >= chaosLong && c.draw.IntN(4) == 0 {
		return time.Minute
	}
	return time.Duration(c.draw.Int64N(int64(2 * time.Second)))
}

// pause lets some time pass.
func (c *chaos) pause() {
	time.Sleep(chaosLeast/3 + time.Duration(c.draw.Int64N(int64(chaosLeast))))
}

var temporary = regexp.MustCompile(`/repodata/`)

// kept is the packages that are stored, by their paths, with their digests.
func (c *chaos) kept() map[string]string {
	all := map[string]string{}
	for name, sum := range c.tolerant() {
		if !temporary.MatchString(name) && strings.HasSuffix(name, ".rpm") {
			all[name] = sum
		}
	}
	return all
}
