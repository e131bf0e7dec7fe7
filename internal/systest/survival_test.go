package systest

import (
	"flag"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// kills is how often TestSurvival kills imsync:
//
//	go test ./internal/systest -run TestSurvival -kills 100
var kills = flag.Int("kills", 8, "how often TestSurvival kills imsync")

// imsync is killed again and again, at any moment, while its mirror stalls, cuts,
// lies, is overloaded and publishes anew: what is in the tree is whole and
// upstream's after each kill, the last run ends right, and over all tries hardly a
// byte comes twice.
func TestSurvival(t *testing.T) {
	const extra = 10 // percent
	specs, updated := campusInVersions()

	alone := newSite(t)
	alone.publish(specs)
	alone.log(specs)
	alone.once()
	all := alone.up.Sent("*")
	good := known{}
	good.add(files(t, alone.repo))
	alone.publish(updated)
	good.add(files(t, alone.repo))

	// A guess is not repeated, so that what guesses bring is another thing for who has been killed.
	const sure = "[sync]\ncandidates = [\"rename\", \"dependency\"]"
	s := newSite(t, sure)
	s.publish(specs)
	s.log(specs)
	r := rand.New(rand.NewPCG(1, 2))
	for n := range *kills {
		if n == *kills/2 {
			s.publish(updated)
		}
		s.up.Heal()
		misbehave(s.up, r, n, specs)
		// What is on its way when imsync is killed is lost: a tenth of a second of this.
		s.up.SetRate(int(all) / *kills)
		before := s.up.Sent("*")
		moment := before + r.Int64N(2*all/int64(*kills)+1)
		p := s.startImsync("once")
		s.await("the moment to kill imsync", func() bool { return s.up.Sent("*") >= moment || !p.running() })
		p.kill()
		s.whole(good)
	}
	s.up.Heal()
	s.up.SetRate(0)
	s.once()
	s.whole(good)

	fresh := alone.another(t, sure)
	fresh.log(specs)
	fresh.once()
	want, got := files(t, fresh.cached()), files(t, s.cached())
	maps.DeleteFunc(got, func(name, _ string) bool { return want[name] == "" }) // of the first publication
	if diff := difference(want, got); diff != "" {
		t.Errorf("the tree differs from that of a run left alone:\n%s", diff)
	}
	// What is there now has come, superseded metadata besides, which is not counted.
	var needed int64
	for name := range files(t, s.cached()) {
		fi, err := os.Stat(filepath.Join(s.cached(), name))
		if err != nil {
			t.Fatal(err)
		}
		needed += fi.Size()
	}
	sent := s.up.Sent("*")
	t.Logf("%d bytes needed; killed %d times: %d, %.1f %% more",
		needed, *kills, sent, 100*float64(sent-needed)/float64(needed))
	if sent > needed+needed*extra/100 {
		t.Errorf("%d bytes came in place of %d: more than %d %% more", sent, needed, extra)
	}
}

// campusInVersions are a campus's packages, and the same with some of them updated.
func campusInVersions() (specs, updated []testrepo.Spec) {
	specs = testrepo.Small(testrepo.Campus(1))
	for i := range specs {
		specs[i].Size *= 8
	}
	updated = append(updated, specs...)
	for i := range updated {
		if i%10 == 0 {
			updated[i].Release += ".1"
		}
	}
	return specs, updated
}

// misbehave lets the mirror do something else in each try. It lies about small
// packages alone, since a lie costs all that there is of the file.
func misbehave(up *testrepo.Server, r *rand.Rand, try int, specs []testrepo.Spec) {
	at := r.Int64N(4000)
	fault := [...]testrepo.Fault{testrepo.Stall(at), testrepo.Cut(at), testrepo.Corrupt(at), testrepo.Status(503)}[try%4]
	if try%4 != 2 {
		up.On("*.rpm", fault.After(r.IntN(8)).Times(1))
		return
	}
	for _, spec := range specs {
		if spec.Size < 32<<10 {
			up.On("*/"+spec.Filename(), fault.Share(0.1, uint64(try)).Times(1))
		}
	}
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
