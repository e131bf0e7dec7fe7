package serve

import (
	"crypto/tls"
	"errors"
	"net"
	"sync/atomic"
)

// Certificate is what a server proves itself with to clients that speak TLS. It
// may be replaced at any time, and there may be none. It is safe for concurrent
// use.
type Certificate struct {
	now    atomic.Pointer[tls.Certificate]
	config tls.Config
}

// NewCertificate returns a Certificate that is none yet.
func NewCertificate() *Certificate {
	c := &Certificate{}
	c.config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if cert := c.now.Load(); cert != nil {
			return cert, nil
		}
		return nil, errors.New("there is no certificate any more")
	}
	c.config.NextProtos = []string{"http/1.1"}
	return c
}

// Use makes cert the certificate of the connections that come from now on; with
// nil plain HTTP is spoken on them.
func (c *Certificate) Use(cert *tls.Certificate) { c.now.Store(cert) }

// Secure is l with TLS on the connections that come while there is a certificate.
func (c *Certificate) Secure(l net.Listener) net.Listener { return secured{l, c} }

// secured is a listener with a Certificate.
type secured struct {
	net.Listener
	cert *Certificate
}

func (s secured) Accept() (net.Conn, error) {
	c, err := s.Listener.Accept()
	if err != nil || s.cert.now.Load() == nil {
		return c, err
	}
	return tls.Server(c, &s.cert.config), nil
}
