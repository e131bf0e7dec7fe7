package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A hit on a file that is at hand is answered on the connection itself, between
// two requests of net/http: that takes a third of the processor time
// (docs/BENCHMARKS.md). All else stays net/http's, and so do the connection, its
// limits and its end.
//
// What keeps the two from each other's bytes: hitConn looks at what comes only
// while net/http waits for a request and has been given nothing that it may not
// have read (between); it hands over the whole header of one request without a
// body, and is between again when net/http has answered that (ConnState says so).
// Whatever else comes, a body, a pipelined request behind one that is net/http's,
// half a header, makes the connection net/http's for good.

// hitConn is a connection of a listener without TLS.
type hitConn struct {
	*net.TCPConn
	server *Server
	raw    syscall.RawConn
	client client
	name   string // of the client, for the log
	agent  string // the User-Agent that was seen last
	last   asker  // who asked by way of this client last

	state   connState // of the goroutine that reads
	sending atomic.Int32

	// Scratch space of answers, which are one after another.
	head    []byte
	buffers [2][]byte
}

// asker is whom a request comes from that has an X-Forwarded-For, as a site takes it.
type asker struct {
	server *Server
	field  string
	client client
	name   string // for the log
}

// asker is who sends q, and its name for the log. A load balancer sends many of the
// same client on one connection.
func (c *hitConn) asker(s *Server, q *hitRequest) (client, string) {
	if q.behind == nil {
		return c.client, c.name
	}
	if l := &c.last; l.server != s || l.field != string(q.behind) {
		field := string(q.behind)
		who := client{addr: behind(c.client.addr, field, s.o.Config.Serve.TrustedProxies), proxied: true}
		*l = asker{s, field, who, who.String()}
	}
	return c.last.client, c.last.name
}

// connState is whose the bytes are that come.
type connState int

const (
	between connState = iota // ours to look at
	lent                     // net/http answers the one request that it was given
	handed                   // net/http's for good
)

// What hitConn.sending says.
const (
	notSending int32 = iota
	sendingHit
	closeAfter // sendingHit, and somebody has closed the connection meanwhile
)

// hitListener makes the connections of a listener hitConns.
type hitListener struct {
	net.Listener
	server *Server
}

// Accept implements net.Listener.
func (l hitListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	tcp, ok := c.(*net.TCPConn)
	if err != nil || !ok {
		return c, err
	}
	raw, rawErr := tcp.SyscallConn()
	peer, peerErr := netip.ParseAddrPort(tcp.RemoteAddr().String())
	if rawErr != nil || peerErr != nil {
		return c, nil
	}
	h := &hitConn{TCPConn: tcp, server: l.server, raw: raw, client: client{addr: plain(peer.Addr())}}
	h.name = h.client.String()
	l.server.hitConns.add(h)
	return h, nil
}

// hitConns is the connections that are open. It is safe for concurrent use.
type hitConns struct {
	mu   sync.Mutex
	open map[*hitConn]struct{}
}

func (s *hitConns) add(c *hitConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*hitConn]struct{}{}
	}
	s.open[c] = struct{}{}
}

func (s *hitConns) remove(c *hitConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// drainEvery is how often a server that stops looks whether its last hits have been
// answered.
const drainEvery = 5 * time.Millisecond

// drain waits until no hit is being answered any more, and breaks off what is left
// when ctx ends.
func (s *hitConns) drain(ctx context.Context) (broken bool) {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for {
		left := s.sending()
		if len(left) == 0 {
			return broken
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			broken = true
			for _, c := range left {
				_ = c.TCPConn.Close()
			}
			<-tick.C
		}
	}
}

// sending is the connections on which a hit is being answered.
func (s *hitConns) sending() []*hitConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []*hitConn
	for c := range s.open {
		if c.sending.Load() != notSending {
			list = append(list, c)
		}
	}
	return list
}

// Read implements net.Conn for net/http: hits are answered before it sees them.
func (c *hitConn) Read(p []byte) (int, error) {
	if c.state == lent && len(p) == 1 {
		return 0, c.awaitEnd()
	}
	if c.state != between {
		n, err := c.TCPConn.Read(p)
		if n > 0 {
			c.state = handed
		}
		return n, err
	}
	for {
		n, err := c.TCPConn.Read(p)
		if n == 0 {
			return n, err
		}
		for b := p[:n]; ; {
			q, size, is := parseHitRequest(b)
			if is == plainGet {
				done, err := c.answer(&q)
				if err != nil {
					return 0, io.EOF // as if the client had left, which it mostly has
				}
				if done {
					if b = b[size:]; len(b) == 0 {
						break
					}
					continue
				}
			}
			if is != opaque && size == len(b) {
				c.state = lent
			} else {
				// Of the time that net/http had given this header nobody knows what is left.
				_ = c.TCPConn.SetReadDeadline(time.Now().Add(headerTimeout))
				c.state = handed
			}
			return copy(p, b), nil
		}
		if err != nil {
			return 0, err
		}
		_ = c.TCPConn.SetReadDeadline(time.Now().Add(idleTimeout))
	}
}

// awaitEnd waits until the client has left, or until net/http wants to wait no
// more, and reads nothing: while it answers, net/http tries to read one byte, to
// learn of the first, and the beginning of the next request would be lost to us.
func (c *hitConn) awaitEnd() error {
	var end error
	var one [1]byte
	err := c.raw.Read(func(fd uintptr) bool {
		n, _, err := unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		for err == unix.EINTR {
			n, _, err = unix.Recvfrom(int(fd), one[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		}
		switch {
		case err == unix.EAGAIN, err == nil && n > 0:
			return false
		case err == nil:
			end = io.EOF
		default:
			end = os.NewSyscallError("recvfrom", err)
		}
		return true
	})
	if err != nil {
		return err
	}
	return end
}

// changed is told by net/http what it does.
func (c *hitConn) changed(state http.ConnState) {
	switch {
	case state == http.StateIdle && c.state == lent:
		c.state = between
	case state == http.StateHijacked:
		c.state = handed
	}
	if state == http.StateHijacked || state == http.StateClosed {
		c.server.hitConns.remove(c)
	}
}

// Close implements net.Conn. net/http closes what it takes to be idle when it
// stops: an answer that is under way comes to its end first.
func (c *hitConn) Close() error {
	if c.sending.CompareAndSwap(sendingHit, closeAfter) || c.sending.Load() == closeAfter {
		return nil
	}
	return c.TCPConn.Close()
}
