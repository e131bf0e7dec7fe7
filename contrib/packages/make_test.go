package packages_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestMakeInstall: who installs by `make install` has what the package brings for the services: each unit, with the
// programs where they are, the user, and the rotation of the log, which an administrator may change.
func TestMakeInstall(t *testing.T) {
	for _, name := range []string{"make", "install", "sed"} {
		testrepo.Program(t, name)
	}
	source, dest := t.TempDir(), t.TempDir()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Makefile", "contrib"} {
		if err := os.Symlink(filepath.Join(top, name), filepath.Join(source, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(source, "bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	want := []string{"etc/logrotate.d/intelligentmirror", "opt/im/lib/sysusers.d/intelligentmirror.conf"}
	for _, name := range []string{"imserve", "imsync"} {
		// They are there, so that nothing is built.
		if err := os.WriteFile(filepath.Join(source, "bin", name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		want = append(want, "opt/im/bin/"+name)
	}
	units, err := filepath.Glob("../systemd/*.*")
	if err != nil {
		t.Fatal(err)
	}
	for _, unit := range units {
		if name := filepath.Base(unit); !strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, ".sysusers") {
			want = append(want, "opt/im/lib/systemd/system/"+name)
		}
	}
	slices.Sort(want)

	install := func() {
		t.Helper()
		cmd := exec.Command("make", "install", "PREFIX=/opt/im", "DESTDIR="+dest)
		cmd.Dir = source
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("make install: %v\n%s", err, out)
		}
	}
	install()
	var got []string
	err = fs.WalkDir(os.DirFS(dest), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			got = append(got, name)
		}
		return err
	})
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v; installed are\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range []string{"imserve.service", "imsync.service", "imsync-run.service"} {
		text, err := os.ReadFile(filepath.Join(dest, "opt/im/lib/systemd/system", name))
		m := regexp.MustCompile(`(?m)^ExecStart=(\S+)`).FindSubmatch(text)
		if err != nil || m == nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		if _, err := os.Stat(filepath.Join(dest, string(m[1]))); err != nil {
			t.Errorf("%s starts what is not there: %v", name, err)
		}
	}

	mine := filepath.Join(dest, "etc/logrotate.d/intelligentmirror")
	if err := os.WriteFile(mine, []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	install()
	if text, err := os.ReadFile(mine); err != nil || string(text) != "mine" {
		t.Errorf("an administrator's file became %q, %v", text, err)
	}
}
