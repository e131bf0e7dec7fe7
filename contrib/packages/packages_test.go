// Package packages_test builds the packages, and installs, upgrades, runs and removes them with dpkg and rpm in a root
// of their own.
package packages_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/config"
)

const name = "intelligentmirror"

// program is the path of a program that the test can't do without.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v; .ci/setup should have installed it", err)
		}
		t.Skip(err)
	}
	return path
}

// output runs a command that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// build builds the packages of a version, and returns the names of the .deb and of the .rpm.
func build(t *testing.T, version string, environment ...string) (deb, rpm string) {
	t.Helper()
	for _, name := range []string{"bash", "objdump", "awk"} {
		program(t, name)
	}
	dir := t.TempDir()
	cmd := exec.Command("./build", dir)
	cmd.Env = append(os.Environ(), "VERSION="+version, "SOURCE_DATE_EPOCH=1700000000")
	cmd.Env = append(cmd.Env, environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	for pattern, name := range map[string]*string{"*.deb": &deb, "*.rpm": &rpm} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) != 1 {
			t.Fatalf("%s: %q, %v", pattern, names, err)
		}
		*name = names[0]
	}
	return deb, rpm
}

func TestPackages(t *testing.T) {
	deb, rpm := build(t, "1.2.3")
	t.Run("same bytes again", func(t *testing.T) { testSameBytes(t, deb, rpm) })
	t.Run("manual", func(t *testing.T) { testManual(t, deb) })
	newDeb, newRPM := build(t, "1.3.0")
	t.Run("dpkg", func(t *testing.T) { testInstall(t, asDpkg, deb, newDeb) })
	t.Run("rpm", func(t *testing.T) { testInstall(t, asRPM, rpm, newRPM) })
}

func testSameBytes(t *testing.T, deb, rpm string) {
	deb2, rpm2 := build(t, "1.2.3", "TZ=Asia/Tokyo", "LC_ALL=C.UTF-8")
	for _, pair := range [][2]string{{deb, deb2}, {rpm, rpm2}} {
		a, errA := os.ReadFile(pair[0])
		b, errB := os.ReadFile(pair[1])
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two builds differ", filepath.Base(pair[0]))
		}
	}
}

// What is commented out as a default is the default, and what is an example is accepted.
func TestConfiguration(t *testing.T) {
	text, err := os.ReadFile("config.toml")
	if err != nil {
		t.Fatal(err)
	}
	load := func(text string) *config.Config {
		t.Helper()
		file := filepath.Join(t.TempDir(), "config.toml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := config.Load(config.Options{Path: file})
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, text)
		}
		return c
	}
	// values are those of a configuration in writing, without the places where they stand.
	values := func(c *config.Config) string {
		var b strings.Builder
		if err := c.Write(&b); err != nil {
			t.Fatal(err)
		}
		return regexp.MustCompile(`(?m)^#.*\n| *# [a-z].*$`).ReplaceAllString(b.String(), "")
	}
	if got, want := values(load(string(text))), values(load("")); got != want {
		t.Errorf("as it is, the file changes the defaults:\n%s\n%s", got, want)
	}

	var defaults strings.Builder
	example := false
	for line := range strings.Lines(string(text)) {
		switch {
		case strings.HasPrefix(line, "# "):
			example = strings.Contains(line, "xample") || example && !strings.HasSuffix(line, ".\n")
		case strings.HasPrefix(line, "#") && len(line) > 2 && !example:
			line = line[1:]
		case line == "\n":
			example = false
		}
		defaults.WriteString(line)
	}
	if got, want := values(load(defaults.String())), values(load("")); got != want {
		t.Errorf("what is not called an example is not the default:\n%s\n%s", got, want)
	}
	load(regexp.MustCompile(`(?m)^#([a-z\[])`).ReplaceAllString(string(text), "$1"))
}

