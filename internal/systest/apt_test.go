package systest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// debian makes dir a flat repository with one package, hello.
func (s *site) debian(dir string) {
	s.t.Helper()
	s.mkdir(s.dir + "/hello/DEBIAN")
	control := "Package: hello\nVersion: 1.0-1\nArchitecture: all\nMaintainer: Test <test@example.org>\nDescription: a package\n"
	s.write(s.dir+"/hello/DEBIAN/control", control)
	s.mkdir(dir)
	const name = "hello_1.0-1_all.deb"
	s.command(tool(s.t, "dpkg-deb"), "--root-owner-group", "--build", s.dir+"/hello", filepath.Join(dir, name))
	deb, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	packages := control + fmt.Sprintf("Filename: ./%s\nSize: %d\nSHA256: %x\n\n", name, len(deb), sha256.Sum256(deb))
	s.write(dir+"/Packages", packages)
	s.write(dir+"/Release", fmt.Sprintf("Suite: test\nDate: Thu, 14 Nov 2024 12:00:00 UTC\nSHA256:\n %x %d Packages\n", sha256.Sum256([]byte(packages)), len(packages)))
}

// apt runs apt-get on a machine of its own, dir, that knows the repository at
// address and asks for it by way of proxy.
func (s *site) apt(dir, address, proxy string, args ...string) string {
	s.t.Helper()
	for _, d := range []string{"/state/lists/partial", "/cache/archives/partial", "/etc/apt.conf.d", "/etc/preferences.d", "/log"} {
		s.mkdir(dir + d)
	}
	s.write(dir+"/etc/sources.list", "deb [trusted=yes] "+address+" ./\n")
	s.write(dir+"/status", "")
	return s.command(tool(s.t, "apt-get"), append([]string{
		"-o", "Dir::State=" + dir + "/state", "-o", "Dir::State::status=" + dir + "/status", "-o", "Dir::Cache=" + dir + "/cache",
		"-o", "Dir::Etc=" + dir + "/etc", "-o", "Dir::Log=" + dir + "/log", "-o", "APT::Architecture=amd64", "-o", "APT::Sandbox::User=root",
		"-o", "Acquire::http::Proxy=" + proxy, "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=0",
	}, args...)...)
}

// TestAptThroughTheProxy: machines with Debian that have the mirror for a proxy
// share what one of them has fetched, from a host that nobody has configured.
func TestAptThroughTheProxy(t *testing.T) {
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]")
	tree := t.TempDir()
	s.debian(tree + "/debs")
	up := testrepo.Start(t, tree)
	server := s.serve()
	const name = "hello_1.0-1_all.deb"
	want := files(t, tree+"/debs")[name]
	for range 2 {
		dir := t.TempDir()
		s.apt(dir, up.URL+"/debs", server.url, "update")
		s.apt(dir, up.URL+"/debs", server.url, "--download-only", "--yes", "install", "hello")
		if got := files(t, dir+"/cache/archives")[name]; got != want {
			t.Errorf("apt has %q, upstream %q", got, want)
		}
		s.awaitFile("/proxy/" + up.Addr + "/debs/" + name)
	}
	for _, path := range []string{"/debs/Packages", "/debs/" + name} {
		if n := up.Count("GET", path); n != 1 {
			t.Errorf("the host was asked %d times for %s", n, path)
		}
	}
	server.stop()
	last := accessLine{}
	for _, l := range s.accessLog() {
		if strings.HasSuffix(l.path, ".deb") {
			last = l
		}
	}
	if want := (accessLine{up.URL + "/debs/./" + name, "200", "imserve; hit"}); last != want {
		t.Errorf("the second machine's: %+v", last)
	}
}
