package systest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// unsteadyDebs is how many packages the suite has: the fewer, the more often an apt
// comes by while its mirror is in the midst of something.
const unsteadyDebs = 20

var packagesXZ = regexp.MustCompile(`(?m)^ ([0-9a-f]{64}) \d+ (main/binary-[^/]+)/Packages\.xz$`)

// newUnsteadySuite makes one of a signed Debian suite, with its indices by hash or not.
func newUnsteadySuite(t *testing.T, byHash bool) *unsteadySuite {
	t.Helper()
	key := newKey(t)
	a := newSuiteArchive(t, testrepo.Suite{Name: "stable", ByHash: byHash, Inline: key.Inline}, key)
	u := &unsteady{
		site: a.site, base: "/fedora", top: filepath.Join(a.tree, upstreamBase), entryFile: "dists/stable/InRelease", sameNames: !byHash, around: unsteadyAround / 3,
	}
	u.lists = func(entry []byte) (names []string) {
		for _, m := range packagesXZ.FindAllSubmatch(entry, -1) {
			name := path.Join("dists/stable", string(m[2]), "Packages.xz")
			if byHash {
				name = path.Join("dists/stable", string(m[2]), "by-hash/SHA256", string(m[1]))
			}
			names = append(names, name)
		}
		return names
	}
	u.publish(unsteadyDebs, func(dir string, at time.Time, programs []program) error {
		var debs []testrepo.Deb
		for _, p := range programs {
			debs = append(debs, testrepo.Deb{Name: p.name, Version: p.version, Size: p.size})
		}
		suite := a.suite
		suite.Time = at
		files, err := testrepo.BuildSuite(debs, suite)
		for name, b := range files {
			file, made := filepath.Join(dir, name), at
			if !isMetadata(name) {
				made = u.epoch() // it is the same in all publications that have it
			}
			err = errors.Join(err, os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, b, 0o644), os.Chtimes(file, made, made))
		}
		return err
	})
	return &unsteadySuite{u, a}
}

// unsteadySuite is an unsteady mirror with a suite.
type unsteadySuite struct {
	*unsteady
	a *suiteArchive
}

// epoch is before all publications.
func (u *unsteady) epoch() time.Time { return today().AddDate(-1, 0, 0) }

// live is unsteady's, with imserve's keys and the machines that have apt.
func (u *unsteadySuite) live(round func(at int)) {
	u.t.Helper()
	u.unsteady.live(fmt.Sprintf("gpg_keys = [%q]", u.a.key), func() map[string]caller {
		if _, err := exec.LookPath("apt-get"); err != nil && os.Getenv("CI") != "true" {
			u.t.Log("without apt-get the clients are all of the test's own")
			return nil
		}
		return u.a.machines(u.server)
	}, round)
}

// TestUnsteadySuite is TestUnsteadyMirror for a signed Debian suite, with its indices
// by hash and without, and for apt: one machine that updates and installs, and one that
// has not updated since the first publication.
func TestUnsteadySuite(t *testing.T) {
	t.Parallel()
	for _, byHash := range []bool{true, false} {
		t.Run(fmt.Sprintf("by hash %v", byHash), func(t *testing.T) {
			u := newUnsteadySuite(t, byHash)
			if byHash {
				u.underRace()
			}
			u.live(func(at int) { u.usual(at, func(int) {}) })
		})
	}
}

// machines are two machines with apt: one that updates each time, and one that goes by
// the first publication, whose packages it has had from here.
func (a *suiteArchive) machines(server *server) map[string]caller {
	a.t.Helper()
	const update, fetch, list = `"$@" update && `, `"$@" clean && "$@" --download-only --yes install steady `, ` && ls "$0"`
	current, late := a.machine(a.line(server, "127.0.0.7")), a.machine(a.line(server, "127.0.0.8"))
	for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "steady", behind}} {
		if _, err := late.run(args...); err != nil {
			a.t.Fatal(err)
		}
	}
	line := func(m debianMachine, script string) []string {
		return slices.Concat([]string{"sh", "-c", script, m.dir + "/cache/archives"}, m.line)
	}
	return map[string]caller{
		"apt":        {line: line(current, update+fetch+list)},
		"apt behind": {line(late, fetch+behind+list), line(late, update+fetch+behind+list)},
	}
}
