package upstream

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"syscall"
)

// KeptAlive is an http.Transport that takes nothing for an answer to a request which
// was there before the request. What follows an answer on its connection is no answer
// (RFC 9112, 6.3); http.Transport closes a connection on which such bytes wait, but
// hands it out before it has looked, and a request that is fast enough gets them.
// It is safe for concurrent use.
type KeptAlive struct{ *http.Transport }

// KeepAlive makes t such a transport, and is to be called once of each. Its DialContext is set.
func KeepAlive(t *http.Transport) KeptAlive {
	dial := t.DialContext
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &connection{Conn: c}, nil
	}
	return KeptAlive{t}
}

// RoundTrip implements http.RoundTripper. A connection that was used before is used
// once it is known to have nothing that is left over.
func (t KeptAlive) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	return t.Transport.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if c := bare(info.Conn); c != nil && info.Reused {
				c.settle(ctx)
			}
		},
	})))
}

// bare is the connection below TLS, nil where that carries HTTP/2, whose answers are
// numbered.
func bare(c net.Conn) *connection {
	for {
		switch x := c.(type) {
		case *connection:
			return x
		case *tls.Conn:
			if x.ConnectionState().NegotiatedProtocol == "h2" {
				return nil
			}
			c = x.NetConn()
		default:
			return nil
		}
	}
}

// connection knows whether somebody waits for its next byte. http.Transport does between
// two answers, once it has looked at what it has read; or else it closes the connection.
type connection struct {
	net.Conn

	mu      sync.Mutex
	reading bool
	closed  bool
	changed chan struct{} // closed at the next Read or Close; nil where nobody waits for it
}

func (c *connection) Read(p []byte) (int, error) {
	c.mu.Lock()
	c.reading = true
	c.tell()
	c.mu.Unlock()
	n, err := c.Conn.Read(p)
	c.mu.Lock()
	c.reading = false
	c.mu.Unlock()
	return n, err
}

func (c *connection) Close() error {
	err := c.Conn.Close()
	c.mu.Lock()
	c.closed = true
	c.tell()
	c.mu.Unlock()
	return err
}

// tell wakes who waits for a change; mu is held.
func (c *connection) tell() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}

// settle waits until all that has come was looked at: until the next byte is waited
// for, and there is none, or the connection is closed, or ctx ends.
func (c *connection) settle(ctx context.Context) {
	for {
		c.mu.Lock()
		if c.closed || c.reading && !c.waiting() {
			c.mu.Unlock()
			return
		}
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// waiting reports whether there are bytes, or the end, that the system has and that
// are about to be read.
func (c *connection) waiting() bool {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	some := false
	// Control, not Read, which would wait for the Read that is under way.
	err = raw.Control(func(fd uintptr) {
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		some = err != syscall.EAGAIN
	})
	return err == nil && some
}
