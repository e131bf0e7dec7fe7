package serve

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/authority"
	"intelligentmirror/internal/testrepo"
)

// ca is a CA, and what its clients trust.
type ca struct {
	*authority.Authority
	pool *x509.CertPool
}

// newCA makes a CA that vouches for these domains, or for all.
func newCA(t *testing.T, only ...string) *ca {
	t.Helper()
	dir := t.TempDir()
	n := authority.New{Cert: dir + "/ca.pem", Key: dir + "/ca.key", Only: only, Now: time.Now()}
	if err := authority.Create(n); err != nil {
		t.Fatal(err)
	}
	a, err := authority.Load(n.Cert, n.Key, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := os.ReadFile(n.Cert)
	if err != nil {
		t.Fatal(err)
	}
	c := &ca{a, x509.NewCertPool()}
	c.pool.AppendCertsFromPEM(pem)
	return c
}

// authority is nil where c is.
func (c *ca) authority() *authority.Authority {
	if c == nil {
		return nil
	}
	return c.Authority
}

// client asks by way of the mirror and trusts pool. Each has connections of its own.
func (m *mirror) client(pool *x509.CertPool) *http.Client {
	tr := &http.Transport{
		Proxy:              http.ProxyURL(&url.URL{Scheme: "http", Host: m.addr}),
		TLSClientConfig:    &tls.Config{RootCAs: pool},
		ForceAttemptHTTP2:  true,
		DisableCompression: true,
	}
	m.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: m.http.CheckRedirect}
}

// by makes a request for a whole URL with a client.
func (m *mirror) by(c *http.Client, method, address string, fields ...string) reply {
	m.t.Helper()
	req := m.request(method, "/", fields...)
	u, err := url.Parse(address)
	if err != nil {
		m.t.Fatal(err)
	}
	req.URL, req.Host = u, ""
	resp, err := c.Do(req)
	if err != nil {
		m.t.Fatalf("%s %s: %v", method, address, err)
	}
	defer resp.Body.Close()
	r := reply{Response: resp}
	r.body, r.err = io.ReadAll(resp.Body)
	return r
}

