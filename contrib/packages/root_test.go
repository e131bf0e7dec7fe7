package packages_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// needed are the programs that the packages' scripts call, and that a system has.
var needed = []string{"sh", "install", "rm", "rmdir", "getent", "systemd-sysusers", "userdel"}

// folders are those that a system has, beside those of newRoot's files: rpm leaves what is not a package's own.
var folders = []string{
	"tmp", "run", "root", "var/cache", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log", "var/tmp",
	"etc/logrotate.d", "usr/lib/systemd/system", "usr/lib/sysusers.d", "usr/share/doc", "usr/share/man/man1", "usr/share/man/man5",
	"usr/share/bash-completion/completions", "usr/share/fish/vendor_completions.d", "usr/share/zsh/site-functions",
}

// newRoot makes a root with a shell, what else the scripts need, and root as its only user.
func newRoot(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		testrepo.Lacking(t, "only root can install packages elsewhere")
	}
	dir := t.TempDir()
	for _, name := range []string{"bin", "sbin", "lib", "lib64"} { // as distributions have it now
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "usr", name), 0o755), os.Symlink("usr/"+name, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range needed {
		copyProgram(t, dir, testrepo.Program(t, name))
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
	for _, name := range folders {
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

// copyFile copies a file that is not there yet: a program under way has its libraries mapped.
func copyFile(t *testing.T, root, path string) {
	t.Helper()
	to := filepath.Join(root, path)
	if _, err := os.Stat(to); err == nil {
		return
	}
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
		for _, own := range []string{"var/lib/dpkg", "var/lib/rpm", "root/.rpmdb", "usr/lib/sysimage", "var/log", "etc/.pwd.lock"} {
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

// left is what is below a root that was not there when it was bare.
func left(t *testing.T, root string, bare []string) []string {
	t.Helper()
	return slices.DeleteFunc(tree(t, root), func(name string) bool { return slices.Contains(bare, name) })
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
