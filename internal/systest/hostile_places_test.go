package systest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"intelligentmirror/internal/testrepo"
)

// forbidden is in files that nothing may be read from.
const forbidden = "what nobody may have"

// place is where metadata says that a package is.
type place struct {
	name, href string // href as it stands in the XML
	base       string // xml:base; "" for none
	stored     string // below the root, when a run has fetched it; "" where it is passed over
}

// hostilePlaces are the places of packages in metadata whose author means no good; strange
// is a host that nobody has configured.
func hostilePlaces(strange string) []place {
	const odd = "Packages/o/odd\u2028\u202e\u2066\u3164\u200b\ufe0f-1-1.noarch.rpm"
	climbs := strings.Repeat("../", 9) + "secret.rpm"
	return []place{
		{"climbs", climbs, "", ""},
		{"climbs within", "Packages/" + climbs, "", ""},
		{"climbs, escaped", "%2e%2e/%2E%2e/secret.rpm", "", ""},
		{"climbs, slashes escaped", "..%2f..%2Fsecret.rpm", "", ""},
		{"climbs by references", "&#46;&#x2e;/secret.rpm", "", ""},
		{"climbs by backslashes", `..\..\secret.rpm`, "", ""},
		{"climbs, escaped twice", "%252e%252e/twice-1-1.noarch.rpm", "", "%2e%2e/twice-1-1.noarch.rpm"},
		{"absolute", "/etc/passwd", "", ""},
		{"a file's URL", "file:///etc/passwd", "", ""},
		{"another host", strange + "/x-1-1.noarch.rpm", "", ""},
		{"another host without a scheme", strings.TrimPrefix(strange, "http:") + "/x-1-1.noarch.rpm", "", ""},
		{"based on another host", "x-1-1.noarch.rpm", strange + "/", ""},
		{"based on files", "passwd", "file:///etc/", ""},
		{"an end of a line", "Packages/a&#10;b-1-1.noarch.rpm", "", ""},
		{"a terminal's command", "Packages/a&#155;2Jb-1-1.noarch.rpm", "", ""},
		{"DEL", "Packages/a&#127;b-1-1.noarch.rpm", "", ""},
		{"NUL, escaped", "Packages/a%00b-1-1.noarch.rpm", "", ""},
		{"a long name", "Packages/" + strings.Repeat("n", 256), "", ""},
		{"a long path", strings.Repeat(strings.Repeat("d", 250)+"/", 17) + "x.rpm", "", ""},
		{"nothing", "", "", ""},
		{"the root", ".", "", ""},
		{"a directory", "Packages/", "", ""},
		{"the root's entry", "repodata/repomd.xml", "", ""},
		{"the root's entry, escaped", "%72epodata/repomd.xml", "", ""},
		{"a query", "Packages/a-1-1.noarch.rpm?x", "", ""},
		{"a fragment", "Packages/a-1-1.noarch.rpm#x", "", ""},
		{"ours by its name", ".im/cache.db", "", ".im/cache.db"},
		{"what does not show", odd, "", odd},
		{"one place", "Packages/o/one-1-1.noarch.rpm", "", "Packages/o/one-1-1.noarch.rpm"},
		{"the same place", "Packages/o/one-1-1.noarch.rpm", "", ""},
		{"a directory's place", "Packages/o/odd-1-1.rpm", "", ""},
		{"below it", "Packages/o/odd-1-1.rpm/a-1-1.noarch.rpm", "", "Packages/o/odd-1-1.rpm/a-1-1.noarch.rpm"},
	}
}

var (
	packageXML  = regexp.MustCompile(`(?s)<package type="rpm">.*?</package>`)
	nameXML     = regexp.MustCompile(`<name>other</name>`)
	sumXML      = regexp.MustCompile(`pkgid="YES">[0-9a-f]+<`)
	sizeXML     = regexp.MustCompile(`<size package="\d+"`)
	locationXML = regexp.MustCompile(`<location href="[^"]*">`)
)

