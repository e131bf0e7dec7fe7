package systest

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestDnfChecksMetadata: dnf that takes no metadata without a good signature gets
// what has just been published with its own, also where somebody has asked for the
// signature before anybody asked for what it signs, as zypper does.
func TestDnfChecksMetadata(t *testing.T) {
	s := newSite(t, "[serve]\nmetadata_max_age = \"1h\"")
	key := newGPG(s)
	before := testrepo.Small(testrepo.Campus(1))
	publish := func(specs []testrepo.Spec) {
		t.Helper()
		s.publish(specs)
		s.createrepo()
		s.sign(key)
	}
	publish(before)
	server := s.serve()
	m := s.machine(server.url + "/" + rootName)
	signed := []string{"--setopt=campus.repo_gpgcheck=1", "--setopt=campus.gpgkey=file://" + key.file}
	m.dnf(append(signed, "install", "filesystem")...)

	after := testrepo.Overnight(before, 1)
	publish(after)
	// From here on all metadata is due, and the signature is the first that is asked for.
	s.configure("[serve]\nmetadata_max_age = \"0s\"")
	server.signal(syscall.SIGHUP)
	server.says("the configuration was read again")
	server.get("/" + rootName + "/repodata/repomd.xml.asc")
	fresh := s.machine(m.url)
	fresh.dnf(append(signed, "install", "kernel")...)
	if updated := version(t, after, "kernel"); !slices.Contains(fresh.installed(), updated) {
		t.Errorf("%s is not installed; there is %q", updated, fresh.installed())
	}
	if text := server.page("status.json"); !strings.Contains(text, `"metadata_kept_back": []`) {
		t.Errorf("something is kept back:\n%s", text)
	}
	server.stop()
	if n := count(fresh.received(), "repomd.xml.asc"); n != 1 {
		t.Errorf("dnf has looked at %d signatures", n)
	}
}