// within opens a tunnel that is intercepted, and speaks TLS as config has it in it.
func (m *mirror) within(address, name string, c *ca) *tls.Conn {
	m.t.Helper()
	conn := m.connected(address)
	secure := tls.Client(conn, &tls.Config{RootCAs: c.pool, ServerName: name})
	if err := secure.HandshakeContext(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	return secure
}

// connected is a connection on which CONNECT was answered, and nothing said since.
func (m *mirror) connected(address string, fields ...string) net.Conn {
	m.t.Helper()
	conn, err := net.Dial("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", address, address, strings.Join(fields, ""))
	// Byte by byte: what comes behind it is TLS's.
	var head []byte
	for !strings.HasSuffix(string(head), "\r\n\r\n") {
		b := make([]byte, 1)
		if _, err := io.ReadFull(conn, b); err != nil {
			m.t.Fatalf("%q, %v", head, err)
		}
		head = append(head, b...)
	}
	if !strings.HasPrefix(string(head), "HTTP/1.1 200 ") {
		m.t.Fatalf("CONNECT: %s", head)
	}
	return conn
}

// dlTest is a repository with https addresses whose names nobody looks up.
const dlTest = "aliases = [\"https://dl.test/pub/r\"]\n"

// unreachable is a mirror that intercepts for a host of its repository, and for one
// of its lists', where nobody answers; the host has a port.
func unreachable(t *testing.T, c *ca) (m *mirror, host string) {
	t.Helper()
	gone := testrepo.Start(t, t.TempDir())
	gone.Stop()
	_, port, _ := net.SplitHostPort(gone.Addr)
	host = "localhost:" + port
	return newMirror(t, setup{
		ca: c, config: loopback + "connect_ports = [443, " + port + "]\n",
		repo: "aliases = [\"https://" + host + "/pub/r\"]\nmetalink = \"https://" + gone.Addr + "/metalink?path={root}\"\n",
	}), host
}

// TestIntercept holds that a file which one client has asked for by https is a hit
// for the next, and that each answer is what a proxied request's would be.
func TestIntercept(t *testing.T) {
	c := newCA(t)
	m, host := unreachable(t, c)
	body := rpm(100_000, 1)
	m.put(pkg, body)
	address := "https://" + host + "/pub/r/" + pkg
	lists := strings.Replace(host, "localhost", "127.0.0.1", 1)
	nobody := "No route to host: " + host + " can't be asked"
	first := m.by(m.client(c.pool), http.MethodGet, address)
	if first.StatusCode != 200 || string(first.body) != string(body) || first.err != nil || first.status() != "imserve; fwd=uri-miss; stored" {
		t.Fatalf("%s, %d bytes, %v, %s", first.Status, len(first.body), first.err, first.status())
	}
	tag := m.prime(pkg).Header.Get("ETag")
	second := m.client(c.pool)
	for _, tt := range []struct {
		name, method, address string
		fields                []string
		code                  int
		status, body          string
	}{
		{"a hit", "GET", address, nil, 200, "imserve; hit", string(body)},
		{"in capitals", "GET", strings.Replace(address, "local", "LOCAL", 1), nil, 200, "imserve; hit", string(body)},
		{"a head", "HEAD", address, nil, 200, "imserve; hit", ""},
		{"a range", "GET", address, []string{"Range", "bytes=10-19"}, 206, "imserve; hit", string(body[10:20])},
		{"not modified", "GET", address, []string{"If-None-Match", tag}, 304, "imserve; hit", ""},
		{"not there", "GET", "https://" + host + "/pub/r/os/none.rpm", nil, 404, "imserve; fwd=uri-miss; fwd-status=404", "Not found: upstream has no r/os/none.rpm.\n"},
		{"not a file's method", "POST", address, nil, 502, "imserve; fwd=bypass", nobody},
		{"credentials", "GET", address, []string{"Authorization", "Basic eDp5"}, 502, "imserve; fwd=bypass", nobody},
		{"elsewhere on the host", "GET", "https://" + host + "/secret.rpm", nil, 502, "imserve; fwd=bypass", nobody},
		{"a page of ours is the host's", "GET", "https://" + host + "/-/status.json", nil, 502, "imserve; fwd=bypass", nobody},
		{"a metalink", "GET", "https://" + lists + "/metalink?path=os", nil, 502, "imserve; fwd=bypass", "No route to host: " + lists},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := m.by(second, tt.method, tt.address, tt.fields...)
			if r.StatusCode != tt.code || r.status() != tt.status || r.err != nil || r.Proto != "HTTP/1.1" {
				t.Errorf("%s %s, %s, %v", r.Proto, r.Status, r.status(), r.err)
			}
			if got := string(r.body); tt.body == "" && got != "" || !strings.HasPrefix(got, tt.body) {
				t.Errorf("%d bytes: %.100q", len(got), got)
			}
		})
	}
	if got := m.up.Lines("GET", "*"); !slices.Equal(got, []string{"GET /r/os/none.rpm 404"}) {
		t.Errorf("upstream was asked %q", got)
	}
	if files := m.files(); !slices.Equal(files, []string{"r/" + pkg}) {
		t.Errorf("stored: %q", files)
	}
	if got := m.server.missed.list(); len(got) > 0 {
		t.Errorf("missed %+v", got)
	}
	lines := m.lines()
	for _, want := range []string{
		`127.0.0.1 - - [`,
		`"CONNECT ` + host + ` HTTP/1.1" 200 0 "-" "Go-http-client/1.1" "imserve; detail=intercepted" `,
		`"GET ` + address + ` HTTP/1.1" 200 100000 "-" "Go-http-client/1.1" "imserve; hit" `,
		`"POST ` + address + ` HTTP/1.1" 502 `,
	} {
		if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
			t.Errorf("no line with %s in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

// TestInterceptRepositoriesOnly holds which tunnels are left alone.
func TestInterceptRepositoriesOnly(t *testing.T) {
	c, narrow := newCA(t), newCA(t, "other.test")
	learnt := func(host, path string) (string, string, bool) { return "r", "", host == "learnt.test" && path == "" }
	for _, tt := range []struct {
		name   string
		ca     *ca
		host   string
		port   int
		repo   string
		intern bool
	}{
		{"a repository's", c, "dl.test", 443, dlTest, true},
		{"a repository's, in capitals and with a root's dot", c, "DL.test.", 443, dlTest, true},
		{"one with http", c, "dl.test", 443, "aliases = [\"http://dl.test\"]\n", true},
		{"a pattern", c, "de.dl.test", 443, "aliases = [\"https://*.dl.test/r\"]\n", true},
		{"a list's", c, "lists.test", 443, "metalink = \"https://lists.test/metalink?path={root}\"\n", true},
		{"one that a list names", c, "learnt.test", 443, "", true},
		{"the port of a repository's URL", c, "dl.test", 8443, "aliases = [\"https://dl.test:8443/r\"]\n", true},
		{"an address", c, "192.0.2.7", 443, "aliases = [\"https://192.0.2.7/r\"]\n", true},
		{"an address of IPv6", c, "[2001:db8::7]", 443, "aliases = [\"https://[2001:db8::7]/r\"]\n", true},
		{"nobody's", c, "stranger.test", 443, dlTest, false},
		{"above a repository's", c, "test", 443, dlTest, false},
		{"another port", c, "dl.test", 8443, dlTest, false},
		{"the port of http", c, "dl.test", 80, dlTest, false},
		{"nobody vouches for it", narrow, "dl.test", 443, dlTest, false},
		{"switched off", nil, "dl.test", 443, dlTest, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{ca: tt.ca, repo: tt.repo, claims: learnt})
			host, port, ok := hostPort(fmt.Sprint(tt.host, ":", tt.port), "")
			if got := m.server.certified(host, port); !ok || (got != nil) != tt.intern {
				t.Errorf("intercepted: %v", got != nil)
			}
		})
	}
}

