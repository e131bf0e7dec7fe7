package serve

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCleanPath(t *testing.T) {
	for _, tt := range []struct {
		path, want string
		bad        bool
	}{
		{path: "/", want: "/"},
		{path: "/r/a.rpm", want: "/r/a.rpm"},
		{path: "/r/a%2Bb.rpm", want: "/r/a%2Bb.rpm"},
		{path: "/r//a", want: "/r//a"},
		{path: "/r/./a", want: "/r/a"},
		{path: "/r/x/../a", want: "/r/a"},
		{path: "/../../r/a", want: "/r/a"},
		{path: "/r/%2e%2e/s", want: "/s"},
		{path: "/r/.%2E/s", want: "/s"},
		{path: "/r/%2e/s", want: "/r/s"},
		{path: "/r/..", want: "/"},
		{path: "/r/x/.", want: "/r/x/"},
		{path: "/r/...", want: "/r/..."},
		{path: "/r/..a", want: "/r/..a"},
		{path: "/r/%252e%252e/s", want: "/r/%252e%252e/s"},
		{path: "/r/x%2f..%2f..%2fs", bad: true},
		{path: "/r/%zz", bad: true},
		{path: "r", bad: true},
		{path: "", bad: true},
	} {
		got, ok := cleanPath(tt.path)
		if got != tt.want || ok == tt.bad {
			t.Errorf("cleanPath(%q) = %q, %v; want %q", tt.path, got, ok, tt.want)
		}
	}
}

// send sends a request as it is written, and reads the answer.
func (m *mirror) send(request string) reply {
	m.t.Helper()
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, request); err != nil {
		m.t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		m.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{resp, body, err}
}

// TestForms holds what becomes of each form that a request can have.
func TestForms(t *testing.T) {
	m := newMirror(t, setup{})
	m.put("os/notes", []byte("text"))
	_, port, err := net.SplitHostPort(m.addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, line string
		code       int
		body       string
	}{
		{"origin", "GET /r/os/notes", 200, "text"},
		{"two slashes", "GET //r/os/notes", 200, "text"},
		{"absolute, our address", "GET http://" + m.addr + "/r/os/notes", 200, "text"},
		{"absolute, localhost", "GET http://localhost:" + port + "/r/os/notes", 200, "text"},
		{"absolute, our name", "GET http://Mirror.test:" + port + "/r/os/notes", 200, "text"},
		{"absolute, our name without a path", "GET http://mirror.test:" + port, 200, "This is an IntelligentMirror."},
		{"absolute, our name, another port", "GET http://mirror.test:1/r/os/notes", 403, "This mirror does not lead to mirror.test:1: its port"},
		{"absolute, our address, https", "GET https://" + m.addr + "/r/os/notes", 403, "This mirror does not lead to " + m.addr + ": its address"},
		{"absolute, a port that http leaves out", "GET http://127.0.0.2/r/os/notes", 403, "This mirror does not lead to 127.0.0.2:80: its address"},
		{"absolute, another protocol", "GET ftp://example.org/", 501, "This mirror forwards http and https, nothing else."},
		{"absolute, a user", "GET http://me:secret@127.0.0.2/", 400, "This URL has no host that can be asked."},
		{"absolute, no host", "GET http:///os/notes", 400, "This URL has no host that can be asked."},
		{"absolute, no name", "GET http://a..b/os/notes", 400, "This URL has no host that can be asked."},
		{"absolute, an interface", "GET http://[fe80::1%25eth0]/os/notes", 400, "This URL has no host that can be asked."},
		{"absolute, no port", "GET http://127.0.0.2:0/os/notes", 400, "This URL has no host that can be asked."},
		{"no path at all", "GET x:y", 501, "This mirror forwards http and https, nothing else."},
		{"a tunnel to an address that is denied", "CONNECT 127.0.0.2:443", 403, "This mirror does not lead to 127.0.0.2:443: its address"},
		{"a tunnel to another port", "CONNECT 127.0.0.2:22", 403, "This mirror does not lead to 127.0.0.2:22: its port"},
		{"a tunnel without a port", "CONNECT 127.0.0.2", 400, "A tunnel leads to HOST:PORT."},
		{"a tunnel to nowhere", "CONNECT :443", 400, "A tunnel leads to HOST:PORT."},
		{"the server itself", "OPTIONS *", 204, ""},
		{"the top", "GET /", 200, "This is an IntelligentMirror."},
		{"the top, changed", "PUT /", 405, "PUT is not what this URL can be asked."},
		{"no repository", "GET /nothing/x", 404, "Not found: no repository of this mirror has this path."},
		{"our own directory", "GET /.im/cache.db", 404, "Not found: no repository"},
		{"a repository without its slash", "GET /r", 301, "It is at /r/"},
		{"a repository without its slash, with two before", "GET //r", 301, "It is at /r/"},
		{"escaped slashes that lead out", "GET /r/x%2f..%2f..%2fy", 400, "The path of this URL leads out of itself."},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := m.send(tt.line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
			if r.StatusCode != tt.code || !strings.HasPrefix(string(r.body), tt.body) || r.err != nil {
				t.Errorf("%s %q, %v; want %d %q", r.Status, r.body, r.err, tt.code, tt.body)
			}
			if !strings.HasPrefix(r.status(), "imserve") {
				t.Errorf("Cache-Status %q", r.status())
			}
			if tt.code == 501 && !strings.Contains(string(r.body), "baseurl=") {
				t.Errorf("no word on what to do: %q", r.body)
			}
			if tt.code == 301 && r.Header.Get("Location") != "/r/" {
				t.Errorf("Location %q", r.Header.Get("Location"))
			}
		})
	}
	if r := m.get("/nothing/x"); !strings.Contains(string(r.body), " /r/ /fedora/ ") {
		t.Errorf("the repositories are not named: %q", r.body)
	}
}

