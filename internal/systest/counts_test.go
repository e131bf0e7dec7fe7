package systest

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// groupSecret writes a group's secret, and is the line of the configuration that
// names it.
func groupSecret(t testing.TB) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "group.key")
	if err := os.WriteFile(file, []byte(strings.Repeat("0123", 16)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return "group_key = \"" + file + "\""
}

// TestGroupCounts holds that machines with logs of their own make the ranking of one
// that has read them all: over HTTP from each other's imserve at a run, and by files.
func TestGroupCounts(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	visits := traffic(specs)
	one := s.another(t)
	one.write(filepath.Join(one.logs, "access.log"), string(logText(t, testrepo.Combined, visits)))
	want := one.rank()

	// Every client asks now this machine, now that; what each fourth asks for is in two logs.
	const machines = 3
	var logs [machines][]testrepo.Visit
	for i, v := range visits {
		logs[i%machines] = append(logs[i%machines], v)
		if i%4 == 0 {
			logs[(i+1)%machines] = append(logs[(i+1)%machines], v)
		}
	}
	key := groupSecret(t)
	var urls []string
	var group [machines]*site
	for i := machines - 1; i >= 0; i-- {
		// The first asks both others, the second the third, and this nobody.
		group[i] = s.another(t, "[sync]\n"+key+"\npackages = []\ngroup = ["+strings.Join(urls, ", ")+"]")
		group[i].write(filepath.Join(group[i].logs, "access.log"), string(logText(t, testrepo.Combined, logs[i])))
		if i > 0 {
			urls = append(urls, `"`+group[i].serve().url+`"`)
		}
	}
	if got := group[0].imsync("import-counts"); got.code != 1 || !strings.Contains(got.stderr, "imsync there has to have run with sync.group_key") {
		t.Errorf("of machines that have no counts yet: exit code %d, %s", got.code, got.stderr)
	}
	group[1].rank()
	group[2].rank()
	var r struct {
		report
		Group []struct {
			From, Error string
			Requests    int
		}
	}
	group[0].decode(group[0].imsync("once", "--json"), &r)
	if len(r.Group) != machines-1 || slices.ContainsFunc(r.Group, func(x struct {
		From, Error string
		Requests    int
	}) bool {
		return x.Error != "" || x.Requests == 0
	}) {
		t.Errorf("the run took in %+v", r.Group)
	}
	sameRanks(t, want, group[0].rank())

	// By way of a file, from one that has what all have.
	export := group[0].imsync("export-counts")
	if export.code != 0 || strings.Contains(export.stderr, "10.") {
		t.Fatalf("exit code %d, %s", export.code, export.stderr)
	}
	file := filepath.Join(t.TempDir(), "counts")
	s.write(file, export.stdout)
	for range 2 {
		if got := group[2].imsync("import-counts", file); got.code != 0 {
			t.Fatalf("exit code %d, %s", got.code, got.stderr)
		}
		sameRanks(t, want, group[2].rank())
	}

	// A machine that is away holds up neither the run nor the rest.
	group[0].configure("[sync]\n" + key + "\npackages = []\ngroup = [\"http://127.0.0.1:1\", " + urls[1] + "]")
	group[0].decode(group[0].imsync("once", "--json"), &r)
	if r.Failures != 0 || len(r.Group) != 2 || r.Group[0].Error == "" || r.Group[1].Error != "" {
		t.Errorf("with a machine that is away: %+v", r)
	}
	sameRanks(t, want, group[0].rank())
}

// TestGroupDaemon holds that what clients ask one machine for counts on another, from
// imserve's own log on, while both agents stay.
func TestGroupDaemon(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	key := groupSecret(t)
	other := s.another(t, "[sync]\n"+key+"\npackages = []")
	mirror := other.serve()
	path := "/" + rootName + "/" + location(t, specs, "vlc")
	for _, client := range []string{"10.9.8.1", "10.9.8.2"} {
		mirror.get("/"+rootName+"/repodata/repomd.xml", "X-Forwarded-For", client)
		mirror.get(path, "X-Forwarded-For", client)
	}
	other.await("the requests in the log", func() bool {
		b, err := os.ReadFile(other.dir + "/state/access.log")
		return err == nil && strings.Count(string(b), path) == 2
	})
	there := other.startImsync("run")
	there.says("the run is done")

	here := s.another(t, "[sync]\n"+key+"\npackages = []\ngroup = [\""+mirror.url+"\"]")
	daemon := here.startImsync("run")
	daemon.says("the run is done")
	if got := here.rank(); len(got) != 1 || got[0].Name != "vlc" || got[0].Clients != 2 || got[0].Root != rootName {
		t.Errorf("the ranking: %+v", got)
	}
	// The repository that clients use there is kept here, and the package is ready.
	if _, err := os.Stat(filepath.Join(here.cached(), "repodata", "repomd.xml")); err != nil {
		t.Errorf("its metadata is not here: %v", err)
	}
	if _, err := os.Stat(filepath.Join(here.dir, "cache", path)); err != nil {
		t.Errorf("the package is not here: %v", err)
	}
	daemon.stop()
	there.stop()
}
