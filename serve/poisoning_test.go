package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestPoisoning: what a client says besides the path, when it is the first to ask for a
// file, changes nothing for those who come after it: neither the bytes nor the fields of
// their answers, nor what upstream was asked for.
func TestPoisoning(t *testing.T) {
	evil := testrepo.Start(t, t.TempDir())
	clean := newMirror(t, setup{config: loopback})
	body := rpm(3000, 1)
	clean.put(pkg, body)
	clean.prime(pkg)
	plain := clean.get(pkg)
	fields := func(r reply) string {
		h := r.Header.Clone()
		for _, name := range []string{"Date", "Age", "Etag", "Last-Modified"} {
			h.Del(name)
		}
		return fmt.Sprint(h)
	}
	const line = " HTTP/1.1\r\n"
	get := "GET /r/" + pkg + line
	for _, tt := range []struct{ name, request string }{
		{"Host", get + "Host: " + evil.Addr + "\r\n"},
		{"Host and Via, as a proxy's", get + "Host: " + evil.Addr + "\r\nVia: 1.1 squid\r\n"},
		{"Host with a path", get + "Host: " + evil.Addr + "/r\r\n"},
		{"X-Forwarded-Host", get + "Host: x\r\nX-Forwarded-Host: " + evil.Addr + "\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 1\r\nForwarded: host=" + evil.Addr + "\r\n"},
		{"X-Original-URL", get + "Host: x\r\nX-Original-URL: /r/os/other.rpm\r\nX-Rewrite-URL: /r/os/other.rpm\r\n"},
		{"a method in a field", get + "Host: x\r\nX-HTTP-Method-Override: HEAD\r\nX-Method-Override: DELETE\r\n"},
		{"Range", get + "Host: x\r\nRange: bytes=5-9\r\n"},
		{"a range that can't be", get + "Host: x\r\nRange: bytes=9000-\r\n"},
		{"many ranges", get + "Host: x\r\nRange: bytes=" + strings.Repeat("0-1,", 500) + "0-1\r\n"},
		{"If-Range", get + "Host: x\r\nRange: bytes=5-\r\nIf-Range: \"x\"\r\n"},
		{"a condition that holds", get + "Host: x\r\nIf-None-Match: *\r\nIf-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"},
		{"a condition that fails", get + "Host: x\r\nIf-Match: \"x\"\r\n"},
		{"encodings", get + "Host: x\r\nAccept-Encoding: gzip, br, zstd\r\nTE: trailers, gzip\r\nAccept: text/html\r\nAccept-Language: x\r\nAccept-Charset: y\r\n"},
		{"credentials", get + "Host: x\r\nAuthorization: Basic eDp5\r\nCookie: a=b\r\nProxy-Authorization: Basic eDp5\r\n"},
		{"Origin", get + "Host: x\r\nOrigin: http://evil.test\r\nAccess-Control-Request-Method: PUT\r\nReferer: http://evil.test/\r\n"},
		{"directives", get + "Host: x\r\nCache-Control: no-store, max-age=0\r\nPragma: no-cache\r\n"},
		{"HEAD", "HEAD /r/" + pkg + line + "Host: x\r\n"},
		{"a body", get + "Host: x\r\nContent-Length: 3\r\n\r\nabc"},
		{"a query", "GET /r/" + pkg + "?x=1" + line + "Host: x\r\n"},
		{"a fragment", "GET /r/" + pkg + "#x" + line + "Host: x\r\n"},
		{"HTTP/1.0", "GET /r/" + pkg + " HTTP/1.0\r\n"},
		{"PUT", "PUT /r/" + pkg + line + "Host: x\r\nContent-Length: 3\r\n\r\nabc"},
		{"DELETE", "DELETE /r/" + pkg + line + "Host: x\r\n"},
		{"PURGE", "PURGE /r/" + pkg + line + "Host: x\r\n"},
		{"another host that has such a path", "GET " + evil.URL + "/r/" + pkg + line + "Host: x\r\n"},
		{"another host, and Host ours", "GET " + evil.URL + "/r/" + pkg + line + "Host: mirror.test\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{config: loopback})
			m.put(pkg, body)
			m.put("os/other.rpm", rpm(3000, 3))
			if err := evil.Put("/r/"+pkg, rpm(3000, 2)); err != nil {
				t.Fatal(err)
			}
			request := tt.request
			if head, rest, ok := strings.Cut(request, "\r\n\r\n"); ok {
				request = head + "\r\nConnection: close\r\n\r\n" + rest
			} else {
				request += "Connection: close\r\n\r\n"
			}
			if all := m.converse([]string{request}, ""); !bytes.HasPrefix(all, []byte("HTTP/1.")) {
				t.Fatalf("it is answered %.200q", all)
			}
			m.prime(pkg)
			r := m.get(pkg)
			if r.StatusCode != http.StatusOK || !bytes.Equal(r.body, body) {
				t.Errorf("the next client gets %s, %d bytes, other ones", r.Status, len(r.body))
			}
			if fields(r) != fields(plain) {
				t.Errorf("the next client gets %v\nwhere nobody had asked before: %v", r.Header, plain.Header)
			}
			if got := m.stored(pkg); !bytes.Equal(got, body) {
				t.Errorf("stored: %d other bytes", len(got))
			}
			for _, q := range evil.Requests() {
				if !strings.Contains(tt.request, "GET "+evil.URL) {
					t.Errorf("the host that was named got %s %s", q.Method, q.URI)
				}
			}
			evil.Forget()
		})
	}
}

