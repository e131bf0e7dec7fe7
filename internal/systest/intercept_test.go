package systest

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
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

// secret is a server with https, and the file with what its clients have to trust.
type secret struct {
	*httptest.Server
	trust string
}

// port is where it listens.
func (s *secret) port() string { return s.URL[strings.LastIndexByte(s.URL, ':')+1:] }

// secret starts a server with https.
func (s *site) secret(h http.Handler) *secret {
	s.t.Helper()
	x := &secret{Server: httptest.NewTLSServer(h)}
	s.t.Cleanup(x.Close)
	x.trust = filepath.Join(s.t.TempDir(), "trust.pem")
	s.write(x.trust, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: x.Certificate().Raw})))
	return x
}

// ca has imserve make a CA, and returns the file with its certificate.
func (s *site) ca() string {
	s.t.Helper()
	p := start(s.t, "imserve", "ca", "--config", s.config)
	if code := p.wait(); code != 0 || !strings.Contains(p.stdout.String(), "This CA was made:") {
		s.t.Fatalf("imserve ca: exit code %d, %s", code, p.stdout.String())
	}
	return s.dir + "/state/ca.pem"
}

// intercepting is a site whose upstream speaks https alone and answers what is no
// file's path by saying what it was asked; imserve intercepts for it. ports are
// those besides where tunnels may lead.
func intercepting(t *testing.T, entry string, ports ...string) (s *site, up *testrepo.Upstream, upstream *secret, ca string) {
	t.Helper()
	s = newSite(t)
	up = testrepo.NewUpstream(s.tree)
	upstream = s.secret(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, upstreamBase+"/") {
			up.ServeHTTP(w, r)
			return
		}
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %v %q", r.Method, r.RequestURI, b, err, r.Header["Upgrade"])
	}))
	s.base, s.env, s.more = upstream.URL, []string{"SSL_CERT_FILE=" + upstream.trust}, entry
	s.configure("[serve]\nproxy_allow = [\"127.0.0.1\"]\nintercept = true\nconnect_ports = ["+strings.Join(append(ports, upstream.port()), ", ")+"]",
		"[sync]\nschedule = \"@daily\"")
	return s, up, upstream, s.ca()
}

// TestCurlIsIntercepted holds what curl gets by https from a repository's host and
// from others, with the site's CA and without it.
func TestCurlIsIntercepted(t *testing.T) {
	s, up, upstream, ca := intercepting(t, "")
	stranger := s.secret(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the stranger itself") }))
	s.configure("[serve]\nproxy_allow = [\"127.0.0.1\"]\nintercept = true\nconnect_ports = [" + upstream.port() + ", " + stranger.port() + "]")
	big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: 1 << 20}
	s.publish([]testrepo.Spec{big})
	want, err := os.ReadFile(filepath.Join(s.repo, big.Location()))
	if err != nil {
		t.Fatal(err)
	}
	server := s.serve()
	address := upstream.URL + upstreamRoot + "/" + big.Location()

	// Who does not trust the CA gets nothing, and nothing is fetched for it.
	for range 2 {
		cmd := exec.Command(testrepo.Program(t, "curl"), "--silent", "--show-error", "--proxy", server.url, "--noproxy", "", "--cacert", upstream.trust, "--output", s.dir+"/none", address)
		cmd.Env = environment(s.dir)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 60 {
			t.Errorf("without the CA: %v, %s", err, out)
		}
	}
	if line := server.says("a client does not trust this mirror's CA"); !strings.Contains(line, "host=") || strings.Contains(line, "client=") {
		t.Error(line)
	}
	if _, err := os.Stat(s.dir + "/none"); err == nil || len(up.Requests()) > 0 {
		t.Errorf("a client without the CA has got something (%v), upstream was asked %q", err, up.Lines("", "*"))
	}

	if got := server.curl(s, "--cacert", ca, address); got != string(want) {
		t.Errorf("the first client: %d bytes", len(got))
	}
	s.awaitFile("/" + rootName + "/" + big.Location())
	header := server.curl(s, "--cacert", ca, "--dump-header", "-", "--output", s.dir+"/second", address)
	if b, err := os.ReadFile(s.dir + "/second"); err != nil || string(b) != string(want) || !strings.Contains(header, "Cache-Status: imserve; hit\r\n") {
		t.Errorf("the second client: %d bytes, %v, %s", len(b), err, header)
	}
	if n := up.Count("GET", "*.rpm"); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}

	// What is no file goes to the host itself, and comes from there.
	for _, tt := range []struct{ args, want string }{
		{"--data user=x " + upstream.URL + "/login", `POST /login user=x <nil> []`},
		{upstream.URL + "/metalink?repo=updates&arch=x86_64", `GET /metalink?repo=updates&arch=x86_64  <nil> []`},
		{"-H Connection:Upgrade -H Upgrade:websocket " + upstream.URL + "/socket", `GET /socket  <nil> []`},
	} {
		if got := server.curl(s, append([]string{"--cacert", ca}, strings.Fields(tt.args)...)...); got != tt.want {
			t.Errorf("%s: %s", tt.args, got)
		}
	}
	// Another host proves itself who it is.
	if got := server.curl(s, "--cacert", stranger.trust, stranger.URL); got != "the stranger itself" {
		t.Errorf("a tunnel: %s", got)
	}
	if text := server.page("status.json"); !strings.Contains(text, `"missed_https": []`) {
		t.Errorf("what was intercepted counts as missed:\n%s", text)
	}
	server.stop()
	if n := strings.Count(server.stderr.String(), "a client does not trust"); n != 1 {
		t.Errorf("said %d times:\n%s", n, server.stderr.String())
	}
	log := s.accessLog()
	for _, want := range []struct{ path, status, outcome string }{
		{address, "200", "imserve; hit"},
		{strings.TrimPrefix(upstream.URL, "https://"), "200", "imserve; detail=intercepted"},
		{strings.TrimPrefix(upstream.URL, "https://"), "200", "imserve; detail=certificate-refused"},
		{upstream.URL + "/login", "200", "imserve; fwd=bypass"},
	} {
		if !slices.ContainsFunc(log, func(l accessLine) bool { return l.is(want.path, want.status, want.outcome) }) {
			t.Errorf("no %+v in %+v", want, log)
		}
	}
}

