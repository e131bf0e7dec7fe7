package systest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// replicaFilesEnv says how many packages TestReplicate copies: 5,000 take some minutes.
const replicaFilesEnv = "REPLICATE_FILES"

// copyReport is what `imsync replicate --json` prints.
type copyReport struct {
	From, Cursor   string
	Unchanged      bool
	Files, Fetched int
	FilesBytes     int64 `json:"files_bytes"`
	Bytes          int64
	ResumedBytes   int64 `json:"resumed_bytes"`
	ManifestBytes  int64 `json:"manifest_bytes"`
	Changed        []string
	Deleted        []struct{ Path string }
	Kept, Failures int
	Failed         []struct{ Path, Error string }
	Guarded        []struct{ Root string }
}

// What the packages of many have at the most, and the one that is larger.
const (
	largest = 24 << 10
	large   = 1 << 20
)

// many is so many packages of some kilobytes, and a large one.
func many(n int, version string) []testrepo.Spec {
	specs := make([]testrepo.Spec, n)
	for i := range specs {
		specs[i] = testrepo.Spec{Name: fmt.Sprintf("p%05d", i), Version: version, Release: "1", Size: 8<<10 + (i%16)<<10}
	}
	specs[0].Size = large
	return specs
}

// source is a site whose cache has all of its upstream's packages.
func source(t testing.TB, specs []testrepo.Spec) *site {
	t.Helper()
	s := newSite(t, "[sync]\nroots = ["+strconv.Quote(rootName)+"]\npackages = [\"*\"]").underRace()
	s.publish(specs)
	s.fill()
	return s
}

// fill is once for a run that may take long: the test's own time is its limit.
func (s *site) fill() {
	s.t.Helper()
	p := s.startImsync("once", "--json")
	<-p.ended
	var r report
	s.decode(result{p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String()}, &r)
	if r.Failures != 0 {
		s.t.Fatalf("the run had failures: %+v", r)
	}
}

// replica is a site with the same upstream and an empty cache, whose configuration
// names the imserve at url.
func replica(t testing.TB, s *site, url, settings string) *site {
	t.Helper()
	s.more = fmt.Sprintf("\n[[replicate]]\nfrom = %q\n%s", url, settings)
	defer func() { s.more = "" }()
	return s.another(t)
}

// copies does a copy in which nothing fails.
func (s *site) copies(args ...string) copyReport {
	s.t.Helper()
	var all []copyReport
	s.decode(s.imsync(append([]string{"replicate", "--json"}, args...)...), &all)
	if len(all) != 1 || all[0].Failures != 0 {
		s.t.Fatalf("the copy: %+v", all)
	}
	return all[0]
}

// stock is what the site's cache has stored, but for what is its own.
func (s *site) stock() map[string]string {
	s.t.Helper()
	all := files(s.t, s.dir+"/cache")
	maps.DeleteFunc(all, func(name, _ string) bool { return strings.HasPrefix(name, ".im/") })
	return all
}

// generations is the digests of the metadata of the generations that a cache keeps.
func (s *site) generations() map[string]string {
	s.t.Helper()
	all := files(s.t, s.dir+"/cache/.im/gen")
	maps.DeleteFunc(all, func(name, _ string) bool {
		return !strings.Contains(name, "/") || strings.HasPrefix(filepath.Base(name), ".")
	})
	return all
}

// content is how many bytes different files have together.
func content(t testing.TB, dirs ...string) (n int64) {
	t.Helper()
	seen := map[string]bool{}
	for _, dir := range dirs {
		for name, sum := range files(t, dir) {
			if seen[sum] || strings.HasPrefix(name, ".im/") && !strings.HasPrefix(name, ".im/gen/") || filepath.Base(name) == "catalog" || strings.HasSuffix(name, ".root") || strings.HasSuffix(name, ".spare") {
				continue
			}
			seen[sum] = true
			fi, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			n += fi.Size()
		}
	}
	return n
}