// FuzzPath holds that no path leads out of the cache directory, and that none
// is without an answer.
func FuzzPath(f *testing.F) {
	for _, p := range []string{
		"/r/os/a.rpm", "/r/../../../../etc/x.rpm", "/r/%2e%2e/%2e%2e/x.rpm", "/r/x%2f..%2f..%2f..%2fy.rpm", "/r/a%00.rpm", "/r/.rpm",
		"/r/.im/partial/x.rpm", "/.im/x.rpm", "//r//a.rpm", "/r/" + strings.Repeat("a", 300) + ".rpm", "/r/a.rpm/b.rpm", "/r/repodata/", "/-/", "/%2d/status.json",
		"/r/a\\..\\..\\b.rpm", "/r/" + strings.Repeat("d/", 200) + "a.rpm", "/fedora/a.rpm?x", "/r/\xff.rpm", "/r/a b.rpm", "http://x/r/a.rpm", "*",
	} {
		f.Add(p)
	}
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "600")
		_, _ = w.Write(rpm(600, 1)) // the mirror may have left
	}))
	f.Cleanup(up.Close)
	// Without the proxy, or the names of hosts would be looked up.
	m := newMirror(f, setup{config: fmt.Sprintf("[[repo]]\nname = \"q\"\nupstreams = [\"%s\"]\n[serve]\nproxy = false\n", up.URL)})
	above := filepath.Dir(m.dir)
	f.Fuzz(func(t *testing.T, path string) {
		path = strings.Replace(path, "/r/", "/q/", 1)
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n")))
		if err != nil {
			t.Skip("no request at all")
		}
		r.RemoteAddr = "127.0.0.1:1"
		w := httptest.NewRecorder()
		m.server.ServeHTTP(w, r)
		if w.Header().Get("Cache-Status") == "" {
			t.Errorf("%d without Cache-Status", w.Code)
		}
		entries, err := os.ReadDir(above)
		if err != nil || len(entries) != 1 {
			t.Fatalf("beside the cache directory: %v, %v", entries, err)
		}
		top, err := fs.Glob(os.DirFS(m.dir), "*")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range top {
			if name != "q" && name != ".im" {
				t.Fatalf("%q in the cache directory", name)
			}
		}
	})
}
