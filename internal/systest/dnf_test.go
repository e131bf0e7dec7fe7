package systest

import (
	"io"
	"maps"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// createrepo gives upstream's repository the metadata that createrepo_c makes,
// in place of testrepo's.
func (s *site) createrepo(args ...string) {
	s.t.Helper()
	if err := os.RemoveAll(filepath.Join(s.repo, "repodata")); err != nil {
		s.t.Fatal(err)
	}
	s.command(testrepo.Program(s.t, "createrepo_c"), append(args, "--quiet", s.repo)...)
}

// machine is a client with dnf, and a root file system of its own.
type machine struct {
	*site
	dir string // the root, cache and whatever dnf writes
	url string // the repository
	// entry is what the repository's entry has in place of the url, a line each.
	entry string
}

func (s *site) machine(url string) *machine {
	s.t.Helper()
	if os.Geteuid() != 0 {
		testrepo.Lacking(s.t, "dnf installs only as root")
	}
	m := &machine{site: s, dir: s.t.TempDir(), url: url}
	m.mkdir(m.dir + "/none")
	return m
}

// dnf runs dnf on a machine that knows this one repository.
func (m *machine) dnf(args ...string) string {
	m.t.Helper()
	line := m.dnfLine(args...)
	return m.command(line[0], line[1:]...)
}

// dnfLine is the command line of that run, for one that goes on in the background.
func (m *machine) dnfLine(args ...string) []string {
	m.t.Helper()
	if m.entry == "" {
		args = append([]string{"--repofrompath=campus," + m.url}, args...)
	} else {
		m.write(m.dir+"/none/campus.repo", "[campus]\nname=campus\n"+m.entry)
	}
	// The option keepcache is what lets the test see the packages that dnf installed. Debian's plugin "local" keeps
	// them for the whole machine, and would install them from there the next time.
	return append([]string{testrepo.Program(m.t, "dnf"),
		"--assumeyes", "--installroot=" + m.dir + "/root", "--releasever=41", "--forcearch=x86_64",
		"--setopt=reposdir=" + m.dir + "/none", "--setopt=varsdir=" + m.dir + "/none", "--setopt=cachedir=" + m.dir + "/cache",
		"--setopt=gpgcheck=0", "--setopt=install_weak_deps=False", "--setopt=keepcache=1", "--setopt=proxy=",
		"--disableplugin=local",
	}, args...)
}

// installed is the packages on the machine, as name-version-release.arch.
func (m *machine) installed() []string {
	m.t.Helper()
	out := m.command(testrepo.Program(m.t, "rpm"), "--root="+m.dir+"/root", "-qa")
	names := strings.Fields(out)
	slices.Sort(names)
	return names
}

// received is the files of the repository that dnf has downloaded, by their base
// names, with their digests.
func (m *machine) received() map[string]string {
	m.t.Helper()
	got := map[string]string{}
	for name, sum := range files(m.t, m.dir+"/cache") {
		if strings.HasSuffix(name, ".rpm") || strings.Contains(name, "/repodata/") {
			got[filepath.Base(name)] = sum
		}
	}
	return got
}

// subset checks that each file of got is one of want: the same path, the same bytes.
func subset(t testing.TB, what string, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if sum, ok := want[name]; !ok {
			t.Errorf("%s: %s is not upstream's", what, name)
		} else if got[name] != sum {
			t.Errorf("%s: %s differs from upstream's", what, name)
		}
	}
}

// bases is m by the base names of its files.
func bases(m map[string]string) map[string]string {
	out := make(map[string]string, len(m))
	for name, sum := range m {
		out[filepath.Base(name)] = sum
	}
	return out
}