// TestReplicate holds that a copy is the other's cache, by digest, though the copier
// is killed at random, bodies come damaged and cut, and the other changes meanwhile;
// that hardly more comes than has to; that what is there is not fetched again; and
// that whenever the copier dies the copy's metadata is whole.
func TestReplicate(t *testing.T) {
	n, kills, spare := 150, 2, int64(0)
	if text := os.Getenv(replicaFilesEnv); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
		kills = 20
	} else {
		// What is on its way when the copier dies is lost, whatever the rest comes to.
		spare = int64(kills) * (large + 4*largest)
	}
	first := many(n, "1")
	s := source(t, first)
	m := s.serve()
	way := newLink(t, m.url)
	way.spoil(149, 41)
	r := replica(t, s, way.url, "parallel = 4\n")

	published := map[string]map[string]string{}
	publish := func(specs []testrepo.Spec) {
		s.publish(specs)
		s.fill()
		all := s.stock()
		published[all[rootName+"/repodata/repomd.xml"]] = all
	}
	publish(first)
	needs := content(t, s.dir+"/cache")
	random := rand.New(rand.NewPCG(1, uint64(n)))
	for i := range kills {
		at, _ := way.passed()
		p := r.startImsync("replicate")
		way.await(p, at+1+random.Int64N(2*needs/int64(kills)))
		p.kill()
		whole(t, r, published)
		if i == kills/2 {
			next := slices.Clone(first)
			for j := range next {
				if j%10 == 1 {
					next[j].Version = "2"
				}
			}
			publish(next)
		}
	}
	// What fails on its way is tried again within a copy; a line this bad may take another.
	for try := 1; ; try++ {
		p := r.startImsync("replicate")
		<-p.ended
		whole(t, r, published)
		if p.cmd.ProcessState.ExitCode() == 0 {
			break
		}
		if try == 5 {
			t.Fatalf("the copy fails:\n%s%s", p.stdout.String(), p.stderr.String())
		}
	}
	if diff := difference(s.stock(), r.stock()); diff != "" {
		t.Errorf("the copy is not the source:\n%s", diff)
	}
	if diff := difference(s.generations(), r.generations()); diff != "" {
		t.Errorf("the kept metadata is not the source's:\n%s", diff)
	}
	sameTimes(t, s, r)
	came, lists := way.passed()
	needs = content(t, s.dir+"/cache")
	t.Logf("%d files: %d bytes of files came, %d are needed (%.2f %% more), %d bytes of lists; %d bodies damaged, %d cut, %d kills",
		len(s.stock()), came, needs, 100*float64(came-needs)/float64(needs), lists, way.corrupted, way.cuts, kills)
	if came < needs || float64(came-spare) > 1.05*float64(needs) {
		t.Errorf("%d bytes came for %d", came, needs)
	}

	way.spoil(0, 0)
	_, asked := way.since(0)
	got := r.copies()
	again, againLists := way.passed()
	requests, asked := way.since(asked)
	if !slices.Equal(requests, []string{"/-/manifest 304", "/-/generations 304"}) || again != came || againLists != lists || !got.Unchanged || got.Fetched != 0 {
		t.Errorf("the second copy: %q, %+v", requests, got)
	}
	// Without the cursor nothing but the lists comes.
	if err := os.RemoveAll(r.dir + "/cache/.im/replica"); err != nil {
		t.Fatal(err)
	}
	got = r.copies()
	again, againLists = way.passed()
	requests, _ = way.since(asked)
	if !slices.Equal(requests, []string{"/-/manifest 200", "/-/generations 200"}) || again != came || againLists == lists || got.Fetched != 0 {
		t.Errorf("the copy without a cursor: %q, %+v", requests, got)
	}
	if diff := difference(s.stock(), r.stock()); diff != "" {
		t.Errorf("the copy is not the source any more:\n%s", diff)
	}
	if out := s.imsync("rank", "--json").stdout; strings.TrimSpace(out) != "[]" {
		t.Errorf("the copies count as clients: %s", out)
	}
}

// whole fails the test where the copy has metadata that is not all there.
func whole(t testing.TB, r *site, published map[string]map[string]string) {
	t.Helper()
	now := map[string]string{}
	if _, err := os.Stat(r.cached()); err == nil {
		now = r.stock()
	}
	repomd, ok := now[rootName+"/repodata/repomd.xml"]
	if !ok {
		return
	}
	all := published[repomd]
	if all == nil {
		t.Fatal("the copy has a repomd.xml that the source never had")
	}
	for name, sum := range all {
		if strings.HasPrefix(name, rootName+"/Packages/") && now[name] != sum {
			t.Fatalf("the copy's metadata lists %s, which is not there", name)
		}
	}
}

// sameTimes fails the test where a file of the copy has another time than the source's.
func sameTimes(t testing.TB, s, r *site) {
	t.Helper()
	for name := range s.stock() {
		a, aerr := os.Stat(filepath.Join(s.dir, "cache", name))
		b, berr := os.Stat(filepath.Join(r.dir, "cache", name))
		if aerr != nil || berr != nil || !a.ModTime().Equal(b.ModTime()) {
			t.Errorf("%s: another time, or %v, %v", name, aerr, berr)
		}
	}
}