// TestInterceptedIsATunnelElsewhere holds that where a tunnel is left alone, the
// client meets the host itself, and that what was missed is still counted.
func TestInterceptedIsATunnelElsewhere(t *testing.T) {
	host := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "the host") }))
	t.Cleanup(host.Close)
	f := &farEnd{addr: strings.TrimPrefix(host.URL, "https://")}
	own := host.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	for _, tt := range []struct {
		name, repo string
		missed     int
		ca         *ca
	}{
		{"a host that is no repository's", dlTest, 0, newCA(t)},
		{"one that the CA does not vouch for", "aliases = [\"" + host.URL + "/r\"]\n", 1, newCA(t, "test")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{ca: tt.ca, config: f.config(), repo: tt.repo})
			client := m.client(own)
			if r := m.by(client, http.MethodGet, host.URL); string(r.body) != "the host" || r.status() != "" {
				t.Errorf("%q, %s", r.body, r.status())
			}
			client.CloseIdleConnections()
			m.awaitSample(`imserve_duration_seconds_count{outcome="tunnelled"}`, "1")
			if got := m.server.missed.list(); len(got) != tt.missed {
				t.Errorf("missed %+v", got)
			}
		})
	}
}

// TestInterceptionIsVerified holds that what is relayed from within comes from the
// host itself, or not at all.
func TestInterceptionIsVerified(t *testing.T) {
	posing := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "not the host") }))
	posing.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that is to fail
	posing.StartTLS()
	t.Cleanup(posing.Close)
	f := &farEnd{addr: strings.TrimPrefix(posing.URL, "https://")}
	c := newCA(t)
	m := newMirror(t, setup{ca: c, config: f.config(), repo: "aliases = [\"" + posing.URL + "/r\"]\n"})
	r := m.by(m.client(c.pool), http.MethodGet, posing.URL+"/metalink?repo=r")
	if r.StatusCode != 502 || !strings.Contains(string(r.body), "certificate") {
		t.Errorf("%s %q", r.Status, r.body)
	}
}

// TestInterceptKeepsTheRules holds that what may not be a tunnel is not intercepted
// either, and that no request within leads where none may.
func TestInterceptKeepsTheRules(t *testing.T) {
	c := newCA(t)
	for _, tt := range []struct {
		name, config, says string
		code               int
	}{
		{"no proxy", "[serve]\nproxy = false\n", "opens no tunnels", 403},
		{"the host", "[serve]\nconnect_hosts = [\"*.example.org\"]\n", "none of serve.connect_hosts", 403},
		{"the port", "[serve]\nconnect_ports = [8443]\n", "none of serve.connect_ports", 403},
		{"the client", "[serve]\nclients = [\"10.0.0.0/8\"]\nadmins = []\n", "Forbidden", 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{ca: c, config: tt.config, repo: dlTest})
			if r := m.send("CONNECT dl.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"); r.StatusCode != tt.code || !strings.Contains(string(r.body), tt.says) {
				t.Errorf("%s %q", r.Status, r.body)
			}
		})
	}
	t.Run("the address", func(t *testing.T) {
		far := testrepo.Start(t, t.TempDir())
		_, port, _ := net.SplitHostPort(far.Addr)
		m := newMirror(t, setup{ca: c, config: "[serve]\nconnect_ports = [" + port + "]\n", repo: "aliases = [\"https://" + far.Addr + "/r\"]\n"})
		if r := m.by(m.client(c.pool), http.MethodGet, "https://"+far.Addr+"/login"); r.StatusCode != 403 || !strings.Contains(string(r.body), "serve.proxy_deny") {
			t.Errorf("%s %q", r.Status, r.body)
		}
	})
}

