package systest

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// curl asks by way of the proxy, and returns what curl printed.
func (s *server) curl(at *site, args ...string) string {
	s.t.Helper()
	return at.command(testrepo.Program(s.t, "curl"), append([]string{"--silent", "--show-error", "--max-time", "120", "--proxy", s.url, "--noproxy", ""}, args...)...)
}

// TestCurlThroughTheProxy holds the forms in which curl asks a proxy.
func TestCurlThroughTheProxy(t *testing.T) {
	echo := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %v %s", r.Method, r.RequestURI, digest(b), err, r.Header.Get("Expect"))
	})
	plain, secret := httptest.NewServer(echo), httptest.NewTLSServer(echo)
	t.Cleanup(plain.Close)
	t.Cleanup(secret.Close)
	port := secret.URL[strings.LastIndexByte(secret.URL, ':')+1:]
	plainPort := plain.URL[strings.LastIndexByte(plain.URL, ':')+1:]
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]\nconnect_ports = ["+port+", "+plainPort+"]")
	big := testrepo.Spec{Name: "big", Version: "1", Release: "1", Size: 1 << 20}
	s.publish([]testrepo.Spec{big})
	server := s.serve()
	address := s.base + upstreamRoot + "/" + big.Location()
	want, err := os.ReadFile(filepath.Join(s.repo, big.Location()))
	if err != nil {
		t.Fatal(err)
	}
	first := server.curl(s, "--dump-header", s.dir+"/header", address)
	if first != string(want) {
		t.Errorf("GET: %d bytes", len(first))
	}
	s.awaitFile("/" + rootName + "/" + big.Location())
	header := func() string {
		b, err := os.ReadFile(s.dir + "/header")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if h := header(); !strings.Contains(h, "Cache-Status: imserve; fwd=uri-miss; stored\r\n") {
		t.Errorf("GET: %s", h)
	}
	if got := server.curl(s, "--dump-header", s.dir+"/header", "--range", "1000-1999", address); got != string(want[1000:2000]) || !strings.Contains(header(), "Cache-Status: imserve; hit\r\n") {
		t.Errorf("a range: %d bytes, %s", len(got), header())
	}
	if got := server.curl(s, "--head", address); !strings.Contains(got, fmt.Sprintf("Content-Length: %d\r\n", len(want))) {
		t.Errorf("HEAD: %s", got)
	}
	// An upload whose length nobody knows before, which curl sends once it is asked to.
	upload := bytes.Repeat([]byte("upload "), 300_000)
	s.write(s.dir+"/upload", string(upload))
	for _, form := range [][]string{
		{"--upload-file", s.dir + "/upload"},
		{"--upload-file", s.dir + "/upload", "--header", "Transfer-Encoding: chunked", "--header", "Expect: 100-continue"},
		{"--upload-file", s.dir + "/upload", "--http1.0"},
	} {
		got := server.curl(s, append(form, plain.URL+"/a%2Fb?q")...)
		if want := "PUT /a%2Fb?q " + digest(upload) + " <nil>"; !strings.HasPrefix(got, want) || len(form) == 5 && !strings.HasSuffix(got, "100-continue") {
			t.Errorf("%q: %s, want %s", form, got, want)
		}
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secret.Certificate().Raw})
	s.write(s.dir+"/ca.pem", string(cert))
	if got := server.curl(s, "--cacert", s.dir+"/ca.pem", "--data", "x", secret.URL+"/secret"); !strings.HasPrefix(got, "POST /secret ") {
		t.Errorf("CONNECT: %s", got)
	}
	if got := server.curl(s, "--proxytunnel", "--data", "x", plain.URL+"/plain"); !strings.HasPrefix(got, "POST /plain ") {
		t.Errorf("CONNECT for what is not secret: %s", got)
	}
	if got := server.curl(s, "--output", "/dev/null", "--write-out", "%{http_code}", "http://169.254.169.254/"); got != "403" {
		t.Errorf("a place where nobody may go: %s", got)
	}
	server.stop()
	// curl may leave without waiting for the last of TLS, which shows as a broken connection.
	if log := s.accessLog(); !slices.ContainsFunc(log, func(l accessLine) bool {
		return l.path == "127.0.0.1:"+port && l.status == "200" && strings.HasPrefix(l.outcome, "imserve; fwd=bypass")
	}) {
		t.Errorf("no tunnel in the log: %+v", log)
	}
}

// TestInstallThroughTheProxy: dnf with proxy= and the address of a mirror that
// nobody has configured. The metadata is that mirror's, and so the packages are
// those which the night has brought: nobody is asked for them.
func TestInstallThroughTheProxy(t *testing.T) {
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]", "[sync]\ntop = 0\npackages = [\"mplayer\"]\nroots = [\""+rootName+"\"]")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.createrepo()
	s.once()
	s.up.Stop()
	asked := len(s.up.Requests())
	stranger := testrepo.Start(t, s.tree)

	server := s.serve()
	m := s.machine(stranger.URL + upstreamRoot)
	m.dnf("--setopt=proxy="+server.url, "install", "mplayer")
	if name := version(t, specs, "mplayer"); !slices.Contains(m.installed(), name) {
		t.Errorf("%s is not installed; there is %q", name, m.installed())
	}
	if n := len(s.up.Requests()); n != asked {
		t.Errorf("upstream was asked %d times more", n-asked)
	}
	if n := stranger.Count("", "*.rpm"); n != 0 {
		t.Errorf("the mirror was asked for %d packages", n)
	}
	if n := stranger.Count("", "*/repomd.xml"); n != 1 {
		t.Errorf("the mirror was asked for its metadata %d times", n)
	}
	server.stop()
	packages := 0
	for _, l := range s.accessLog() {
		if !strings.HasSuffix(l.path, ".rpm") {
			continue
		}
		packages++
		if !strings.HasPrefix(l.path, stranger.URL) || l.status != "200" || l.outcome != "imserve; hit" {
			t.Errorf("not a hit: %+v", l)
		}
	}
	if packages == 0 {
		t.Error("dnf did not ask the proxy")
	}
}

// TestInstallFromTheLikeOfIt: another distribution has the same packages by
// name, version and place, and other bytes. Its clients get its own.
func TestInstallFromTheLikeOfIt(t *testing.T) {
	s := newSite(t, "[serve]\nproxy_allow = [\"127.0.0.1\"]", "[sync]\ntop = 0\npackages = [\"mplayer\"]\nroots = [\""+rootName+"\"]")
	specs := testrepo.Small(testrepo.Campus(1))
	s.publish(specs)
	s.once()

	dir := t.TempDir()
	for i := range specs {
		specs[i].BuildTime = time.Date(2024, 12, 1, 0, 0, 0, 0, time.UTC)
	}
	if err := testrepo.Build(dir+upstreamRoot, specs, testrepo.BuildOptions{Seed: 2}); err != nil {
		t.Fatal(err)
	}
	other := testrepo.Start(t, dir)
	server := s.serve()
	m := s.machine(other.URL + upstreamRoot)
	m.dnf("--setopt=proxy="+server.url, "install", "mplayer")
	received := m.received()
	subset(t, "dnf received", received, bases(files(t, dir)))
	if count(received, ".rpm") == 0 {
		t.Error("dnf keeps no package")
	}
	subset(t, "the cache", files(t, s.cached()), files(t, s.repo))
}
