package testrepo

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// MachineTB is what the functions below need of a *testing.T, *testing.B or *testing.F.
type MachineTB interface {
	Helper()
	Fatal(args ...any)
	Skip(args ...any)
}

// Program is the path of a program that a test can't do without. Where it is not
// there the test ends as Lacking has it.
func Program(t MachineTB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lacking(t, "no program "+name+" here: .ci/setup installs it")
	}
	return path
}

// Lacking ends a test that can't be run on this machine, because of why: it is skipped,
// but fails in CI, where everything is to be there.
func Lacking(t MachineTB, why string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// Shared is a folder of the data that nobody here made; it lies beside the project, in
// shared/data, and is no part of it: where it is not there the test is skipped, in CI
// too.
func Shared(t MachineTB, name string) string {
	t.Helper()
	dir := FindShared(name)
	if dir == "" {
		t.Skip(fmt.Sprintf("no shared/data/%s beside the project", name))
	}
	return dir
}

// FindShared is Shared for who can do without: "" where it is not there.
func FindShared(name string) string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for parent := filepath.Dir(dir); parent != dir; dir, parent = parent, filepath.Dir(parent) {
		data := filepath.Join(parent, "shared", "data", name)
		if _, err := os.Stat(data); err == nil {
			return data
		}
	}
	return ""
}
