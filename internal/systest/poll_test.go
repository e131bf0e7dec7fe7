package systest

import (
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// Between two scheduled runs, run sees that a repository has changed, and has its
// packages before the metadata that lists them.
func TestPoll(t *testing.T) {
	s := newSite(t, "[sync]\nschedule = \"0 0 29 2 *\"\npoll = \"1s\"\ntop = 20\npackages = [\"mplayer\"]").underRace()
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.log(specs)
	daemon := s.startImsync("run")
	daemon.says("the run is done")

	upstream := files(t, s.repo)
	next := slices.Clone(specs)
	for i := range next {
		if next[i].Name == "mplayer" {
			next[i].Version += ".1"
		}
	}
	s.publish(next)
	s.awaitFile("/" + rootName + "/" + location(t, next, "mplayer"))
	s.await("the new metadata", func() bool {
		got, err := os.ReadFile(s.cached() + "/repodata/repomd.xml")
		return err == nil && digest(got) == files(t, s.repo)["repodata/repomd.xml"]
	})
	if code := daemon.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	maps.Copy(upstream, files(t, s.repo))
	subset(t, "the cache", files(t, s.cached()), upstream)
}

// On SIGHUP run goes on with the configuration as it is then, if that is a good
// one.
func TestReload(t *testing.T) {
	s := newSite(t, "[sync]\nschedule = \"0 0 29 2 *\"\npoll = \"\"\npackages = [\"mplayer\"]")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	daemon := s.startImsync("run")
	daemon.says("msg=waiting")

	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.config, "nonsense = true\n")
	daemon.signal(syscall.SIGHUP)
	if line := daemon.says("stays as it was"); !strings.Contains(line, "nonsense") {
		t.Errorf("it does not say what is wrong: %s", line)
	}

	s.write(s.config, strings.Replace(string(good), `"0 0 29 2 *"`, `"1 1 29 2 *"`, 1))
	daemon.signal(syscall.SIGHUP)
	daemon.says("1 1 29 2 *")
	if code := daemon.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
