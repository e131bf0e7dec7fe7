package serve

import (
	"bytes"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// loopback is the configuration of a proxy whose hosts are all on this machine.
const loopback = "[serve]\nproxy_allow = [\"127.0.0.0/8\"]\n"

// ask is a request for a whole URL by way of the mirror; fields are pairs of a
// name and a value.
func (m *mirror) ask(method, address string, fields ...string) reply {
	m.t.Helper()
	req := m.request(method, "/", fields...)
	u, err := url.Parse(address)
	if err != nil {
		m.t.Fatal(err)
	}
	req.URL, req.Host = u, ""
	return m.do(m.proxied(req))
}

// proxied makes a request one that goes by way of the mirror.
func (m *mirror) proxied(req *http.Request) *http.Request {
	m.t.Helper()
	if m.http.Transport.(*http.Transport).Proxy == nil {
		m.http.Transport.(*http.Transport).Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: m.addr})
	}
	return req
}

// aside is another host, with files of its own, that the mirror is asked for.
func (m *mirror) aside(files map[string][]byte) *testrepo.Server {
	m.t.Helper()
	s := testrepo.Start(m.t, m.t.TempDir())
	for path, body := range files {
		if err := s.Put(path, body); err != nil {
			m.t.Fatal(err)
		}
	}
	return s
}

// TestProxySharesRepositories holds that a repository's file is one file, by
// whatever host it is asked for, and comes from the repository's own upstreams.
func TestProxySharesRepositories(t *testing.T) {
	var learnt string
	m := newMirror(t, setup{
		config: loopback,
		repo:   "aliases = [\"http://alias.test/pub/r\", \"http://*.mirrors.test/r\"]\nalias_paths = [\"/pub/linux/r\"]\n",
		claims: func(host, path string) (string, string, bool) {
			rest, ok := strings.CutPrefix(path, "/learnt/")
			return "r", rest, ok && host == learnt
		},
	})
	other := m.aside(nil)
	learnt = other.Addr
	body := rpm(3000, 1)
	m.put(pkg, body)
	m.put(repomd, []byte("<repomd/>"))
	if r := m.ask("GET", "http://alias.test/pub/r/"+pkg); !bytes.Equal(r.body, body) || r.status() != "imserve; fwd=uri-miss; stored" {
		t.Errorf("%s, %d bytes, Cache-Status %q", r.Status, len(r.body), r.status())
	}
	m.prime(pkg)
	for _, address := range []string{
		"http://alias.test/pub/r/" + pkg, "http://ALIAS.test:80/pub/r/" + pkg, "http://alias.test./pub/r//" + pkg,
		"http://de.mirrors.test/r/" + pkg, m.up.URL + "/r/" + pkg, m.up.URL + "/pub/linux/r/" + pkg,
		"http://" + other.Addr + "/learnt/" + pkg, "http://" + m.addr + "/r/" + pkg,
	} {
		if r := m.ask("GET", address); !bytes.Equal(r.body, body) || r.status() != "imserve; hit" {
			t.Errorf("%s: %s, Cache-Status %q", address, r.Status, r.status())
		}
	}
	if r := m.ask("HEAD", "http://alias.test/pub/r/"+pkg, "Range", "bytes=0-9"); r.ContentLength != 3000 || r.status() != "imserve; hit" {
		t.Errorf("HEAD: %s, %d bytes, Cache-Status %q", r.Status, r.ContentLength, r.status())
	}
	if r := m.ask("GET", "http://alias.test/pub/r/"+pkg, "Range", "bytes=1000-1999"); r.StatusCode != 206 || !bytes.Equal(r.body, body[1000:2000]) {
		t.Errorf("a range: %s, %d bytes", r.Status, len(r.body))
	}
	if r := m.ask("GET", "http://alias.test/pub/r/"+repomd); string(r.body) != "<repomd/>" {
		t.Errorf("metadata: %s %q", r.Status, r.body)
	}
	m.settle("http://alias.test/pub/r/" + repomd)
	if got := m.files(); len(got) != 2 || got[0] != "r/"+pkg || got[1] != "r/"+repomd {
		t.Errorf("stored: %q", got)
	}
	if n := len(other.Requests()); n != 0 {
		t.Errorf("the host that was named got %d requests", n)
	}
}

