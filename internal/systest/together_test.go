package systest

import (
	"math/rand/v2"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// A run that is killed again and again ends with the tree of a run that is left
// alone, and hardly a byte comes twice.
func TestKilledTenTimes(t *testing.T) {
	const kills, extra = 10, 10 // percent
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
	// Slow enough for each of the moments to lie within the run.
	const within = 1500 * time.Millisecond
	killed.up.SetRate(int(float64(bytes) / (1.2 * kills * within.Seconds())))
	r := rand.New(rand.NewPCG(1, 2))
	for range kills {
		p := killed.startImsync("once")
		moment := time.NewTimer(time.Duration(r.Int64N(int64(within))))
		select {
		case <-moment.C:
		case <-p.ended:
			t.Fatalf("the run ended with code %d before it could be killed: %s", p.wait(), p.stderr.String())
		}
		p.kill()
	}
	killed.up.SetRate(0)
	got := killed.once()
	if diff := difference(want, files(t, killed.dir+"/cache/fedora")); diff != "" {
		t.Errorf("the tree differs from that of a run left alone:\n%s", diff)
	}
	sent := killed.up.Sent("*")
	t.Logf("a run left alone: %d bytes; killed %d times: %d, %.1f %% more; the last run kept %d",
		bytes, kills, sent, 100*float64(sent-bytes)/float64(bytes), got.ResumedBytes)
	if sent > bytes+bytes*extra/100 {
		t.Errorf("%d bytes came in place of %d: more than %d %% more", sent, bytes, extra)
	}
}

// shared is a site with one package of some size, whose download stops half way
// until upstream is healed: a client has asked for it, and imsync wants it too.
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
	s.up.On(x.up, testrepo.Stall(4<<20).Only(http.MethodGet).Times(1))
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

// imserve downloads for a client, imsync wants the same file and is killed: the
// client does not notice.
func TestSyncKilledWhileServing(t *testing.T) {
	x := newShared(t)
	server := x.serve()
	client := server.begin(x.path)
	if err := x.site.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
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
	if err := x.site.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	x.awaitPartial(4 << 20)
	client := server.begin(x.path)
	client.first()
	sync.kill()
	x.site.up.Heal()
	x.check(client.whole())
	lines := x.site.up.Lines("GET", x.up)
	if len(lines) != 2 || !strings.Contains(lines[1], "bytes=4194304- ") || !strings.HasSuffix(lines[1], "206") {
		t.Errorf("upstream was asked:\n%s", strings.Join(lines, "\n"))
	}
}

// The same the other way round: imserve is killed, and the run goes on where it was.
func TestSyncTakesOver(t *testing.T) {
	x := newShared(t)
	server := x.serve()
	client := server.begin(x.path)
	if err := x.site.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	x.awaitPartial(4 << 20)
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
	if err := x.site.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
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
	if err := x.site.up.AwaitStalled(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	x.awaitPartial(4 << 20)
	server.signal(syscall.SIGTERM)
	server.says("msg=\"stopping")
	server.insist()
	client.await()
	if client.failed == nil && client.err == nil {
		t.Errorf("the client got %d bytes that look whole", len(client.body))
	}
	x.site.up.Heal()
	x.check(x.serve().get(x.path))
	lines := x.site.up.Lines("GET", x.up)
	if len(lines) != 2 || !strings.Contains(lines[1], "bytes=4194304- ") {
		t.Errorf("upstream was asked:\n%s", strings.Join(lines, "\n"))
	}
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
