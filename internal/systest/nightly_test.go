package systest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// A run that finds nothing changed asks once per root, with a condition, and
// for nothing else.
func TestNothingChanged(t *testing.T) {
	s := newSite(t, `[sync]`+"\n"+`roots = ["`+second+`"]`)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	other := *s
	other.repo = filepath.Join(s.tree, upstreamBase, strings.TrimPrefix(second, "fedora/"))
	other.publish(specs[:20])
	s.log(specs)
	first := s.once()
	if len(first.Roots) != 2 || first.Fetched == 0 {
		t.Fatalf("the first run: %+v", first)
	}
	before := files(t, s.dir+"/cache/fedora")

	s.up.Forget()
	got := s.once()
	lines := s.up.Lines("", "*")
	slices.Sort(lines)
	want := []string{
		"GET " + upstreamBase + "/releases/41/Everything/x86_64/os/repodata/repomd.xml if 304",
		"GET " + upstreamRoot + "/repodata/repomd.xml if 304",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("upstream was asked:\n%s\nwant:\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if got.Fetched != 0 || got.Bytes != 0 || got.Roots[0].Changed || got.Roots[1].Changed {
		t.Errorf("the run says: %+v", got)
	}
	if diff := difference(before, files(t, s.dir+"/cache/fedora")); diff != "" {
		t.Errorf("the tree has changed:\n%s", diff)
	}
}

// The plan says what a run then fetches, and changes nothing that a client sees.
func TestPlanIsWhatOnceDoes(t *testing.T) {
	s := newSite(t, "[sync]\ntop = 20\npackages = [\"mplayer\"]")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.log(specs)
	items := s.plan()
	if n := s.up.Count("", "*.rpm"); n != 0 {
		t.Errorf("planning asked for packages %d times", n)
	}
	if _, err := os.Stat(s.dir + "/cache/fedora"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("planning put files into the tree: %v", err)
	}
	reasons := map[string]int{}
	want := map[string]string{}
	for _, it := range items {
		reasons[it.Reason]++
		want[strings.TrimPrefix(it.Path, rootName+"/")] = it.SHA256
		if it.Name == "mplayer" && it.Reason != "seed" || it.Name == "numactl-libs" && it.Reason != "dependency" {
			t.Errorf("%s is planned as %s", it.Name, it.Reason)
		}
	}
	if reasons["seed"] == 0 || reasons["popular"] == 0 || reasons["dependency"] == 0 {
		t.Errorf("reasons: %v", reasons)
	}
	s.once()
	got := files(t, s.cached())
	maps.DeleteFunc(got, func(name, _ string) bool { return !strings.HasSuffix(name, ".rpm") })
	if diff := difference(want, got); diff != "" {
		t.Errorf("fetched, against what was planned:\n%s", diff)
	}
}

// What fails is listed, stops nothing else, keeps no metadata back, and is tried
// again.
func TestFailuresAreListed(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	bad := location(t, specs, "mplayer")
	for _, c := range []struct {
		name  string
		fault testrepo.Fault
	}{
		{"not there", testrepo.Status(404)},
		{"forbidden", testrepo.Status(403)},
		{"overloaded", testrepo.Status(503)},
		{"no answer", testrepo.Refuse()},
		{"cut again and again", testrepo.Cut(100)},
		{"other bytes", testrepo.Corrupt(5000)},
		{"a login page", testrepo.Portal()},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.another(t, "[sync]\ntop = 500\npackages = [\"mplayer\"]")
			s.log(specs)
			s.up.On(upstreamRoot+"/"+bad, c.fault)
			defer s.up.Heal()
			r := s.imsync("once", "--json")
			if r.code != 1 {
				t.Fatalf("exit code %d: %s", r.code, r.stderr)
			}
			var got report
			s.decode(result{stdout: r.stdout}, &got)
			if got.Failures != 1 || len(got.Roots) != 1 || len(got.Roots[0].Failed) != 1 || got.Fetched != got.Roots[0].Planned-1 {
				t.Fatalf("the report: %+v", got)
			}
			if f := got.Roots[0].Failed[0]; f.Path != rootName+"/"+bad || f.Error == "" {
				t.Errorf("the failure: %+v", f)
			}
			stored := files(t, s.cached())
			if _, ok := stored[bad]; ok {
				t.Error("what failed is stored")
			}
			if _, ok := stored["repodata/repomd.xml"]; !ok {
				t.Error("the metadata was kept back")
			}
			s.up.Heal()
			if got := s.once(); got.Fetched != 1 {
				t.Errorf("the next run fetched %d packages, one was missing", got.Fetched)
			}
			subset(t, "the cache", files(t, s.cached()), files(t, s.repo))
		})
	}
}

// run stays: it catches up at once, lets no second run in meanwhile, and ends
// when it is asked to, in the middle of a download, too.
func TestRunStays(t *testing.T) {
	s := newSite(t, "[sync]\nschedule = \"* * * * *\"").underRace()
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.log(specs)
	s.up.On("*/repomd.xml", testrepo.Trickle(1).Times(1))
	daemon := s.startImsync("run", "--json")
	s.awaitStalled()
	if r := s.imsync("once"); r.code != 4 || !strings.Contains(r.stderr, "another run") {
		t.Errorf("once beside a run: exit code %d, %q", r.code, r.stderr)
	}
	s.up.Release()
	daemon.says("the run is done")
	if code := daemon.stop(); code != 0 {
		t.Errorf("stopped while it waits: exit code %d", code)
	}
	// Its schedule may have had it do another one, with nothing to fetch.
	var first report
	if err := json.NewDecoder(&daemon.stdout).Decode(&first); err != nil || first.Fetched == 0 || first.Failures != 0 {
		t.Errorf("the report of the first run: %+v, %v", first, err)
	}
	upstream := files(t, s.repo)
	subset(t, "the cache", files(t, s.cached()), upstream)
	if count(files(t, s.cached()), ".rpm") == 0 {
		t.Error("nothing was fetched")
	}

	// Stopped in the middle of a run.
	if err := os.Remove(filepath.Join(s.dir, "state/imsync.db")); err != nil {
		t.Fatal(err) // the memory of the last run, without which one is due
	}
	after := testrepo.Overnight(specs, 1)
	for i := range after {
		if after[i].Name == "kernel-modules" {
			after[i].Size = 2 << 20 // by far the largest
		}
	}
	s.publish(after)
	s.up.On("*/"+location(t, after, "kernel-modules"), testrepo.Stall(1<<20))
	daemon = s.startImsync("run")
	s.awaitStalled()
	s.awaitPartial(1 << 20)
	if code := daemon.stop(); code != 0 {
		t.Errorf("stopped in the middle of a run: exit code %d", code)
	}
	s.up.Heal()
	if got := s.once(); got.ResumedBytes == 0 {
		t.Errorf("what was there was fetched again: %+v", got)
	}
	maps.Copy(upstream, files(t, s.repo))
	subset(t, "the cache", files(t, s.cached()), upstream)
}
