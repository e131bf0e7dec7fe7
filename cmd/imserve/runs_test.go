package main

import (
	"bufio"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/config"
)

// stateConfig is a configuration with this state directory.
func stateConfig(t *testing.T, dir string) *config.Config {
	t.Helper()
	cfg, err := config.Load(config.Options{
		Getenv: func(string) string { return "" },
		ReadFile: func(name string) ([]byte, error) {
			if name == config.SystemFile {
				return []byte("state_dir = \"" + dir + "\"\n"), nil
			}
			return nil, fs.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Where imsync never ran the status page says nothing of it, and no database is made.
func TestNoRuns(t *testing.T) {
	dir := t.TempDir()
	r, err := runsOf(t.Context(), stateConfig(t, dir), time.Now())
	if r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) != 0 {
		t.Errorf("it left %v, %v", list, err)
	}
}

// The button starts imsync with the server's own configuration, and none where a run
// is under way.
func TestStartRun(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "imsync")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho called with \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	said, out := io.Pipe()
	d := &daemon{p: &program{stderr: out}, first: stateConfig(t, dir), log: slog.New(slog.DiscardHandler)}
	if err := d.startRun(script); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != "called with once --config "+config.SystemFile {
		t.Errorf("%q, %v", line, err)
	}
	lock, err := os.Create(filepath.Join(dir, "imsync.lock"))
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if err := d.startRun(script); err == nil || !strings.Contains(err.Error(), "under way") {
		t.Errorf("during a run: %v", err)
	}
}

func TestHoldNothing(t *testing.T) {
	d := &daemon{}
	if err := d.hold(context.Background(), "/"); err == nil {
		t.Error("no root is held")
	}
	if err := d.release(context.Background(), ""); err == nil {
		t.Error("no root is released")
	}
}
