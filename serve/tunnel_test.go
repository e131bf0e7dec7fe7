package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"intelligentmirror/internal/testrepo"
)

// farEnd is a host at the other end of tunnels, which a test talks for.
type farEnd struct {
	t    *testing.T
	addr string
	got  chan *net.TCPConn
}

func newFarEnd(t *testing.T) *farEnd {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &farEnd{t: t, addr: l.Addr().String(), got: make(chan *net.TCPConn, 8)}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			f.got <- c.(*net.TCPConn)
		}
	}()
	return f
}

// config is the configuration that allows a tunnel there.
func (f *farEnd) config() string {
	_, port, _ := net.SplitHostPort(f.addr)
	return loopback + "connect_ports = [443, " + port + "]\n"
}

// tunnel opens one to an address, and is both of its ends.
func (m *mirror) tunnel(f *farEnd, address, early string) (near, far *net.TCPConn, in *bufio.Reader) {
	m.t.Helper()
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: test\r\n\r\n%s", address, address, early)
	in = bufio.NewReader(c)
	resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodConnect})
	if err != nil {
		m.t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Cache-Status") != "imserve; fwd=bypass" || resp.Header["Content-Length"] != nil || resp.TransferEncoding != nil {
		m.t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	select {
	case far = <-f.got:
		m.t.Cleanup(func() { far.Close() })
	case <-time.After(hung):
		m.t.Fatal("nobody came to the other end")
	}
	return c.(*net.TCPConn), far, in
}

// TestTunnel holds that each side hears what the other says, also what it said
// before there was a tunnel, and that each direction ends by itself.
func TestTunnel(t *testing.T) {
	for _, first := range []string{"client", "host"} {
		t.Run("the first to end is the "+first, func(t *testing.T) {
			f := newFarEnd(t)
			m := newMirror(t, setup{config: f.config(), repo: "aliases = [\"https://" + f.addr + "/r\"]\n"})
			near, far, in := m.tunnel(f, f.addr, "early ")
			say := func(to io.Writer, text string) {
				if _, err := io.WriteString(to, text); err != nil {
					t.Error(err)
				}
			}
			hear := func(from io.Reader, n int) string {
				b := make([]byte, n)
				if _, err := io.ReadFull(from, b); err != nil {
					t.Error(err)
				}
				return string(b)
			}
			say(near, "words")
			if got := hear(far, 11); got != "early words" {
				t.Errorf("the host heard %q", got)
			}
			say(far, "answer")
			if got := hear(in, 6); got != "answer" {
				t.Errorf("the client heard %q", got)
			}
			// One side has nothing more to say, and still hears the other.
			ended, other := near, far
			endedIn, otherIn := io.Reader(in), io.Reader(far)
			if first == "host" {
				ended, other, endedIn, otherIn = far, near, far, in
			}
			if err := ended.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(otherIn); err != nil || len(b) > 0 {
				t.Errorf("%q, %v", b, err)
			}
			say(other, "afterwards")
			other.Close()
			if b, err := io.ReadAll(endedIn); err != nil || string(b) != "afterwards" {
				t.Errorf("%q, %v", b, err)
			}
			want := 6
			if first == "client" {
				want += 10
			}
			lines := m.lines()
			if line := fmt.Sprintf(`"CONNECT %s HTTP/1.1" 200 %d "-" "test" "imserve; fwd=bypass" `, f.addr, want); !strings.Contains(lines[len(lines)-1], line) {
				t.Errorf("logged %q, want %s", lines, line)
			}
			if got := m.server.missed.list(); !slices.Equal(got, []missedHTTPS{{"r", 1, int64(want)}}) {
				t.Errorf("missed %+v", got)
			}
		})
	}
}

// TestTunnelTLS holds that a client of HTTPS gets through, and that what passed
// the cache by is shown.
func TestTunnelTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 100_000)) // its client reads all of it, or fails the test
	}))
	t.Cleanup(s.Close)
	f := &farEnd{addr: strings.TrimPrefix(s.URL, "https://")}
	m := newMirror(t, setup{config: f.config(), repo: "aliases = [\"http://" + f.addr + "/r\"]\n"})
	tr := &http.Transport{
		Proxy:           http.ProxyURL(&url.URL{Scheme: "http", Host: m.addr}),
		TLSClientConfig: &tls.Config{RootCAs: s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs},
	}
	resp, err := (&http.Client{Transport: tr}).Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || len(b) != 100_000 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	tr.CloseIdleConnections()
	var got report
	for got.SinceStart.Outcomes["tunnelled"] == 0 { // until it is accounted
		if err := json.Unmarshal(withoutRecent(t, m.get("/-/status.json").body), &got); err != nil {
			t.Fatal(err)
		}
	}
	if list := got.MissedHTTPS; len(list) != 1 || list[0].Repo != "r" || list[0].Tunnels != 1 || list[0].Bytes < 100_000 {
		t.Errorf("missed %+v", list)
	}
	if page := string(m.get("/-/").body); !strings.Contains(page, "Missed: HTTPS") || !strings.Contains(page, "CONNECT "+f.addr) {
		t.Error("the page does not show it")
	}
}