// TestMeantElsewhere holds that squid's clients get a repository's file also where
// squid asks its parent as if that were the repository's server, and that nobody
// else's request is taken for such a one.
func TestMeantElsewhere(t *testing.T) {
	m := newMirror(t, setup{config: loopback, repo: "aliases = [\"http://alias.test/pub/x\"]\n"})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	for _, tt := range []struct {
		name, path, header string
		code               int
	}{
		{"by way of squid", "/pub/x/" + pkg, "Host: alias.test\r\nVia: 1.1 squid.test (squid/5.7)", 200},
		{"without a proxy", "/pub/x/" + pkg, "Host: alias.test", 404},
		{"a host that is no repository's", "/pub/x/" + pkg, "Host: example.test\r\nVia: 1.1 squid.test", 404},
		{"a path that is no repository's", "/pub/y/" + pkg, "Host: alias.test\r\nVia: 1.1 squid.test", 404},
		{"no host", "/pub/x/" + pkg, "Host: a..b\r\nVia: 1.1 squid.test", 404},
		{"a loop", "/pub/x/" + pkg, "Host: alias.test\r\nVia: 1.1 " + m.server.via, 508},
	} {
		r := m.send("GET " + tt.path + " HTTP/1.1\r\n" + tt.header + "\r\nConnection: close\r\n\r\n")
		if r.StatusCode != tt.code || tt.code == 200 && (r.status() != "imserve; hit" || len(r.body) != 3000) {
			t.Errorf("%s: %s, Cache-Status %q, want %d", tt.name, r.Status, r.status(), tt.code)
		}
	}
	off := newMirror(t, setup{config: "[serve]\nproxy = false\n", repo: "aliases = [\"http://alias.test/pub/x\"]\n"})
	if r := off.send("GET /pub/x/" + pkg + " HTTP/1.1\r\nHost: alias.test\r\nVia: 1.1 squid.test\r\nConnection: close\r\n\r\n"); r.StatusCode != 404 {
		t.Errorf("where the proxy is off: %s", r.Status)
	}
}

