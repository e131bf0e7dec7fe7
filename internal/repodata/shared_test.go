package repodata

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// sharedData is a folder of the real data that lies beside the project. The test
// is skipped where there is none.
func sharedData(t *testing.T, name string) string {
	t.Helper()
	dir := findShared(name)
	if dir == "" {
		t.Skipf("no shared/data/%s beside any folder above", name)
	}
	return dir
}

// findShared is the folder, "" if there is none.
func findShared(name string) string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		parent := filepath.Dir(dir)
		data := filepath.Join(parent, "shared", "data", name)
		if _, err := os.Stat(data); err == nil {
			return data
		}
		if parent == dir {
			return ""
		}
		dir = parent
	}
}

// program is a program that a test needs. Without it the test is skipped, but not
// where everything is to be there.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: install it (see .ci/setup)", err)
		}
		t.Skip(err)
	}
	return path
}
