package systest

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// kills is how often TestSurvival kills imsync:
//
//	go test ./internal/systest -run TestSurvival -v -kills 100
var kills = flag.Int("kills", 5, "how often TestSurvival kills imsync")

// A kill may cost what is on its way from the socket to the disk, some 64 KiB for each
// download under way. So the repository has sixteen times as much for each kill: a tenth
// of it leaves room for that, and for the files that the mirror lies about.
//
// What the kernel has taken and imsync has not read is not counted: no program can help
// that it is lost, and how much it is says how busy the machine is. Nor is what the
// mirror is about to give the kernel, some 32 KiB for each download.
const (
	downloads  = 16 // sync.parallel
	window     = 64 << 10
	perKill    = 16 * downloads * window
	mirrorRate = 25_000_000 // bytes a second
)

// imsync is killed again and again, at any moment, while its mirror, as fast as mirrors
// are, stalls, cuts, lies, is overloaded and publishes anew: what is in the tree is
// whole and upstream's after each kill, the last run ends right, and over all tries
// hardly a byte comes twice.
func TestSurvival(t *testing.T) {
	const extra = 10 // percent
	specs, updated := campusInVersions(*kills * perKill)
	// A guess is not repeated, so that what guesses bring is another thing for who has been killed.
	const sure = "[sync]\ncandidates = [\"rename\", \"dependency\"]"
	s := newSite(t, sure)
	s.up.SetSendBuffer(16 << 10)
	s.mkdir(s.cached()) // whoever is killed early has not come to make it
	s.publish(specs)
	s.log(specs)
	good := known{}
	good.add(files(t, s.repo))
	all := s.unkilled(sure, specs)
	first := s.up.Sent("*")

	wasted := map[string]int64{} // bytes that were read and are nowhere, by what the mirror did
	var unread int64             // bytes that the mirror has sent, and nobody has read
	r := rand.New(rand.NewPCG(1, 2))
	for n := range *kills {
		if n == *kills/2 {
			s.publish(updated)
			good.add(files(t, s.repo))
		}
		s.up.Heal()
		s.up.SetRate(mirrorRate)
		fault := misbehave(s.up, r, n)
		before, had := s.up.Sent("*"), s.bytes()
		moment := before + r.Int64N(2*sum(all)/int64(*kills)+1)
		p := s.startImsync("once")
		s.await("the moment to kill imsync", func() bool { return s.up.Sent("*") >= moment || !p.running() })
		p.signal(syscall.SIGSTOP) // from here on it reads nothing
		read := s.read(p)
		p.kill()
		s.await("the mirror to see that nobody is there", s.quiet)
		unread += s.up.Sent("*") - read
		wasted[fault] += read - before - (s.bytes() - had)
		s.whole(good)
	}
	s.up.Heal()
	s.up.SetRate(0)
	s.once()
	s.whole(good)

	got := files(t, s.dir+"/cache")
	// What is there now has come, superseded metadata besides, which is not counted.
	needed, sent := size(t, s.cached()), s.up.Sent("*")-first
	for path, it := range s.unkilled(sure, specs) {
		if got[path] != it.SHA256 {
			t.Errorf("%s is not there as a run left alone would have fetched it", path)
		}
	}
	read := sent - unread
	t.Logf("%d bytes needed; killed %d times: %d read, %.1f %% more, %d sent; lost at kills, by what the mirror did: %v",
		needed, *kills, read, 100*float64(read-needed)/float64(needed), sent, wasted)
	if read > needed+needed*extra/100 {
		t.Errorf("%d bytes were read in place of %d: more than %d %% more", read, needed, extra)
	}
}

// read is how many bytes all that asked the mirror have read of it, of whom p alone may still
// read, and stands still.
func (s *site) read(p *process) int64 {
	s.t.Helper()
	if !p.running() {
		return s.up.Sent("*")
	}
	for {
		sent := s.up.Sent("*")
		unread := s.onTheWay()
		if s.up.Sent("*") == sent { // else they are of two moments
			return sent - unread
		}
	}
}

