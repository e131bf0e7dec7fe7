// Package systemd_test holds that systemd accepts the units of this folder as they are, and that the services agree
// where they must.
package systemd_test

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/config"
	"intelligentmirror/internal/testrepo"
)

// exposed is the most that `systemd-analyze security` may find, in tenths; up to 20 is its "OK" at its better end.
const exposed = "20"

func TestSystemdAcceptsUnits(t *testing.T) {
	root := install(t)
	for _, unit := range units(t) {
		t.Run(unit, func(t *testing.T) {
			// Without --recursive-errors=no it would miss the targets that systemd itself brings. A word of complaint is
			// a failure, whatever the exit code.
			if out, err := analyze(t, "verify", "--man=no", "--recursive-errors=no", "--root="+root, unit); err != nil || out != "" {
				t.Errorf("systemd-analyze verify: %v\n%s", err, out)
			}
		})
	}
}

func TestServicesAreConfined(t *testing.T) {
	root := install(t)
	for _, service := range services(t) {
		t.Run(service, func(t *testing.T) {
			out, err := analyze(t, "security", "--offline=yes", "--no-pager", "--threshold="+exposed, "--root="+root, service)
			if err != nil {
				t.Errorf("systemd-analyze security: %v\n%s", err, out)
			}
		})
	}
}

// imserve and imsync write the same cache: what one may do to it, and as whom, the other must.
func TestServicesAgree(t *testing.T) {
	shared := []string{"User", "Group", "Environment", "CacheDirectory", "CacheDirectoryMode", "StateDirectory",
		"StateDirectoryMode", "UMask"}
	first := settings(t, "imserve.service", shared)
	for _, key := range shared {
		if len(first[key]) == 0 {
			t.Errorf("imserve.service does not set %s", key)
		}
	}
	for _, service := range services(t) {
		if got := settings(t, service, shared); !maps.EqualFunc(got, first, slices.Equal) {
			t.Errorf("%s and imserve.service differ:\n%v\n%v", service, got, first)
		}
		if got, want := sandbox(t, service), sandbox(t, "imserve.service"); got != want {
			t.Errorf("%s has another sandbox than imserve.service:\n%s\n\n%s", service, got, want)
		}
	}
}

func TestUserIsMade(t *testing.T) {
	root := t.TempDir()
	if err := os.Mkdir(filepath.Join(root, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(testrepo.Program(t, "systemd-sysusers"), "--root="+root, abs(t, "intelligentmirror.sysusers")).CombinedOutput()
	if err != nil {
		t.Fatalf("systemd-sysusers: %v\n%s", err, out)
	}
	for _, c := range []struct{ file, key string }{{"etc/passwd", "User"}, {"etc/group", "Group"}} {
		made := read(t, filepath.Join(root, c.file))
		name := settings(t, "imserve.service", []string{c.key})[c.key]
		if len(name) != 1 || !strings.Contains("\n"+made, "\n"+name[0]+":") {
			t.Errorf("%s=%v of imserve.service is not in /%s:\n%s", c.key, name, c.file, made)
		}
	}
}

// TestSocketIsWhereItIs holds that clients find imserve at the same port with its socket unit and without.
func TestSocketIsWhereItIs(t *testing.T) {
	cfg, err := config.Load(config.Options{
		Getenv:   func(string) string { return "" },
		ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
	})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, a := range cfg.Serve.Listen {
		want = append(want, strings.TrimPrefix(a.String(), ":"))
	}
	if got := settings(t, "imserve.socket", []string{"ListenStream"})["ListenStream"]; !slices.Equal(got, want) {
		t.Errorf("ListenStream=%v, but serve.listen is %v by default", got, want)
	}
}

// install puts the units where systemd looks for them, below a root of their own, with a program for each command.
func install(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	lib := filepath.Join(root, "usr/lib/systemd/system")
	for _, dir := range []string{lib, filepath.Join(root, "usr/bin"), filepath.Join(root, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, unit := range units(t) {
		if err := os.WriteFile(filepath.Join(lib, unit), []byte(read(t, unit)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"usr/bin/imserve", "usr/bin/imsync", "bin/sh"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := exec.Command(testrepo.Program(t, "systemd-analyze"), args...).CombinedOutput()
	return string(out), err
}

func units(t *testing.T) []string {
	t.Helper()
	timers, err := filepath.Glob("*.timer")
	if err != nil {
		t.Fatal(err)
	}
	sockets, err := filepath.Glob("*.socket")
	if err != nil {
		t.Fatal(err)
	}
	return slices.Concat(services(t), timers, sockets)
}

func services(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("*.service")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 3 {
		t.Fatalf("services: %v, want those of imserve, imsync once and imsync run", files)
	}
	return files
}

// settings are the values that a unit gives to keys, in its order.
func settings(t *testing.T, unit string, keys []string) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	for line := range strings.Lines(read(t, unit)) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if ok && slices.Contains(keys, key) {
			found[key] = append(found[key], value)
		}
	}
	return found
}

// sandbox is the block of a service that begins with the comment of that name, up to the next empty line.
func sandbox(t *testing.T, service string) string {
	t.Helper()
	_, block, found := strings.Cut(read(t, service), "\n# Sandbox")
	if !found {
		t.Fatalf("%s has no sandbox", service)
	}
	block, _, _ = strings.Cut(block, "\n\n")
	return strings.TrimSpace(block)
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func abs(t *testing.T, file string) string {
	t.Helper()
	file, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return file
}
