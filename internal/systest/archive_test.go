package systest

import (
	"crypto/sha512"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"intelligentmirror/internal/testrepo"
)

// archive is a Debian archive in a directory of upstream's: a pool, a suite
// "stable" with one component, and a key that signs it.
type archive struct {
	s      *site
	dir    string
	key    *gpg
	byHash bool // indices can be had by their digests
	apart  bool // the signature is not in InRelease, but in Release.gpg

	published time.Time // the last time
}

// deb puts a package into the pool, and returns its name there.
func (a *archive) deb(name, version, depends string) string {
	s := a.s
	s.t.Helper()
	tree := s.t.TempDir()
	s.mkdir(tree + "/DEBIAN")
	s.mkdir(tree + "/usr/share/" + name)
	s.write(tree+"/DEBIAN/control", fmt.Sprintf("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Test <test@example.org>\nDepends: %s\nDescription: a package\n", name, version, depends))
	s.write(tree+"/usr/share/"+name+"/data", strings.Repeat(name+" "+version+"\n", 10_000))
	_, plain, epoch := strings.Cut(version, ":")
	if !epoch {
		plain = version
	}
	file := fmt.Sprintf("pool/main/%c/%s/%s_%s_all.deb", name[0], name, name, plain)
	s.mkdir(filepath.Dir(filepath.Join(a.dir, file)))
	// Not compressed, so that it has a middle.
	s.command(testrepo.Program(s.t, "dpkg-deb"), "--root-owner-group", "-Znone", "--build", tree, filepath.Join(a.dir, file))
	return file
}

// publish makes the indices of what is in the pool, and signs them. No two publications
// are of the same second: apt asks by the time, which has no fractions.
func (a *archive) publish() {
	s := a.s
	s.t.Helper()
	time.Sleep(time.Until(a.published.Truncate(time.Second).Add(time.Second)))
	defer func() { a.published = time.Now() }()
	const component = "dists/stable/main/binary-amd64"
	s.mkdir(filepath.Join(a.dir, component))
	ftparchive := func(args ...string) string {
		s.t.Helper()
		return s.command("env", append([]string{"--chdir=" + a.dir, testrepo.Program(s.t, "apt-ftparchive"), "--quiet"}, args...)...)
	}
	packages := filepath.Join(a.dir, component, "Packages")
	s.write(packages, ftparchive("packages", "pool"))
	s.command(testrepo.Program(s.t, "xz"), "--force", "--keep", packages)
	release := []string{"release", "dists/stable"}
	for field, value := range map[string]string{"Suite": "stable", "Codename": "stable", "Components": "main", "Architectures": "all amd64", "Acquire-By-Hash": map[bool]string{true: "yes"}[a.byHash]} {
		release = append(release, "-o", "APT::FTPArchive::Release::"+field+"="+value)
	}
	dist := filepath.Join(a.dir, "dists/stable")
	for _, name := range []string{"Release", "InRelease", "Release.gpg"} {
		if err := os.RemoveAll(filepath.Join(dist, name)); err != nil {
			s.t.Fatal(err)
		}
	}
	s.write(filepath.Join(s.dir, "Release"), ftparchive(release...))
	if err := os.Rename(filepath.Join(s.dir, "Release"), filepath.Join(dist, "Release")); err != nil {
		s.t.Fatal(err)
	}
	if a.byHash {
		by := filepath.Join(a.dir, component, "by-hash")
		s.mkdir(by + "/SHA256")
		s.mkdir(by + "/SHA512") // apt takes the strongest that Release lists
		for _, name := range []string{packages, packages + ".xz"} {
			b, err := os.ReadFile(name)
			if err != nil {
				s.t.Fatal(err)
			}
			s.write(filepath.Join(by, "SHA256", digest(b)), string(b))
			s.write(filepath.Join(by, "SHA512", fmt.Sprintf("%x", sha512.Sum512(b))), string(b))
		}
	}
	if a.apart {
		a.key.run("gpg", "--armor", "--detach-sign", "--output", dist+"/Release.gpg", dist+"/Release")
	} else {
		a.key.run("gpg", "--clear-sign", "--output", dist+"/InRelease", dist+"/Release")
	}
}

// debianRepo is the site's repository "debian", with its archive on the same
// upstream as everything else.
func (s *site) debianRepo(extra ...string) *archive {
	s.t.Helper()
	s.more = fmt.Sprintf("\n[[repo]]\nname = \"debian\"\nupstreams = [%q]\n", s.base+"/debian")
	s.configure(extra...)
	return &archive{s: s, dir: filepath.Join(s.tree, "debian"), key: newGPG(s)}
}

// gpg is a home of GnuPG's with one key.
type gpg struct {
	s    *site
	home string
	file string // the public key, armored
}

func newGPG(s *site) *gpg {
	s.t.Helper()
	// A socket's path must be short.
	home, err := os.MkdirTemp("", "gpg-")
	if err != nil {
		s.t.Fatal(err)
	}
	g := &gpg{s, home, filepath.Join(home, "key.asc")}
	s.t.Cleanup(func() {
		g.run("gpgconf", "--kill", "all")
		if err := os.RemoveAll(home); err != nil {
			s.t.Error(err)
		}
	})
	testrepo.Program(s.t, "gpg-agent")
	g.run("gpg", "--quick-gen-key", "A test <test@example.org>", "ed25519", "sign", "never")
	g.run("gpg", "--armor", "--export", "--output", g.file)
	return g
}

// run runs one of GnuPG's programs.
func (g *gpg) run(name string, args ...string) {
	g.s.t.Helper()
	args = append([]string{testrepo.Program(g.s.t, name), "--homedir", g.home}, args...)
	if name == "gpg" {
		args = append([]string{args[0], "--batch", "--quiet", "--passphrase", ""}, args[1:]...)
	}
	g.s.command(args[0], args[1:]...)
}
