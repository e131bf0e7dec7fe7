package serve

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"

	"intelligentmirror/internal/cache"
)

// Where a site's clients trust its CA, a tunnel to a repository's host ends here:
// the client's TLS is with us, and what it asks within is answered as if it had
// sent the whole URL to a proxy. The library's own server reads those requests
// too, from a listener of such connections, so that its limits, its end and its
// patience are the same.

// inside is an intercepted connection below its TLS, with whom it is taken to
// lead to.
type inside struct {
	net.Conn
	early []byte // what came before the client was told that the tunnel is open

	client client
	host   string // as CONNECT had it, in lower case
	port   int
	ca     slog.Attr // for the log: the CA by which it is intercepted

	shaking bool        // in the handshake
	last    []byte      // that was read in it
	shown   bool        // the client has been shown a certificate
	asked   atomic.Bool // a request has come
}

func (c *inside) Read(p []byte) (n int, err error) {
	if len(c.early) > 0 {
		n = copy(p, c.early)
		c.early = c.early[n:]
	} else {
		n, err = c.Conn.Read(p)
	}
	if c.shaking {
		c.last = append(c.last, p[:n]...)
		c.last = c.last[max(len(c.last)-alertSize, 0):]
	}
	return n, err
}

// authority is the host as it stands in an https URL.
func (c *inside) authority() string { return hostText(c.host, c.port, "https") }

// insideKey is under which a request's context has the *inside that it came by.
type insideKey struct{}

// insideOf is the intercepted connection that a request came by, nil if it came
// straight.
func insideOf(r *http.Request) *inside {
	c, _ := r.Context().Value(insideKey{}).(*inside)
	return c
}

// certified is the certificate that a tunnel to host is intercepted with; nil
// leaves it one: the site has no CA, the host is no repository's, or the CA does
// not vouch for such a host. What goes to http's own port is hardly https.
func (s *Server) certified(host string, port int) *tls.Certificate {
	to := hostText(host, port, "https")
	if s.o.Authority == nil || port == 80 || len(s.reposAt(to)) == 0 && len(s.o.Config.ListsAt(to)) == 0 {
		return nil
	}
	cert, err := s.o.Authority.Certificate(host)
	if err != nil {
		s.o.Log.Debug("a repository's host keeps its tunnel", "host", to, "error", err)
		return nil
	}
	return cert
}

// intercept ends a tunnel here, as the host that cert is of. It returns when the
// client has accepted that, or has not; the requests come by themselves.
func (s *Server) intercept(a *answer, host string, port int, cert *tls.Certificate) {
	near, early, ok := a.open(cache.Status{Detail: "intercepted"})
	if !ok {
		return
	}
	a.intercepted = true
	c := &inside{
		Conn: near, early: early, client: a.client, host: host, port: port, shaking: true,
		ca: slog.Group("ca", "file", s.o.Config.Serve.CACert, "sha256", s.o.Authority.Fingerprint()),
	}
	var other string
	secure := tls.Server(c, &tls.Config{
		NextProtos: []string{"http/1.1"},
		// None could be taken up: each connection has a configuration of its own.
		SessionTicketsDisabled: true,
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			// Never do we pose as a host that is not the one which was looked at.
			if name := hello.ServerName; name != "" {
				if asked, _, ok := hostPort(name, "443"); !ok || asked != host {
					other = name
					return nil, nil // the client is told unrecognized_name
				}
			}
			c.shown = true
			return cert, nil
		},
	})
	ctx, cancel := context.WithTimeout(s.insides.ctx, headerTimeout)
	defer cancel()
	err := secure.HandshakeContext(ctx)
	c.shaking = false
	if err == nil {
		s.metrics.handshakes.WithLabelValues(handshakeAccepted).Inc()
		s.insides.hand(secure)
		return
	}
	near.Close() // no alert goes that has not gone
	err, refused := c.refusal(err)
	if refused {
		a.status.Detail = "certificate-refused"
		s.metrics.handshakes.WithLabelValues(handshakeRefused).Inc()
		s.refusals.distrust(c, err)
		return
	}
	a.status.Detail = "handshake-failed"
	s.metrics.handshakes.WithLabelValues(handshakeFailed).Inc()
	s.refusals.handshake(c, other, err)
}

// request is r, which came by c, as the client would have sent it to a proxy.
// astray says that it is for another host, or for another tunnel (RFC 9110,
// 15.5.20), and then its target stays as it is.
func (c *inside) request(r *http.Request) (_ *http.Request, astray bool) {
	if r.Host != "" { // HTTP/1.0 need not have one
		host, port, ok := hostPort(r.Host, "443")
		astray = !ok || host != c.host || port != c.port
	}
	u := *r.URL
	target := r.RequestURI
	switch {
	case r.Method == http.MethodConnect, u.IsAbs() && u.Scheme != "https":
		astray = true
	case u.IsAbs():
	case target == "*":
		u, target = url.URL{}, "https://"+c.authority()
	default:
		target = "https://" + c.authority() + target
	}
	r = r.WithContext(r.Context())
	r.RemoteAddr = netip.AddrPortFrom(c.client.addr, 0).String()
	if !astray {
		u.Scheme, u.Host = "https", c.authority()
		r.URL, r.RequestURI = &u, target
	}
	return r, astray
}

// insides is the listener of intercepted connections. It is safe for concurrent
// use.
type insides struct {
	conns chan net.Conn
	ctx   context.Context // ends when nobody is let in any more
	end   context.CancelFunc
}

func newInsides() *insides {
	l := &insides{conns: make(chan net.Conn)}
	l.ctx, l.end = context.WithCancel(context.Background())
	return l
}

// hand gives the server a connection, or closes it where there is no server any
// more.
func (l *insides) hand(c net.Conn) {
	select {
	case l.conns <- c:
	case <-l.ctx.Done():
		_ = c.Close() // nothing has been asked by it
	}
}

// Accept implements net.Listener.
func (l *insides) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.ctx.Done():
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *insides) Close() error {
	l.end()
	return nil
}

// Addr implements net.Listener; nobody can dial it.
func (l *insides) Addr() net.Addr { return &net.UnixAddr{Name: "intercepted", Net: "unix"} }

// lowest is the connection at the bottom of c, below all TLS, and the intercepted
// one on the way, nil if there is none.
func lowest(c net.Conn) (net.Conn, *inside) {
	var in *inside
	for {
		switch t := c.(type) {
		case *tls.Conn:
			c = t.NetConn()
		case *inside:
			c, in = t.Conn, t
		default:
			return c, in
		}
	}
}
