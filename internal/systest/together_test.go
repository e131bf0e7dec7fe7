package systest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// A run that is killed again and again ends with the tree of a run that is left
// alone, and what is on the disk by then does not come again.
func TestKilledTenTimes(t *testing.T) {
	const kills, extra = 10, 5 // percent, for metadata that is on its way to its place
	alone := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))
	for i := range specs {
		specs[i].Size *= 8
	}
	alone.publish(specs)
	alone.log(specs)
	one := alone.once()
	want, bytes := files(t, alone.dir+"/cache/fedora"), alone.up.Sent("*")
	if one.Bytes != bytes {
		t.Errorf("the run says %d bytes, upstream sent %d", one.Bytes, bytes)
	}

	killed := alone.another(t)
	killed.log(specs)
	killed.up.Forget()
	killed.mkdir(killed.cached()) // whoever is killed early has not come to make it
	// Slow enough for each of the moments to lie within the run.
	const seconds = 10
	killed.up.SetRate(int(bytes / seconds))
	r := rand.New(rand.NewPCG(1, 2))
	for range kills {
		moment := killed.up.Sent("*") + r.Int64N(bytes/(kills+1))
		p := killed.startImsync("once")
		killed.await("the moment to kill imsync", func() bool { return killed.up.Sent("*") >= moment || !p.running() })
		p.kill()
		killed.await("the mirror to see that nobody is there", killed.quiet)
	}
	killed.up.SetRate(0)
	had, before := killed.bytes(), killed.up.Sent("*")
	got := killed.once()
	if diff := difference(want, files(t, killed.dir+"/cache/fedora")); diff != "" {
		t.Errorf("the tree differs from that of a run left alone:\n%s", diff)
	}
	// What the kernel had taken for a program that was killed comes again, and how much
	// that is depends on how busy the machine is: TestSurvival bounds it.
	sent, missing := killed.up.Sent("*")-before, killed.bytes()-had
	t.Logf("a run left alone: %d bytes; killed %d times: %d; the last run had %d to fetch, and kept %d",
		bytes, kills, before+sent, missing, got.ResumedBytes)
	if sent > missing+bytes*extra/100 {
		t.Errorf("%d bytes came where %d were missing", sent, missing)
	}
}

// half is how much of the shared package there is before its download is held up.
const half = 4 << 20

// shared is a site with one package of some size, whose download is held up half way
// until upstream is healed: a client has asked for it, and imsync wants it too. It
// trickles, since a program takes on a busy machine longer to start than an answer may
// stand still.
type shared struct {
	*site
	path string // on the mirror
	up   string // on upstream
	want string // its digest
	size int64
}

func newShared(t testing.TB) shared {
	t.Helper()
	s := newSite(t, `[sync]`+"\n"+`roots = ["`+rootName+`"]`+"\n"+`packages = ["big"]`).underRace()
	big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: 8 << 20}
	s.publish([]testrepo.Spec{big})
	all := files(t, s.repo)
	x := shared{
		site: s, path: "/" + rootName + "/" + big.Location(), up: upstreamRoot + "/" + big.Location(),
		want: all[big.Location()], size: int64(big.Size),
	}
	s.up.On(x.up, testrepo.Trickle(half).Only(http.MethodGet).Times(1))
	return x
}

// check checks what the client got, what is stored, and that no byte came twice.
func (x *shared) check(body []byte) {
	x.t.Helper()
	if digest(body) != x.want {
		x.t.Errorf("the client got %d bytes that are not upstream's", len(body))
	}
	// Where no metadata vouches for it, the client has the last byte before it is stored.
	if got := x.awaitFile(x.path); got != x.want {
		x.t.Error("what is stored is not upstream's")
	}
	// What was on its way to a program that was killed comes again.
	if sent, all := x.site.up.Sent(x.up), int64(len(body)); sent > all+all/100 {
		x.t.Errorf("upstream sent %d bytes of a file of %d", sent, all)
	}
}

// continued checks that upstream was asked twice: for the package, and for what was not
// there when the first download ended.
func (x *shared) continued() {
	x.t.Helper()
	all := slices.DeleteFunc(x.site.up.Requests(), func(r testrepo.Request) bool { return r.Method != http.MethodGet || r.Path != x.up })
	from := int64(-1)
	if len(all) == 2 {
		if _, err := fmt.Sscanf(all[1].Header.Get("Range"), "bytes=%d-", &from); err != nil {
			x.t.Error(err)
		}
	}
	if from < half || all[1].Status != http.StatusPartialContent {
		x.t.Errorf("upstream was asked %v", all)
	}
}

