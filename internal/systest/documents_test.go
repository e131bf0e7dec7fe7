package systest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// fenced is a block of a document that is not text: its language, and what it has.
var fenced = regexp.MustCompile("(?ms)^ *```(\\w*)\n(.*?)^ *```$")

// notRun are the blocks of documents that no test runs as they stand, by the document
// and the first word or words of the block, and why. Those in TOML are read by
// internal/config's TestExamplesInDocuments.
var notRun = []struct{ document, begins, why string }{
	{"README.md", "make demo", "contrib/demo's test runs the demonstration, and make test is these tests"},
	{"README.md", "make packages", "contrib/packages' TestPackages builds and installs them; systemctl needs systemd"},
	{"README.md", "baseurl=", "lines of a file; TestSetUpDnf has dnf go by such"},
	{"docs/BENCHMARKS.md", "go run ./contrib/bench/", "minutes, and other servers"},
	{"docs/BENCHMARKS.md", "TMPDIR=/dev/shm go run ./contrib/bench/", "the same"},
	{"docs/BENCHMARKS.md", "go test -run '^$' -bench", "a benchmark"},
	{"docs/BENCHMARKS.md", "/usr/lib/apt/apt-helper", "Debian's lists, and hours"},
	{"docs/BENCHMARKS.md", "REPLICATE_FILES=", "the long form of TestReplicate"},
	{"docs/BENCHMARKS.md", "go test ./internal/systest -run TestSurvival", "the long form of TestSurvival"},
	{"docs/BENCHMARKS.md", "go test ./internal/systest -run '^$' -bench", "a benchmark"},
	{"docs/BENCHMARKS.md", "go test ./popularity -run '^$' -bench", "a benchmark"},
	{"docs/BUCKET.md", "clients -->", "a drawing"},
	{"docs/BUCKET.md", "install -m 0640", "needs the service's group; TestBucketCredentials has such a file"},
	{"docs/BUCKET.md", "mc ", "needs MinIO and its client"},
	{"docs/BUCKET.md", "{\"Version\"", "a policy for MinIO and Amazon"},
	{"docs/BUCKET.md", "radosgw-admin", "needs Ceph"},
	{"docs/GROUP.md", "clients -->", "a drawing"},
	{"docs/GROUP.md", "(umask 027;", "needs the service's group; TestGroupCounts has such a file"},
	{"docs/OPERATIONS.md", "[Service]", "a drop-in for a unit, which needs systemd"},
	{"docs/OPERATIONS.md", "# Fedora, RHEL:", "needs firewalld and SELinux"},
	{"docs/PROXY.md", "# dnf: /etc/dnf/dnf.conf", "lines of two files; TestAptIsIntercepted and TestProxy's clients go by such"},
	{"docs/PROXY.md", "msg=", "a log's line; internal/archtest holds that the program says it"},
	{"docs/REPLAY.md", "2024-11-21T", "a line of a file, of which TestHelpExamples has one"},
	{"docs/RUNNING.md", "10.1.2.3 - -", "a log's line"},
}

// TestDocumentedCommands: what documents say to type works: each block of commands is
// run in a site of this test's, or stands in the table above.
func TestDocumentedCommands(t *testing.T) {
	t.Parallel()
	testrepo.Program(t, "curl")
	testrepo.Program(t, "xz")
	s, site := exampleSite(t)
	s.command("xz", "--keep", s.dir+"/access.log")
	server := s.serve()
	root, image := s.dir+"/machine", s.dir+"/image"
	for _, dir := range []string{root, image} {
		s.mkdir(dir + "/etc/yum.repos.d")
		s.write(dir+"/etc/yum.repos.d/fedora-updates.repo", fedoraUpdates("/key"))
	}
	site = append([]here{
		{"/tmp/old-access.log.xz", s.dir + "/access.log.xz"},
		{"http://mirror.example.org:3180", server.url},
		{"less setup.sh", "cat setup.sh >/dev/null"},
		{"sudo sh setup.sh", "sh setup.sh --root " + root},
		{"/srv/image", image},
		{"/etc/yum.repos.d/", root + "/etc/yum.repos.d/"},
	}, site...)
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	used := make([]bool, len(notRun))
	ran := 0
	for _, file := range append(names, "../../README.md") {
		name := strings.TrimPrefix(file, "../../")
	blocks:
		for _, m := range fenced.FindAllStringSubmatch(read(t, file), -1) {
			language, text := m[1], strings.TrimSpace(m[2])
			if language == "toml" {
				continue
			}
			for i, x := range notRun {
				if x.document == name && strings.HasPrefix(text, x.begins) {
					used[i] = true
					continue blocks
				}
			}
			ran++
			switch language {
			case "sh":
				cmd := exec.Command("sh", "-e", "-c", inPlace(text, site))
				cmd.Dir = s.dir
				cmd.Env = append(environment(s.dir), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"), "INTELLIGENTMIRROR_CONFIG="+s.config)
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Errorf("%s: %v\n%s\n%s", name, err, text, out)
				}
			case "nginx":
				s.nginxTakes(name, text)
			default:
				t.Errorf("%s has a block that no test runs, and notRun does not say why:\n%s", name, text)
			}
		}
	}
	for i, x := range notRun {
		if !used[i] {
			t.Errorf("%s has no block any more that begins with %q", x.document, x.begins)
		}
	}
	if ran < 6 {
		t.Errorf("only %d blocks were run", ran)
	}
}

// nginxTakes reports whether nginx takes a server's configuration, but for its
// certificate, which is the site's.
func (s *site) nginxTakes(document, server string) {
	s.t.Helper()
	server = regexp.MustCompile(`(?m)^\s*ssl_certificate.*$`).ReplaceAllString(server, "")
	server = strings.Replace(server, "listen 443 ssl;", "listen 127.0.0.1:1;", 1)
	file := s.dir + "/nginx.conf"
	s.write(file, "pid "+s.dir+"/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n"+server+"\n}\n")
	out, err := exec.Command(testrepo.Program(s.t, "nginx"), "-t", "-c", file, "-p", s.dir).CombinedOutput()
	if err != nil {
		s.t.Errorf("%s: nginx: %v\n%s", document, err, out)
	}
}