// TestProxyStores holds what is kept of a host that is no repository's, under
// its own name, and what is only passed on.
func TestProxyStores(t *testing.T) {
	m := newMirror(t, setup{config: loopback})
	s := m.aside(map[string][]byte{
		"/x/a+b-1~rc.noarch.rpm":        rpm(3000, 1),
		"/x/repodata/repomd.xml":        []byte("<repomd/>"),
		"/os/.treeinfo":                 []byte("[general]\nfamily = Test\n"),
		"/os/images/pxeboot/vmlinuz":    rpm(4000, 2),
		"/os/images/pxeboot/initrd.img": rpm(5000, 3),
		"/os/LiveOS/squashfs.img":       rpm(6000, 4),
		"/index":                        []byte("text"),
		"/x/page.rpm":                   []byte("<html>log in</html>"),
	})
	at := "http://" + s.Addr
	var want []string
	for _, path := range []string{"/x/a+b-1~rc.noarch.rpm", "/x/repodata/repomd.xml", "/os/.treeinfo", "/os/images/pxeboot/vmlinuz", "/os/images/pxeboot/initrd.img", "/os/LiveOS/squashfs.img"} {
		if r := m.ask("HEAD", at+path); r.StatusCode != 200 || r.ContentLength <= 0 || len(r.body) != 0 {
			t.Errorf("HEAD %s, which is not stored: %s, %d bytes", path, r.Status, r.ContentLength)
		}
		first := m.ask("GET", at+path, "Cookie2", "x")
		if first.StatusCode != 200 || first.status() != "imserve; fwd=uri-miss; stored" {
			t.Errorf("%s: %s, Cache-Status %q", path, first.Status, first.status())
		}
		m.settle(at + path)
		n := s.Count("GET", path)
		for _, spelled := range []string{path, strings.ReplaceAll(path, "~", "%7E"), strings.ReplaceAll(path, "+", "%2B"), "/." + path, "/y/.." + path} {
			if r := m.ask("GET", at+spelled); !bytes.Equal(r.body, first.body) || r.status() != "imserve; hit" {
				t.Errorf("%s again: %s, Cache-Status %q", spelled, r.Status, r.status())
			}
		}
		if s.Count("GET", path) != n {
			t.Errorf("%s: the host was asked again", path)
		}
		want = append(want, "proxy/"+s.Addr+path)
	}
	for _, line := range s.Requests() {
		if line.Header.Get("Cookie2") != "" || line.Header.Get("Accept-Encoding") != "identity" || line.Header.Get("Via") == "" {
			t.Errorf("what is stored was asked for with %v", line.Header)
		}
	}
	for _, tt := range []struct {
		name, method, path string
		fields             []string
		code               int
	}{
		{"no package", "GET", "/index", nil, 200},
		{"a query", "GET", "/x/a+b-1~rc.noarch.rpm?token=1", nil, 200},
		{"an empty query", "GET", "/x/a+b-1~rc.noarch.rpm?", nil, 200},
		{"credentials", "GET", "/x/a+b-1~rc.noarch.rpm", []string{"Authorization", "Basic eDp5"}, 200},
		{"a cookie", "GET", "/x/a+b-1~rc.noarch.rpm", []string{"Cookie", "a=b"}, 200},
		{"another method", "PUT", "/x/a+b-1~rc.noarch.rpm", nil, 405},
		{"an escaped slash", "GET", "/x%2Fa.rpm", nil, 404},
		{"two slashes", "GET", "//x/a+b-1~rc.noarch.rpm", nil, 200},
	} {
		s.Forget()
		r := m.ask(tt.method, at+tt.path, tt.fields...)
		if r.StatusCode != tt.code || r.status() != "imserve; fwd=bypass" || r.Header.Get("Via") == "" {
			t.Errorf("%s: %s, Cache-Status %q", tt.name, r.Status, r.status())
		}
		got := s.Requests()
		if len(got) != 1 || got[0].URI != tt.path || got[0].Method != tt.method || len(tt.fields) > 0 && got[0].Header.Get(tt.fields[0]) != tt.fields[1] {
			t.Errorf("%s: the host got %+v", tt.name, got)
		}
	}
	if r := m.ask("GET", at+"/x/page.rpm"); r.StatusCode != http.StatusBadGateway {
		t.Errorf("a page in a package's place: %s", r.Status)
	}
	if r := m.ask("GET", at+"/x/none.rpm"); r.StatusCode != http.StatusNotFound {
		t.Errorf("nothing there: %s", r.Status)
	}
	slices.Sort(want)
	if got := m.files(); !slices.Equal(got, want) {
		t.Errorf("stored %q\nwant   %q", got, want)
	}
	// The mirror's own paths do not lead to what is stored for the proxy.
	if r := m.get("/proxy/" + s.Addr + "/index"); r.StatusCode != 404 {
		t.Errorf("by way of the mirror: %s", r.Status)
	}
}

// settle waits until the file of a URL is stored, and its download over: a request
// that comes before that shares it.
func (m *mirror) settle(address string) {
	m.t.Helper()
	for m.ask("HEAD", address).status() != "imserve; hit" || m.cache.Activity().Downloads > 0 {
	}
}

// TestProxyUnreachable holds what a client is told of a host that is not there,
// and that a stored file outlives its host.
func TestProxyUnreachable(t *testing.T) {
	m := newMirror(t, setup{config: loopback})
	s := m.aside(map[string][]byte{"/a.rpm": rpm(3000, 1)})
	at := "http://" + s.Addr
	m.ask("GET", at+"/a.rpm")
	m.settle(at + "/a.rpm")
	s.Stop()
	m.pass(2 * time.Hour)
	if r := m.ask("GET", at+"/a.rpm"); r.StatusCode != 200 || r.status() != "imserve; hit; detail=upstream-unreachable" {
		t.Errorf("%s, Cache-Status %q", r.Status, r.status())
	}
	for _, path := range []string{"/b.rpm", "/index"} {
		if r := m.ask("GET", at+path); r.StatusCode != 502 || !strings.HasPrefix(string(r.body), "No route to host: "+s.Addr+" can't be asked") {
			t.Errorf("%s: %s %q", path, r.Status, r.body)
		}
	}
}