// imserve downloads for a client, imsync wants the same file and is killed: the
// client does not notice.
func TestSyncKilledWhileServing(t *testing.T) {
	x := newShared(t)
	server := x.serve()
	client := server.begin(x.path)
	x.awaitStalled()
	sync := x.startImsync("once")
	sync.says("fetching 1 package")
	sync.kill()
	x.site.up.Heal()
	x.check(client.whole())
	if n := x.site.up.Count("GET", x.up); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
	if got := x.once(); got.Fetched != 0 || got.Failures != 0 {
		t.Errorf("the next run: %+v", got)
	}
	if n := x.site.up.Count("", x.up); n != 1 {
		t.Errorf("upstream was asked %d times after the next run", n)
	}
}

// imsync downloads, a client asks imserve for the same file, imsync is killed:
// imserve goes on where imsync was.
func TestServingTakesOver(t *testing.T) {
	x := newShared(t)
	// So slow that imsync has noted where the bytes come from when it is killed.
	x.site.up.SetRate(8 << 20)
	server := x.serve()
	sync := x.startImsync("once")
	x.awaitStalled()
	x.awaitPartial(half)
	client := server.begin(x.path)
	client.first()
	sync.kill()
	x.site.up.Heal()
	x.check(client.whole())
	x.continued()
}

// The same the other way round: imserve is killed, and the run goes on where it was.
func TestSyncTakesOver(t *testing.T) {
	x := newShared(t)
	server := x.serve()
	client := server.begin(x.path)
	x.awaitStalled()
	x.awaitPartial(half)
	sync := x.startImsync("once", "--json")
	sync.says("fetching 1 package")
	server.kill()
	client.await()
	if client.failed == nil && client.err == nil {
		t.Errorf("the client of a server that was killed got %d bytes that look whole", len(client.body))
	}
	x.site.up.Heal()
	if code := sync.wait(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	x.check(x.serve().get(x.path))
	if n := x.site.up.Count("GET", x.up); n != 2 {
		t.Errorf("upstream was asked %d times", n)
	}
}

// A server that is asked to stop lets a download end for its client.
func TestStopLetsAnswersEnd(t *testing.T) {
	x := newShared(t)
	server := x.serve()
	client := server.begin(x.path)
	x.awaitStalled()
	if a, err := server.fetch("/-/readyz"); err != nil || a.status != http.StatusOK {
		t.Errorf("not ready: %v, %+v", err, a)
	}
	server.signal(syscall.SIGTERM)
	server.says("msg=\"stopping")
	x.site.up.Heal()
	body := client.whole()
	if code := server.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	x.check(body)
}

// A server that can't wait breaks the answer off, visibly; the next one goes on
// where it was.
func TestStopAtOnceIsVisible(t *testing.T) {
	x := newShared(t)
	server := x.serve()
	client := server.begin(x.path)
	x.awaitStalled()
	x.awaitPartial(half)
	server.signal(syscall.SIGTERM)
	server.says("msg=\"stopping")
	server.insist()
	client.await()
	if client.failed == nil && client.err == nil {
		t.Errorf("the client got %d bytes that look whole", len(client.body))
	}
	x.site.up.Heal()
	x.check(x.serve().get(x.path))
	x.continued()
}

// Alive is not the same as ready: a balancer is told when nothing can be stored.
func TestReadiness(t *testing.T) {
	s := newSite(t)
	server := s.serve()
	status := func(path string) int {
		t.Helper()
		a, err := server.fetch(path)
		if err != nil || a.err != nil {
			t.Fatalf("GET %s: %v, %v", path, err, a.err)
		}
		return a.status
	}
	if got := status("/-/readyz"); got != http.StatusOK {
		t.Errorf("ready: status %d", got)
	}
	if err := os.Rename(s.dir+"/cache", s.dir+"/elsewhere"); err != nil {
		t.Fatal(err)
	}
	if got := status("/-/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("without a cache directory: status %d", got)
	}
	if got := status("/-/healthz"); got != http.StatusOK {
		t.Errorf("alive: status %d", got)
	}
	if err := os.Rename(s.dir+"/elsewhere", s.dir+"/cache"); err != nil {
		t.Fatal(err)
	}
	if got := status("/-/readyz"); got != http.StatusOK {
		t.Errorf("ready again: status %d", got)
	}
	if code := server.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if _, err := server.fetch("/-/readyz"); err == nil {
		t.Error("stopped, it still answers")
	}
}
