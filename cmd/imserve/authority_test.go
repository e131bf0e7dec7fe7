package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// runCA runs imserve ca with a configuration, and returns what it said.
func runCA(t *testing.T, file string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	out, errs := newOutput(), newOutput()
	code = run(t.Context(), nil, append([]string{"ca", "--config", file}, args...), out, errs)
	return code, out.String(), errs.String()
}

// TestCA holds that imserve ca makes a CA once, says the same of it each time, and
// never touches it again.
func TestCA(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	state := dir + "/state"
	file := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n", dir, state))
	fingerprint := regexp.MustCompile(`SHA-256 +((?:[0-9A-F]{2}:){31}[0-9A-F]{2})\n`)
	said := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := runCA(t, file, args...)
		m := fingerprint.FindStringSubmatch(stdout)
		if code != 0 || stderr != "" || m == nil {
			t.Fatalf("exit code %d, %s\n%s", code, stderr, stdout)
		}
		for _, want := range []string{state + "/ca.pem", state + "/ca.key", "any host", "sslcacert=", "Acquire::https::CAInfo", "update-ca-trust", "intercept = true below [serve] in " + file} {
			if !strings.Contains(stdout, want) {
				t.Errorf("it does not say %q:\n%s", want, stdout)
			}
		}
		return m[1]
	}
	first := said()
	if fi, err := os.Stat(state + "/ca.key"); err != nil || fi.Mode() != 0o600 {
		t.Errorf("the key: %v, %v", fi, err)
	}
	if again := said(); again != first {
		t.Errorf("%s became %s", first, again)
	}
	if code, _, stderr := runCA(t, file, "--only", "example.org"); code != 1 || !strings.Contains(stderr, state+"/ca.pem: file already exists") {
		t.Errorf("one with constraints in its place: exit code %d, %s", code, stderr)
	}
	if err := os.Rename(state+"/ca.pem", state+"/away"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := runCA(t, file); code != 1 || !strings.Contains(stderr, "the CA is not whole") {
		t.Errorf("half of it: exit code %d, %s", code, stderr)
	}
	if err := os.Rename(state+"/away", state+"/ca.pem"); err != nil {
		t.Fatal(err)
	}
	if again := said(); again != first {
		t.Errorf("%s became %s", first, again)
	}
}

// TestCAOnly holds what is said of a CA with constraints, and that none is made
// with wrong ones.
func TestCAOnly(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	file := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[serve]\nca_cert = %q\nca_key = %q\n", dir, dir, dir+"/x.pem", dir+"/x.key"))
	if code, _, stderr := runCA(t, file, "--only", "*.example.org"); code != 1 || !strings.Contains(stderr, `"*.example.org": no domain`) {
		t.Errorf("exit code %d, %s", code, stderr)
	}
	code, stdout, stderr := runCA(t, file, "--only", "example.org,example.net")
	if code != 0 || !strings.Contains(stdout, "example.org, example.net, and the hosts below") || !strings.Contains(stdout, dir+"/x.pem") {
		t.Errorf("exit code %d, %s\n%s", code, stderr, stdout)
	}
}

// TestInterceptNeedsACA holds that interception without a usable CA is refused with
// a hint, by check and by the mirror.
func TestInterceptNeedsACA(t *testing.T) {
	alone(t)
	dir := t.TempDir()
	file := write(t, fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[serve]\nlisten = \"127.0.0.1:0\"\nintercept = true\n", dir, dir))
	try := func(want string) {
		t.Helper()
		for _, args := range [][]string{{"check"}, nil} {
			stderr := newOutput()
			if code := run(t.Context(), nil, append(args, "--config", file), io.Discard, stderr); code != 2 || !strings.Contains(stderr.String(), want) {
				t.Errorf("%q: exit code %d, %s; want %s", args, code, stderr, want)
			}
		}
	}
	try("no such file or directory; make one with: imserve ca")
	if code, _, stderr := runCA(t, file); code != 0 {
		t.Fatal(stderr)
	}
	if code := run(t.Context(), nil, []string{"check", "--config", file}, io.Discard, newOutput()); code != 0 {
		t.Errorf("with a CA: exit code %d", code)
	}
	if err := os.Chmod(dir+"/ca.key", 0o644); err != nil {
		t.Fatal(err)
	}
	try("is open to everybody on this machine")
}

// TestReloadInterception holds that SIGHUP switches interception on and off, and
// that a CA which can't be used changes nothing.
func TestReloadInterception(t *testing.T) {
	up := upstream(t)
	// Nobody is there: what is no hit is no answer.
	gone := testrepo.Start(t, t.TempDir())
	gone.Stop()
	_, port, _ := net.SplitHostPort(gone.Addr)
	address := "https://" + gone.Addr + "/r/a-1-1.noarch.rpm"
	off := "listen = \"127.0.0.1:0\"\nproxy_allow = [\"127.0.0.1\"]\nconnect_ports = [" + port + "]"
	m := startMirror(t, up, off, 1)
	aliased := func(serve string) string {
		return strings.Replace(m.text(up, serve), "[serve]", "aliases = [\"https://"+gone.Addr+"/r\"]\n[serve]", 1)
	}
	m.configure(aliased(off + "\nintercept = true"))
	m.reload(stays, 1)
	if !strings.Contains(m.stderr.String(), "make one with: imserve ca") {
		t.Errorf("it does not say what to do:\n%s", m.stderr)
	}
	if code, _, stderr := runCA(t, m.file); code != 0 {
		t.Fatal(stderr)
	}
	m.reload(wasRead, 1)
	pem, err := os.ReadFile(filepath.Join(m.dir, "state", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: m.addrs[0]}), TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true,
	}}
	if got := status(t, client, address); got != 200 {
		t.Error(got)
	}
	m.configure(aliased(off))
	m.reload(wasRead, 2)
	if _, err := client.Get(address); err == nil || !strings.Contains(err.Error(), "Bad Gateway") {
		t.Errorf("switched off, it is no tunnel: %v", err)
	}
}