// TestReplicaDeletes holds that what the source has deleted goes from the copy, at
// once but for what old metadata lists, and that too much at once does not.
func TestReplicaDeletes(t *testing.T) {
	s := source(t, many(60, "1"))
	m := s.serve()
	r := replica(t, s, m.url, "")
	r.copies()
	location := func(i int) string { return rootName + "/" + many(i+1, "1")[i].Location() }
	purge := func(from, to int) {
		t.Helper()
		args := []string{"purge"}
		for i := from; i < to; i++ {
			args = append(args, location(i))
		}
		if got := s.imsync(args...); got.code != 0 {
			t.Fatal(got.stderr)
		}
	}
	// Of its own the copy has something too, and another version of something.
	if err := os.WriteFile(filepath.Join(r.dir, "cache", rootName, "own.rpm"), []byte("\xed\xab\xee\xdbown"), 0o644); err != nil {
		t.Fatal(err)
	}
	purge(10, 15)
	got := r.copies()
	if len(got.Deleted) != 5 {
		t.Errorf("deleted: %+v", got)
	}
	want := s.stock()
	want[rootName+"/own.rpm"] = digest([]byte("\xed\xab\xee\xdbown"))
	if diff := difference(want, r.stock()); diff != "" {
		t.Errorf("after a few files were deleted:\n%s", diff)
	}
	purge(15, 50)
	before := r.stock()
	bad := r.imsync("replicate")
	if bad.code != 1 || !strings.Contains(bad.stdout, "imsync replicate --from "+m.url+" --confirm "+rootName) {
		t.Errorf("too much at once: exit code %d, %s%s", bad.code, bad.stdout, bad.stderr)
	}
	if diff := difference(before, r.stock()); diff != "" {
		t.Errorf("too much at once, and yet:\n%s", diff)
	}
	if got := r.copies("--confirm", rootName); len(got.Deleted) != 35 {
		t.Errorf("confirmed: %+v", got)
	}
	want = s.stock()
	want[rootName+"/own.rpm"] = digest([]byte("\xed\xab\xee\xdbown"))
	if diff := difference(want, r.stock()); diff != "" {
		t.Errorf("after it was confirmed:\n%s", diff)
	}

	// What replaced metadata alone lists stays for the clients that hold it.
	s.publish(many(55, "1"))
	s.once()
	r.copies()
	purge(55, 60)
	if got := r.copies(); len(got.Deleted) != 0 || got.Kept != 5 {
		t.Errorf("deleted what old metadata lists: %+v", got)
	}

	// A source that has lost everything takes nothing with it.
	before = r.stock()
	if got := s.imsync("purge", "fedora"); got.code != 0 {
		t.Fatal(got.stderr)
	}
	if got := r.copies(); got.Files != 0 || len(got.Deleted) != 0 {
		t.Errorf("a source without a file: %+v", got)
	}
	if diff := difference(before, r.stock()); diff != "" {
		t.Errorf("a source without a file:\n%s", diff)
	}
}

// TestReplicaServes holds that the copy serves by itself, and asks for what it has
// not got the source first, and upstream where that is out of reach.
func TestReplicaServes(t *testing.T) {
	s := source(t, many(5, "1"))
	m := s.serve()
	r := replica(t, s, m.url, "")
	daemon := r.startImsync("run")
	daemon.says("the copy is done")
	if code := daemon.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if diff := difference(s.stock(), r.stock()); diff != "" {
		t.Errorf("what the daemon has copied:\n%s", diff)
	}
	put(s, "neither.rpm", 20_000)
	put(s, "later.rpm", 20_000)
	s.up.Forget()
	copied := r.serve()
	copied.get("/fedora/neither.rpm")
	s.awaitFile("/fedora/neither.rpm") // the source was asked
	if lines := s.up.Lines("GET", "*/neither.rpm"); len(lines) != 1 {
		t.Errorf("upstream was asked %q", lines)
	}
	m.kill()
	copied.get("/fedora/later.rpm")
	s.up.Stop()
	for name, sum := range s.stock() {
		if strings.Contains(name, "/repodata/") && !strings.HasSuffix(name, "repomd.xml") || strings.HasSuffix(name, ".rpm") {
			if got := digest(copied.get("/" + name)); got != sum {
				t.Errorf("%s is served with other bytes", name)
			}
		}
	}
	if a, err := copied.fetch("/" + rootName + "/repodata/repomd.xml"); err != nil || a.status != http.StatusOK {
		t.Errorf("repomd.xml with nobody to ask: %v, %d", err, a.status)
	}
}

// TestReplicaIsRefused holds what a person is told who has no right to copy, or
// names no imserve, and that this is remembered.
func TestReplicaIsRefused(t *testing.T) {
	s := newSite(t, "[serve]\nadmins = [\"192.0.2.1\"]")
	m := s.serve()
	for _, c := range []struct{ name, url, says string }{
		{"no administrator", m.url, "serve.admins"},
		{"no imserve", s.up.URL, "is it an imserve"},
		{"nobody", "http://127.0.0.1:1", "no route"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := replica(t, s, c.url, "")
			if got := r.imsync("replicate"); got.code != 1 || !strings.Contains(got.stderr, c.says) {
				t.Errorf("exit code %d, %q", got.code, got.stderr)
			}
			if got := r.imsync("status"); !strings.Contains(got.stdout, "copy of") || !strings.Contains(got.stdout, "broken off") {
				t.Errorf("status: %s", got.stdout)
			}
		})
	}
}
