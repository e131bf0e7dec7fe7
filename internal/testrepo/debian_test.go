package testrepo

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestBuildSuite: the files that a suite has, and that dpkg takes its packages.
func TestBuildSuite(t *testing.T) {
	when := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	mark := func(b []byte) ([]byte, error) { return append([]byte("signed "), b[:3]...), nil }
	deb := Deb{Name: "hello", Version: "1.0-1", Size: 1001}
	for _, o := range []Suite{
		{Name: "stable", Time: when, Valid: time.Hour, ByHash: true, Inline: mark, Detached: mark},
		{Time: when, Inline: mark},
	} {
		files, err := BuildSuite([]Deb{deb, {Name: "world", Version: "2", Arch: "all"}}, o)
		if err != nil {
			t.Fatal(err)
		}
		root, indices := "dists/stable/", 2*2*2
		if o.Name == "" {
			root, indices = "", 2
		}
		text := string(files[root+"Release"])
		if got := strings.Count(text, "Packages"); got != 3*max(indices/4, 1) {
			t.Errorf("%q: its Release lists %d files:\n%s", o.Name, got, text)
		}
		if string(files[root+"InRelease"]) != "signed Ori" || (o.Valid > 0) != strings.Contains(text, "Valid-Until: Sun, 22 Nov 2026 04:00:00 UTC") {
			t.Errorf("%q: %q\n%s", o.Name, files[root+"InRelease"], text)
		}
		want := 2 + indices + 2
		if o.Detached != nil {
			want++
		}
		if len(files) != want {
			t.Errorf("%q: %q", o.Name, slices.Sorted(maps.Keys(files)))
		}
		dpkg, err := exec.LookPath("dpkg-deb")
		if err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%v: install it (see .ci/setup)", err)
			}
			t.Skip(err)
		}
		name := filepath.Join(t.TempDir(), "hello.deb")
		if err := os.WriteFile(name, files[deb.Filename(o.Name == "")], 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command(dpkg, "--field", name, "Package", "Version").CombinedOutput(); err != nil || string(out) != "Package: hello\nVersion: 1.0-1\n" {
			t.Errorf("dpkg-deb: %v\n%s", err, out)
		}
		if out, err := exec.Command(dpkg, "--contents", name).CombinedOutput(); err != nil || !strings.Contains(string(out), "usr/share/hello") {
			t.Errorf("dpkg-deb: %v\n%s", err, out)
		}
	}
}
