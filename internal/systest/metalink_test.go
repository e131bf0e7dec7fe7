package systest

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestOwnMetalink: dnf by this mirror's own metalink asks it first. Where it is gone, and
// the metalink is still to be had, dnf goes on with the public mirrors that this names,
// which may have a generation before the current one, and takes no metadata of theirs
// that it does not list.
func TestOwnMetalink(t *testing.T) {
	t.Parallel()
	s := newSite(t, "[serve]\nmetadata_max_age = \"0s\"")
	before := testrepo.Small(testrepo.Campus(1))
	s.publish(before)
	s.createrepo()
	// A public mirror that stays at this generation: a copy of the tree.
	behind := testrepo.Start(t, s.dir+"/behind")
	s.mkdir(filepath.Dir(s.dir + "/behind" + upstreamRoot))
	s.command("cp", "-a", s.repo, s.dir+"/behind"+upstreamRoot)
	s.others = []string{behind.URL}
	s.configure("[serve]\nmetadata_max_age = \"0s\"")
	server := s.serve()
	place := server.url + "/-/setup/metalink/" + rootName
	m := s.listener(place)
	m.dnf("install", "vlc")
	if want := version(t, before, "vlc"); !slices.Contains(m.installed(), want) {
		t.Errorf("%s is not installed; there is %q", want, m.installed())
	}
	for _, r := range append(s.up.Requests(), behind.Requests()...) {
		if r.Header.Get("Via") == "" {
			t.Errorf("dnf has asked a public mirror, beside this one: %+v", r)
		}
	}

	// A night later: this mirror and one public one have the next generation.
	after := testrepo.Small(testrepo.Overnight(testrepo.Campus(1), 2))
	s.publish(after)
	s.createrepo()
	server.get("/" + rootName + "/repodata/repomd.xml")
	list := string(server.get("/-/setup/metalink/" + rootName))
	if n := strings.Count(list, "<mm0:alternate>"); n != 1 {
		t.Fatalf("the metalink has %d alternates:\n%s", n, list)
	}
	now := s.listener(place)
	now.dnf("install", "mplayer")
	if want := version(t, after, "mplayer"); !slices.Contains(now.installed(), want) {
		t.Errorf("%s is not installed; there is %q", want, now.installed())
	}

	// This mirror is gone, and its list is a file on the machine: dnf goes on with the
	// public mirror that is current.
	server.stop()
	s.up.Forget()
	behind.Forget()
	s.write(s.dir+"/list.xml", list)
	left := s.listener("file://" + s.dir + "/list.xml")
	left.dnf("install", "emacs-nw")
	if n := s.up.Count("GET", upstreamRoot+"/"+location(t, after, "emacs-nw")); n != 1 {
		t.Errorf("the public mirror was asked %d times", n)
	}

	// The one that is current is gone too: what is behind has a generation that the list
	// has among its alternates, and dnf takes that; without the alternates it does not.
	s.up.Stop()
	alone := s.listener("file://" + s.dir + "/list.xml")
	alone.dnf("install", "vlc")
	if want := version(t, before, "vlc"); !slices.Contains(alone.installed(), want) {
		t.Errorf("%s is not installed from what is behind; there is %q", want, alone.installed())
	}
	s.write(s.dir+"/strict.xml", regexp.MustCompile(`(?s)<mm0:alternates>.*</mm0:alternates>`).ReplaceAllString(list, ""))
	strict := s.listener("file://" + s.dir + "/strict.xml")
	if out, err := strict.attempt(strict.dnfLine("--setopt=reposdir="+strict.dir+"/repos", "install", "vlc")); err == nil {
		t.Errorf("dnf takes metadata that the metalink does not list: %s", out)
	}
}

// listener is a machine that goes by a metalink. Its file is written once: dnf takes
// metadata that is older than the file for expired.
type listener struct{ *machine }

func (s *site) listener(metalink string) listener {
	s.t.Helper()
	m := s.machine("")
	m.entry = "enabled=0\nbaseurl=file:///none\n"
	s.mkdir(m.dir + "/repos")
	s.write(m.dir+"/repos/campus.repo", "[campus]\nname=campus\nmetalink="+metalink+"\n")
	return listener{m}
}

func (l listener) dnf(args ...string) {
	l.t.Helper()
	l.machine.dnf(append([]string{"--setopt=reposdir=" + l.dir + "/repos"}, args...)...)
}

// TestSetUpByMetalink: the script points a machine at the mirror's metalinks where it
// is asked to, and takes that back.
func TestSetUpByMetalink(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	server := s.serve()
	const place = "/-/setup/metalink/fedora/updates/$releasever/Everything/$basearch"
	with := map[string]string{"etc/yum.repos.d/fedora-updates.repo": fedoraUpdates("/key")}
	c := s.newcomer(server, with)
	c.command("sh", c.script, "--metalink", "--root", c.root)
	got := read(t, c.root+"/etc/yum.repos.d/fedora-updates.repo")
	if !strings.Contains(got, "\nmetalink="+server.url+place+"\n#im-\n") || strings.Contains(got, "\nbaseurl=") {
		t.Errorf("dnf4 has\n%s", got)
	}
	c.undo()

	with["usr/bin/dnf5"] = ""
	c = s.newcomer(server, with)
	if err := os.Chmod(c.root+"/usr/bin/dnf5", 0o755); err != nil {
		t.Fatal(err)
	}
	c.command("sh", c.script, "--metalink", "--root", c.root)
	want := "[updates]\nmetalink=" + server.url + place + "\nmirrorlist=\nbaseurl=\n"
	if got := read(t, c.root+"/etc/dnf/repos.override.d/90-intelligentmirror.repo"); !strings.HasSuffix(got, want) {
		t.Errorf("dnf5 has\n%s\nwant\n%s", got, want)
	}
	c.undo()
	if got := string(server.get("/-/setup/dnf5-metalink.repo")); !strings.Contains(got, want) {
		t.Errorf("by hand it is\n%s", got)
	}
}