// withoutRecent is a report that can be read back: outcomes have no way from text.
func withoutRecent(t *testing.T, b []byte) []byte {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	delete(m, "recent")
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTunnelFails holds what a client is told of a tunnel that can't be opened.
func TestTunnelFails(t *testing.T) {
	f := newFarEnd(t)
	gone := testrepo.Start(t, t.TempDir())
	gone.Stop()
	_, port, _ := net.SplitHostPort(gone.Addr)
	m := newMirror(t, setup{config: strings.TrimSuffix(f.config(), "]\n") + ", " + port + "]\n"})
	r := m.send("CONNECT " + gone.Addr + " HTTP/1.1\r\nHost: x\r\n\r\n")
	if r.StatusCode != 502 || !strings.HasPrefix(string(r.body), "No route to host: "+gone.Addr+" can't be asked") {
		t.Errorf("%s %q", r.Status, r.body)
	}
	// The connection is a client's like any other, and goes on.
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for range 2 {
		fmt.Fprintf(c, "CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n")
		resp, err := http.ReadResponse(in, &http.Request{Method: http.MethodGet})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != 403 {
			t.Errorf("%s, %v", resp.Status, err)
		}
	}
}

// TestConnectTimesOut holds that a host which does not answer in time is told from
// one that refuses.
func TestConnectTimesOut(t *testing.T) {
	f := newFarEnd(t)
	m := newMirror(t, setup{config: f.config(), connect: time.Nanosecond})
	for _, line := range []string{"CONNECT " + f.addr, "GET http://" + f.addr + "/", "GET http://" + f.addr + "/a.rpm", "HEAD http://" + f.addr + "/a.rpm"} {
		if r := m.send(line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); r.StatusCode != 504 {
			t.Errorf("%s: %s %q", line, r.Status, r.body)
		}
	}
}

// TestTunnelLeadsBack holds that no tunnel leads to this server, whose addresses
// of this machine would then be a client's.
func TestTunnelLeadsBack(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(l.Addr().String())
	m := newMirror(t, setup{config: loopback + "connect_ports = [" + port + "]\n", listen: l})
	for _, host := range []string{"127.0.0.1", "localhost"} {
		if r := m.send("CONNECT " + host + ":" + port + " HTTP/1.1\r\nHost: x\r\n\r\n"); r.StatusCode != 508 {
			t.Errorf("%s: %s %q", host, r.Status, r.body)
		}
	}
}

// TestTunnelStops holds that a server which stops lets tunnels end, and breaks
// off those that don't.
func TestTunnelStops(t *testing.T) {
	t.Run("in time", func(t *testing.T) {
		f := newFarEnd(t)
		m := newMirror(t, setup{config: f.config(), grace: time.Hour})
		near, far, in := m.tunnel(f, f.addr, "")
		m.stop()
		awaitRefusal(t, m.addr)
		// What is under way goes on.
		io.WriteString(far, "late")
		far.Close()
		near.CloseWrite()
		if b, err := io.ReadAll(in); err != nil || string(b) != "late" {
			t.Errorf("%q, %v", b, err)
		}
		lines := m.lines()
		if last := lines[len(lines)-1]; !strings.Contains(last, `"imserve; fwd=bypass" `) || !strings.Contains(last, "CONNECT") {
			t.Errorf("logged %q", lines)
		}
	})
	t.Run("too late", func(t *testing.T) {
		f := newFarEnd(t)
		m := newMirror(t, setup{config: f.config(), grace: time.Millisecond})
		near, far, in := m.tunnel(f, f.addr, "")
		lines := m.lines()
		for _, end := range []io.Reader{in, far} {
			if b, err := io.ReadAll(end); err == nil {
				t.Errorf("a tunnel that was broken off ends in order, with %q", b)
			}
		}
		near.Close()
		if last := lines[len(lines)-1]; !strings.Contains(last, `"imserve; fwd=bypass; detail=stopping" `) {
			t.Errorf("logged %q", lines)
		}
		if !strings.Contains(m.log.String(), "tunnels were broken off") {
			t.Error("the log does not say so")
		}
	})
}

// awaitRefusal waits until nobody is let in any more.
func awaitRefusal(t *testing.T, addr string) {
	t.Helper()
	for {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			return
		}
		c.Close()
	}
}

// piped is a connection within this process, of which each direction ends by itself.
type piped struct {
	net.Conn // for its deadlines and addresses, which nobody asks for
	io.Reader
	io.Writer
	shut, close func()
}

