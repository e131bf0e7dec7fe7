package serve

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// user is an address of loopback that nobody else in a test has: what is found of it
// in a log is a client's.
const user = "127.0.0.77"

// from is a dialer of that address.
func from(address string) *net.Dialer {
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
}

// TestNoAddressInTheLog: whatever clients do, and whatever becomes of it, the
// application log has no address of theirs; the access log has.
func TestNoAddressInTheLog(t *testing.T) {
	promised := rpm(3_000_000, 9)
	m := newMirror(t, setup{
		ca:      newCA(t),
		catalog: catalog{"os/Packages/wrong-1-1.noarch.rpm": promise(promised)},
		config:  "[serve]\nclients = [\"127.0.0.0/8\", \"192.0.2.0/24\"]\nintercept = false\n",
	})
	m.put(pkg, rpm(200_000, 1))
	m.put(repomd, []byte("<repomd/>"))
	m.put("os/Packages/wrong-1-1.noarch.rpm", rpm(3_000_000, 2))
	m.put("os/Packages/cut-1-1.noarch.rpm", rpm(300_000, 3))
	m.up.On("/r/os/Packages/cut-1-1.noarch.rpm", testrepo.Cut(100_000))
	m.up.On("/r/os/gone", testrepo.Status(404))
	m.up.On("/r/os/notes", testrepo.Reset(10))
	m.put("os/notes", []byte(strings.Repeat("text ", 1000)))

	direct := &http.Transport{DialContext: from(user).DialContext}
	proxied := &http.Transport{DialContext: from(user).DialContext, Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: m.addr}),
		TLSClientConfig: &tls.Config{}} // which does not trust the site's CA
	t.Cleanup(direct.CloseIdleConnections)
	t.Cleanup(proxied.CloseIdleConnections)
	// Whose answer has begun when the mirror cuts it.
	const cut = "os/Packages/begun-1-1.noarch.rpm"
	m.put(cut, rpm(300_000, 4))
	m.up.On("/r/"+cut, testrepo.Stall(50_000).With(testrepo.Cut(50_000)).Times(1), testrepo.Status(503))
	begun, err := from(user).Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer begun.Close()
	fmt.Fprintf(begun, "GET /r/%s HTTP/1.1\r\nHost: x\r\n\r\n", cut)
	if _, err := io.CopyN(io.Discard, begun, 40_000); err != nil {
		t.Fatal(err)
	}
	m.release()
	_, _ = io.Copy(io.Discard, begun)

	var all sync.WaitGroup
	ask := func(by *http.Transport, target string, fields ...string) {
		req := m.request(http.MethodGet, "/")
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		req.URL, req.Host = u, ""
		for i := 0; i+1 < len(fields); i += 2 {
			req.Header.Set(fields[i], fields[i+1])
		}
		all.Go(func() {
			if resp, err := by.RoundTrip(req); err == nil {
				_, _ = io.Copy(io.Discard, resp.Body) // some are broken off
				resp.Body.Close()
			}
		})
	}
	for range 3 {
		for _, path := range []string{pkg, repomd, "os/Packages/wrong-1-1.noarch.rpm", "os/Packages/cut-1-1.noarch.rpm", "os/gone", "os/notes", "os/"} {
			ask(direct, m.url+"/"+path)
			ask(direct, m.url+"/"+path, "X-Forwarded-For", "192.0.2.7")
			ask(direct, m.url+"/"+path, "X-Forwarded-For", "198.51.100.7") // who may not
		}
		ask(direct, "http://"+m.addr+"/-/")
		ask(proxied, "http://127.0.0.1:1/x.rpm")             // where nobody is led
		ask(proxied, "https://dl.fedoraproject.org/x.rpm")   // intercepted
		ask(proxied, "https://elsewhere.example.test/x.rpm") // a tunnel to nowhere
	}
	all.Wait()
	// Who leaves in the middle, speaks no HTTP, or speaks TLS badly.
	for _, text := range []string{
		"GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\n\r\n", "nonsense\r\n\r\n", "\x16\x03\x01\x00\x05hello",
		"CONNECT dl.fedoraproject.org:443 HTTP/1.1\r\nHost: x\r\n\r\n\x16\x03\x01\x00\x05hello",
	} {
		conn, err := from(user).Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, text)
		if err := conn.(*net.TCPConn).SetLinger(0); err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	m.close()
	log := m.log.String()
	for _, address := range []string{user, "192.0.2.7", "198.51.100.7"} {
		for line := range strings.Lines(log) {
			if strings.Contains(line, address) {
				t.Errorf("the log has %s: %s", address, line)
			}
		}
		if !strings.Contains(m.access.String(), address+" ") {
			t.Errorf("the access log lacks %s", address)
		}
	}
	for _, want := range []string{"a client was refused", "a place was refused", "an answer was broken off", "does not trust this mirror's CA"} {
		if !strings.Contains(log, want) {
			t.Errorf("the run was not as busy as it should be: nothing says %q\n%s", want, log)
		}
	}
}

// What the library says of a connection names nobody.
func TestLibraryLog(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a handshake", "http: TLS handshake error from 192.0.2.7:51000: EOF", "http: TLS handshake error from [address]: EOF"},
		{"IPv6", "http: TLS handshake error from [2001:db8::7]:51000: read tcp [2001:db8::1]:3180->[2001:db8::7]:51000: connection reset",
			"http: TLS handshake error from [address]: read tcp [address]->[address]: connection reset"},
		{"a link's own", "http: panic serving [fe80::7%eth0]:51000: x\n", "http: panic serving [address]: x"},
		{"nobody", "http: Accept error: too many open files; retrying in 5ms", "http: Accept error: too many open files; retrying in 5ms"},
	} {
		var b testrepo.Buffer
		libraryLog(slog.New(slog.NewTextHandler(&b, nil))).Print(c.text)
		if want := "level=WARN msg=\"" + c.want + "\"\n"; !strings.HasSuffix(b.String(), want) {
			t.Errorf("%s: %s, want %s", c.name, b.String(), want)
		}
	}
}

func TestNameless(t *testing.T) {
	to := &net.TCPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 51000}
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"a connection", &net.OpError{Op: "read", Net: "tcp", Source: to, Addr: to, Err: errors.New("reset")}, "read: reset"},
		{"an alert", &net.OpError{Op: remoteError, Err: errors.New("unknown CA")}, "remote error: unknown CA"},
		{"another", errors.New("text"), "text"},
	} {
		if got := nameless(c.err).Error(); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
