package systest

import (
	"flag"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// installs is how often TestInstallWhileKilled installs:
//
//	go test ./internal/systest -run TestInstallWhileKilled -v -installs 50
var installs = flag.Int("installs", 1, "how often TestInstallWhileKilled installs")

// killed is a site of which both programs are killed while its clients install.
type killed struct {
	*node
	specs []testrepo.Spec
	sync  *process
	draw  *rand.Rand
	good  known // all that upstream ever had, by path and by base name
}

// publish makes what there is now upstream's.
func (k *killed) publish() {
	k.at.t.Helper()
	k.at.publish(k.specs)
	k.at.createrepo()
	for name, sum := range files(k.at.t, k.at.repo) {
		k.good.add(map[string]string{name: sum, filepath.Base(name): sum})
	}
}

// strike kills one of the programs and starts it anew, as systemd does.
func (k *killed) strike() {
	k.at.t.Helper()
	if k.draw.IntN(2) == 0 {
		k.sync.kill()
		k.sync = k.at.startImsync("once")
	} else {
		k.run.kill()
		k.start()
	}
}

// try lets dnf install once, while up to so many kills come, which it returns.
func (k *killed) try(m *machine, kills int) (came int, err error) {
	k.at.t.Helper()
	const often = 2 * time.Second // between two of them, at the most
	ended, line := make(chan error, 1), m.dnfLine("install", "mplayer", "kernel")
	go func() {
		_, err := m.attempt(line)
		ended <- err
	}()
	for {
		var next <-chan time.Time
		if came < kills {
			next = time.After(time.Duration(k.draw.Int64N(int64(often))))
		}
		select {
		case err := <-ended:
			return came, err
		case <-next:
			k.strike()
			came++
		}
	}
}

// Both programs are killed again and again while dnf installs what upstream has just
// published. An installation fails by nothing but that nobody answers, and one that
// begins after the last kill does not fail: nothing wrong is stored or received.
func TestInstallWhileKilled(t *testing.T) {
	t.Parallel()
	const kills = 8 // for each installation
	s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"", "[sync]\ntop = 40\nroots = [\""+rootName+"\"]")
	k := &killed{
		node: &node{at: s, addr: freeAddress(t, "127.0.0.42")}, specs: testrepo.Small(testrepo.Campus(1)), draw: rand.New(rand.NewPCG(1, 2)), good: known{},
	}
	for i := range k.specs {
		k.specs[i].Size *= 8
	}
	k.start()
	s.up.SetRate(1 << 20) // so that much is under way at each moment
	tries := 0
	for night := range *installs {
		if night > 0 {
			k.specs = testrepo.Overnight(k.specs, uint64(night))
		}
		k.publish()
		k.sync = s.startImsync("once")
		m := s.machine(k.run.url + "/" + rootName)
		for left := kills; ; tries++ {
			came, err := k.try(m, left)
			if err == nil {
				break
			}
			if left == 0 {
				t.Fatalf("when nothing is killed any more: %v", err)
			}
			if strings.Contains(strings.ToLower(err.Error()), "checksum") {
				t.Errorf("an installation failed by what it got: %v", err)
			}
			left -= came
		}
		k.sync.kill()
		s.whole(k.good)
		for name, sum := range m.received() {
			if !k.good[[2]string{name, sum}] {
				t.Errorf("dnf received %s with bytes that upstream never had", name)
			}
		}
		for _, name := range []string{"kernel", "mplayer"} {
			if want := version(t, k.specs, name); !slices.Contains(m.installed(), want) {
				t.Errorf("%s is not installed; there is %q", want, m.installed())
			}
		}
	}
	s.up.SetRate(0)
	s.once()
	s.whole(k.good)
	t.Logf("%d installations, of which dnf had to be told %d times again", *installs, tries)
}
