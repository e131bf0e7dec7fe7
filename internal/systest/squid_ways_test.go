package systest

import (
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// The files of contrib/squid: the two ways by which squid asks imserve.
const (
	byParent = "imserve-parent.conf"
	byHelper = "imserve-helper.conf"
)

// TestBehindSquid: behind a site's squid curl asks for a hundred packages in a
// row, dnf installs, apt installs, and somebody reads pages. All that is a
// repository's file reaches imserve, with its client's own address, and nothing else.
func TestBehindSquid(t *testing.T) {
	for _, way := range []string{byParent, byHelper} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newSite(t)
			specs := testrepo.Small(testrepo.Campus(1))
			s.publish(specs)
			s.createrepo()
			a := s.debianRepo(squidServe)
			deb := a.deb("hello", "1:1.0+dfsg-1", "")
			a.publish()
			// A host of nobody's, within the site: proxy_deny keeps imserve from it.
			inside := testrepo.Start(t, t.TempDir())
			for name, body := range map[string]string{"/page.html": "<p>page</p>", "/own.rpm": "\xed\xab\xee\xdb", "/search": "x"} {
				if err := inside.Put(name, []byte(body)); err != nil {
					t.Fatal(err)
				}
			}
			server := s.serve()
			q := s.squid(server, way)
			if way == byHelper {
				q.notes("imserve is ready", 1)
			}

			var packages, pages []string
			for i := range 100 {
				packages = append(packages, s.base+upstreamRoot+"/"+specs[i%60].Location())
				pages = append(pages, inside.URL+"/page.html?"+specs[i].Name, inside.URL+"/page.html")
			}
			if got := q.curl(packages...); !isAllOf(got, 100, "200") {
				t.Errorf("packages: %q", got)
			}
			if got := q.curl(pages[:40]...); !isAllOf(got, 40, "200") {
				t.Errorf("pages: %q", got)
			}
			if got := q.curl("--data", "q", inside.URL+"/search"); !isAllOf(got, 1, "200") && !isAllOf(got, 1, "405") {
				t.Errorf("POST: %q", got)
			}
			// imserve refuses, by the parent's way, and squid goes there by itself.
			if got := q.curl(inside.URL + "/own.rpm"); !isAllOf(got, 1, "200") {
				t.Errorf("a package within the site: %q", got)
			}
			// Who shows credentials is none of imserve's clients, and a query no file.
			private := s.base + upstreamRoot + "/" + specs[70].Location()
			if got := q.curl("--user", "ann:secret", private, private+"?token=1"); !isAllOf(got, 2, "200") {
				t.Errorf("with credentials: %q", got)
			}

			m := s.machine(s.base + upstreamRoot)
			m.dnf("--setopt=proxy="+q.url, "install", "mplayer")
			if name := version(t, specs, "mplayer"); !slices.Contains(m.installed(), name) {
				t.Errorf("%s is not installed; there is %q", name, m.installed())
			}
			dir := t.TempDir()
			source := "deb [signed-by=" + a.key.file + "] " + s.base + "/debian stable main"
			s.apt(dir, source, q.url, "update")
			s.apt(dir, source, q.url, "--download-only", "--yes", "install", "hello")
			if got, want := files(t, dir+"/cache/archives")[archived(deb)], files(t, a.dir)[deb]; got != want {
				t.Errorf("apt has %q of %s, upstream %q", got, deb, want)
			}

			server.stop()
			lines := s.asked()
			for i := range packages {
				want := packages[i]
				if way == byHelper {
					want = "/" + rootName + "/" + specs[i%60].Location()
				}
				if !served(lines[i], want) {
					t.Fatalf("request %d is %+v, want %s", i, lines[i], want)
				}
			}
			dnf, apt := 0, 0
			for _, l := range lines[100:] {
				switch {
				case strings.Contains(l.path, "own.rpm"):
					if way == byHelper || l.status != "403" {
						t.Errorf("imserve was asked for %+v", l)
					}
					continue
				case strings.HasSuffix(l.path, ".rpm"):
					dnf++
				case strings.HasSuffix(l.path, ".deb"):
					apt++
				case !strings.Contains(l.path, "/repodata/") && !strings.Contains(l.path, "/dists/"):
					t.Errorf("imserve was asked for %+v", l)
				}
				// dnf and apt have no address of their own here: theirs is this machine's.
				if l.client != "127.0.0.1" || l.method != http.MethodGet && l.method != http.MethodHead || l.status[0] != '2' && l.status[0] != '3' && l.status != "404" {
					t.Errorf("%+v", l)
				}
			}
			if n := count(m.received(), ".rpm"); dnf != n || n == 0 {
				t.Errorf("imserve was asked for %d packages by dnf, which has %d", dnf, n)
			}
			if apt == 0 {
				t.Error("apt did not ask imserve")
			}
			if n := inside.Count("", "/page.html"); n == 0 {
				t.Error("nobody has read a page")
			}
		})
	}
}

