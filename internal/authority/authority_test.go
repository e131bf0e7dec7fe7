package authority

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// clock is a time that a test sets.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// made is an authority in a directory of its own.
func made(t *testing.T, n New) (New, *Authority, *clock) {
	t.Helper()
	c := &clock{time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	dir := t.TempDir()
	n.Cert, n.Key, n.Now = filepath.Join(dir, "new", "ca.pem"), filepath.Join(dir, "new", "ca.key"), c.t
	if err := Create(n); err != nil {
		t.Fatal(err)
	}
	a, err := Load(n.Cert, n.Key, c.now)
	if err != nil {
		t.Fatal(err)
	}
	return n, a, c
}

// trusts is what a client that trusts the file's certificate says of a chain.
func trusts(t *testing.T, file string, chain [][]byte, host string, now time.Time) error {
	t.Helper()
	pem, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	o := x509.VerifyOptions{DNSName: host, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: now}
	if !o.Roots.AppendCertsFromPEM(pem) {
		t.Fatalf("%s has no certificate", file)
	}
	var leaf *x509.Certificate
	for i, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			leaf = c
		} else {
			o.Intermediates.AddCert(c)
		}
	}
	_, err = leaf.Verify(o)
	return err
}

// TestVouches holds that clients accept what the authority says of a host, for
// this host and for no other.
func TestVouches(t *testing.T) {
	n, a, c := made(t, New{Host: "mirror.example.org"})
	if s := a.Subject(); s != "CN=IntelligentMirror CA of mirror.example.org,O=IntelligentMirror" {
		t.Errorf("it is called %s", s)
	}
	for _, host := range []string{"dl.example.org", strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".example.org", "192.0.2.7", "2001:db8::7"} {
		cert, err := a.Certificate(host)
		if err != nil {
			t.Fatal(err)
		}
		if err := trusts(t, n.Cert, cert.Certificate, host, c.t); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if err := trusts(t, n.Cert, cert.Certificate, "other.example.org", c.t); err == nil {
			t.Errorf("the certificate of %s is good for another host", host)
		}
		if len(cert.Certificate) != 1 {
			t.Errorf("%s: %d certificates are sent, the root among them", host, len(cert.Certificate))
		}
	}
}

// TestLeaf holds how long a host's certificate is kept and how long it is good.
func TestLeaf(t *testing.T) {
	n, a, c := made(t, New{})
	get := func() *tls.Certificate {
		t.Helper()
		cert, err := a.Certificate("dl.example.org")
		if err != nil {
			t.Fatal(err)
		}
		if err := trusts(t, n.Cert, cert.Certificate, "dl.example.org", c.t); err != nil {
			t.Fatal(err)
		}
		return cert
	}
	first := get()
	if again := get(); again != first {
		t.Error("it is made anew each time")
	}
	if d := first.Leaf.NotAfter.Sub(c.t); d <= 0 || d > 8*24*time.Hour {
		t.Errorf("it is good for %s", d)
	}
	for last := first; c.t.Before(first.Leaf.NotAfter); c.t = c.t.Add(time.Hour) {
		if last = get(); last.Leaf.NotAfter.Sub(c.t) < 3*24*time.Hour {
			t.Fatalf("it is kept until %s, at %s", last.Leaf.NotAfter, c.t)
		}
	}
	if get() == first {
		t.Error("it is never renewed")
	}
	// The authority's own end is everybody's.
	c.t = a.Expires().Add(-time.Hour)
	if end := get().Leaf.NotAfter; end.After(a.Expires()) {
		t.Errorf("it is good until %s, the authority until %s", end, a.Expires())
	}
	c.t = a.Expires().Add(4 * 24 * time.Hour)
	if _, err := a.Certificate("dl.example.org"); err == nil {
		t.Error("it vouches after its end")
	}
	if _, err := Load(n.Cert, n.Key, c.now); err == nil || !strings.Contains(err.Error(), "good until 2036-11-23") {
		t.Errorf("loaded after its end: %v", err)
	}
}