// TestPoisonedWords: what upstream was asked for by what is stored is made by the mirror
// alone.
func TestPoisonedWords(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.get(pkg, "Cookie", "a=b", "Authorization", "Basic eDp5", "Accept-Encoding", "gzip", "X-Forwarded-Host", "evil.test", "Range", "bytes=0-9",
		"If-None-Match", `"x"`, "User-Agent", "evil", "Accept-Language", "x", "X-Any", "thing", "Referer", "http://evil.test/", "Origin", "http://evil.test")
	requests := m.up.Requests()
	if len(requests) == 0 {
		t.Fatal("upstream was not asked")
	}
	for _, r := range requests {
		for name, values := range r.Header {
			switch name {
			case "Accept", "Accept-Encoding", "User-Agent", "Via", "Connection", "Te":
				if s := strings.Join(values, ","); strings.Contains(s, "evil") || strings.Contains(s, "gzip") {
					t.Errorf("%s: %s", name, s)
				}
			default:
				t.Errorf("upstream was asked with %s: %q", name, values)
			}
		}
	}
}

// TestLeadsNowhere: no way to write an address of this machine, in no form of a request,
// gets a proxied request there, nor does a redirect of a host that is allowed.
func TestLeadsNowhere(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nproxy_deny = [\"127.0.0.1\", \"::1\", \"169.254.0.0/16\"]\nconnect_ports = [443, 1024]\n"})
	inner := testrepo.Start(t, t.TempDir())
	for _, path := range []string{"/a.rpm", "/x", "/repodata/repomd.xml"} {
		if err := inner.Put(path, append(rpm(100, 1), "secret"...)); err != nil {
			t.Fatal(err)
		}
	}
	port := inner.Addr[strings.LastIndexByte(inner.Addr, ':'):]
	hosts := []string{
		"127.0.0.1", "127.0.0.1.", "localhost", "LOCALHOST", "localhost.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::FFFF:7f00:1]", "[::127.0.0.1]",
		"0.0.0.0", "[::]", "[::ffff:0.0.0.0]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::1%25lo]", "good.test@127.0.0.1", "good.test:80@127.0.0.1", "127.0.0.1%00.good.test",
		"127.0.0.1\\@good.test", "127.0.0.1#@good.test", "127.0.0.1%23.good.test", "127.0.0.1/@good.test", "%31%32%37.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "[::ffff:127.0.0.1%25x]",
	}
	for _, host := range hosts {
		for _, request := range []string{
			"GET http://" + host + port + "/a.rpm", "GET HTTP://" + host + port + "/x", "GET http://" + host + port + "/repodata/repomd.xml", "POST http://" + host + port + "/x",
			"OPTIONS http://" + host + port, "HEAD http://" + host + port + "/a.rpm", "TRACE http://" + host + port + "/x", "GET http:\\\\" + host + port + "/x", "GET //" + host + port + "/x",
			"GET ftp://" + host + port + "/x", "GET gopher://" + host + port + "/x", "GET file://" + host + "/etc/passwd", "GET http:" + host + port + "/x", "GET http:///" + host + port + "/x",
			"CONNECT " + host + port, "CONNECT " + host + ":443", "CONNECT http://" + host + port, "GET /r/http://" + host + port + "/x", "GET /http://" + host + port + "/x", "GET @" + host + port + "/x",
			"GET /proxy/" + host + port + "/a.rpm",
		} {
			all := m.converse([]string{request + " HTTP/1.1\r\nHost: " + inner.Addr + "\r\nVia: 1.1 squid\r\nConnection: close\r\n\r\n"}, "")
			if bytes.Contains(all, []byte("secret")) || bytes.Contains(all, []byte("root:")) || bytes.HasPrefix(all, []byte("HTTP/1.1 200")) && !strings.HasPrefix(request, "HEAD") {
				t.Errorf("%q is answered %.300q", request, all)
			}
		}
	}
	if n := len(inner.Requests()); n != 0 {
		t.Fatalf("%d requests came where none may: %+v", n, inner.Requests()[0])
	}

	// What the redirect of a repository's own upstream, or of a host, leads to.
	m.up.On("/r/os/away.rpm", testrepo.Redirect("file:///etc/passwd"))
	m.up.On("/r/os/gopher.rpm", testrepo.Redirect("gopher://127.0.0.1"+port+"/a.rpm"))
	for _, path := range []string{"os/away.rpm", "os/gopher.rpm"} {
		if r := m.do(m.request("GET", path)); r.StatusCode == 200 || bytes.Contains(r.body, []byte("root:")) {
			t.Errorf("%s: %s %.200q", path, r.Status, r.body)
		}
	}
	for _, name := range m.files() {
		t.Errorf("stored: %s", name)
	}
}
