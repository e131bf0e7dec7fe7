package systest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// cobraOwn are commands that are the library's, whose own text says how they are used.
var cobraOwn = []string{"help", "completion"}

var (
	subcommands = regexp.MustCompile(`(?ms)^Available Commands:\n(.*?)\n\n`)
	helpExample = regexp.MustCompile(`(?ms)^Examples:\n(.*?)\n\n`)
)

// help is the help of a command and of all below it, by their names: "imsync once".
func help(t *testing.T, name ...string) map[string]string {
	t.Helper()
	out, err := exec.Command(filepath.Join(programs, name[0]), append(slices.Clone(name[1:]), "--help")...).Output()
	if err != nil {
		t.Fatalf("%q --help: %v", name, err)
	}
	all := map[string]string{strings.Join(name, " "): string(out)}
	m := subcommands.FindStringSubmatch(string(out))
	if m == nil {
		return all
	}
	for line := range strings.Lines(m[1]) {
		command := strings.Fields(line)[0]
		if slices.Contains(cobraOwn, command) {
			continue
		}
		for name, text := range help(t, append(slices.Clone(name), command)...) {
			all[name] = text
		}
	}
	return all
}

// here is what an example names of a site, and what this test's site has in its place.
type here struct{ from, to string }

// otherwise are examples that do not end with 0 in the test's site, and why.
var otherwise = map[string]int{
	"imsync hold debian/dists/bookworm --json":                   1, // nobody has asked for a suite there
	"imserve ca --only fedoraproject.org --only rpmfusion.org":   1, // the CA of the example before is there, and stays
	"imsync prune --confirm fedora/updates/39/Everything/x86_64": 1, // nothing of it is stored
}

// stays are examples of what ends when it is told to, and what it says once it is ready.
var stays = map[string]string{
	"imsync status --watch":                                  "last run",
	"imserve --listen :3180 --cache-dir /srv/mirror":         "msg=listening",
	"imsync run --config /etc/intelligentmirror/config.toml": "msg=waiting",
	"imsync run --json":                                      "msg=waiting",
}

// TestHelpExamples: each command's help has an example, and each example does what it
// is there for: all of them are run, in a site of this test's with what they name.
func TestHelpExamples(t *testing.T) {
	t.Parallel()
	s, site := exampleSite(t)
	commands := help(t, "imserve")
	for name, text := range help(t, "imsync") {
		commands[name] = text
	}
	if len(commands) < 17 {
		t.Errorf("there are only %d commands", len(commands))
	}
	// What deletes comes last.
	names := slices.SortedFunc(func(yield func(string) bool) {
		for name := range commands {
			if !yield(name) {
				return
			}
		}
	}, func(a, b string) int {
		last := func(s string) string { return fmt.Sprint(strings.HasSuffix(s, " purge"), s) }
		return strings.Compare(last(a), last(b))
	})
	seen := map[string]bool{}
	for _, name := range names {
		m := helpExample.FindStringSubmatch(commands[name])
		if m == nil {
			t.Errorf("%s --help has no example", name)
			continue
		}
		for line := range strings.Lines(m[1]) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " #")
			line = strings.TrimSpace(line)
			seen[line] = true
			if !strings.Contains(line, name) && !strings.Contains(line, filepath.Base(strings.Fields(name)[0])) {
				t.Errorf("%s --help has an example without it: %s", name, line)
			}
			s.example(line, site)
		}
	}
	for line := range stays {
		if !seen[line] {
			t.Errorf("no help has the example %q any more", line)
		}
	}
	for line := range otherwise {
		if !seen[line] {
			t.Errorf("no help has the example %q any more", line)
		}
	}
}