// TestLeafWhenTheClockIsSet: clients that have the right time get a certificate that is
// good at it as soon as this machine has it too, whatever it believed before.
func TestLeafWhenTheClockIsSet(t *testing.T) {
	for name, wrong := range map[string]time.Duration{
		"a year ahead": 365 * 24 * time.Hour, "a week ahead": 7 * 24 * time.Hour, "two days ahead": 48 * time.Hour, "an hour ahead": time.Hour,
		"an hour behind": -time.Hour, "a day behind": -24 * time.Hour, "in 1970": -time.Duration(20780 * 24 * time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			n, a, c := made(t, New{})
			right := c.t
			c.t = right.Add(wrong)
			before, err := a.Certificate("dl.example.org")
			if (err != nil) != (name == "in 1970") {
				t.Errorf("while the clock is wrong: %v", err)
			}
			c.t = right
			cert, err := a.Certificate("dl.example.org")
			if err != nil {
				t.Fatal(err)
			}
			if err := trusts(t, n.Cert, cert.Certificate, "dl.example.org", right); err != nil {
				t.Error(err)
			}
			if again, err := a.Certificate("dl.example.org"); err != nil || again != cert {
				t.Errorf("it is made anew each time, %v", err)
			}
			if name == "an hour behind" && cert != before {
				t.Error("a clock that is put right by an hour makes all anew")
			}
		})
	}
}

// TestLeavesAreBounded holds that clients who choose names choose no size.
func TestLeavesAreBounded(t *testing.T) {
	_, a, c := made(t, New{})
	for i := range maxLeaves {
		a.leaves[fmt.Sprint(i)] = leaf{made: c.t}
	}
	if _, err := a.Certificate("dl.example.org"); err != nil || len(a.leaves) > maxLeaves {
		t.Errorf("%d are kept, %v", len(a.leaves), err)
	}
}

// TestOnly holds that an authority for some domains vouches for nobody else, and
// that its certificate has clients accept nothing else.
func TestOnly(t *testing.T) {
	n, a, c := made(t, New{Only: []string{"Fedoraproject.org", "rpmfusion.org"}})
	for _, tt := range []struct {
		host string
		ok   bool
	}{
		{"fedoraproject.org", true},
		{"dl.fedoraproject.org", true},
		{"download1.rpmfusion.org", true},
		{"notfedoraproject.org", false},
		{"bank.example.org", false},
		{"192.0.2.7", false},
		{"2001:db8::7", false},
	} {
		if cert, err := a.Certificate(tt.host); (err == nil) != tt.ok || (cert != nil) != tt.ok {
			t.Errorf("%s: %v", tt.host, err)
		}
		cert, err := a.issue(tt.host, c.t)
		if cert == nil {
			t.Fatalf("%s: %v", tt.host, err)
		}
		if err := trusts(t, n.Cert, cert.Certificate, tt.host, c.t); (err == nil) != tt.ok {
			t.Errorf("%s: a client: %v", tt.host, err)
		}
	}
	for _, domain := range []string{"", ".example.org", "*.example.org", "example.org.", "192.0.2.7", "https://example.org", "a b"} {
		dir := t.TempDir()
		if err := Create(New{Cert: dir + "/ca.pem", Key: dir + "/ca.key", Only: []string{domain}, Now: c.t}); !errors.Is(err, errNoDomain) {
			t.Errorf("%q: %v", domain, err)
		}
		if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
			t.Errorf("%q: %v, %v", domain, names, err)
		}
	}
}