// misplace publishes good, and packages in all of those places, whose digests are those of
// what upstream has there.
func (s *site) misplace(good testrepo.Spec, places []place) {
	s.t.Helper()
	other := testrepo.Spec{Name: "other", Version: "1", Release: "1", Size: 3000}
	s.publish([]testrepo.Spec{good, other})
	raw, err := os.ReadFile(filepath.Join(s.repo, other.Location()))
	if err != nil {
		s.t.Fatal(err)
	}
	packed, err := filepath.Glob(s.repo + "/repodata/*-primary.xml.gz")
	if err != nil || len(packed) != 1 {
		s.t.Fatalf("%q, %v", packed, err)
	}
	b, err := os.ReadFile(packed[0])
	if err != nil {
		s.t.Fatal(err)
	}
	text := string(gunzip(s.t, b))
	like := ""
	for _, p := range packageXML.FindAllString(text, -1) {
		if nameXML.MatchString(p) {
			like = p
		}
	}
	var more strings.Builder
	for i, p := range places {
		body := fmt.Appendf(bytes.Clone(raw), "%03d", i)
		base := ""
		if p.base != "" {
			base = fmt.Sprintf(` xml:base="%s"`, p.base)
		}
		x := nameXML.ReplaceAllString(like, fmt.Sprintf("<name>misplaced%02d</name>", i))
		x = sumXML.ReplaceAllString(x, `pkgid="YES">`+digest(body)+"<")
		x = sizeXML.ReplaceAllString(x, fmt.Sprintf(`<size package="%d"`, len(body)))
		x = locationXML.ReplaceAllLiteralString(x, fmt.Sprintf(`<location href="%s"%s>`, p.href, base))
		more.WriteString(x)
		if p.stored != "" {
			if err := s.up.Put(upstreamRoot+"/"+p.stored, body); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	text = strings.Replace(text, like, like+more.String(), 1)
	if err := testrepo.Forge(s.repo, "primary", gzipped(s.t, text), int64(len(text))); err != nil {
		s.t.Fatal(err)
	}
}

// outside is what lies beside the site's cache, state and logs.
func (s *site) outside() map[string]string {
	s.t.Helper()
	all := files(s.t, s.dir)
	maps.DeleteFunc(all, func(name, _ string) bool {
		return strings.HasPrefix(name, "cache/") || strings.HasPrefix(name, "state/") || strings.HasPrefix(name, "logs/") || strings.HasPrefix(name, "upstream/")
	})
	return all
}

// bait puts what nobody may have, and nobody may replace, where hostile places lead, and
// returns a check that it is as it was, and nothing of it in the cache.
func (s *site) bait() (check func()) {
	s.t.Helper()
	for _, name := range []string{"secret.rpm", "passwd", "x-1-1.noarch.rpm"} {
		s.write(filepath.Join(s.dir, name), forbidden)
	}
	before := s.outside()
	return func() {
		s.t.Helper()
		if diff := difference(before, s.outside()); diff != "" {
			s.t.Errorf("beside the cache:\n%s", diff)
		}
		for name, sum := range files(s.t, s.dir+"/cache") {
			if sum == digest([]byte(forbidden)) {
				s.t.Errorf("the cache has what nobody may have as %q", name)
			}
		}
	}
}

// invisible is the first character of a text that does not show, ends of lines and the
// spaces of pages' tables and numbers apart; false where all do.
func invisible(text string) (rune, bool) {
	for _, r := range text {
		switch {
		case r == '\n', r == '\t', r == '\u202f', r == '\u2009', r == '\u00a0':
		case r == unicode.ReplacementChar, !unicode.IsPrint(r),
			unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
			return r, true
		}
	}
	return 0, false
}

// shows fails the test where something that people read has what does not show.
func (s *site) shows(what, text string) {
	s.t.Helper()
	if r, ok := invisible(text); ok {
		s.t.Errorf("%s has %U", what, r)
	}
}

// TestHostilePlaces: metadata whose digests are right and whose packages are in places
// where none can be makes neither program read or write anything beside the cache, ask a
// host that it names, or say what can't be seen. The packages that are in order go on,
// what is passed over is said, and so it is with what comes by a copy and by an import.
func TestHostilePlaces(t *testing.T) {
	t.Parallel()
	strange := testrepo.Start(t, t.TempDir())
	places := hostilePlaces(strange.URL)
	good := testrepo.Spec{Name: "good", Version: "1", Release: "1", Size: 20_000}
	settings := fmt.Sprintf("[sync]\nroots = [%q]\npackages = [\"*\"]", rootName)
	s := newSite(t, settings)
	s.misplace(good, places)
	want, err := os.ReadFile(filepath.Join(s.repo, good.Location()))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if asked := strange.Requests(); len(asked) > 0 {
			t.Errorf("a host that only the metadata names was asked %d times", len(asked))
		}
	}()

	t.Run("run", func(t *testing.T) {
		s := s.another(t, settings)
		s.misplacedRun(places)
		if got, err := os.ReadFile(filepath.Join(s.cached(), good.Location())); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the package that is in order: %d bytes, %v", len(got), err)
		}
	})
	t.Run("serve", func(t *testing.T) {
		s := s.another(t, "[serve]\nmetadata_max_age = \"0s\"")
		check := s.bait()
		server := s.serve()
		server.get("/" + rootName + "/repodata/repomd.xml")
		if got := server.get("/" + rootName + "/" + good.Location()); !bytes.Equal(got, want) {
			t.Errorf("the package that is in order: %d bytes", len(got))
		}
		for _, p := range places {
			target := rawTarget(p)
			for _, to := range []string{"/" + rootName + "/" + target, s.base + upstreamRoot + "/" + target, target} {
				if body := server.raw(to); bytes.Contains(body, []byte(forbidden)) || bytes.Contains(body, []byte("root:")) {
					t.Errorf("%s: %q is answered with what nobody may have", p.name, to)
				}
			}
			if p.stored != "" {
				server.get("/" + rootName + "/" + target)
			}
		}
		for _, page := range []string{"/-/", "/-/status.json", "/-/metrics", "/" + rootName + "/Packages/o/"} {
			s.shows(page, string(server.get(page, "Accept", "text/html")))
		}
		lines := json.NewDecoder(bytes.NewReader(server.get("/-/manifest")))
		for lines.More() {
			var l struct{ Path string }
			if err := lines.Decode(&l); err != nil || !filepath.IsLocal(l.Path) || path.Clean(l.Path) != l.Path {
				t.Errorf("the manifest has %q, %v", l.Path, err)
			}
		}
		copies(t, s, server)
		server.bounded()
		server.insist()
		check()
		log := server.stderr.String()
		s.shows("imserve's log", log)
		if n := strings.Count(log, "describes badly"); n != 1 || !strings.Contains(log, "its publisher") {
			t.Errorf("what is passed over is said %d times", n)
		}
		access, err := os.ReadFile(s.dir + "/state/access.log")
		if err != nil || len(access) == 0 {
			t.Fatalf("%d bytes of access log, %v", len(access), err)
		}
		s.shows("the access log", string(access))
	})
	t.Run("import", func(t *testing.T) {
		s.write(filepath.Join(s.tree, "secret.rpm"), forbidden)
		tree := s.tree + upstreamBase
		s := s.another(t)
		check := s.bait()
		r := s.imsync("import", tree, "--repo", "fedora")
		if r.code != 1 || !strings.Contains(r.stdout, "describes badly") {
			t.Errorf("import: %+v", r)
		}
		s.shows("import", r.stdout+r.stderr)
		check()
		if got, err := os.ReadFile(filepath.Join(s.cached(), good.Location())); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the package that is in order: %d bytes, %v", len(got), err)
		}
	})
}

