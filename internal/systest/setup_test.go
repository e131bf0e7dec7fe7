package systest

import (
	"html"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// newcomer is a system below a directory, as a set-up script finds it.
type newcomer struct {
	*site
	root   string
	script string // the file, as the mirror gave it
	before map[string]string
}

// newcomer is one with these files, by their paths.
func (s *site) newcomer(server *server, with map[string]string) *newcomer {
	s.t.Helper()
	c := &newcomer{site: s, root: s.t.TempDir()}
	for name, text := range with {
		s.mkdir(filepath.Dir(filepath.Join(c.root, name)))
		s.write(filepath.Join(c.root, name), text)
	}
	c.before = files(s.t, c.root)
	c.script = filepath.Join(s.t.TempDir(), "setup.sh")
	s.write(c.script, string(server.get("/-/setup/setup.sh")))
	return c
}

// setUp runs the script, twice: the second time changes nothing.
func (c *newcomer) setUp() string {
	c.t.Helper()
	said := c.command("sh", c.script, "--root", c.root)
	once := files(c.t, c.root)
	c.command("sh", c.script, "--root", c.root)
	if diff := difference(once, files(c.t, c.root)); diff != "" {
		c.t.Errorf("the second run changes:\n%s", diff)
	}
	return said
}

// undo takes back what the script did; nothing is left of it.
func (c *newcomer) undo() {
	c.t.Helper()
	c.command("sh", c.script, "--undo", "--root", c.root)
	if diff := difference(c.before, files(c.t, c.root)); diff != "" {
		c.t.Errorf("after --undo:\n%s", diff)
	}
}

// fedoraUpdates is the file of Fedora's release package, as far as it matters.
func fedoraUpdates(key string) string {
	return `[updates]
name=Fedora $releasever - $basearch - Updates
#baseurl=http://download.example/pub/fedora/linux/updates/$releasever/Everything/$basearch/
metalink=https://mirrors.fedoraproject.org/metalink?repo=updates-released-f$releasever&arch=$basearch
enabled=1
countme=1
repo_gpgcheck=1
gpgcheck=0
gpgkey=file://` + key + `
skip_if_unavailable=False

[other]
name=not this mirror's
metalink=https://metalink.example.org/?repo=other
enabled=0
`
}

// TestSetUpDnf: the script points a machine with dnf4 at the mirror; dnf installs by
// way of it, checks signatures as before, goes to the public mirror when this one is
// not there, and after --undo nothing is left. What the page says for hand work does
// the same.
func TestSetUpDnf(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key := newGPG(s)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.createrepo()
	s.sign(key)
	server := s.serve()
	m := s.machine("")
	m.entry = "enabled=0\nbaseurl=file:///none\n"
	c := s.newcomer(server, map[string]string{"etc/yum.repos.d/fedora-updates.repo": fedoraUpdates(key.file)})
	repos := "--setopt=reposdir=" + c.root + "/etc/yum.repos.d"

	if said := c.setUp(); !strings.Contains(said, "updates") || strings.Contains(said, "other") {
		t.Errorf("it says %q", said)
	}
	m.dnf(repos, "install", "vlc")
	if want := version(t, specs, "vlc"); !slices.Contains(m.installed(), want) {
		t.Errorf("%s is not installed; there is %q", want, m.installed())
	}
	if n := count(m.received(), "repomd.xml.asc"); n != 1 {
		t.Errorf("dnf has looked at %d signatures", n)
	}
	for _, r := range s.up.Requests() {
		if r.Header.Get("Via") == "" {
			t.Errorf("dnf has asked the public mirror itself: %+v", r)
		}
	}
	server.stop()
	s.up.Forget()
	m.dnf(repos, "install", "mplayer")
	if want := version(t, specs, "mplayer"); !slices.Contains(m.installed(), want) {
		t.Errorf("%s is not installed without the mirror; there is %q", want, m.installed())
	}
	if n := s.up.Count("GET", upstreamRoot+"/"+location(t, specs, "mplayer")); n != 1 {
		t.Errorf("the public mirror was asked %d times", n)
	}
	c.undo()

	again := s.serve()
	page := html.UnescapeString(string(again.get("/-/setup/")))
	line := regexp.MustCompile(`sudo dnf (config-manager --save --setopt=updates\.metalink=[^\n]*\\\n[^\n]*)`).FindStringSubmatch(page)
	if line == nil {
		t.Fatalf("the page has no command for the repository updates:\n%s", page)
	}
	// What it saves goes into files of its own, and not this machine's.
	s.write(c.root+"/dnf.conf", "[main]\nreposdir="+c.root+"/etc/yum.repos.d\nvarsdir="+m.dir+"/none\ncachedir="+m.dir+"/cache2\n")
	dnf := testrepo.Program(t, "dnf") + " --config " + c.root + "/dnf.conf --installroot=" + m.dir + "/root --releasever=41 --setopt=reposdir=" + c.root + "/etc/yum.repos.d "
	s.command("sh", "-c", dnf+line[1])
	s.up.Forget()
	fresh := s.machine("")
	fresh.entry = m.entry
	fresh.dnf(repos, "install", "vlc")
	if want := version(t, specs, "vlc"); !slices.Contains(fresh.installed(), want) {
		t.Errorf("%s is not installed after the hand work; there is %q", want, fresh.installed())
	}
	again.stop()
	if lines := s.accessLog(); !slices.ContainsFunc(lines[len(lines)-3:], func(l accessLine) bool { return strings.HasSuffix(l.path, ".rpm") }) {
		t.Errorf("the last requests are %+v", lines[len(lines)-3:])
	}
}

// TestSetUpDnf5: for dnf5, which no Debian has, the file that lays over the
// repositories has what is this mirror's, and --undo takes it away.
func TestSetUpDnf5(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := s.serve()
	c := s.newcomer(server, map[string]string{"etc/yum.repos.d/fedora-updates.repo": fedoraUpdates("/key"), "usr/bin/dnf5": ""})
	if err := os.Chmod(c.root+"/usr/bin/dnf5", 0o755); err != nil {
		t.Fatal(err)
	}
	c.setUp()
	const name = "etc/dnf/repos.override.d/90-intelligentmirror.repo"
	got, err := os.ReadFile(filepath.Join(c.root, name))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(got), "\n")
	const below = "/updates/$releasever/Everything/$basearch/"
	want := "[updates]\nmetalink=\nmirrorlist=\nbaseurl=" + server.url + "/fedora" + below + "," + s.base + upstreamBase + below + "\n"
	if text != want {
		t.Errorf("%s:\n%swant:\n%s", name, text, want)
	}
	if file := string(server.get("/-/setup/dnf5.repo")); !strings.Contains(file, "\n"+want) {
		t.Errorf("the file for hand work lacks that:\n%s", file)
	}
	after := files(t, c.root)
	delete(after, name)
	if diff := difference(c.before, after); diff != "" {
		t.Errorf("beside it:\n%s", diff)
	}
	c.undo()
}