// Each page is one that a formatter takes, and each completion one that its shell does.
func testManual(t *testing.T, deb string) {
	dir := t.TempDir()
	output(t, "dpkg-deb", "--extract", deb, dir)
	pages, err := filepath.Glob(filepath.Join(dir, "usr/share/man/man?/*.gz"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"imserve.1.gz", "imsync.1.gz", "imsync-once.1.gz", "intelligentmirror.toml.5.gz"} {
		if !slices.ContainsFunc(pages, func(p string) bool { return filepath.Base(p) == want }) {
			t.Errorf("no %s among %q", want, pages)
		}
	}
	for _, page := range pages {
		f, err := os.Open(page)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		plain := filepath.Join(t.TempDir(), filepath.Base(page))
		if err := os.WriteFile(plain, text, 0o600); err != nil {
			t.Fatal(err)
		}
		output(t, "mandoc", "-T", "lint", "-W", "error", plain)
	}
	for _, program := range []string{"imserve", "imsync"} {
		output(t, "bash", "-n", filepath.Join(dir, "usr/share/bash-completion/completions", program))
	}
}

// needed are the programs that the packages' scripts call, and that a system has.
var needed = []string{"sh", "install", "rm", "rmdir", "getent", "systemd-sysusers", "userdel"}

// newRoot makes a root with a shell, what else the scripts need, and root as its only user.
func newRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can install packages elsewhere")
	}
	dir := t.TempDir()
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} { // as distributions have it now
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "usr", name), 0o755), os.Symlink("usr/"+name, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range needed {
		copyProgram(t, dir, program(t, name))
	}
	for name, text := range map[string]string{
		"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n",
		"etc/shadow": "root:*:19000:0:99999:7:::\n", "etc/gshadow": "root:*::\n",
		"etc/nsswitch.conf": "passwd: files\ngroup: files\n", "etc/login.defs": "",
		"var/lib/dpkg/status": "", "var/lib/dpkg/available": "", "dev/null": "",
	} {
		file := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"tmp", "run", "var/cache", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log", "var/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// copyProgram copies a program, and the libraries that it is linked with, into a root.
func copyProgram(t *testing.T, root, path string) {
	t.Helper()
	copyFile(t, root, path)
	copyLibraries(t, root, path)
}

func copyLibraries(t *testing.T, root, path string) {
	t.Helper()
	for _, m := range regexp.MustCompile(`(/\S+) \(0x`).FindAllStringSubmatch(output(t, "ldd", path), -1) {
		copyFile(t, root, m[1])
	}
}

func copyFile(t *testing.T, root, path string) {
	t.Helper()
	to := filepath.Join(root, path)
	text, err := os.ReadFile(path)
	if err := errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, text, 0o755)); err != nil {
		t.Fatal(err)
	}
}

