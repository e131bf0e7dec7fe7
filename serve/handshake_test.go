package serve

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestInterceptedHandshake holds what a client meets that does not take part, and
// what the administrator is told of it.
func TestInterceptedHandshake(t *testing.T) {
	c, other := newCA(t), newCA(t)
	for _, tt := range []struct {
		name   string
		speak  func(conn net.Conn) error
		fails  string // what the client sees
		result string
		detail string
		log    string
	}{
		{"another CA is trusted", func(conn net.Conn) error {
			return tls.Client(conn, &tls.Config{RootCAs: other.pool, ServerName: "dl.test"}).Handshake()
		}, "unknown authority", "refused", "certificate-refused", "a client does not trust this mirror's CA"},
		{"another CA is trusted, and said so in the clear", func(conn net.Conn) error {
			// The server's certificate is on its way; the client has no key yet.
			tls.Client(helloOnly{conn}, &tls.Config{ServerName: "dl.test", RootCAs: c.pool}).Handshake()
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				return err
			}
			conn.Write([]byte{21, 3, 3, 0, 2, 2, 48})
			if _, err := io.Copy(io.Discard, conn); err != nil {
				return err
			}
			return io.EOF
		}, "", "refused", "certificate-refused", `error="remote error: tls: unknown certificate authority"`},
		{"another CA is trusted, and the client leaves without a word", func(conn net.Conn) error {
			tls.Client(helloOnly{conn}, &tls.Config{ServerName: "dl.test", RootCAs: c.pool}).Handshake()
			if _, err := conn.Read(make([]byte, 1)); err != nil {
				return err
			}
			conn.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, conn)
			return io.EOF
		}, "", "refused", "certificate-refused", `error="it left when it was shown the certificate"`},
		{"the certificate is looked at afterwards", func(conn net.Conn) error {
			if err := tls.Client(conn, &tls.Config{InsecureSkipVerify: true, ServerName: "dl.test"}).Handshake(); err != nil {
				return err
			}
			conn.Close()
			return io.EOF
		}, "", "unused", "intercepted", "perhaps it does not trust this mirror's CA"},
		{"another name within", func(conn net.Conn) error {
			return tls.Client(conn, &tls.Config{RootCAs: c.pool, ServerName: "bank.test"}).Handshake()
		}, "unrecognized name", "failed", "handshake-failed", "asked_for=bank.test"},
		{"HTTP/2 alone", func(conn net.Conn) error {
			return tls.Client(conn, &tls.Config{RootCAs: c.pool, ServerName: "dl.test", NextProtos: []string{"h2"}}).Handshake()
		}, "no application protocol", "failed", "handshake-failed", "came to nothing"},
		{"no TLS", func(conn net.Conn) error {
			io.WriteString(conn, "GET / HTTP/1.1\r\nHost: dl.test\r\n\r\n")
			_, err := http.ReadResponse(bufio.NewReader(conn), nil)
			return err
		}, "", "failed", "handshake-failed", "came to nothing"},
		{"nothing", func(conn net.Conn) error { conn.Close(); return io.EOF }, "EOF", "failed", "handshake-failed", "came to nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{ca: c, repo: dlTest})
			for range 2 {
				if err := tt.speak(m.connected("dl.test:443")); err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("the client sees %v", err)
				}
			}
			m.awaitSample(`imserve_intercepted_total{result="`+tt.result+`"}`, "2")
			for _, l := range m.lines() {
				if strings.Contains(l, "CONNECT") && !strings.Contains(l, "imserve; detail="+tt.detail) {
					t.Error(l)
				}
			}
			log := m.log.String()
			if n := strings.Count(log, tt.log); n != 1 {
				t.Errorf("said %d times:\n%s", n, log)
			}
			if tt.result == "refused" && !strings.Contains(log, c.Fingerprint()) {
				t.Error("the log does not say which CA it is")
			}
			if got := m.server.missed.list(); len(got) > 0 || len(m.up.Requests()) > 0 {
				t.Errorf("missed %+v, asked %q", got, m.up.Lines("", "*"))
			}
		})
	}
}

// helloOnly is a connection by which a client says hello, and hears nothing.
type helloOnly struct{ net.Conn }

func (helloOnly) Read([]byte) (int, error) { return 0, io.EOF }
