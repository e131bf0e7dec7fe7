package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestHostileIndexNames: an InRelease, signed with the suite's own key, that lists files in
// places where none can be, and names that a terminal obeys, beside its own. Machines with
// Debian get what is in order; nothing beside the cache is read or written.
func TestHostileIndexNames(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	names := []string{
		"../../../../secret.rpm", "main/../../../../secret.rpm", "/etc/passwd", "%2e%2e/%2e%2e/%2e%2e/secret.rpm", `..\..\secret.rpm`,
		"main/binary-amd64/a\x1b[2Jb", "main/\u202egpj/Packages.gz", "main/a\x00b", "InRelease", "Release", "Release.gpg", ".im/cache.db", "main//Packages.gz",
		"main/by-hash/SHA256/" + strings.Repeat("0", 64), "main/by-hash/SHA256/../../../../../secret.rpm", strings.Repeat("d/", 3000) + "x", strings.Repeat("n", 300),
	}
	suite := testrepo.Suite{Name: "stable", ByHash: true, Inline: func(text []byte) ([]byte, error) {
		for i, name := range names {
			text = fmt.Appendf(text, " %s %d %s\n", digest([]byte(forbidden)), len(forbidden)+i%2, name)
		}
		return key.Inline(text)
	}}
	a := newSuiteArchive(t, suite, key, "[serve]\nmetadata_max_age = \"0s\"", "[sync]\nroots = [\"fedora/dists/stable\"]")
	a.configure("[serve]\nmetadata_max_age = \"0s\"", "[sync]\nroots = [\"fedora/dists/stable\"]", fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", a.key))
	a.issue(a.build("1"))
	check := a.bait()
	server := a.serve()
	m := a.machine(server.url)
	for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "hello"}} {
		if _, err := m.run(args...); err != nil {
			t.Fatal(err)
		}
	}
	if got := files(t, m.dir+"/cache/archives")["hello_1_amd64.deb"]; got != digest(a.has["pool/main/h/hello/hello_1_amd64.deb"]) {
		t.Errorf("apt has %q", got)
	}
	for _, name := range names {
		if strings.ContainsAny(name, "\x00\x1b") {
			name = strings.NewReplacer("\x00", "%00", "\x1b", "%1b").Replace(name)
		}
		for _, target := range []string{"/fedora/dists/stable/" + name, name} {
			if body := string(server.raw(target)); strings.Contains(body, forbidden) || strings.Contains(body, "root:") {
				t.Errorf("%q is answered with what nobody may have", target)
			}
		}
	}
	a.tells(t, []string{"once"}, []string{"status"}, []string{"verify"}, []string{"prune"})
	for _, page := range []string{"/-/", "/-/status.json", "/-/metrics", "/fedora/dists/stable/"} {
		a.shows(page, string(server.get(page, "Accept", "text/html")))
	}
	server.insist()
	a.shows("imserve's log", server.stderr.String())
	check()
}

// tells has imsync run commands, which have to end well, or in part, and to print nothing
// that does not show; it returns all that was said.
func (s *site) tells(t *testing.T, commands ...[]string) (all string) {
	t.Helper()
	for _, args := range commands {
		r := s.imsync(args...)
		name := "imsync " + strings.Join(args, " ")
		if r.code != 0 && r.code != 1 {
			t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
		s.shows(name, r.stdout+r.stderr)
		all += r.stdout + r.stderr
	}
	return all
}

// TestHostileWords: groups, modules and advisories whose names are paths, markup and what a
// terminal obeys. A run fetches what they stand for where it is in order, says nothing that
// does not show, and nothing beside the cache is read or written.
func TestHostileWords(t *testing.T) {
	t.Parallel()
	words := []string{"../../../secret.rpm", "/etc/passwd", "&#155;2J&#8238;gpj", "&lt;script&gt;alert(1)&lt;/script&gt;", "$(id)", "-rf", "'; DROP TABLE run; --", strings.Repeat("w", 5000), ""}
	var comps, updates strings.Builder
	comps.WriteString("<comps>")
	updates.WriteString("<updates>")
	for i, w := range words {
		fmt.Fprintf(&comps, `<group><id>%[1]s</id><name>%[1]s</name><packagelist><packagereq type="mandatory">%[1]s</packagereq><packagereq type="mandatory">inside</packagereq></packagelist></group>`, w)
		fmt.Fprintf(&updates, `<update type="security"><id>%[1]s</id><title>%[1]s</title><severity>%[1]s</severity><issued date="2024-01-%02[2]d 00:00:00"/>`+
			`<pkglist><collection><package name="inside" version="1" release="1" epoch="0" arch="noarch" src="%[1]s"><filename>%[1]s</filename></package></collection></pkglist></update>`, w, i+1)
	}
	comps.WriteString("</comps>")
	updates.WriteString("</updates>")
	modules := ""
	for _, w := range []string{"../../../secret", "/etc/passwd", "\u202egpj", "<script>", "-rf"} {
		q, err := json.Marshal(w)
		if err != nil {
			t.Fatal(err)
		}
		modules += fmt.Sprintf("---\ndocument: modulemd\nversion: 2\ndata:\n  name: %[1]s\n  stream: %[1]s\n  version: 1\n  context: %[1]s\n  arch: noarch\n  artifacts:\n    rpms: [%[1]s]\n...\n", q)
	}
	s := newSite(t, "[sync]\ntop = 20\nroots = [\""+rootName+"\"]\npackages = [\"@../../../secret.rpm\", \"@*\", \"good\"]")
	specs := []testrepo.Spec{{Name: "good", Version: "1", Release: "1", Size: 20_000}, {Name: "inside", Version: "1", Release: "1", Size: 9000}}
	err := testrepo.Build(s.repo, specs, testrepo.BuildOptions{Extra: []testrepo.Metadata{
		{Type: "group", Name: "comps.xml", Text: comps.String()}, {Type: "updateinfo", Name: "updateinfo.xml", Text: updates.String()}, {Type: "modules", Name: "modules.yaml", Text: modules},
	}})
	if err != nil {
		t.Fatal(err)
	}
	at := today().AddDate(0, 0, -1).Add(9 * time.Hour).Format("02/Jan/2006:15:04:05 -0700")
	s.write(filepath.Join(s.logs, "access.log"), fmt.Sprintf("192.0.2.1 - - [%s] \"GET /%s/%s HTTP/1.1\" 200 1000 \"-\" \"dnf\"\n", at, rootName, specs[0].Location()))
	check := s.bait()
	said := s.tells(t, []string{"plan"}, []string{"once"}, []string{"plan", "--json"}, []string{"rank"}, []string{"status"}, []string{"status", "--json"}, []string{"verify"}, []string{"prune"})
	check()
	for _, spec := range specs {
		want, err := os.ReadFile(filepath.Join(s.repo, spec.Location()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(s.cached(), spec.Location())); err != nil || digest(got) != digest(want) {
			t.Errorf("%s: %d bytes, %v; it is said:\n%s", spec.Name, len(got), err, said)
		}
	}
}