// served reports whether a request is that of squid's client for the path, with all of the
// file for an answer.
func served(l accessLine, path string) bool {
	return unescaped(l.path) == path && l.client == squidClient && l.method == http.MethodGet && l.status == "200"
}

// unescaped is a path with the one character that imserve escapes and dnf does not.
func unescaped(p string) string { return strings.ReplaceAll(p, "%2B", "+") }

// TestSquidWithoutImserve: imserve is killed while dnf installs behind squid. dnf
// gets all by way of squid alone, and so do the clients after it; imserve comes back and is asked
// again, after squid -k reconfigure too, and no helper is left behind.
func TestSquidWithoutImserve(t *testing.T) {
	for _, way := range []string{byParent, byHelper} {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, squidServe)
			specs := testrepo.Small(testrepo.Campus(1))
			s.publish(specs)
			s.createrepo()
			server := s.serve()
			q := s.squid(server, way)
			heard := func(text string, n int) {
				if way == byHelper {
					q.notes(text, n)
				}
			}
			heard("imserve is ready", 1)

			// One of many packages does not come to its end.
			slow := "*/" + path.Base(location(t, specs, "mplayer"))
			s.up.On(slow, testrepo.Stall(100).Times(1))
			m := s.machine(s.base + upstreamRoot)
			line := m.dnfLine("--setopt=proxy="+q.url, "--setopt=retries=20", "install", "mplayer")
			installed := make(chan error, 1)
			go func() { _, err := s.attempt(line); installed <- err }()
			s.awaitStalled()
			server.kill()
			heard("imserve is away", 1)
			if err := <-installed; err != nil {
				t.Fatalf("dnf fails without imserve: %v", err)
			}
			if name := version(t, specs, "mplayer"); !slices.Contains(m.installed(), name) {
				t.Errorf("%s is not installed; there is %q", name, m.installed())
			}
			s.up.Release()

			ask := func(from int) (packages []string) {
				t.Helper()
				for i := range 10 {
					packages = append(packages, s.base+upstreamRoot+"/"+specs[from+i].Location())
				}
				if got := q.curl(packages...); !isAllOf(got, 10, "200") {
					t.Errorf("packages from %d: %q", from, got)
				}
				return packages
			}
			before := len(s.asked())
			ask(0)
			if n := len(s.asked()); n != before {
				t.Errorf("imserve, which is dead, was asked %d times", n-before)
			}

			server = s.serve("--listen", strings.TrimPrefix(server.url, "http://"))
			heard("imserve is ready", 2)
			if way == byParent {
				// squid looks itself now and then whether a parent that was dead is alive.
				s.await("squid to ask its parent again", func() bool {
					q.curl(s.base + upstreamRoot + "/" + specs[20].Location())
					return len(s.asked()) > before
				})
			}
			ask(10)
			was := q.helpers()
			if (len(was) > 0) != (way == byHelper) {
				t.Errorf("the helpers are %q", was)
			}
			q.reconfigure()
			heard("imserve is ready", 3)
			s.await("the end of the helpers before", func() bool {
				return !slices.ContainsFunc(q.helpers(), func(pid string) bool { return slices.Contains(was, pid) })
			})
			if n := len(q.helpers()); (n > 0) != (way == byHelper) {
				t.Errorf("%d helpers after squid -k reconfigure", n)
			}
			ask(30)
			q.stop()
			s.await("the end of all helpers", func() bool { return len(q.helpers()) == 0 })
			server.stop()
			last := s.asked()
			for i, l := range last[len(last)-20:] {
				n := 10 + i%10 + i/10*20
				if want := specs[n].Location(); !strings.HasSuffix(unescaped(l.path), want) || l.client != squidClient || l.status != "200" {
					t.Errorf("%+v, want %s", l, want)
				}
			}
		})
	}
}