// TestInterceptedRequests holds in which forms a host may be asked within, and that
// none leads to another host.
func TestInterceptedRequests(t *testing.T) {
	c := newCA(t)
	m, host := unreachable(t, c)
	m.put(pkg, rpm(100, 1))
	for _, tt := range []struct {
		name, request string
		code          int
	}{
		{"origin-form", "GET /pub/r/" + pkg + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 200},
		{"absolute-form", "GET https://" + host + "/pub/r/" + pkg + " HTTP/1.1\r\nHost: x\r\n\r\n", 200},
		{"HTTP/1.0", "GET /pub/r/" + pkg + " HTTP/1.0\r\n\r\n", 200},
		{"of the server", "OPTIONS * HTTP/1.1\r\nHost: " + host + "\r\nMax-Forwards: 0\r\n\r\n", 204},
		{"a file with a name like ours", "GET /-/healthz HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 502},
		{"another host", "GET /pub/r/" + pkg + " HTTP/1.1\r\nHost: other.test\r\n\r\n", 421},
		{"another port", "GET /pub/r/" + pkg + " HTTP/1.1\r\nHost: localhost:8443\r\n\r\n", 421},
		{"this mirror", "GET /-/status.json HTTP/1.1\r\nHost: " + m.addr + "\r\n\r\n", 421},
		{"another host's URL", "GET https://other.test/pub/r/" + pkg + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 421},
		{"another scheme's URL", "GET http://" + host + "/pub/r/" + pkg + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 421},
		{"a tunnel within", "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 421},
		{"two hosts", "GET / HTTP/1.1\r\nHost: " + host + "\r\nHost: " + host + "\r\n\r\n", 400},
		{"no host", "GET / HTTP/1.1\r\n\r\n", 400},
		{"going over", "GET / HTTP/1.1\r\nHost: " + host + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 502},
	} {
		t.Run(tt.name, func(t *testing.T) {
			conn := m.within(host, "localhost", c)
			if _, err := io.WriteString(conn, tt.request); err != nil {
				t.Fatal(err)
			}
			r, err := http.ReadResponse(bufio.NewReader(conn), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Body.Close()
			if r.StatusCode != tt.code {
				t.Errorf("%s", r.Status)
			}
		})
	}
	t.Run("nothing is read behind a body with two readings", func(t *testing.T) {
		conn := m.within(host, "localhost", c)
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /pub/r/%s HTTP/1.1\r\nHost: %[1]s\r\n\r\n", host, pkg)
		b, err := io.ReadAll(conn)
		if n := strings.Count(string(b), "HTTP/1.1 "); err != nil || n != 1 {
			t.Errorf("%d answers, %v: %q", n, err, b)
		}
	})
	t.Run("a header without end is not read", func(t *testing.T) {
		conn := m.within(host, "localhost", c)
		_, err := fmt.Fprintf(conn, "GET /pub/r/%s HTTP/1.1\r\nHost: %s\r\nX: %s\r\n\r\n", pkg, host, strings.Repeat("x", maxHeader+8<<10))
		if err == nil {
			// Who is still sending may find the connection broken in place of the answer.
			var r *http.Response
			if r, err = http.ReadResponse(bufio.NewReader(conn), nil); err == nil && r.StatusCode != 431 {
				t.Error(r.Status)
			}
		}
	})
	t.Run("several on one connection", func(t *testing.T) {
		conn := m.within(host, "localhost", c)
		in := bufio.NewReader(conn)
		for range 3 {
			fmt.Fprintf(conn, "GET /pub/r/%s HTTP/1.1\r\nHost: %s\r\n\r\n", pkg, host)
			r, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, r.Body); r.StatusCode != 200 || n != 100 || err != nil {
				t.Fatalf("%s, %d bytes, %v", r.Status, n, err)
			}
		}
	})
}

// TestInterceptedClient holds who is taken for the client within: whoever a proxy
// that is trusted names for the tunnel.
func TestInterceptedClient(t *testing.T) {
	c := newCA(t)
	m := newMirror(t, setup{ca: c, repo: dlTest})
	m.put(pkg, rpm(100, 1))
	conn := tls.Client(m.connected("dl.test:443", "X-Forwarded-For: 10.9.8.7\r\n"), &tls.Config{RootCAs: c.pool, ServerName: "dl.test"})
	fmt.Fprintf(conn, "GET /pub/r/%s HTTP/1.1\r\nHost: dl.test\r\nX-Forwarded-For: 10.1.1.1\r\nConnection: close\r\n\r\n", pkg)
	if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", b, err)
	}
	for _, l := range m.lines() {
		if !strings.HasPrefix(l, "10.9.8.7 ") {
			t.Error(l)
		}
	}
}

// TestInterceptOverTLS holds that a client which speaks TLS to the proxy too, and
// does not wait for its answer, is understood.
func TestInterceptOverTLS(t *testing.T) {
	c := newCA(t)
	m := newMirror(t, setup{ca: c, repo: dlTest})
	m.put(pkg, rpm(100, 1))
	addr, trusts := m.secure()
	outer, err := tls.Dial("tcp", addr, trusts)
	if err != nil {
		t.Fatal(err)
	}
	defer outer.Close()
	early := &eager{Conn: outer, in: bufio.NewReader(outer), head: "CONNECT dl.test:443 HTTP/1.1\r\nHost: dl.test\r\n\r\n"}
	conn := tls.Client(early, &tls.Config{RootCAs: c.pool, ServerName: "dl.test"})
	fmt.Fprintf(conn, "GET /pub/r/%s HTTP/1.0\r\n\r\n", pkg)
	if b, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(b), "HTTP/1.0 200 ") {
		t.Errorf("%q, %v", b, err)
	}
}

