package serve

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestTraversal: no spelling of a path leads out of what it is asked for: not out of the
// cache's folder, not into what in it is the cache's own, not from one repository into
// another, and not out of a repository's part of its upstream, whichever form the request
// has and whatever fields say of another path.
func TestTraversal(t *testing.T) {
	const secret = "what nobody may have"
	// A host of which one part is the repository, and the rest anybody's.
	alias := testrepo.Start(t, t.TempDir())
	m := newMirror(t, setup{
		config: loopback + "[[repo]]\nname = \"other\"\nupstreams = [\"http://127.0.0.1:1/other\"]\n",
		repo:   "aliases = [\"" + alias.URL + "/pub/r\"]\n",
	})
	m.put(pkg, rpm(1000, 1))
	m.prime(pkg)
	outside := append(rpm(100, 2), secret...)
	err := errors.Join(
		m.up.Put("/secret.rpm", outside), m.up.Put("/rr/secret.rpm", outside),
		os.MkdirAll(filepath.Join(m.dir, "other"), 0o755),
		os.WriteFile(filepath.Join(m.dir, "other/secret.rpm"), outside, 0o644), // of which nobody asked as other's
		os.WriteFile(filepath.Join(m.dir, ".im/secret.rpm"), outside, 0o644),
		os.WriteFile(filepath.Join(m.dir, "../secret.rpm"), outside, 0o644),
		os.WriteFile(filepath.Join(m.dir, "secret.rpm"), outside, 0o644),
	)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(m.addr)
	if err != nil {
		t.Fatal(err)
	}
	// What leads up, and what parts names, each as somebody on the way may take it.
	ups := []string{
		"..", "%2e%2e", ".%2E", "%252e%252e", "%25252e%25252e", "%c0%ae%c0%ae", "%e0%80%ae%e0%80%ae", "%f0%80%80%ae.", "..%00", "%00..", "..;", "..;x=y", "..%20", "..%09",
		"...", "....", "%uff0e%uff0e", "%ef%bc%8e%ef%bc%8e", "..%ef%bb%bf", "%2e%2e%00", ".\x00.", "..\xff", "%%32e%%32e",
	}
	slashes := []string{"/", "//", "/./", "%2f", "%2F", "%252f", "\\", "%5c", "%255C", "/%5c", "%c0%af", "%e0%80%af", "%c1%9c", "%u2215", "%ef%bc%8f"}
	for _, begin := range []string{
		"/r/", "/r/os/Packages/", "/", "//r/", alias.URL + "/pub/r/", "http://mirror.test:" + port + "/r/", "/r/%2e/", "/-/", "/-/setup/", "/r/os/repodata/",
	} {
		depth := strings.Count(strings.TrimPrefix(begin, "http:/"), "/")
		for _, up := range ups {
			for _, slash := range slashes {
				for _, rest := range []string{"secret.rpm", ".im" + slash + "secret.rpm", "rr" + slash + "secret.rpm"} {
					line := begin + strings.Repeat(up+slash, depth) + rest
					r := m.send("GET " + line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
					if bytes.Contains(r.body, []byte(secret)) {
						t.Errorf("%q: %s, with what nobody may have", line, r.Status)
					}
				}
			}
			if t.Failed() {
				return
			}
		}
	}
	for _, field := range []string{
		"X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Forwarded-Uri", "X-Forwarded-Host", "X-Forwarded-For", "X-Accel-Redirect",
		"X-Sendfile", "Forwarded", "Destination", "Content-Location", "X-HTTP-Method-Override", "Referer", "Via",
	} {
		for _, value := range []string{"/../secret.rpm", "/.im/secret.rpm", "/other/secret.rpm", "../../secret.rpm", "%2e%2e/secret.rpm"} {
			for _, asked := range []string{"/r/" + pkg, "/", "/r/os/none.rpm", "/-/"} {
				r := m.get(asked, field, value)
				if bytes.Contains(r.body, []byte(secret)) || asked == "/r/"+pkg && (r.StatusCode != 200 || len(r.body) != 1000) {
					t.Errorf("%s with %s: %s: %s, %d bytes", asked, field, value, r.Status, len(r.body))
				}
			}
		}
	}
	// What became of it all: what is stored lies in the repository, and upstream was asked
	// for nothing beside it, as one reads it who decodes once.
	for _, name := range m.files() {
		if !strings.HasPrefix(name, "r/") && name != "other/secret.rpm" && name != "secret.rpm" {
			t.Errorf("stored: %q", name)
		}
	}
	if names, err := filepath.Glob(filepath.Join(m.dir, "../*")); err != nil || len(names) != 2 {
		t.Errorf("beside the cache's folder: %q, %v", names, err)
	}
	asked := m.up.Requests()
	if len(asked) == 0 {
		t.Error("upstream was asked for nothing at all")
	}
	for _, r := range asked {
		if !strings.HasPrefix(r.URI, "/r/") || !strings.HasPrefix(path.Clean(r.Path), "/r/") && path.Clean(r.Path) != "/r" {
			t.Errorf("upstream was asked for %q", r.URI)
		}
	}
}

// logLine is what slog's text handler makes of a record.
var logLine = regexp.MustCompile(`^time=\S+ level=[A-Z]+ msg=(?:"(?:[^"\\]|\\.)*"|\S+)(?: [\w.-]+=(?:"(?:[^"\\]|\\.)*"|[^\s"]*))*$`)

// TestControlBytes: NUL and each other byte that is no printable character, in every place
// of a request and in escaped form, is refused or passed on as what it is; no log has a
// line that a client has made, nor a byte that a terminal obeys, and nothing is stored
// under such a name.
func TestControlBytes(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nclients = [\"127.0.0.0/8\"]\n"})
	m.put(pkg, rpm(1000, 1))
	m.prime(pkg)
	forged := `127.0.0.9 - - [01/Jan/2026:00:00:00 +0000] "GET /r/forged.rpm HTTP/1.1" 200 5 "-" "-" "imserve; hit" 0.001`
	var odd []string
	for c := range 256 {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune("\"\\<>^`{|}%#", rune(c)) {
			odd = append(odd, string([]byte{byte(c)}))
		}
	}
	odd = append(odd, "\r\n", "\n"+forged+"\n", "\x1b[2J\x1b]0;x\x07", "\u202e", "\u2028", "\u0085", "\" 200 1 \"", "time=now level=ERROR msg=forged\n")
	hexed := func(s string) string {
		const digits = "0123456789abcdef"
		var b strings.Builder
		for _, c := range []byte(s) {
			b.WriteString("%" + string(digits[c>>4]) + string(digits[c&15]))
		}
		return b.String()
	}
	for _, s := range odd {
		for _, request := range []string{
			"GET /r/os/Packages/x" + s + "y.rpm HTTP/1.1\r\nHost: x\r\n",
			"GET /r/os/Packages/x" + hexed(s) + "y.rpm HTTP/1.1\r\nHost: x\r\n",
			"GET /r/os/none HTTP/1.1\r\nHost: x" + s + "y\r\n",
			"GET http://alias" + s + ".test/a.rpm HTTP/1.1\r\nHost: x\r\n",
			"GET http://127.0.0.1/" + hexed(s) + "a.rpm HTTP/1.1\r\nHost: x\r\n",
			"CONNECT x" + s + "y:443 HTTP/1.1\r\nHost: x\r\n",
			"CONNECT 127.0.0.1:8443" + s + " HTTP/1.1\r\nHost: x\r\n",
			"G" + s + "T /r/os/none HTTP/1.1\r\nHost: x\r\n",
			"GET /r/os/none HTTP/1.1" + s + "\r\nHost: x\r\n",
			"GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\nX" + s + "Y: z\r\n",
			"GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\nUser-Agent: a" + s + "b\r\nReferer: c" + s + "d\r\n",
			"GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 10.0.0.1" + s + "\r\nVia: 1.1 " + s + "\r\n",
			"GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\nAuthorization: Basic " + s + "\r\nCookie: " + s + "\r\n",
			"GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\nRange: bytes=0-9" + s + "\r\nIf-Range: " + s + "\r\n",
		} {
			// Whatever a request turns into, there is one that ends the connection.
			all := m.converse([]string{request + "Connection: close\r\n\r\n"}, "")
			if !bytes.HasPrefix(all, []byte("HTTP/1.")) && len(all) > 0 {
				t.Errorf("%q is answered %.200q", request, all)
			}
		}
	}
	if r := m.get(pkg); r.StatusCode != 200 || len(r.body) != 1000 || r.status() != "imserve; hit" {
		t.Errorf("then: %s, %d bytes, %s", r.Status, len(r.body), r.status())
	}
	for _, name := range m.files() {
		for _, c := range []byte(name) {
			if c < ' ' || c == 0x7f {
				t.Errorf("stored: %q", name)
			}
		}
	}
	for _, line := range m.lines() {
		if !combined.MatchString(line + "\n") {
			t.Errorf("not a line of the access log: %q", line)
		}
		if strings.HasPrefix(line, "127.0.0.9") {
			t.Errorf("a forged line: %q", line)
		}
	}
	for line := range strings.Lines(m.log.String()) {
		line = strings.TrimSuffix(line, "\n")
		if !logLine.MatchString(line) || strings.HasPrefix(line, "time=now") {
			t.Errorf("not a line of the log: %q", line)
		}
		for _, r := range line {
			if r < ' ' || r == 0x7f || r == '\u202e' || r == '\u2028' || r == '\u0085' {
				t.Errorf("a control character in %q", line)
			}
		}
	}
	for _, log := range []string{m.access.String(), m.log.String()} {
		if strings.ContainsAny(log, "\x00\x1b\x07\r\u202e\u2028\u0085") {
			t.Error("a log has a byte that a terminal obeys")
		}
	}
}
