package packages_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// packager is how a package manager does what the test asks of it.
type packager struct {
	install, upgrade func(t *testing.T, root, file string)
	remove           func(t *testing.T, root string)
	// purge takes away what a removal leaves: where the manager has no such word, as the package says it is done.
	purge     func(t *testing.T, root string)
	keeps     []string // what of an administrator's own is there after that
	keepsUser bool
}

var (
	asDpkg = packager{
		install: dpkg("--install"), upgrade: dpkg("--install"),
		remove: func(t *testing.T, root string) { dpkg("--remove")(t, root, name) },
		purge:  func(t *testing.T, root string) { dpkg("--purge")(t, root, name) },
	}
	asRPM = packager{
		install: rpm("--install"), upgrade: rpm("--upgrade"),
		remove: func(t *testing.T, root string) {
			t.Helper()
			if said := output(t, "rpm", "--root", root, "--nodeps", "--erase", name); !strings.Contains(said, "rm -r removes them") {
				t.Errorf("it does not say what is left: %q", said)
			}
		},
		purge: func(t *testing.T, root string) {
			t.Helper()
			output(t, "rm", "-r", filepath.Join(root, "var/cache", name), filepath.Join(root, "var/lib", name))
		},
		keeps:     []string{"etc/intelligentmirror", "etc/intelligentmirror/config.toml.rpmsave"},
		keepsUser: true, // by its number files elsewhere may be known
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
	answers(t, root)

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
	answers(t, root)
	p.remove(t, root)
	if _, err := os.Stat(stored); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/imserve")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("imserve is still there: %v", err)
	}
	p.purge(t, root)
	if got := left(t, root, bare); !slices.Equal(got, p.keeps) {
		t.Errorf("left behind:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(p.keeps, "\n"))
	}
	if text, err := os.ReadFile(filepath.Join(root, "etc/passwd")); err != nil || bytes.Contains(text, []byte(name)) != p.keepsUser {
		t.Errorf("the users are: %s, %v", text, err)
	}
}
