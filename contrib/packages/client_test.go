package packages_test

import (
	"errors"
	"html"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// client is a machine of the site, below a directory.
type client struct {
	t      *testing.T
	root   string
	home   string            // of who is at its keyboard
	before map[string]string // its configuration, before the mirror
}

// newClient is one whose /etc has these files.
func newClient(t *testing.T, etc map[string]string) *client {
	t.Helper()
	// apt takes no name of a key that has a comma or a space, as a test's directory may.
	root, err := os.MkdirTemp("", "client-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	c := &client{t: t, root: root, home: t.TempDir()}
	for name, text := range etc {
		c.write("etc/"+name, strings.ReplaceAll(text, "ROOT", root))
	}
	c.before = c.configuration()
	return c
}

// write makes a file below its root.
func (c *client) write(name, text string) {
	c.t.Helper()
	file := filepath.Join(c.root, name)
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
		c.t.Fatal(err)
	}
}

// run runs a program of its, at home, with nothing of this machine's configuration.
func (c *client) run(line ...string) string {
	c.t.Helper()
	cmd := exec.Command(testrepo.Program(c.t, line[0]), line[1:]...)
	cmd.Dir = c.home
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.home, "LC_ALL=C.UTF-8", "APT_CONFIG=" + c.root + "/apt.conf"}
	out, err := cmd.CombinedOutput()
	if err != nil {
		c.t.Fatalf("%s: %v\n%s", strings.Join(line, " "), err, out)
	}
	return string(out)
}

// configuration is the files below its /etc, by name.
func (c *client) configuration() map[string]string {
	c.t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(filepath.Join(c.root, "etc"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return files
}

// setUp does what the mirror's page says.
func (c *client) setUp(mirror string) {
	c.t.Helper()
	page := html.UnescapeString(get(c.t, mirror+"/-/setup/"))
	lines := regexp.MustCompile(`>(curl .*/-/setup/setup\.sh)\nless setup\.sh\nsudo (sh setup\.sh)<`).FindStringSubmatch(page)
	if lines == nil {
		c.t.Fatalf("the page has no lines to run:\n%s", page)
	}
	testrepo.Program(c.t, "curl")
	c.run("sh", "-c", lines[1]+" && "+lines[2]+" --root "+c.root)
	if maps.Equal(c.before, c.configuration()) {
		c.t.Error("the script has changed nothing")
	}
}

// undo takes back what setUp did; nothing is left of it.
func (c *client) undo() {
	c.t.Helper()
	c.run("sh", "setup.sh", "--undo", "--root", c.root)
	if got := c.configuration(); !maps.Equal(c.before, got) {
		c.t.Errorf("after --undo:\n%q\nbefore:\n%q", got, c.before)
	}
}

// newFedora is a client with dnf, that takes nothing without a good signature of the key.
func newFedora(t *testing.T, key []byte) *client {
	t.Helper()
	return newClient(t, map[string]string{"pki/key": string(key), "yum.repos.d/fedora-updates.repo": `[updates]
name=Fedora $releasever - $basearch - Updates
metalink=https://mirrors.fedoraproject.org/metalink?repo=updates-released-f$releasever&arch=$basearch
enabled=1
gpgcheck=1
repo_gpgcheck=1
gpgkey=file://ROOT/etc/pki/key
`})
}

// dnf runs dnf, which has this machine's root for its own.
func (c *client) dnf(args ...string) {
	c.t.Helper()
	// Debian's plugin "local" would take packages from what it keeps for the whole machine.
	c.run(append([]string{
		"dnf", "--assumeyes", "--installroot=" + c.root, "--releasever=41", "--forcearch=x86_64", "--setopt=reposdir=" + c.root + "/etc/yum.repos.d",
		"--setopt=varsdir=" + c.root + "/none", "--setopt=cachedir=" + c.root + "/var/cache/dnf", "--setopt=proxy=", "--disableplugin=local",
	}, args...)...)
}

// newDebian is a client with apt, that has the archive from this address, signed by the key.
func newDebian(t *testing.T, key []byte, archive string) *client {
	t.Helper()
	c := newClient(t, map[string]string{
		"apt/keyrings/key.asc": string(key), "apt/sources.list": "deb [signed-by=ROOT/etc/apt/keyrings/key.asc] " + archive + " stable main\n",
		"apt/apt.conf.d/00own": "APT::Install-Recommends \"false\";\n",
	})
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/lib/apt/lists/partial", "var/cache/apt/archives/partial", "var/log/apt", "etc/apt/preferences.d", "usr/share"} {
		if err := os.MkdirAll(filepath.Join(c.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c.write("var/lib/dpkg/status", "")
	// This is read before all else, and says where that is.
	c.write("apt.conf", strings.ReplaceAll(`Dir "ROOT/";
Dir::State::status "ROOT/var/lib/dpkg/status";
Dir::Etc::parts "ROOT/parts";
DPkg::Options { "--root=ROOT"; };
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
`, "ROOT", c.root))
	return c
}

// apt runs apt-get, which has this machine's root for its own. What its configuration names is in there, too.
func (c *client) apt(args ...string) {
	c.t.Helper()
	own := filepath.Join(c.root, "etc/apt")
	for name, text := range c.configuration() {
		if filepath.Dir(name) == own+"/apt.conf.d" {
			c.write("parts/"+filepath.Base(name), strings.ReplaceAll(text, `"/etc/apt/`, `"`+own+`/`))
		}
	}
	c.run(append([]string{"apt-get", "--yes"}, args...)...)
}
