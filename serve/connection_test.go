package serve

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestPipelinedMix holds that requests of all kinds which come at once are
// answered in turn, each with its own answer, and that the connection goes on
// behind them: behind errors too, and bodies that nobody wanted.
func TestPipelinedMix(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(2000, 1))
	m.put("os/notes", []byte("text"))
	m.prime(pkg)
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	requests := []struct {
		method, path, more string
		code, length       int
	}{
		{"GET", "/r/" + pkg, "", 200, 2000},
		{"HEAD", "/r/" + pkg, "", 200, 0},
		{"GET", "/r/os/none.rpm", "", 404, -1},
		{"POST", "/r/" + pkg, "Content-Length: 5\r\n\r\nGET /", 405, -1},
		{"GET", "/r/os/notes", "", 200, 4},
		{"PUT", "/-/healthz", "Content-Length: 3\r\n\r\nabc", 405, -1}, // a chunked one ends the connection: TestSmuggling
		{"GET", "/r/" + pkg, "If-None-Match: *\r\n\r\n", 304, 0},
		{"GET", "/r/" + pkg, "Range: bytes=5000-\r\n\r\n", 416, -1},
		{"GET", "/r/" + pkg, "Range: bytes=0-9\r\n\r\n", 206, 10},
		{"GET", "/-/healthz", "", 200, 3},
	}
	var all strings.Builder
	for _, r := range requests {
		more := r.more
		if more == "" {
			more = "\r\n"
		}
		fmt.Fprintf(&all, "%s %s HTTP/1.1\r\nHost: x\r\n%s", r.method, r.path, more)
	}
	in := bufio.NewReader(c)
	for range 2 {
		if _, err := io.WriteString(c, all.String()); err != nil {
			t.Fatal(err)
		}
		for i, r := range requests {
			resp, err := http.ReadResponse(in, &http.Request{Method: r.method})
			if err != nil {
				t.Fatalf("answer %d: %v", i, err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || resp.StatusCode != r.code || r.length >= 0 && n != int64(r.length) || resp.Close {
				t.Errorf("answer %d, to %s %s: %s, %d bytes, %v; want %d, %d", i, r.method, r.path, resp.Status, n, err, r.code, r.length)
			}
		}
	}
}

// TestPipelinedThrough holds that requests for a host and a repository which come at
// once are passed on in turn, their bodies with them, and each gets its own answer.
func TestPipelinedThrough(t *testing.T) {
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, r.Method, " ", r.URL.Path, " ", string(b), " ", err)
	})
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var all strings.Builder
	var want []string
	for i := range 6 {
		target := relays(host)[i%2]
		path := fmt.Sprintf("/%d", i)
		fmt.Fprintf(&all, "PUT %s%s HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nGET /GET %s%s HTTP/1.1\r\nHost: x\r\n\r\n", target, path, target, path)
		if target == "/q" {
			path = "/q" + path
		}
		want = append(want, "PUT "+path+" GET / <nil>", "GET "+path+"  <nil>")
	}
	if _, err := io.WriteString(c, all.String()); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(c)
	for i, want := range want {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != want {
			t.Errorf("answer %d: %s %q, %v; want %q", i, resp.Status, b, err, want)
		}
	}
}

// secure lets m speak TLS at another address, and returns that with what a client
// needs to trust it.
func (m *mirror) secure() (addr string, trusts *tls.Config) {
	m.t.Helper()
	// The certificate that the library's own tests use.
	lender := httptest.NewTLSServer(http.NotFoundHandler())
	defer lender.Close()
	cert := NewCertificate()
	cert.Use(&lender.TLS.Certificates[0])
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.server.Add(cert.Secure(l))
	pool := x509.NewCertPool()
	pool.AddCert(lender.Certificate())
	return l.Addr().String(), &tls.Config{RootCAs: pool, NextProtos: []string{"h2", "http/1.1"}}
}

// TestTLS holds that what is sent within TLS is what is sent without, and that a
// body which is broken off does not look whole where its end is the connection's.
func TestTLS(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(1_000_000, 1)
	m.put(pkg, body)
	m.prime(pkg)
	addr, trusts := m.secure()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: trusts, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://" + addr + "/r/" + pkg)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || string(got) != string(body) || resp.Header.Get("Cache-Status") != "imserve; hit" || resp.ProtoMajor != 1 {
		t.Errorf("%s, %d bytes, %v, %s", resp.Status, len(got), err, resp.Proto)
	}

	const other = "os/Packages/b-1-1.noarch.rpm"
	m.put(other, body)
	m.up.On("/r/"+other, testrepo.Chunked().With(testrepo.Stall(50_000)).With(testrepo.Cut(50_000)).Times(1), testrepo.Status(503))
	c, err := tls.Dial("tcp", addr, trusts.Clone())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /r/%s HTTP/1.0\r\n\r\n", other)
	if _, err := io.CopyN(io.Discard, c, 40_000); err != nil {
		t.Fatal(err)
	}
	m.release()
	if _, err := io.Copy(io.Discard, c); err == nil {
		t.Error("the connection ended as if the body were whole")
	}
}

// TestPlainWithoutCertificate holds that a listener which could have TLS speaks
// plain HTTP as long as there is no certificate.
func TestPlainWithoutCertificate(t *testing.T) {
	m := newMirror(t, setup{})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m.server.Add(NewCertificate().Secure(l))
	resp, err := m.http.Get("http://" + l.Addr().String() + "/-/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Error(resp.Status)
	}
}
