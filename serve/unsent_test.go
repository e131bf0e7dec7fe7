package serve

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestAsleep: what the kernel keeps for a client that falls asleep in the middle of a large
// file is bounded, however the client came and who answers it.
func TestAsleep(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(16<<20, 1))
	m.prime(pkg)
	m.atHand(pkg)
	secure, trusts := m.secure()
	for _, tt := range []struct {
		name, addr, field string
		tls               bool
	}{
		{"past net/http", m.addr, "", false},
		{"by net/http", m.addr, "Connection: close\r\n", false},
		{"within TLS", secure, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", tt.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			over := c
			if tt.tls {
				config := trusts.Clone()
				config.ServerName = "example.com"
				over = tls.Client(c, config)
			}
			if _, err := io.WriteString(over, "GET /r/"+pkg+" HTTP/1.1\r\nHost: mirror\r\n"+tt.field+"\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(over), nil)
			if err != nil {
				t.Fatal(err)
			}
			// So much that it is taken for a fast one.
			if _, err := io.CopyN(io.Discard, resp.Body, 4<<20); err != nil {
				t.Fatal(err)
			}
			// Until no more comes. All of the file does not fit into both kernels.
			last, still := int64(0), 0
			for still < 100 {
				time.Sleep(time.Millisecond)
				if now := queued(t, c); now == last && now > 0 {
					still++
				} else {
					last, still = now, 0
				}
			}
			if last > 3*mostUnsent {
				t.Errorf("the kernel keeps %d bytes", last)
			}
		})
	}
}

// queued is how many bytes the kernel keeps at the other end of c, which is on this
// machine, that c's client has not got.
func queued(t *testing.T, c net.Conn) int64 {
	t.Helper()
	sockets, err := testrepo.Sockets()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sockets {
		if s.Local.String() == c.RemoteAddr().String() && s.Remote.String() == c.LocalAddr().String() {
			return s.Unsent
		}
	}
	t.Fatal("the kernel does not know the connection")
	return 0
}
