package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
)

// connect opens a tunnel: what the client and the host say to each other from
// there on is theirs alone. It returns when the tunnel has ended.
func (s *Server) connect(a *answer) {
	c := &s.o.Config.Serve
	u := a.r.URL
	host, port, ok := hostPort(u.Host, "") // there is no usual port
	to := net.JoinHostPort(host, strconv.Itoa(port))
	switch {
	case !c.Proxy:
		a.text(http.StatusForbidden, cache.Status{}, "This mirror opens no tunnels.", s.howToUse())
		return
	case !ok || u.User != nil || u.Path != "":
		a.text(http.StatusBadRequest, cache.Status{}, "A tunnel leads to HOST:PORT.", "Name both, and nothing else.")
		return
	case !slices.Contains(c.ConnectPorts, port):
		s.refuse(a, to, "its port is none of serve.connect_ports", portsLine(c, port))
		return
	case !slices.ContainsFunc(c.ConnectHosts, func(p config.Pattern) bool { return config.Pattern(strings.ToLower(string(p))).Match(host) }):
		s.refuse(a, to, "it is none of serve.connect_hosts", hostsLine(c, host))
		return
	}
	if cert := s.certified(host, port); cert != nil {
		s.intercept(a, host, port, cert)
		return
	}
	far, err := s.o.Hosts.Tunnel(a.r.Context(), to)
	if err != nil {
		s.relayFailed(a, target{named: &url.URL{Host: to}}, err)
		return
	}
	defer far.Close() // again, where the tunnel has closed it
	if leadsHere(far, localAddr(a.r)) {
		a.text(http.StatusLoopDetected, cache.Status{}, "This tunnel would lead back to this mirror.", "Ask the mirror without a tunnel.")
		return
	}
	near, early, ok := a.open(cache.Status{Fwd: "bypass"})
	if !ok {
		return
	}
	defer near.Close() // as above
	a.tunnelled = true
	t := &tunnel{client: near, host: far, idle: tunnelIdle}
	err = t.run(s.tunnels.ctx, early)
	a.sent = t.down.bytes.Load()
	a.status.Detail = ending(err)
	s.missed.add(strings.Join(s.reposAt(to), ", "), a.sent)
}

// open takes the client's connection over and tells the client that its tunnel is
// there; early is what it has sent already, without waiting for that. Where ok is
// false the client has been answered, or is gone.
func (a *answer) open(s cache.Status) (near halfCloser, early []byte, ok bool) {
	c, buffered, err := http.NewResponseController(a.w).Hijack()
	if err != nil {
		a.text(http.StatusNotImplemented, cache.Status{}, "No tunnel can be opened on this connection ("+err.Error()+").", "Use HTTP/1.1.")
		return nil, nil, false
	}
	a.begun = true
	a.decide(http.StatusOK, s)
	near, ok = c.(halfCloser)
	greeting := "HTTP/1.1 200 Connection established\r\nCache-Status: " + a.status.String() + "\r\n\r\n"
	if ok {
		_, a.lost = io.WriteString(near, greeting)
		ok = a.lost == nil
	}
	if ok {
		early, err = buffered.Reader.Peek(buffered.Reader.Buffered())
		ok = err == nil
	}
	if !ok {
		_ = c.Close() // nothing is lost that anybody waits for
	}
	return near, early, ok
}

// leadsHere reports whether a connection has its other end in this process, by
// whatever address of this machine it was reached: here is one of ours.
func leadsHere(c *net.TCPConn, here string) bool {
	from, ok := c.LocalAddr().(*net.TCPAddr)
	to, ok2 := c.RemoteAddr().(*net.TCPAddr)
	_, port, err := net.SplitHostPort(here)
	return ok && ok2 && err == nil && from.IP.Equal(to.IP) && strconv.Itoa(to.Port) == port
}

// halfCloser is a connection of which each direction ends by itself.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// tunnel is two connections, each of which says what the other hears.
type tunnel struct {
	client, host halfCloser
	idle         time.Duration // how long nothing may be said in either direction

	up, down stream
	began    time.Time    // with run
	moved    atomic.Int64 // how long after that the last byte went, in nanoseconds
}

// stream is one direction.
type stream struct {
	bytes atomic.Int64 // that went
	ended atomic.Bool  // who speaks has nothing more to say
}

// errIdle is why a tunnel is broken off, beside errStopping.
var errIdle = errors.New("nothing was said for too long")

// ending is a tunnel's end as Cache-Status has it.
func ending(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, errIdle):
		return "idle"
	case errors.Is(err, errStopping):
		return "stopping"
	}
	return "aborted"
}

// run lets both sides speak, the client's early bytes first, until both have
// ended, one has failed, nobody has spoken for too long, or ctx ends. The error
// is nil for the first of these alone; otherwise both connections break, so that
// neither side takes it for an orderly end. Both are closed when it returns.
func (t *tunnel) run(ctx context.Context, early []byte) error {
	t.began = time.Now()
	ends := make(chan error, 2)
	go func() { ends <- t.pass(t.host, io.MultiReader(bytes.NewReader(early), t.client), &t.up, &t.down) }()
	go func() { ends <- t.pass(t.client, t.host, &t.down, &t.up) }()
	quiet := time.NewTimer(t.idle)
	defer quiet.Stop()
	stop := ctx.Done()
	var failure error
	fail := func(err error) {
		if failure == nil {
			failure = err
			t.close(true)
		}
	}
	for open := 2; open > 0; {
		select {
		case err := <-ends:
			open--
			if err != nil {
				fail(err)
			}
		case <-quiet.C:
			left := t.idle - (time.Since(t.began) - time.Duration(t.moved.Load()))
			if left <= 0 {
				fail(errIdle)
				continue
			}
			quiet.Reset(left)
		case <-stop:
			stop = nil
			fail(errStopping)
		}
	}
	if failure == nil {
		t.close(false)
	}
	return failure
}

// touch notes that something was said. The time of the day has no part in it: somebody
// may set that.
func (t *tunnel) touch() { t.moved.Store(int64(time.Since(t.began))) }

// pass says to one side what the other says, and tells it the end. A side that
// has said all it had to and is gone before it has heard all is no failure: that
// is how most clients leave.
func (t *tunnel) pass(to halfCloser, from io.Reader, there, back *stream) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			t.touch()
			m, werr := to.Write(buf[:n])
			there.bytes.Add(int64(m))
			t.touch()
			if werr != nil && !back.ended.Load() {
				return fmt.Errorf("tunnel: %w", werr)
			}
			if werr != nil {
				return nil
			}
		}
		if err == io.EOF {
			there.ended.Store(true)
			if err := to.CloseWrite(); err != nil && !back.ended.Load() {
				return fmt.Errorf("tunnel: %w", err)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("tunnel: %w", err)
		}
	}
}

// close closes both connections; broken, they are reset.
func (t *tunnel) close(broken bool) {
	for _, c := range [...]halfCloser{t.client, t.host} {
		if tcp, ok := c.(lingerer); ok && broken {
			_ = tcp.SetLinger(0) // a connection that is gone already needs none
		}
		_ = c.Close() // nothing that was written is lost by it, or all shall be
	}
}