// TestProxyDenied holds that no form of a request leads where proxy_deny forbids
// it, and that the log says how to allow it.
func TestProxyDenied(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nproxy_allow = [\"good.test\"]\nconnect_ports = [443, 8443]\nconnect_hosts = [\"*.Good.test\"]\n"})
	s := m.aside(map[string][]byte{"/a.rpm": rpm(3000, 1), "/index": []byte("text")})
	named := "localhost:" + s.Addr[strings.LastIndexByte(s.Addr, ':')+1:]
	for _, host := range []string{s.Addr, named} {
		for _, path := range []string{"/a.rpm", "/index", "/x/repodata/repomd.xml"} {
			r := m.ask("GET", "http://"+host+path)
			if r.StatusCode != 403 || !strings.Contains(string(r.body), "its address is one of serve.proxy_deny") || strings.Contains(string(r.body), "127.0.0.1") != (host == s.Addr) {
				t.Errorf("%s%s: %s %q", host, path, r.Status, r.body)
			}
		}
	}
	m.send("CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n")
	m.send("CONNECT 127.0.0.1:8443 HTTP/1.1\r\nHost: x\r\n\r\n")
	m.ask("GET", "http://127.0.0.1:25/")
	for _, want := range []string{
		`place=` + named + ` to_allow_it="proxy_allow = [\"good.test\", \"localhost\"]"`,
		`place=127.0.0.1:22 to_allow_it="connect_ports = [443, 8443, 22]"`,
		`place=127.0.0.1:25 to_allow_it="connect_ports = [443, 8443, 25]"`,
		`place=127.0.0.1:8443 to_allow_it="connect_hosts = [\"*.Good.test\", \"127.0.0.1\"]"`,
	} {
		if n := strings.Count(m.log.String(), want); n != 1 {
			t.Errorf("%d times in the log: %s\n%s", n, want, m.log)
		}
	}
	if n := len(s.Requests()); n != 0 || len(m.files()) != 0 {
		t.Errorf("%d requests got through, stored %q", n, m.files())
	}
	// What is configured as an upstream may be reached wherever it is.
	m.put("os/notes", []byte("text"))
	if r := m.ask("GET", m.up.URL+"/r/os/notes"); r.StatusCode != 200 || string(r.body) != "text" {
		t.Errorf("an upstream: %s %q", r.Status, r.body)
	}
}

// FuzzHost holds that what is taken for a host is one, and that the files of one
// host never lie among another's.
func FuzzHost(f *testing.F) {
	for _, x := range [][2]string{
		{"example.org", "/a.rpm"}, {"EXAMPLE.org.:80", "/x/../../y.rpm"}, {"[::1]:8080", "/%2e%2e/a.rpm"}, {"127.1", "//a.rpm"}, {"..", "/a.rpm"},
		{"a/b", "/a.rpm"}, {"host:0", "/"}, {"[fe80::1%25eth0]", "/a.rpm"}, {"\xff", "/a.rpm"}, {".im", "/a.rpm"}, {"::", "/x"},
	} {
		f.Add(x[0], x[1])
	}
	f.Fuzz(func(t *testing.T, authority, path string) {
		host, port, ok := hostPort(authority, "80")
		if !ok {
			return
		}
		text := hostText(host, port, "http")
		if u, err := url.Parse("http://" + text + "/"); err != nil || u.Host != text || port < 1 || port > 65535 {
			t.Fatalf("%q is taken for %q", authority, text)
		}
		if again, number, ok := hostPort(text, "80"); !ok || again != host || number != port {
			t.Errorf("%q is %q, and that is %q, %d", authority, text, again, number)
		}
		clean, ok := cleanPath(path)
		if !ok {
			return
		}
		if k, err := cache.NewKey(cache.Strangers, text+clean); err == nil && !strings.HasPrefix(k.Path, text+"/") {
			t.Errorf("%q on %q is stored as %q", path, text, k.Path)
		}
	})
}

