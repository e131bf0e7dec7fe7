// Package packages_test builds the packages, and installs, upgrades, runs and removes them with dpkg and rpm in a root
// of their own.
package packages_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

const name = "intelligentmirror"

// output runs a command that must succeed.
func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(testrepo.Program(t, name), args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// build builds the packages of a version, and returns the names of the .deb and of the .rpm.
func build(t *testing.T, version string, environment ...string) (deb, rpm string) {
	t.Helper()
	for _, name := range []string{"bash", "objdump", "awk"} {
		testrepo.Program(t, name)
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
	t.Run("try with dpkg", func(t *testing.T) { testTry(t, asDpkg, newDeb) })
	t.Run("try with rpm", func(t *testing.T) { testTry(t, asRPM, newRPM) })
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
