package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// issue writes a certificate for localhost and its key, and returns the files and
// a pool that trusts it.
func issue(t *testing.T, dir string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mirror"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:   time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "tls.pem"), filepath.Join(dir, "tls.key")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(parsed)
	return cert, key, pool
}

func trusting(pool *x509.CertPool) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
}

// TestTLS holds that TLS is spoken where there is a certificate, and that SIGHUP
// brings a new one, or none.
func TestTLS(t *testing.T) {
	up := upstream(t)
	dir := t.TempDir()
	cert, key, old := issue(t, dir)
	secure := fmt.Sprintf("listen = [\"127.0.0.1:0\", \"http://127.0.0.1:0\"]\ntls_cert = %q\ntls_key = %q", cert, key)
	m := startMirror(t, up, secure, 2)
	https, plain := "https://"+m.addrs[0], "http://"+m.addrs[1]
	const file = "/r/a-1-1.noarch.rpm"
	if got := status(t, trusting(old), https+file); got != 200 {
		t.Error(got)
	}
	if got := status(t, http.DefaultClient, plain+file); got != 200 {
		t.Error(got)
	}

	_, _, renewed := issue(t, dir)
	m.reload(wasRead, 1)
	if got := status(t, trusting(renewed), https+file); got != 200 {
		t.Error(got)
	}
	if _, err := trusting(old).Get(https + file); err == nil {
		t.Error("the old certificate is still shown")
	}

	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	m.reload(stays, 1)
	if got := status(t, trusting(renewed), https+file); got != 200 {
		t.Error(got)
	}

	m.configure(m.text(up, `listen = ["127.0.0.1:0", "http://127.0.0.1:0"]`))
	m.reload(wasRead, 2)
	if got := status(t, http.DefaultClient, "http://"+m.addrs[0]+file); got != 200 {
		t.Error(got)
	}
}

// TestCheckTLS holds that check looks at the certificate too.
func TestCheckTLS(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	cert, key, _ := issue(t, dir)
	for _, tt := range []struct {
		name, cert, key string
		code            int
		stderr          string
	}{
		{"good", cert, key, 0, ""},
		{"swapped", key, cert, 2, "serve.tls_cert and serve.tls_key can't be used"},
		{"not there", dir + "/none", key, 2, "no such file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			stderr := newOutput()
			file := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[serve]\ntls_cert = %q\ntls_key = %q\n", dir, dir, tt.cert, tt.key))
			if code := run(t.Context(), nil, []string{"check", "--config", file}, newOutput(), stderr); code != tt.code {
				t.Errorf("check: exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("standard error: %s", stderr)
			}
			if tt.code == 0 {
				return
			}
			if code := run(t.Context(), nil, []string{"--config", file}, newOutput(), newOutput()); code != tt.code {
				t.Errorf("run: exit code %d, want %d", code, tt.code)
			}
		})
	}
}