// TestSquidHelperLearns: imserve has learnt of a mirror from a metalink, and
// squid's clients who ask that mirror get imserve's.
func TestSquidHelperLearns(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))[:4]
	s.publish(specs)
	mirror := testrepo.Start(t, filepath.Join(s.tree, upstreamRoot)) // which has the root at its top
	lists := testrepo.Start(t, t.TempDir())
	current, err := os.ReadFile(filepath.Join(s.repo, "repodata/repomd.xml"))
	if err != nil {
		t.Fatal(err)
	}
	m := testrepo.Metalink{Current: current, Mirrors: []string{mirror.URL}, Time: today()}
	if err := lists.Put("/metalink/updates/41/Everything/x86_64", m.Bytes()); err != nil {
		t.Fatal(err)
	}
	s.more = `metalink = "` + lists.URL + `/metalink/{root}"`
	s.configure(squidServe)
	server := s.serve()
	s.await("the metalink", func() bool {
		server.get("/" + rootName + "/repodata/repomd.xml")
		return strings.Contains(string(server.get("/-/claims")), mirror.Addr)
	})
	q := s.squid(server, byHelper)
	q.notes("imserve is ready", 1)
	for _, spec := range specs {
		if got := q.curl(mirror.URL + "/" + spec.Location()); !isAllOf(got, 1, "200") {
			t.Errorf("%s: %q", spec.Location(), got)
		}
	}
	server.stop()
	for _, spec := range specs {
		want := "/" + rootName + "/" + spec.Location()
		if !slices.ContainsFunc(s.asked(), func(l accessLine) bool { return served(l, want) }) {
			t.Errorf("imserve was not asked for %s: %+v", want, s.asked())
		}
	}
}

// TestSquidStoreID: a package is one file to squid, whatever mirror it is asked of,
// and each mirror's changing metadata its own.
func TestSquidStoreID(t *testing.T) {
	s := newSite(t)
	specs := testrepo.Small(testrepo.Campus(1))[:4]
	s.publish(specs)
	second := testrepo.Start(t, s.tree)
	s.others = []string{second.URL}
	s.configure(squidServe)
	// No imserve runs; its address is what the file has.
	q := s.squid(&server{url: "http://127.0.0.1:3180"}, "imserve-store-id.conf")
	for _, spec := range specs {
		for _, base := range []string{s.base, second.URL, s.base} {
			if got := q.curl(base + upstreamRoot + "/" + spec.Location()); !isAllOf(got, 1, "200") {
				t.Errorf("%s: %q", spec.Location(), got)
			}
		}
		if n := s.up.Count("", "*/"+spec.Location()) + second.Count("", "*/"+spec.Location()); n != 1 {
			t.Errorf("%s was fetched %d times", spec.Location(), n)
		}
	}
	for _, up := range []*testrepo.Server{s.up, second} {
		q.curl(up.URL + upstreamRoot + "/repodata/repomd.xml")
		if n := up.Count("", "*/repomd.xml"); n != 1 {
			t.Errorf("repomd.xml was fetched %d times of %s", n, up.URL)
		}
	}
}