// exampleSite is a site with what examples name, and what stands there in its place.
func exampleSite(t *testing.T) (*site, []here) {
	t.Helper()
	testrepo.Program(t, "jq")
	s := newSite(t)
	specs := []testrepo.Spec{
		{Name: "vlc", Version: "3.0.21", Release: "4.fc41", Size: 5000},
		{Name: "mplayer", Version: "1.5", Release: "1", Size: 4000},
	}
	s.publish(specs)
	suite, err := testrepo.BuildSuite([]testrepo.Deb{{Name: "hello", Version: "1", Size: 2000}}, testrepo.Suite{Name: "stable", Time: time.Now().Add(-time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range suite {
		if err := s.up.Put("/debian/"+name, b); err != nil {
			t.Fatal(err)
		}
	}
	wants := "[sync]\nroots = [\"" + rootName + "\"]\npackages = [\"*\"]\n" + groupSecret(t)
	source := s.another(t, wants)
	source.once()
	copied := source.serve().url
	s.configure(wants + "\ngroup = [\"" + copied + "\"]")
	s.write(s.config, read(t, s.config)+"\n[[replicate]]\nfrom = \""+copied+"\"\n\n[[repo]]\nname = \"debian\"\nupstreams = [\""+s.base+"/debian\"]\n")
	var log strings.Builder // longer than what warms a replay up
	for _, days := range []int{70, 50, 20, 2, 1} {
		fmt.Fprintf(&log, "10.1.2.%d - - [%s] \"GET /%s/%s HTTP/1.1\" 200 5000 \"-\" \"libdnf\"\n", days,
			time.Now().UTC().AddDate(0, 0, -days).Format("02/Jan/2006:15:04:05 -0700"), rootName, specs[0].Location())
	}
	s.write(s.logs+"/access.log", log.String())
	s.write(s.dir+"/access.log", log.String())
	s.write(s.dir+"/published.tsv", time.Now().AddDate(0, 0, -3).UTC().Format(time.RFC3339)+"\t/"+rootName+"/"+specs[0].Location()+"\t5000\tvlc\n")
	s.write(s.dir+"/new.toml", read(t, s.config))
	s.once()
	s.mkdir(s.dir + "/usb")
	s.mkdir(s.dir + "/cache/fedora/releases/39")
	s.write(s.dir+"/cache/fedora/releases/39/a.rpm", "old")

	return s, []here{
		{"/etc/intelligentmirror/config.toml", s.config},
		{"--listen :3180", "--listen 127.0.0.1:0"},
		{"--cache-dir /srv/mirror", "--cache-dir " + s.dir + "/cache"},
		{"/srv/mirror/fedora/linux", s.tree + upstreamBase},
		{"http://mirror1.example.org:3180", copied},
		{"/var/log/squid/access.log", s.dir + "/access.log"},
		{"ssh proxy cat ", "cat "},
		{"ssh mirror2 imsync", "imsync --config " + source.config},
		{"/mnt/usb/mirror2.counts", s.dir + "/usb/mirror2.counts"},
		{"/mnt/usb/", s.dir + "/usb/"},
		{"/var/spool/apt-mirror/mirror/deb.debian.org/debian", s.tree + "/debian"},
		// What squid runs, asked as squid does.
		{"url_rewrite_program /usr/bin/", "echo http://ftp.debian.org/debian/x.deb 10.0.0.1/- - GET | "},
		{"store_id_program /usr/bin/", "echo http://ftp.debian.org/debian/x.deb 10.0.0.1/- - GET | "},
	}
}

// inPlace is text with what a site has in the place of what it names.
func inPlace(text string, site []here) string {
	for _, h := range site {
		text = strings.ReplaceAll(text, h.from, h.to)
	}
	return text
}

// example runs a line of a help's, in a site.
func (s *site) example(line string, site []here) {
	s.t.Helper()
	said, forever := stays[line]
	want := otherwise[line]
	run := inPlace(line, site)
	cmd := exec.Command("sh", "-c", run)
	if forever {
		cmd = exec.Command("sh", "-c", "exec "+run+" >&2")
	}
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + programs + string(os.PathListSeparator) + os.Getenv("PATH"), "INTELLIGENTMIRROR_CONFIG=" + s.config}
	p := launch(s.t, line, cmd)
	if forever {
		p.says(said)
		p.stop()
		return
	}
	if code := p.wait(); code != want {
		s.t.Errorf("%s: exit code %d, want %d\n%s%s", line, code, want, p.stdout.String(), p.stderr.String())
	}
}