// misplacedRun has imsync do all that it does with such metadata, and looks at what it
// says, at what lies beside the cache, and at what is in it.
func (s *site) misplacedRun(places []place) {
	s.t.Helper()
	check := s.bait()
	at := today().AddDate(0, 0, -1).Add(9 * time.Hour).Format("02/Jan/2006:15:04:05 -0700")
	var log strings.Builder
	for _, p := range places {
		for c := range 3 {
			fmt.Fprintf(&log, "192.0.2.%d - - [%s] \"GET /%s/%s HTTP/1.1\" 200 1000 \"-\" \"dnf\"\n", c+1, at, rootName, rawTarget(p))
		}
	}
	s.write(filepath.Join(s.logs, "access.log"), log.String())
	for _, args := range [][]string{{"plan", "--json"}, {"once", "--json"}, {"once"}, {"rank"}, {"plan"}, {"status"}, {"status", "--json"}, {"verify"}, {"prune"}} {
		r := s.imsync(args...)
		name := "imsync " + strings.Join(args, " ")
		if r.code != 0 && (r.code != 1 || args[0] != "once") {
			s.t.Errorf("%s: exit code %d: %s", name, r.code, r.stderr)
		}
		s.shows(name, r.stdout+r.stderr)
		if args[0] == "plan" && len(args) > 1 && strings.Count(r.stderr, "its publisher can mend that") != 1 {
			s.t.Errorf("what is passed over is not said once: %s", r.stderr)
		}
		if args[0] == "once" && len(args) > 1 {
			s.failedOnly(r.stdout)
		}
	}
	check()
	all := files(s.t, s.cached())
	for _, p := range places {
		if p.stored != "" && all[p.stored] == "" {
			s.t.Errorf("%s: %q is not stored", p.name, p.stored)
		}
	}
}

