package systest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// describe gives the edition in dir the metadata that createrepo_c makes of it.
func (u *unsteady) describe(dir string, at time.Time, specs []testrepo.Spec) error {
	var list strings.Builder
	for _, s := range specs {
		fmt.Fprintln(&list, s.Location())
	}
	// So that all runs for this edition make the same bytes.
	options := []string{"--quiet", "--no-database", "--pkglist=" + dir + ".packages", fmt.Sprintf("--revision=%d", at.Unix()), "--set-timestamp-to-revision"}
	if len(u.editions)%3 == 2 {
		options = append(options, "--general-compress-type=xz")
	}
	if u.options == nil {
		u.options = map[string][]string{}
	}
	u.options[dir] = options
	if err := errors.Join(os.WriteFile(dir+".packages", []byte(list.String()), 0o644), os.RemoveAll(filepath.Join(dir, "repodata"))); err != nil {
		return err
	}
	_, err := u.attempt(u.createrepoLine(edition{dir: dir}, dir))
	return err
}

// createrepoLine is the command line that makes the metadata of e from the packages in dir.
func (u *unsteady) createrepoLine(e edition, dir string, more ...string) []string {
	u.t.Helper()
	return slices.Concat([]string{testrepo.Program(u.t, "createrepo_c")}, u.options[e.dir], more, []string{dir})
}

// TestUnsteadyPublisher is TestUnsteadyMirror for an upstream whose publisher works in
// the place that is served, with the real programs held still after each change that
// they make: createrepo_c, killed in the midst of it once, with packages copied before
// it, meanwhile, and after it; and, for the second mirror, rsync at whatever moment.
func TestUnsteadyPublisher(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"createrepo_c", "rsync", "strace"} {
		testrepo.Program(t, name)
	}
	u := newUnsteady(t, true)
	u.around = unsteadyAround / 4 // there are so many more states
	list, url := u.lister()
	u.live("", func() map[string]caller { list(0); return u.programs(url, "dnf, metalink", "dnf behind", "zypper") }, func(at int) { u.published(at, list) })
}

// published is a round of what a publisher does.
func (u *unsteady) published(at int, list func(current int)) {
	u.t.Helper()
	next := func(i int) edition { return u.editions[at+i] }
	create := func(e edition, meanwhile func(now map[string]stamp) bool, more ...string) (killed bool) {
		u.t.Helper()
		return u.steps(u.top, nameCalls, meanwhile, u.createrepoLine(e, u.top, more...)...)
	}
	u.packages(next(1), false)
	create(next(1), nil)
	u.same(next(1))
	u.packages(next(1), true)
	u.rsync(u.top, u.second, nameCalls, nil, "--delete")

	// The packages of the next are copied before this one's metadata is there.
	u.packages(next(2), false)
	copied := false
	create(next(2), func(map[string]stamp) bool {
		if !copied {
			copied = true
			u.copyPackages(next(3))
		}
		return true
	}, "--update", "--retain-old-md=100")
	u.same(next(2))

	// What is withdrawn goes first. The program dies when there is no repodata at all,
	// and the mirror comes by at that moment.
	list(at + 3)
	u.packages(next(3), true)
	killed := create(next(3), func(now map[string]stamp) bool {
		for name := range now {
			if isMetadata(name) {
				return true
			}
		}
		return false
	}, "--update")
	if !killed {
		u.t.Error("there was no moment without metadata")
	}
	u.rsync(u.top, u.second, nameCalls, nil, "--delete")
	u.everybody()
	old, err := filepath.Glob(u.top + "/repodata.old*")
	if err != nil || len(old) != 1 {
		u.t.Fatalf("%q, %v: want the metadata before", old, err)
	}
	if err := errors.Join(os.Rename(old[0], u.top+"/repodata"), os.RemoveAll(u.top+"/.repodata")); err != nil {
		u.t.Fatal(err)
	}
	u.pause(u.around)
	create(next(3), nil, "--update")
	u.same(next(3))

	// Metadata that is made elsewhere comes before the packages that it lists.
	u.steps(u.top, nameCalls, nil, u.createrepoLine(next(4), next(4).dir, "--outputdir="+u.top)...)
	u.copyPackages(next(4))
	u.same(next(4))
	u.packages(next(4), true)
	u.awaitEdition("the metadata that was there before its packages", at+4)
	u.rsync(u.top, u.second, nameCalls, nil, "--delete-after")

	// It is taken back, and the next one comes in its place.
	u.sync(u.top, next(3), testrepo.Hasty, 1)
	u.packages(next(5), false)
	create(next(5), nil)
	u.same(next(5))
	u.packages(next(5), true)

	list(at + 6)
	u.packages(next(6), false)
	create(next(6), nil, "--update", "--retain-old-md=1")
	u.same(next(6))
	u.packages(next(6), true)
	u.rsync(u.top, u.second, nameCalls, nil, "--delete-before")
}

// same checks that the publisher has made the edition as it was made before: else the
// clients' answers are held against the wrong one.
func (u *unsteady) same(e edition) {
	u.t.Helper()
	b, err := os.ReadFile(filepath.Join(u.top, u.entryFile))
	if err != nil || digest(b) != e.entry {
		u.t.Fatalf("createrepo_c made another edition %d than before: %v\n%s", e.number, err, b)
	}
}

// packages makes the steps of the packages of the edition that come, or of those that go.
func (u *unsteady) packages(e edition, gone bool) {
	u.t.Helper()
	steps, err := testrepo.Sync(u.top, e.dir, testrepo.Careful, unsteadySeed)
	if err != nil {
		u.t.Fatal(err)
	}
	for _, s := range steps {
		if strings.HasSuffix(s.Path, ".rpm") && s.Gone == gone {
			u.do(u.top, s)
		}
	}
}

// copyPackages copies the packages of the edition that are not there in place.
func (u *unsteady) copyPackages(e edition) {
	u.t.Helper()
	here := u.served(u.top)
	for name := range e.files {
		if _, ok := here[name]; !ok && !isMetadata(name) {
			u.copy(u.top, e, name)
		}
	}
}
