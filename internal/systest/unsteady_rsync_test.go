package systest

import (
	"slices"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestUnsteadyRsync is TestUnsteadyMirror for a mirror whose job is rsync, the program
// itself, held still after each change that it makes: with what is gone deleted before,
// during and after, with all renames at the end, in place, in two stages, and killed in
// the midst of it.
func TestUnsteadyRsync(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"rsync", "strace"} {
		testrepo.Program(t, name)
	}
	u := newUnsteady(t, false)
	u.around = unsteadyAround / 4 // there are so many more states
	list, url := u.lister()
	u.live("", func() map[string]caller { list(0); return u.programs(url, "dnf, baseurl", "zypper behind") }, func(at int) { u.mirrored(at, list) })
}

// TestUnsteadyRsyncSuite is TestUnsteadyRsync for a Debian suite. Of such an archive
// rsync takes dists before pool, and there InRelease before what that lists.
func TestUnsteadyRsyncSuite(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"rsync", "strace"} {
		testrepo.Program(t, name)
	}
	u := newUnsteadySuite(t, true)
	u.around = unsteadyAround / 4
	u.live(func(at int) { u.mirrored(at, func(int) {}) })
}

// mirrored is a round of what rsync does. It takes names in their order: of RPM
// packages' repositories these, metadata with digests in their names, repomd.xml.
func (u *unsteady) mirrored(at int, list func(current int)) {
	u.t.Helper()
	bring := func(i int, options ...string) {
		u.t.Helper()
		u.rsync(u.editions[at+i].dir, u.top, nameCalls, nil, options...)
	}
	bring(1, "--delete")
	bring(2, "--delete-before")
	u.rsync(u.editions[at+1].dir, u.second, nameCalls, nil, "--delete-delay", "--delay-updates")

	// It comes by half, its source goes back, and then it comes for good.
	list(at + 3)
	killed := u.rsync(u.editions[at+3].dir, u.top, nameCalls, func(now map[string]stamp) bool {
		fresh := 0
		for name := range now {
			if _, ok := u.editions[at+2].files[name]; !ok && isMetadata(name) {
				fresh++
			}
		}
		return fresh < 2
	}, "--delete")
	if !killed {
		u.t.Error("rsync was through before it was by half")
	}
	u.everybody()
	bring(2, "--delete-delay")
	bring(3, "--delete-after", "--fuzzy")

	bring(4, "--delete-delay", "--delay-updates")
	u.rsync(u.top, u.second, nameCalls, nil, "--delete")
	u.rsync(u.editions[at+5].dir, u.top, writeCalls, nil, "--delete", "--inplace")

	list(at + 6)
	bring(6, "--exclude=/repodata", "--exclude=/dists")
	bring(6, "--delete-after")
}

// rsync makes the repository in to what from is now, and holds rsync still after each
// change, as steps does.
func (u *unsteady) rsync(from, to, calls string, meanwhile func(now map[string]stamp) bool, options ...string) (killed bool) {
	u.t.Helper()
	line := slices.Concat([]string{testrepo.Program(u.t, "rsync"), "--archive"}, options, []string{from + "/", to + "/"})
	return u.steps(to, calls, meanwhile, line...)
}