// TestSetUpApt: apt asks by way of the mirror while it is there, and the archive
// itself when it is not.
func TestSetUpApt(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.debianRepo("[serve]\nproxy_allow = [\"127.0.0.1\"]")
	deb := a.deb("hello", "1.0-1", "")
	a.publish()
	server := s.serve()
	c := s.newcomer(server, map[string]string{"etc/apt/apt.conf.d/00other": "// Somebody's.\n"})
	c.setUp()
	conf, err := os.ReadFile(c.root + "/etc/apt/apt.conf.d/30intelligentmirror")
	if err != nil || !strings.Contains(string(conf), `Proxy-Auto-Detect "/etc/apt/intelligentmirror-proxy";`) {
		t.Errorf("apt is told %q, %v", conf, err)
	}
	source := "deb [signed-by=" + a.key.file + "] " + s.base + "/debian stable main"
	detect := "--option=Acquire::http::Proxy-Auto-Detect=" + c.root + "/etc/apt/intelligentmirror-proxy" // in its place below the root
	install := func() {
		t.Helper()
		dir := t.TempDir()
		s.apt(dir, source, "", detect, "update")
		s.apt(dir, source, "", detect, "--download-only", "--yes", "install", "hello")
		if got, want := files(t, dir+"/cache/archives")["hello_1.0-1_all.deb"], files(t, a.dir)[deb]; got != want {
			t.Errorf("apt has %q of the package, upstream %q", got, want)
		}
	}
	install()
	for _, r := range s.up.Requests() {
		if r.Header.Get("Via") == "" {
			t.Errorf("apt has asked the archive itself: %+v", r)
		}
	}
	server.stop()
	s.up.Forget()
	install()
	if n := s.up.Count("GET", "/debian/"+deb); n != 1 {
		t.Errorf("without the mirror the archive was asked %d times", n)
	}
	c.undo()
}

// TestSetUpZypper: zypper, whose repositories have an address and no list of mirrors.
func TestSetUpZypper(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key := newGPG(s)
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.createrepo()
	s.sign(key)
	server := s.serve()
	g := s.geeko(s.base+upstreamRoot, "")
	c := s.newcomer(server, map[string]string{"etc/zypp/none": ""})
	if err := os.Symlink(g.dir+"/repos", c.root+"/etc/zypp/repos.d"); err != nil {
		t.Fatal(err)
	}
	repos := files(t, g.dir+"/repos")
	c.setUp()
	if maps.Equal(repos, files(t, g.dir+"/repos")) {
		t.Error("nothing has changed")
	}
	g.zypper("download", "vlc")
	got := g.received()
	if _, ok := got[location(t, specs, "vlc")]; !ok {
		t.Errorf("zypper has no vlc, but %d files", len(got))
	}
	if _, ok := got["repodata/repomd.xml.asc"]; !ok {
		t.Error("zypper has looked at no signature")
	}
	for _, r := range s.up.Requests() {
		if r.Header.Get("Via") == "" {
			t.Errorf("zypper has asked the public mirror itself: %+v", r)
		}
	}
	server.stop()
	g.zypper("refresh", "--force")
	g.zypper("download", "mplayer")
	if _, ok := g.received()[location(t, specs, "mplayer")]; !ok {
		t.Error("zypper has no mplayer without the mirror")
	}
	c.undo()
	if diff := difference(repos, files(t, g.dir+"/repos")); diff != "" {
		t.Errorf("after --undo:\n%s", diff)
	}
}
