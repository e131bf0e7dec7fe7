package systest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
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
	s.command(testrepo.Program(s.t, "dpkg-deb"), "--root-owner-group", "--build", s.dir+"/hello", filepath.Join(dir, name))
	deb, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	packages := control + fmt.Sprintf("Filename: ./%s\nSize: %d\nSHA256: %x\n\n", name, len(deb), sha256.Sum256(deb))
	s.write(dir+"/Packages", packages)
	s.write(dir+"/Release", fmt.Sprintf("Suite: test\nDate: Thu, 14 Nov 2024 12:00:00 UTC\nSHA256:\n %x %d Packages\n", sha256.Sum256([]byte(packages)), len(packages)))
}

// debianMachine is a machine with Debian that knows one repository.
type debianMachine struct {
	dir  string   // that all of it lies in
	line []string // what runs apt-get on it
}

// debianMachine makes one in a directory, which may be there already. source is the
// repository as sources.list has it, and proxy what it is asked by, "" for none.
func (s *site) debianMachine(dir, source, proxy string) debianMachine {
	s.t.Helper()
	for _, d := range []string{"/state/lists/partial", "/cache/archives/partial", "/etc/apt.conf.d", "/etc/preferences.d", "/log"} {
		s.mkdir(dir + d)
	}
	s.write(dir+"/etc/sources.list", source+"\n")
	s.write(dir+"/status", "")
	// This file is read before all others, and says where those are: nothing of this machine's configuration is.
	s.write(dir+"/apt.conf", fmt.Sprintf(aptConfig, dir, proxy))
	return debianMachine{dir, []string{"env", "APT_CONFIG=" + dir + "/apt.conf", testrepo.Program(s.t, "apt-get")}}
}

// run runs apt-get to its end; the error has what it printed.
func (m debianMachine) run(args ...string) (string, error) {
	line := slices.Concat(m.line, args)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env, cmd.Dir = environment(m.dir), m.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("apt-get %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// forget makes it a machine that has never been updated.
func (m debianMachine) forget() error {
	return errors.Join(os.RemoveAll(m.dir+"/state/lists"), os.MkdirAll(m.dir+"/state/lists/partial", 0o755))
}

// apt runs apt-get on such a machine, and returns what it printed.
func (s *site) apt(dir, source, proxy string, args ...string) string {
	s.t.Helper()
	out, err := s.debianMachine(dir, source, proxy).run(args...)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// aptConfig is a machine's, with its directory and the proxy.
const aptConfig = `Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc "%[1]s/etc";
Dir::Log "%[1]s/log";
APT::Architecture "amd64";
APT::Sandbox::User "root";
Acquire::http::Proxy "%[2]s";
Acquire::Languages "none";
Acquire::Retries "0";
APT::Update::Error-Mode "any";
`

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
		source := "deb [trusted=yes] " + up.URL + "/debs ./"
		s.apt(dir, source, server.url, "update")
		s.apt(dir, source, server.url, "--download-only", "--yes", "install", "hello")
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
	if !last.is(up.URL+"/debs/./"+name, "200", "imserve; hit") {
		t.Errorf("the second machine's: %+v", last)
	}
}

// TestApt holds that machines with Debian get what a signed archive has, by the
// mirror and by the proxy: the first of them from upstream, the next from here,
// and one more when upstream is out of reach; that a download which was broken
// off is gone on with; and that what is published anew arrives.
func TestApt(t *testing.T) {
	for _, form := range []struct {
		name                 string
		byHash, apart, proxy bool
	}{
		{"the mirror, by hash", true, false, false},
		{"the proxy, by hash", true, false, true},
		{"the proxy, by name", false, false, true},
		{"the mirror, with Release.gpg", true, true, false},
	} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			serve := "[serve]\nmetadata_max_age = \"0s\"\nproxy_allow = [\"127.0.0.1\"]"
			s := newSite(t)
			a := s.debianRepo(serve)
			a.byHash, a.apart = form.byHash, form.apart
			hello := a.deb("hello", "1:1.0+dfsg-1", "libhello++")
			debs := []string{hello, a.deb("libhello++", "2.0~rc1+b2", "")}
			a.publish()
			upstream := files(t, a.dir)
			server := s.serve()
			root, proxy := server.url+"/debian", ""
			if form.proxy {
				root, proxy = s.base+"/debian", server.url
			}
			source := "deb [signed-by=" + a.key.file + "] " + root + " stable main"
			update := func(dir string) string { return s.apt(dir, source, proxy, "update") }
			install := func(dir string, debs ...string) {
				t.Helper()
				s.apt(dir, source, proxy, "--download-only", "--yes", "install", "hello")
				got := files(t, dir+"/cache/archives")
				for _, deb := range debs {
					if name := archived(deb); got[name] != upstream[deb] || upstream[deb] == "" {
						t.Errorf("apt has not the bytes of %s: %q", deb, got)
					}
				}
			}

			first := t.TempDir()
			update(first)
			install(first, debs...)
			if said := update(first); !strings.Contains(said, "Hit:") {
				t.Errorf("what has not changed is fetched again: %s", said)
			}
			for _, deb := range debs {
				s.awaitFile("/debian/" + deb)
			}
			second := t.TempDir()
			update(second)
			s.breakOff(second, filepath.Join(a.dir, hello))
			install(second, debs...)

			s.up.Stop()
			third := t.TempDir()
			update(third)
			install(third, debs...)
			for name := range upstream {
				size := fileSize(t, filepath.Join(a.dir, name))
				if n := s.up.Sent("/debian/" + name); n != 0 && n != size {
					t.Errorf("upstream sent %d bytes of %s, which has %d", n, name, size)
				}
			}
			subset(t, "the cache", files(t, s.dir+"/cache/debian"), upstream)

			server.restart(s, "/debian/dists/stable/Release")
			next := a.deb("hello", "1:1.1-1", "libhello++")
			a.publish()
			upstream = files(t, a.dir)
			update(third)
			install(third, next)
			server.stop()
			parts := 0
			for _, l := range s.accessLog() {
				if l.status >= "500" {
					t.Errorf("an answer that was none: %+v", l)
				}
				if l.status == "206" && l.outcome == "imserve; hit" {
					parts++
				}
			}
			if parts != 1 {
				t.Errorf("%d downloads were gone on with, want 1", parts)
			}
		})
	}
}

// archived is what apt calls a package once it has it: with its epoch, and
// without what the pool's directories tell.
func archived(deb string) string {
	name := filepath.Base(deb)
	if strings.HasPrefix(name, "hello_") {
		return strings.Replace(name, "_", "_1%3a", 1)
	}
	return name
}

// breakOff gives apt's machine the first half of a package that it was fetching.
func (s *site) breakOff(dir, deb string) {
	s.t.Helper()
	b, err := os.ReadFile(deb)
	if err != nil {
		s.t.Fatal(err)
	}
	fi, err := os.Stat(deb)
	if err != nil {
		s.t.Fatal(err)
	}
	part := filepath.Join(dir, "cache/archives/partial", archived(deb))
	s.write(part, string(b[:len(b)/2]))
	// By this apt knows which version it has a half of.
	if err := os.Chtimes(part, fi.ModTime(), fi.ModTime()); err != nil {
		s.t.Fatal(err)
	}
}