// failedOnly fails the test where a run's report has failures of packages that can be had.
func (s *site) failedOnly(text string) {
	s.t.Helper()
	var r report
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		s.t.Fatal(err)
	}
	for _, root := range r.Roots {
		for _, f := range root.Failed {
			if !strings.HasSuffix(f.Path, "/one-1-1.noarch.rpm") && !strings.HasSuffix(f.Path, "/odd-1-1.rpm") {
				s.t.Errorf("%q failed: %s", f.Path, f.Error)
			}
		}
	}
}

// rawTarget is a place as a client that believes all asks for it: only what can't stand in
// a request's first line is escaped.
func rawTarget(p place) string {
	href := p.base + p.href
	for _, x := range [...][2]string{{"&#46;", "."}, {"&#x2e;", "."}, {"&#10;", "%0A"}, {"&#155;", "%C2%9B"}, {"&#127;", "%7F"}} {
		href = strings.ReplaceAll(href, x[0], x[1])
	}
	return href
}

// raw asks for a target as it stands, and returns the answer's body; a server that has
// ended, or says nothing, fails the test.
func (s *server) raw(target string) []byte {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(hung)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: mirror.test\r\nConnection: close\r\n\r\n", target); err != nil {
		s.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatalf("GET %q: %v", target, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		s.t.Fatalf("GET %q: %v", target, err)
	}
	return body
}

// copies has what server stored copied by another site, which gets all of it.
func copies(t *testing.T, s *site, server *server) {
	t.Helper()
	r := replica(t, s, server.url, "")
	check := r.bait()
	out := r.imsync("replicate", "--json")
	if out.code != 0 {
		t.Errorf("replicate: exit code %d: %s%s", out.code, out.stdout, out.stderr)
	}
	r.shows("replicate", out.stdout+out.stderr)
	check()
	if diff := difference(s.stock(), r.stock()); diff != "" {
		t.Errorf("the copy is another:\n%s", diff)
	}
}
