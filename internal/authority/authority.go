// Package authority is the certificate authority of a site whose clients let
// imserve answer in the place of https hosts: it makes one, and has it vouch for
// hosts with certificates that live for days.
//
// What it promises: a file that is there is never overwritten, a key that others
// can read is never used, and no certificate is given that the authority's own
// constraints forbid.
//
// Read authority.go first (what one does), then create.go (how one comes to be).
package authority

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// leafLife is how long a host's certificate is good: a stolen one is of little
	// use, and the clients' clocks may be wrong by some days.
	leafLife = 7 * 24 * time.Hour
	// leafRenew is after how long it is replaced, well before its end: a client may
	// keep a connection for days.
	leafRenew = leafLife / 2
	// skew is by how much the clients' clocks may be behind.
	skew = 24 * time.Hour
	// maxLeaves bounds the hosts whose certificates are kept; where an alias is a
	// pattern, clients choose the names. It is more than a distribution has mirrors.
	maxLeaves = 2048
)

// organization stands in all certificates, so that who meets one knows whose it is.
const organization = "IntelligentMirror"

// Authority vouches for hosts. It is safe for concurrent use.
type Authority struct {
	cert  *x509.Certificate
	key   crypto.PrivateKey
	chain [][]byte // what a client needs besides a leaf to get to the certificate that it trusts
	roots *x509.CertPool
	now   func() time.Time

	mu     sync.Mutex
	leaves map[string]leaf
}

// leaf is a host's certificate, or why there is none, until it is due anew.
type leaf struct {
	cert *tls.Certificate
	err  error
	made time.Time
}

// Load reads an authority: certFile has its certificate and, where clients trust
// another one above it, those that lead there; keyFile has its key, without a
// password; both are PEM. now is the clock. An error wraps fs.ErrNotExist where
// one of the files is missing.
func Load(certFile, keyFile string, now func() time.Time) (*Authority, error) {
	fi, err := os.Stat(keyFile)
	if err != nil {
		return nil, err
	}
	if fi.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s is open to everybody on this machine (mode %04o), who could pose as any host to the clients: chmod 0600 it, or make another CA if somebody may have read it",
			keyFile, fi.Mode().Perm())
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	a := &Authority{cert: pair.Leaf, key: pair.PrivateKey, roots: x509.NewCertPool(), now: now, leaves: map[string]leaf{}}
	if !a.cert.IsCA || a.cert.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, fmt.Errorf("%s: the first certificate is no CA's: it may not sign others", certFile)
	}
	if t := now(); t.After(a.cert.NotAfter) {
		return nil, fmt.Errorf("%s: it was good until %s", certFile, a.cert.NotAfter.Format(time.DateOnly))
	}
	a.roots.AddCert(a.cert)
	for _, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", certFile, err)
		}
		if !bytes.Equal(c.RawIssuer, c.RawSubject) { // a root is sent in vain
			a.chain = append(a.chain, der)
		}
	}
	return a, nil
}

// Certificate is what a server proves to be host with: a name, or an address. It
// is the same one for some days. The error says why the authority vouches for no
// such host, as where its constraints leave the name out.
func (a *Authority) Certificate(host string) (*tls.Certificate, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	// By the time of the day, as clients judge it: a clock that was set has made all
	// that was signed before it worth nothing.
	now := a.now().Round(0)
	l, ok := a.leaves[host]
	if age := now.Sub(l.made); ok && age >= 0 && age < leafRenew {
		return l.cert, l.err
	}
	if !ok && len(a.leaves) >= maxLeaves {
		clear(a.leaves)
	}
	l = leaf{made: now}
	cert, err := a.issue(host, now)
	if err == nil {
		l.cert = cert
	} else {
		l.err = fmt.Errorf("vouch for %s: %w", host, err)
	}
	a.leaves[host] = l
	return l.cert, l.err
}

// issue makes a certificate with a key of its own, and looks at it as a client will.
func (a *Authority) issue(host string, now time.Time) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{organization}}, // a name has no room for every host's
		NotBefore: now.Add(-skew), NotAfter: now.Add(leafLife),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	if a.cert.NotBefore.After(t.NotBefore) {
		t.NotBefore = a.cert.NotBefore
	}
	if a.cert.NotAfter.Before(t.NotAfter) {
		t.NotAfter = a.cert.NotAfter
	}
	if ip := net.ParseIP(host); ip != nil {
		t.IPAddresses = []net.IP{ip}
	} else {
		t.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &key.PublicKey, a.key)
	if err != nil {
		return nil, err
	}
	cert := &tls.Certificate{Certificate: append([][]byte{der}, a.chain...), PrivateKey: key}
	if cert.Leaf, err = x509.ParseCertificate(der); err != nil {
		return nil, err
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: a.roots, CurrentTime: now})
	return cert, err
}

// Fingerprint is the SHA-256 of the authority's certificate, as other programs
// show it: pairs of digits with colons between them.
func (a *Authority) Fingerprint() string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sha256.Sum256(a.cert.Raw)), " ", ":")
}

// Subject is whom the authority's certificate names.
func (a *Authority) Subject() string { return a.cert.Subject.String() }

// Expires is until when the authority is good.
func (a *Authority) Expires() time.Time { return a.cert.NotAfter }

// Only is the domains whose hosts alone the authority may vouch for; none is any
// host.
func (a *Authority) Only() []string { return a.cert.PermittedDNSDomains }