// TestInstallByAnInterceptedMetalink: machines whose repository is an https
// metalink that they can't leave. It names a mirror of which the site knows
// nothing at first; the second machine installs from the cache alone.
func TestInstallByAnInterceptedMetalink(t *testing.T) {
	var link []byte
	lists := (&site{t: t}).secret(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Write(link) }))
	entry := "alias_paths = [\"" + upstreamBase + "\"]\nmetalink = \"" + lists.URL + "/metalink?path={root}\"\n"
	s, up, _, ca := intercepting(t, entry, lists.port())
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.createrepo()
	repomd, err := os.ReadFile(s.repo + "/repodata/repomd.xml")
	if err != nil {
		t.Fatal(err)
	}
	mirror := testrepo.NewUpstream(s.tree)
	far := s.secret(mirror)
	link = testrepo.Metalink{Current: repomd, Mirrors: []string{far.URL + upstreamRoot}, Time: time.Now().UTC()}.Bytes()
	s.configure("[serve]\nproxy_allow = [\"127.0.0.1\"]\nintercept = true\nconnect_ports = [" + strings.Join([]string{lists.port(), far.port(), s.base[strings.LastIndexByte(s.base, ':')+1:]}, ", ") + "]")
	server := s.serve()

	install := func(trust string) *machine {
		t.Helper()
		m := s.machine("")
		m.entry = "metalink=" + lists.URL + "/metalink?repo=updates-41&arch=x86_64\nsslcacert=" + trust + "\n" + "proxy=" + server.url + "\n"
		m.dnf("install", "mplayer")
		if name := version(t, specs, "mplayer"); !slices.Contains(m.installed(), name) {
			t.Errorf("%s is not installed; there is %q", name, m.installed())
		}
		return m
	}
	// The first machine may meet the mirror itself, whose certificate is its own.
	both := s.dir + "/both.pem"
	s.write(both, read(t, ca)+read(t, far.trust))
	install(both)
	s.await("the mirror of the metalink to be known", func() bool {
		return strings.Contains(server.curl(s, "--cacert", both, "--head", far.URL+upstreamRoot+"/repodata/repomd.xml"), "Cache-Status: imserve")
	})
	install(ca) // so that all that it needs is here
	mirror.Forget()
	up.Forget()
	m := install(ca)
	subset(t, "dnf received", m.received(), bases(files(t, s.repo)))
	for name, u := range map[string]*testrepo.Upstream{"upstream": up, "the mirror": mirror} {
		if n := u.Count("", "*.rpm"); n != 0 {
			t.Errorf("%s was asked for %d packages", name, n)
		}
	}
	server.stop()
	hits := 0
	hit := regexp.MustCompile(`^https://` + regexp.QuoteMeta(strings.TrimPrefix(far.URL, "https://")) + `/.*\.rpm$`)
	for _, l := range s.accessLog() {
		if hit.MatchString(l.path) && l.outcome == "imserve; hit" {
			hits++
		}
	}
	if hits == 0 {
		t.Error("no package was a hit by https")
	}
}

// read is a file's text.
func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAptIsIntercepted: a machine with Debian whose source is https.
func TestAptIsIntercepted(t *testing.T) {
	s, up, upstream, ca := intercepting(t, "")
	s.debian(s.tree + upstreamBase + "/debs")
	server := s.serve()
	const name = "hello_1.0-1_all.deb"
	for range 2 {
		dir := t.TempDir()
		trust := []string{"-o", "Acquire::https::Proxy=" + server.url, "-o", "Acquire::https::CAInfo=" + ca}
		source := "deb [trusted=yes] " + upstream.URL + upstreamBase + "/debs ./"
		s.apt(dir, source, server.url, append(trust, "update")...)
		s.apt(dir, source, server.url, append(trust, "--download-only", "--yes", "install", "hello")...)
		if got, want := files(t, dir+"/cache/archives")[name], files(t, s.tree+upstreamBase+"/debs")[name]; got != want {
			t.Errorf("apt has %q, upstream %q", got, want)
		}
		s.awaitFile("/fedora/debs/" + name)
	}
	if n := up.Count("GET", "*.deb"); n != 1 {
		t.Errorf("upstream was asked %d times", n)
	}
}
