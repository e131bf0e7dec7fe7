package systest

import (
	"bytes"
	"strings"
	"testing"
)

// TestHoldSuiteForApt holds that machines with Debian stay at what a suite had when
// imsync was told to hold it, and go on when it is released; and that a run brings
// the indices of a suite that is not held before a machine asks for them.
func TestHoldSuiteForApt(t *testing.T) {
	s := newSite(t)
	a := s.debianRepo("[serve]\nmetadata_max_age = \"0s\"", "[sync]\nroots = [\"debian/dists/stable\"]")
	a.byHash = true
	first := a.deb("hello", "1:1.0-1", "")
	a.publish()
	before := files(t, a.dir)
	server := s.serve()
	source := "deb [signed-by=" + a.key.file + "] " + server.url + "/debian stable main"
	machine := t.TempDir()
	policy := func(when, version string) {
		t.Helper()
		s.apt(machine, source, "", "update")
		s.apt(machine, source, "", "clean")
		if said := s.apt(machine, source, "", "--print-uris", "--yes", "install", "hello"); !strings.Contains(said, version+"_") {
			t.Errorf("%s: %s", when, said)
		}
	}
	policy("at first", "1.0-1")
	s.apt(machine, source, "", "--download-only", "--yes", "install", "hello")
	s.awaitFile("/debian/" + first)
	if r := s.imsync("hold", "debian/dists/stable"); r.code != 0 {
		t.Fatalf("hold: %d, %s", r.code, r.stderr)
	}

	a.deb("hello", "1:1.1-1", "")
	a.publish()
	entry := "/debian/dists/stable/InRelease"
	// imserve looks for what imsync has changed once a second.
	var held []byte
	s.await("a request that leaves upstream alone", func() bool {
		s.up.Forget()
		held = server.get(entry)
		return s.up.Count("", "*") == 0
	})
	policy("held", "1.0-1")
	if r := s.imsync("once"); r.code != 0 {
		t.Errorf("a run: %d, %s", r.code, r.stderr)
	}
	policy("held, after a run", "1.0-1")
	said := s.apt(machine, source, "", "--download-only", "--yes", "install", "hello")
	if got := files(t, machine+"/cache/archives")[archived(first)]; got != before[first] || got == "" {
		t.Errorf("apt has %q, the held suite %q: %s", got, before[first], said)
	}

	if r := s.imsync("release", "debian/dists/stable"); r.code != 0 {
		t.Fatalf("release: %d, %s", r.code, r.stderr)
	}
	if r := s.imsync("once"); r.code != 0 {
		t.Errorf("a run: %d, %s", r.code, r.stderr)
	}
	s.up.Stop()
	s.await("what the run has brought", func() bool { return !bytes.Equal(server.get(entry), held) })
	policy("released, and brought by a run", "1.1-1")
}