// TestProxyOff holds that a mirror can be no proxy.
func TestProxyOff(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nproxy = false\nproxy_allow = [\"127.0.0.0/8\"]\n"})
	s := m.aside(map[string][]byte{"/a.rpm": rpm(100, 1)})
	m.put(pkg, rpm(100, 1))
	for line, code := range map[string]int{
		"GET http://" + s.Addr + "/a.rpm": 403, "CONNECT " + s.Addr: 403, "GET " + m.up.URL + "/r/" + pkg: 403, "GET http://" + m.addr + "/r/" + pkg: 200,
	} {
		if r := m.send(line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); r.StatusCode != code {
			t.Errorf("%s: %s", line, r.Status)
		} else if code == 403 && !strings.Contains(string(r.body), "baseurl=") {
			t.Errorf("%s: no word on what to do: %q", line, r.body)
		}
	}
	if n := len(s.Requests()); n != 0 {
		t.Errorf("%d requests got through", n)
	}
}

// TestProxyAccess holds that who is no client gets nothing from the proxy either,
// learns nothing, and that behind a proxy the client's own address decides.
func TestProxyAccess(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nclients = [\"192.0.2.0/24\"]\nadmins = []\nproxy_allow = [\"127.0.0.0/8\"]\n"})
	s := m.aside(map[string][]byte{"/a.rpm": rpm(100, 1)})
	for _, line := range []string{"GET http://" + s.Addr + "/a.rpm", "CONNECT " + s.Addr, "GET http://10.0.0.1/", "CONNECT 10.0.0.1:443", "CONNECT x", "GET ftp://x/"} {
		for _, forwarded := range []string{"198.51.100.7", "192.0.2.7, 198.51.100.7"} {
			r := m.send(line + " HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: " + forwarded + "\r\nConnection: close\r\n\r\n")
			if r.StatusCode != 403 || string(r.body) != "Forbidden\n" {
				t.Errorf("%s for %s: %s %q", line, forwarded, r.Status, r.body)
			}
		}
	}
	r := m.ask("GET", "http://"+s.Addr+"/a.rpm", "X-Forwarded-For", "198.51.100.7, 192.0.2.7")
	if r.StatusCode != 200 {
		t.Errorf("a client: %s", r.Status)
	}
	// Not even by way of the proxy does a page for administrators show.
	if r := m.ask("GET", "http://"+m.addr+"/-/status.json", "X-Forwarded-For", "192.0.2.7"); r.StatusCode != 403 {
		t.Errorf("status: %s", r.Status)
	}
	lines := strings.Join(m.lines(), "\n")
	if !strings.Contains(lines, "192.0.2.7 - - [") {
		t.Errorf("the client's address is not logged: %s", lines)
	}
}

// TestProxyLoop holds that what has come through this server before goes no
// further, in each form that a request has.
func TestProxyLoop(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nproxy_allow = [\"127.0.0.0/8\"]\n"})
	_, port, _ := strings.Cut(m.addr, ":")
	for _, line := range []string{"GET http://10.0.0.1/", "GET http://10.0.0.1/a.rpm", "CONNECT 10.0.0.1:443"} {
		if r := m.send(line + " HTTP/1.1\r\nHost: x\r\nVia: 1.1 " + m.server.via + "\r\nConnection: close\r\n\r\n"); r.StatusCode != 508 {
			t.Errorf("%s: %s", line, r.Status)
		}
	}
	// An address of this machine that is not the one which the client came by.
	for path, code := range map[string]int{"/r/os/notes": 508, "/a.rpm": 502, "/-/status.json": 508} {
		if r := m.ask("GET", "http://127.0.0.1.:"+port+path); r.StatusCode != code {
			t.Errorf("%s: %s %q", path, r.Status, r.body)
		}
	}
}