// TestCreate holds who can read the files, and that none is overwritten.
func TestCreate(t *testing.T) {
	n, _, _ := made(t, New{})
	for name, want := range map[string]os.FileMode{n.Cert: 0o644, n.Key: 0o600} {
		if fi, err := os.Stat(name); err != nil || fi.Mode() != want {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
	for _, gone := range []string{"", n.Cert, n.Key} {
		t.Run("without "+filepath.Base(gone), func(t *testing.T) {
			before := read(t, n)
			if gone != "" {
				if err := os.Rename(gone, gone+".away"); err != nil {
					t.Fatal(err)
				}
			}
			if err := Create(n); !errors.Is(err, fs.ErrExist) {
				t.Errorf("made twice: %v", err)
			}
			if gone != "" {
				if err := os.Rename(gone+".away", gone); err != nil {
					t.Fatal(err)
				}
			}
			if read(t, n) != before {
				t.Error("a file has changed")
			}
		})
	}
	if names, err := os.ReadDir(filepath.Dir(n.Cert)); err != nil || len(names) != 2 {
		t.Errorf("%v, %v", names, err)
	}
}

// read is what both files have.
func read(t *testing.T, n New) string {
	t.Helper()
	var all string
	for _, name := range []string{n.Cert, n.Key} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	return all
}

// TestGivenToTheOwner holds that root makes an authority for the service that has
// the directory.
func TestGivenToTheOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can")
	}
	dir := t.TempDir()
	if err := os.Chown(dir, 4711, 4712); err != nil {
		t.Fatal(err)
	}
	n := New{Cert: dir + "/ca.pem", Key: dir + "/ca.key", Now: time.Now()}
	if err := Create(n); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{n.Cert, n.Key} {
		fi, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if is := fi.Sys().(*syscall.Stat_t); is.Uid != 4711 || is.Gid != 4712 {
			t.Errorf("%s is %d:%d's", name, is.Uid, is.Gid)
		}
	}
}

// TestLoadRefuses holds what is no authority.
func TestLoadRefuses(t *testing.T) {
	n, a, c := made(t, New{})
	other, _, _ := made(t, New{})
	leafCert, err := a.Certificate("dl.example.org")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	host := New{Cert: dir + "/host.pem", Key: dir + "/host.key"}
	key, err := x509.MarshalPKCS8PrivateKey(leafCert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(place(host.Key, "PRIVATE KEY", key, 0o600), place(host.Cert, "CERTIFICATE", leafCert.Certificate[0], 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, cert, key, says string }{
		{"no certificate", dir + "/none", n.Key, "no such file"},
		{"no key", n.Cert, dir + "/none", "no such file"},
		{"another's key", n.Cert, other.Key, "does not match"},
		{"the key in the certificate's place", n.Key, n.Key, "switched"},
		{"a host's certificate", host.Cert, host.Key, "no CA's"},
	} {
		if _, err := Load(tt.cert, tt.key, c.now); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := os.Chmod(n.Key, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(n.Cert, n.Key, c.now); err == nil || !strings.Contains(err.Error(), "chmod 0600") {
		t.Errorf("a key that everybody can read: %v", err)
	}
}

// TestIntermediate holds that an authority below the site's own vouches to clients
// that trust the site's.
func TestIntermediate(t *testing.T) {
	c := &clock{time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	template := func(name string) *x509.Certificate {
		return &x509.Certificate{
			Subject: pkix.Name{CommonName: name}, NotBefore: c.t.Add(-time.Hour), NotAfter: c.t.Add(1000 * time.Hour),
			KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true,
		}
	}
	top, below := template("site"), template("mirror")
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		var err error
		if keys[i], err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			t.Fatal(err)
		}
	}
	root, err := x509.CreateCertificate(rand.Reader, top, top, &keys[0].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.CreateCertificate(rand.Reader, below, top, &keys[1].PublicKey, keys[0])
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(keys[1])
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = errors.Join(place(dir+"/root.pem", "CERTIFICATE", root, 0o644), place(dir+"/ca.key", "PRIVATE KEY", key, 0o600),
		os.WriteFile(dir+"/ca.pem", slices.Concat(block(cert), block(root)), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	a, err := Load(dir+"/ca.pem", dir+"/ca.key", c.now)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := a.Certificate("dl.example.org")
	if err != nil {
		t.Fatal(err)
	}
	if err := trusts(t, dir+"/root.pem", leaf.Certificate, "dl.example.org", c.t); err != nil || len(leaf.Certificate) != 2 {
		t.Errorf("%d certificates: %v", len(leaf.Certificate), err)
	}
}

// block is a certificate in PEM.
func block(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
