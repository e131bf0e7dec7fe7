package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"syscall"
)

// How the TLS of an intercepted connection may come to nothing, and what the
// administrator is told of it.

// errLeft is how programs with GnuTLS, such as apt, refuse a certificate.
var errLeft = errors.New("it left when it was shown the certificate")

// refusal is why the handshake failed, in the client's words where it has said so,
// and whether the reason is the certificate that it was shown.
func (c *inside) refusal(err error) (_ error, refused bool) {
	if !c.shown {
		return err, false
	}
	var op *net.OpError
	if alert := c.alert(); alert != nil {
		return alert, true
	}
	switch {
	case errors.As(err, &op) && op.Op == remoteError:
		return err, true
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return errLeft, true
	}
	return err, false
}

// remoteError is what crypto/tls calls an alert that has come.
const remoteError = "remote error"

// alertSize is the length of an alert's record (RFC 8446, 5.1 and 6).
const alertSize = 7

// alert is the client's last word, if that was an alert in the clear. OpenSSL refuses
// a certificate in such a one, before it has turned to the keys of the handshake,
// and crypto/tls takes it for a record that somebody has tampered with.
func (c *inside) alert() error {
	const kind, fatal, major = 21, 2, 3
	b := c.last
	if len(b) != alertSize || b[0] != kind || b[1] != major || b[3] != 0 || b[4] != 2 || b[5] != fatal {
		return nil
	}
	return &net.OpError{Op: remoteError, Err: tls.AlertError(b[6])}
}

// distrust logs that the client of an intercepted connection does not trust the CA.
func (f *refusals) distrust(c *inside, err error) {
	f.handshaken(c, slog.LevelWarn, "a client does not trust this mirror's CA: have it do so, or ask with http://, or go without this proxy", "error", err, c.ca)
}

// unused logs that a client has accepted a certificate and asked for nothing, which
// programs with GnuTLS do that look at it afterwards, such as wget.
func (f *refusals) unused(c *inside) {
	f.handshaken(c, slog.LevelWarn, "a client leaves an intercepted connection without a request: perhaps it does not trust this mirror's CA", c.ca)
}

// handshake logs why an intercepted connection came to nothing otherwise; other is
// the name that its client asked for within, if that is why.
func (f *refusals) handshake(c *inside, other string, err error) {
	if other != "" {
		f.handshaken(c, slog.LevelWarn, "an intercepted connection was broken off: its client asks for another host within", "asked_for", other)
		return
	}
	f.handshaken(c, slog.LevelInfo, "an intercepted connection came to nothing", "error", nameless(err))
}

// handshaken logs what came of a handshake, each once in a while for each client.
func (f *refusals) handshaken(c *inside, level slog.Level, what string, more ...any) {
	if f.handshakes.due(handshake{c.client.addr, what}) {
		f.log.With("host", c.authority()).Log(context.Background(), level, what, more...)
	}
}