// onTheWay is how many bytes the kernel has of what the mirror has sent that nobody has read:
// not acknowledged at its end of a connection, and not taken at the other.
func (s *site) onTheWay() (n int64) {
	s.t.Helper()
	const name = "/proc/net/tcp" // see proc_net_tcp in the kernel's documentation
	b, err := os.ReadFile(name)
	if err != nil {
		s.t.Fatal(err)
	}
	at := netip.MustParseAddrPort(s.up.Addr)
	ip := at.Addr().As4()
	mirror := fmt.Sprintf("%08X:%04X", binary.NativeEndian.Uint32(ip[:]), at.Port())
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line) // number, local, remote, state, unacknowledged:unread
		var sent, come int64
		if f[1] != mirror && f[2] != mirror {
			continue
		}
		if _, err := fmt.Sscanf(f[4], "%x:%x", &sent, &come); err != nil {
			s.t.Fatalf("%s: %q: %v", name, line, err)
		}
		if f[1] == mirror {
			n += sent
		} else {
			n += come
		}
	}
	return n
}

// unkilled is what a run would fetch into an empty cache, by path.
func (s *site) unkilled(configuration string, specs []testrepo.Spec) map[string]item {
	s.t.Helper()
	alone := s.another(s.t, configuration)
	alone.log(specs)
	items := map[string]item{}
	for _, it := range alone.plan() {
		items[it.Path] = it
	}
	if len(items) == 0 {
		s.t.Fatal("there is nothing to fetch")
	}
	return items
}

// campusInVersions are a campus's packages, total bytes about, and the same with some
// of them updated. None has more than a fiftieth of all.
func campusInVersions(total int) (specs, updated []testrepo.Spec) {
	small := testrepo.Small(testrepo.Campus(1))
	for factor, all := 1, 0; all < total; factor++ {
		specs, all = slices.Clone(small), 0
		for i := range specs {
			specs[i].Size = min(specs[i].Size*factor, total/50)
			all += specs[i].Size
		}
	}
	updated = append(updated, specs...)
	for i := range updated {
		if i%10 == 0 {
			updated[i].Release += ".1"
		}
	}
	return specs, updated
}

// misbehave lets the mirror do something else in each try, and says what. It lies in
// one of sixteen tries only: a lie costs all of a file, and there are two hundred.
func misbehave(up *testrepo.Server, r *rand.Rand, try int) string {
	at, after := r.Int64N(128<<10), r.IntN(8)
	faults := [...]struct {
		name string
		testrepo.Fault
	}{
		{"stall", testrepo.Stall(at)}, {"cut", testrepo.Cut(at)}, {"503", testrepo.Status(503)},
		{"reset", testrepo.Reset(at)}, {"lie", testrepo.Corrupt(at)},
	}
	f := faults[try%4]
	if try%16 == 3 {
		f = faults[4]
	}
	up.On("*.rpm", f.After(after).Times(1))
	return f.name
}

// bytes is what is stored of the repository, and what is there of downloads.
func (s *site) bytes() int64 {
	s.t.Helper()
	return size(s.t, s.cached()) + size(s.t, s.dir+"/cache/.im/partial")
}

// size is the bytes of all files below dir.
func size(t testing.TB, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			n += fi.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// sum is the bytes of all items.
func sum(items map[string]item) (n int64) {
	for _, it := range items {
		n += it.Size
	}
	return n
}

// quiet reports whether no request of the mirror's is under way.
func (s *site) quiet() bool {
	return !slices.ContainsFunc(s.up.Requests(), func(r testrepo.Request) bool { return !r.Done })
}

// known are files that upstream has had: their names with their digests.
type known map[[2]string]bool

func (k known) add(all map[string]string) {
	for name, sum := range all {
		k[[2]string{name, sum}] = true
	}
}

// whole checks that all that clients can see is upstream's, and complete.
func (s *site) whole(good known) {
	s.t.Helper()
	for name, sum := range files(s.t, s.cached()) {
		if !good[[2]string{name, sum}] {
			s.t.Errorf("%s in the tree is not upstream's", name)
		}
	}
}