// eager is a connection whose first bytes go with a CONNECT before them, in one
// record, and whose answer to that is skipped.
type eager struct {
	net.Conn
	in   *bufio.Reader
	head string
	read bool
}

func (e *eager) Write(p []byte) (int, error) {
	head := e.head
	e.head = ""
	n, err := e.Conn.Write(append([]byte(head), p...))
	return max(n-len(head), 0), err
}

func (e *eager) Read(p []byte) (int, error) {
	if !e.read {
		e.read = true
		if _, err := http.ReadResponse(e.in, &http.Request{Method: http.MethodConnect}); err != nil {
			return 0, err
		}
	}
	return e.in.Read(p)
}

// TestInterceptStops holds that a server which stops lets answers within end, and
// waits for nobody who asks for nothing.
func TestInterceptStops(t *testing.T) {
	c := newCA(t)
	m := newMirror(t, setup{ca: c, repo: dlTest, grace: time.Hour})
	m.put(pkg, rpm(100_000, 1))
	m.up.On("*", testrepo.Stall(50_000))
	idle := m.within("dl.test:443", "dl.test", c)
	silent := m.connected("dl.test:443")
	busy := m.within("dl.test:443", "dl.test", c)
	fmt.Fprintf(busy, "GET /pub/r/%s HTTP/1.1\r\nHost: dl.test\r\n\r\n", pkg)
	m.stalled()
	m.stop()
	awaitRefusal(t, m.addr)
	for _, conn := range []net.Conn{idle, silent} {
		if b, err := io.ReadAll(conn); len(b) > 0 {
			t.Errorf("%q, %v", b, err)
		}
	}
	m.up.Release()
	r, err := http.ReadResponse(bufio.NewReader(busy), nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r.Body); err != nil || len(b) != 100_000 {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	m.close()
	if log := m.log.String(); strings.Contains(log, "broken off") {
		t.Error(log)
	}
}

// TestInterceptReconfigured holds that interception is switched off and on for the
// tunnels that come from then on, and that those which are open end soon.
func TestInterceptReconfigured(t *testing.T) {
	c := newCA(t)
	m, host := unreachable(t, c)
	m.put(pkg, rpm(100, 1))
	client := m.client(c.pool)
	address := "https://" + host + "/pub/r/" + pkg
	m.by(client, http.MethodGet, address)
	s := m.server.current.Load()
	m.server.Reconfigure(s.o.Config, s.o.Mirrors, nil, nil)
	if r := m.by(client, http.MethodGet, address); r.StatusCode != 200 || !r.Close {
		t.Errorf("%s, the connection stays: %v", r.Status, !r.Close)
	}
	if r := m.send("CONNECT " + host + " HTTP/1.1\r\nHost: x\r\n\r\n"); r.StatusCode != 502 {
		t.Errorf("no tunnel: %s", r.Status)
	}
	m.server.Reconfigure(s.o.Config, s.o.Mirrors, c.Authority, nil)
	if r := m.by(client, http.MethodGet, address); r.StatusCode != 200 || r.Close {
		t.Errorf("%s", r.Status)
	}
}