// The main promise, with the programs that a site has: the night's run brings
// what the log shows to be popular, the seeds and what they need; in the morning
// dnf installs the night's update from the cache alone.
func TestInstallWithoutUpstream(t *testing.T) {
	s := newSite(t, "[sync]\ntop = 40")
	before := testrepo.Small(testrepo.Campus(1))
	s.publish(before)
	s.createrepo()
	if len(before) < 200 {
		t.Fatalf("the repository has %d packages", len(before))
	}
	s.log(before)
	first := s.once()
	upstream := files(t, s.repo)

	after := testrepo.Overnight(before, 1)
	s.publish(after)
	s.createrepo()
	maps.Copy(upstream, files(t, s.repo)) // repodata/repomd.xml is the new one's
	second := s.once()
	if len(second.Roots) != 1 || second.Roots[0].Root != rootName || !second.Roots[0].Changed {
		t.Errorf("the log shows one root, which changed overnight; the run says %+v", second.Roots)
	}
	if first.Fetched < 40 || first.Fetched >= len(before) {
		t.Errorf("%d of %d packages were fetched: want the 40 most popular, the seeds, and what they need", first.Fetched, len(before))
	}
	if second.Fetched == 0 || second.Fetched >= first.Fetched {
		t.Errorf("%d packages the first night, %d the second: want fewer, those that changed", first.Fetched, second.Fetched)
	}
	s.up.Stop()
	asked := len(s.up.Requests())

	server := s.serve()
	m := s.machine(server.url + "/" + rootName)
	m.dnf("install", "mplayer", "kernel")

	kernel := version(t, after, "kernel")
	if kernel == version(t, before, "kernel") {
		t.Fatalf("the kernel is still %s: the night brought no update", kernel)
	}
	names := m.installed()
	for _, name := range []string{kernel, version(t, after, "kernel-core"), version(t, after, "mplayer"), version(t, after, "numactl-libs")} {
		// numactl-libs: mplayer needs ffmpeg-libs needs x265-libs needs it.
		if !slices.Contains(names, name) {
			t.Errorf("%s is not installed; there is %q", name, names)
		}
	}
	if n := len(s.up.Requests()); n != asked {
		t.Errorf("upstream was asked %d times more", n-asked)
	}
	received := m.received()
	if len(received) < len(names)+2 {
		t.Errorf("dnf keeps %d files of %d packages and the metadata", len(received), len(names))
	}
	subset(t, "dnf received", received, bases(upstream))
	subset(t, "the cache", files(t, s.cached()), upstream)

	server.stop()
	lines := s.accessLog()
	for _, l := range lines {
		if l.status != "200" || !strings.HasPrefix(l.outcome, "imserve; hit") {
			t.Errorf("not a hit: %+v", l)
		}
	}
	if len(lines) < len(received) {
		t.Errorf("%d requests for %d files", len(lines), len(received))
	}
}