// tree is what is below a root, but for what the package managers keep for themselves.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		name = strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		for _, own := range []string{"var/lib/dpkg", "var/lib/rpm", "usr/lib/sysimage", "var/log", "etc/.pwd.lock"} {
			if name == own {
				if err == nil && name != "etc/.pwd.lock" {
					return fs.SkipDir
				}
				return err
			}
		}
		if !strings.HasSuffix(name, "-") { // what the file was before
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// packager is how a package manager does what the test asks of it.
type packager struct {
	install, upgrade func(t *testing.T, root, file string)
	remove           func(t *testing.T, root string)
	purge            func(t *testing.T, root string) // nil: it has no such word
}

var (
	asDpkg = packager{
		install: dpkg("--install"), upgrade: dpkg("--install"),
		remove: func(t *testing.T, root string) { dpkg("--remove")(t, root, name) },
		purge:  func(t *testing.T, root string) { dpkg("--purge")(t, root, name) },
	}
	asRPM = packager{
		install: rpm("--install"), upgrade: rpm("--upgrade"),
		remove: func(t *testing.T, root string) { output(t, "rpm", "--root", root, "--nodeps", "--erase", name) },
	}
)

func dpkg(action string) func(t *testing.T, root, file string) {
	return func(t *testing.T, root, file string) {
		t.Helper()
		output(t, "dpkg", "--root="+root, "--force-depends", "--force-confold", "--log="+filepath.Join(root, "var/log/dpkg.log"), action, file)
	}
}

func rpm(action string) func(t *testing.T, root, file string) {
	return func(t *testing.T, root, file string) {
		t.Helper()
		output(t, "rpm", "--root", root, "--nodeps", "--nosignature", action, file)
	}
}

// testInstall installs one version, puts another in its place, and removes that.
func testInstall(t *testing.T, p packager, before, after string) {
	root := newRoot(t)
	bare := tree(t, root)
	p.install(t, root, before)

	uid := owner(t, root)
	for dir, mode := range map[string]fs.FileMode{"var/cache/intelligentmirror": 0o755, "var/lib/intelligentmirror": 0o750} {
		info, err := os.Stat(filepath.Join(root, dir))
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Sys().(*syscall.Stat_t).Uid; got != uid || info.Mode().Perm() != mode {
			t.Errorf("%s is user %d's, mode %v; want %d, %v", dir, got, info.Mode().Perm(), uid, mode)
		}
	}
	answers(t, root, uid)

	// What the administrator wrote outlives an upgrade, and what the mirror stored a removal.
	mine := []byte("cache_size = \"5GiB\"\n")
	configuration := filepath.Join(root, "etc/intelligentmirror/config.toml")
	stored := filepath.Join(root, "var/cache/intelligentmirror/fedora/package.rpm")
	if err := errors.Join(os.WriteFile(configuration, mine, 0o644), os.MkdirAll(filepath.Dir(stored), 0o755), os.WriteFile(stored, nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	p.upgrade(t, root, after)
	if text, err := os.ReadFile(configuration); err != nil || !bytes.Equal(text, mine) {
		t.Errorf("after an upgrade the configuration is %q, %v", text, err)
	}
	answers(t, root, uid)
	p.remove(t, root)
	if _, err := os.Stat(stored); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/imserve")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("imserve is still there: %v", err)
	}
	if p.purge == nil {
		return
	}
	p.purge(t, root)
	left := slices.DeleteFunc(tree(t, root), func(name string) bool {
		_, found := slices.BinarySearch(bare, name)
		return found
	})
	if len(left) > 0 {
		t.Errorf("left behind:\n%s", strings.Join(left, "\n"))
	}
	if text, err := os.ReadFile(filepath.Join(root, "etc/passwd")); err != nil || bytes.Contains(text, []byte("intelligentmirror")) {
		t.Errorf("the user is still there: %s, %v", text, err)
	}
}

// owner is the number of the package's user.
func owner(t *testing.T, root string) (uid uint32) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	if err != nil {
		t.Fatal(err)
	}
	_, line, found := strings.Cut(string(text), "\nintelligentmirror:x:")
	if !found {
		t.Fatalf("no user in\n%s", text)
	}
	if _, err := fmt.Sscanf(line, "%d:", &uid); err != nil || uid == 0 {
		t.Fatalf("the user has no number: %q, %v", line, err)
	}
	return uid
}

// answers runs the installed imserve as its unit does, in the root and as the package's user.
func answers(t *testing.T, root string, uid uint32) {
	t.Helper()
	copyLibraries(t, root, filepath.Join(root, "usr/bin/imserve"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	var log bytes.Buffer
	cmd := exec.Command("/usr/bin/imserve", "--listen", address)
	cmd.Env = []string{"XDG_CACHE_HOME=/var/cache", "XDG_STATE_HOME=/var/lib"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	cmd.Dir = "/"
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		res, err := http.Get("http://" + address + "/-/readyz")
		if err == nil {
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("readyz: %s", res.Status)
			}
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("imserve ended: %v\n%s", err, log.String())
		case <-time.After(50 * time.Millisecond):
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Errorf("imserve: %v\n%s", err, log.String())
	}
}