func (p *piped) Read(b []byte) (int, error)  { return p.Reader.Read(b) }
func (p *piped) Write(b []byte) (int, error) { return p.Writer.Write(b) }
func (p *piped) CloseWrite() error           { p.shut(); return nil }
func (p *piped) Close() error                { p.close(); return nil }

// newPiped is both ends of one.
func newPiped() (a, b *piped) {
	fromA, toB := io.Pipe()
	fromB, toA := io.Pipe()
	broken := errors.New("broken")
	end := func() {
		for _, p := range []*io.PipeReader{fromA, fromB} {
			p.CloseWithError(broken)
		}
	}
	a = &piped{Reader: fromB, Writer: toB, shut: func() { toB.Close() }, close: end}
	b = &piped{Reader: fromA, Writer: toA, shut: func() { toA.Close() }, close: end}
	return a, b
}

// TestTunnelIdles holds how long a tunnel may be silent, and that what either
// side says counts.
func TestTunnelIdles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := newPiped()
		host, far := newPiped()
		tun := &tunnel{client: near, host: host, idle: time.Minute}
		start := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- tun.run(context.Background(), nil) }()
		buf := make([]byte, 10)
		for range 3 {
			time.Sleep(50 * time.Second)
			go client.Write([]byte("up"))
			if n, err := far.Read(buf); n != 2 || err != nil {
				t.Fatal(n, err)
			}
			time.Sleep(50 * time.Second)
			go far.Write([]byte("down"))
			if n, err := client.Read(buf); n != 4 || err != nil {
				t.Fatal(n, err)
			}
		}
		if err := <-ended; !errors.Is(err, errIdle) || ending(err) != "idle" {
			t.Errorf("ended with %v", err)
		}
		if took := time.Since(start); took != 6*50*time.Second+time.Minute {
			t.Errorf("it took %v", took)
		}
		if tun.up.bytes.Load() != 6 || tun.down.bytes.Load() != 12 {
			t.Errorf("%d bytes up, %d down", tun.up.bytes.Load(), tun.down.bytes.Load())
		}
	})
}

// TestTunnelStalls holds that a side which does not listen any more is silence.
func TestTunnelStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, near := newPiped()
		host, _ := newPiped()
		tun := &tunnel{client: near, host: host, idle: time.Minute}
		go client.Write([]byte("nobody reads this"))
		if err := tun.run(context.Background(), []byte("early")); !errors.Is(err, errIdle) {
			t.Errorf("ended with %v", err)
		}
	})
}

// TestTunnelBreaks holds that what breaks on one side breaks on the other.
func TestTunnelBreaks(t *testing.T) {
	f := newFarEnd(t)
	m := newMirror(t, setup{config: f.config()})
	_, far, in := m.tunnel(f, f.addr, "")
	if err := far.SetLinger(0); err != nil {
		t.Fatal(err)
	}
	far.Close()
	if b, err := io.ReadAll(in); err == nil {
		t.Errorf("the client takes it for an orderly end, after %q", b)
	}
	lines := m.lines()
	if last := lines[len(lines)-1]; !strings.Contains(last, `"imserve; fwd=bypass; detail=aborted" `) {
		t.Errorf("logged %q", lines)
	}
	if list := m.server.missed.list(); len(list) != 0 {
		t.Errorf("missed of no repository: %+v", list)
	}
}

// TestTunnelIsLeft holds that a client which leaves as clients of TLS do, with
// words of the host's still on their way, has ended in order.
func TestTunnelIsLeft(t *testing.T) {
	f := newFarEnd(t)
	m := newMirror(t, setup{config: f.config()})
	near, far, _ := m.tunnel(f, f.addr, "")
	near.Close()
	if b, err := io.ReadAll(far); err != nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
	// The mirror learns that nobody listens by what comes back.
	for {
		if _, err := io.WriteString(far, "goodbye"); err != nil {
			break
		}
	}
	lines := m.lines()
	if last := lines[len(lines)-1]; !strings.Contains(last, `"imserve; fwd=bypass" `) {
		t.Errorf("logged %q", lines)
	}
}

// TestClaimedHosts holds that hosts learnt at run time count as a repository's.
func TestClaimedHosts(t *testing.T) {
	f := newFarEnd(t)
	m := newMirror(t, setup{config: f.config(), claims: func(host, path string) (string, string, bool) {
		return "r", "", host == f.addr && path == ""
	}})
	near, far, in := m.tunnel(f, f.addr, "")
	io.WriteString(far, "words")
	far.Close()
	near.CloseWrite()
	if _, err := io.ReadAll(in); err != nil {
		t.Error(err)
	}
	m.close()
	if list := m.server.missed.list(); !slices.Equal(list, []missedHTTPS{{"r", 1, 5}}) {
		t.Errorf("missed %+v", list)
	}
}
