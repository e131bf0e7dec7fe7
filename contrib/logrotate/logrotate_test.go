// Package logrotate_test holds that logrotate accepts the file of this folder, and tells imserve what it did.
package logrotate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

func TestRotates(t *testing.T) {
	program := testrepo.Program(t, "logrotate")
	text, err := os.ReadFile("intelligentmirror")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	// The test's own folder, user and word to imserve.
	config := string(text)
	for _, r := range []struct{ old, new string }{
		{"/var/lib/intelligentmirror/", dir + "/"},
		{"su intelligentmirror intelligentmirror", ""},
		{"systemctl kill --signal=USR1 imserve.service", "touch " + dir + "/told"},
	} {
		if strings.Count(config, r.old) != 1 {
			t.Fatalf("%q does not stand there once", r.old)
		}
		config = strings.Replace(config, r.old, r.new, 1)
	}
	for name, text := range map[string]string{"config": config, "access.log": "a line\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program, "--force", "--state", filepath.Join(dir, "state"), filepath.Join(dir, "config"))
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Fatalf("logrotate: %v\n%s", err, out)
	}
	for _, name := range []string{"access.log.1", "told"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
}
