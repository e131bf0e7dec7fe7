package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// life is how long an authority is good: longer than the machines that are told
// to trust it.
const life = 10 * 365 * 24 * time.Hour

// maxName is the longest common name (RFC 5280, appendix A.1), in characters.
const maxName = 64

// errNoDomain says what a domain looks like.
var errNoDomain = errors.New(`no domain; write it as "example.org", which has all hosts below it too`)

// New says what authority is to be made.
type New struct {
	Cert, Key string // the files, which must not be there
	Host      string // the machine's name, by which people tell it from others; "" is none
	// Only are the domains whose hosts alone it may vouch for: what else somebody
	// signs with its key, no client accepts. None is any host.
	Only []string
	Now  time.Time
}

// Create makes an authority: a key that its owner alone can read, and a
// certificate. Root makes them the property of whoever has the directory. An error
// wraps fs.ErrExist where a file is there already, and then nothing is changed.
func Create(n New) error {
	for _, name := range []string{n.Cert, n.Key} {
		if _, err := os.Lstat(name); err == nil {
			return &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
		}
	}
	cert, key, err := n.generate()
	if err != nil {
		return err
	}
	for _, name := range []string{n.Cert, n.Key} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
	}
	if err := place(n.Key, "PRIVATE KEY", key, 0o600); err != nil {
		return err
	}
	return place(n.Cert, "CERTIFICATE", cert, 0o644)
}

// generate makes the two documents.
func (n New) generate() (cert, key []byte, err error) {
	name := "IntelligentMirror CA"
	if long := name + " of " + n.Host; n.Host != "" && len(long) <= maxName {
		name = long
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: name, Organization: []string{organization}},
		NotBefore: n.Now.Add(-skew), NotAfter: n.Now.Add(life),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true, // it makes no other authorities
	}
	for _, domain := range n.Only {
		domain = strings.ToLower(domain)
		if domain == "" || strings.Trim(domain, "abcdefghijklmnopqrstuvwxyz0123456789-.") != "" || net.ParseIP(domain) != nil ||
			strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") {
			return nil, nil, fmt.Errorf("%q: %w", domain, errNoDomain)
		}
		t.PermittedDNSDomains = append(t.PermittedDNSDomains, domain)
	}
	if len(n.Only) > 0 {
		t.PermittedDNSDomainsCritical = true
		// A kind of name that no constraint speaks of is free.
		for _, all := range []string{"0.0.0.0/0", "::/0"} {
			_, network, err := net.ParseCIDR(all)
			if err != nil {
				return nil, nil, err
			}
			t.ExcludedIPRanges = append(t.ExcludedIPRanges, network)
		}
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	if key, err = x509.MarshalPKCS8PrivateKey(private); err != nil {
		return nil, nil, err
	}
	cert, err = x509.CreateCertificate(rand.Reader, t, t, &private.PublicKey, private)
	return cert, key, err
}

// place makes a file with one PEM block. It is there as a whole or not at all, and
// takes nobody's place.
func place(name, kind string, der []byte, mode os.FileMode) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, ".new-*") // with 0600, whatever the umask says
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	err = pem.Encode(f, &pem.Block{Type: kind, Bytes: der})
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil && os.Geteuid() == 0 {
		err = giveTo(f, dir)
	}
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Link(f.Name(), name)
}

// giveTo makes f the property of whoever has the directory dir: the service that
// reads it is not root's.
func giveTo(f *os.File, dir string) error {
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if owner, ok := fi.Sys().(*syscall.Stat_t); ok {
		return f.Chown(int(owner.Uid), int(owner.Gid))
	}
	return nil
}