// A mirror that has a new repomd.xml and has dropped the old metadata, but has not
// what the new one lists, is every night's: dnf goes on with what was whole, and
// sees the new when it is.
func TestInstallWhileTheMirrorSyncs(t *testing.T) {
	s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"")
	before := testrepo.Small(testrepo.Campus(1))
	s.publish(before)
	s.createrepo()
	server := s.serve()
	m := s.machine(server.url + "/" + rootName)
	m.dnf("makecache")

	kept := s.dir + "/before"
	if err := os.CopyFS(kept, os.DirFS(s.repo)); err != nil {
		t.Fatal(err)
	}
	after := testrepo.Overnight(before, 1)
	s.publish(after)
	s.createrepo()
	upstream := files(t, s.repo)
	// The mirror's job is at the point where repomd.xml has come, and little else.
	metadata := s.dir + "/metadata"
	if err := os.CopyFS(metadata, os.DirFS(s.repo+"/repodata")); err != nil {
		t.Fatal(err)
	}
	for name := range upstream {
		if strings.HasPrefix(name, "repodata/") && name != "repodata/repomd.xml" {
			if err := os.Remove(filepath.Join(s.repo, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name := range files(t, kept) {
		if strings.HasSuffix(name, ".rpm") {
			if err := os.Rename(filepath.Join(kept, name), filepath.Join(s.repo, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	m.dnf("--refresh", "install", "kernel")
	if old := version(t, before, "kernel"); !slices.Contains(m.installed(), old) {
		t.Errorf("%s is not installed; there is %q", old, m.installed())
	}
	for page, want := range map[string]string{"status.json": `"root": "` + rootName + `"`, "": "Metadata that is kept back"} {
		if text := server.page(page); !strings.Contains(text, want) || !strings.Contains(text, "primary.xml") {
			t.Errorf("/-/%s does not say what is kept back:\n%s", page, text)
		}
	}

	for name := range files(t, metadata) {
		if err := os.Rename(filepath.Join(metadata, name), filepath.Join(s.repo, "repodata", name)); err != nil {
			t.Fatal(err)
		}
	}
	fresh := s.machine(m.url)
	fresh.dnf("install", "kernel")
	if text := server.page("status.json"); !strings.Contains(text, `"metadata_kept_back": []`) {
		t.Errorf("something is kept back still:\n%s", text)
	}
	if updated := version(t, after, "kernel"); !slices.Contains(fresh.installed(), updated) {
		t.Errorf("%s is not installed; there is %q", updated, fresh.installed())
	}
	server.stop()
	for _, l := range s.accessLog() {
		if l.status != "200" {
			t.Errorf("an answer that was none: %+v", l)
		}
	}
}

// page is one of the server's own.
func (s *server) page(name string) string {
	s.t.Helper()
	resp, err := http.Get(s.url + "/-/" + name)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return string(b)
}

// version is the package's name-version-release.arch.
func version(t testing.TB, specs []testrepo.Spec, name string) string {
	t.Helper()
	return strings.TrimSuffix(path.Base(location(t, specs, name)), ".rpm")
}

// location is where the package is in the repository.
func location(t testing.TB, specs []testrepo.Spec, name string) string {
	t.Helper()
	for _, s := range specs {
		if s.Name == name {
			return s.Location()
		}
	}
	t.Fatalf("no package %s", name)
	return ""
}

// Other clients of dnf's, through a mirror that has nothing yet: a copy of the
// whole repository, and single packages.
func TestReposyncAndDownload(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.createrepo()
	upstream := files(t, s.repo)
	server := s.serve()
	m := s.machine(server.url + "/" + rootName)

	m.dnf("download", "--destdir="+m.dir+"/downloads", "vlc", "firefox")
	want := map[string]string{}
	for _, name := range []string{"vlc", "firefox"} {
		want[version(t, specs, name)+".rpm"] = bases(upstream)[version(t, specs, name)+".rpm"]
	}
	if diff := difference(want, files(t, m.dir+"/downloads")); diff != "" {
		t.Errorf("downloaded:\n%s", diff)
	}

	m.dnf("reposync", "--repoid=campus", "--norepopath", "--download-metadata", "--download-path="+m.dir+"/copy")
	got := files(t, m.dir+"/copy")
	for name := range got {
		// Files of the librepo that fetched it, and databases that dnf does not ask for.
		if !strings.HasSuffix(name, ".rpm") && !strings.HasPrefix(name, "repodata/") {
			delete(got, name)
		}
	}
	subset(t, "the copy", got, upstream)
	if n := count(got, ".rpm"); n != len(specs) {
		t.Errorf("%d packages in the copy, %d in the repository", n, len(specs))
	}
	subset(t, "the cache", files(t, s.cached()), upstream)
	for _, spec := range specs {
		if n := s.up.Count("GET", upstreamRoot+"/"+spec.Location()); n != 1 {
			t.Errorf("upstream was asked %d times for %s", n, spec.Location())
		}
	}
}

// count is the number of names that end in suffix.
func count(m map[string]string, suffix string) int {
	n := 0
	for name := range m {
		if strings.HasSuffix(name, suffix) {
			n++
		}
	}
	return n
}
