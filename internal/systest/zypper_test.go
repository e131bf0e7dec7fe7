package systest

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// geeko is a machine with zypper, and a root file system of its own.
type geeko struct {
	*site
	dir   string
	proxy string // "" is none
}

// geeko makes a machine that knows one repository, whose metadata has to be signed.
func (s *site) geeko(url, proxy string) *geeko {
	s.t.Helper()
	if os.Geteuid() != 0 {
		testrepo.Lacking(s.t, "zypper works only as root")
	}
	g := &geeko{s, s.t.TempDir(), proxy}
	g.mkdir(g.dir + "/repos")
	g.write(g.dir+"/repos/campus.repo", "[campus]\nname=campus\nenabled=1\nautorefresh=1\ntype=rpm-md\nrepo_gpgcheck=1\npkg_gpgcheck=0\nbaseurl="+url+"\n")
	g.write(g.dir+"/zypp.conf", "[main]\n")
	return g
}

// zypper runs zypper, and returns what it said.
func (g *geeko) zypper(args ...string) string {
	g.t.Helper()
	line := g.zypperLine(args...)
	return g.command(line[0], line[1:]...)
}

// zypperLine is the command line of that run, for one that goes on in the background.
func (g *geeko) zypperLine(args ...string) []string {
	g.t.Helper()
	return append([]string{
		"env", "http_proxy=" + g.proxy, "ZYPP_CONF=" + g.dir + "/zypp.conf", "ZYPP_LOGFILE=" + g.dir + "/zypper.log", testrepo.Program(g.t, "zypper"),
		"--non-interactive", "--gpg-auto-import-keys", "--root", g.dir + "/root", "--reposd-dir", g.dir + "/repos", "--cache-dir", g.dir + "/cache",
	}, args...)
}

// received is the files of the repository that zypper keeps, by their paths
// there, with their digests.
func (g *geeko) received() map[string]string {
	g.t.Helper()
	got := map[string]string{}
	for _, dir := range []string{"/cache/raw/campus", "/cache/packages/campus"} {
		for name, sum := range files(g.t, g.dir+dir) {
			if strings.HasSuffix(name, ".rpm") || strings.HasPrefix(name, "repodata/") {
				got[name] = sum
			}
		}
	}
	return got
}

// sign signs the repository's metadata.
func (s *site) sign(key *gpg) {
	s.t.Helper()
	repomd := filepath.Join(s.repo, "repodata/repomd.xml")
	key.run("gpg", "--armor", "--detach-sign", "--output", repomd+".asc", repomd)
	key.run("gpg", "--armor", "--export", "--output", repomd+".key")
}

// TestZypper holds that machines with zypper get a repository whose metadata is
// signed, by the mirror and by the proxy: the first from upstream, the next from
// here, and one more when upstream is out of reach. Whether there is a media.1 is
// asked each time. What is published anew arrives, with its signature.
func TestZypper(t *testing.T) {
	for _, form := range []struct {
		name         string
		proxy, media bool
	}{{"the mirror, without media.1", false, false}, {"the proxy, with media.1", true, true}} {
		t.Run(form.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"\nproxy_allow = [\"127.0.0.1\"]")
			key := newGPG(s)
			before := testrepo.Small(testrepo.Campus(1))
			publish := func(specs []testrepo.Spec) {
				t.Helper()
				s.publish(specs)
				s.createrepo()
				s.sign(key)
			}
			publish(before)
			if form.media {
				s.mkdir(s.repo + "/media.1")
				s.write(s.repo+"/media.1/media", "openSUSE\n20241101\n1\n")
			}
			upstream := files(t, s.repo)
			server := s.serve()
			url, proxy := server.url+"/"+rootName, ""
			if form.proxy {
				url, proxy = s.base+upstreamRoot, server.url
			}
			install := func(g *geeko, specs []testrepo.Spec) {
				t.Helper()
				g.zypper("install", "--download-only", "mplayer", "kernel")
				got := g.received()
				subset(t, "zypper received", got, upstream)
				for _, name := range []string{"mplayer", "kernel", "kernel-core"} {
					if _, ok := got[location(t, specs, name)]; !ok {
						t.Errorf("zypper keeps no %s, but %d files", location(t, specs, name), len(got))
					}
				}
				if _, ok := got["repodata/repomd.xml.asc"]; !ok {
					t.Error("zypper has looked at no signature")
				}
			}
			first := s.geeko(url, proxy)
			first.zypper("download", "vlc")
			install(first, before)
			if text := server.page("status.json"); !strings.Contains(text, `"metadata_kept_back": []`) {
				t.Errorf("something is kept back:\n%s", text)
			}
			if said := first.zypper("refresh"); !strings.Contains(said, "'campus' is up to date") {
				t.Errorf("what has not changed is fetched again: %s", said)
			}
			install(s.geeko(url, proxy), before)
			for name, sum := range first.received() {
				if strings.HasSuffix(name, ".rpm") && s.awaitFile("/"+rootName+"/"+name) != sum {
					t.Errorf("%s is not stored as it came", name)
				}
			}
			s.up.Stop()
			third := s.geeko(url, proxy)
			install(third, before)
			for name := range first.received() {
				size := fileSize(t, filepath.Join(s.repo, name))
				if n := s.up.Sent(upstreamRoot + "/" + name); n != size {
					t.Errorf("upstream sent %d bytes of %s, which has %d", n, name, size)
				}
			}

			server.restart(s, "/"+rootName+"/repodata/repomd.xml")
			after := testrepo.Overnight(before, 1)
			publish(after)
			maps.Copy(upstream, files(t, s.repo))
			third.zypper("refresh") // by itself it looks every ten minutes
			third.zypper("download", "kernel")
			if _, ok := third.received()[location(t, after, "kernel")]; !ok {
				t.Error("zypper does not see what was published anew")
			}
			server.stop()
			for _, l := range s.accessLog() {
				if l.status >= "500" {
					t.Errorf("an answer that was none: %+v", l)
				}
			}
		})
	}
}
