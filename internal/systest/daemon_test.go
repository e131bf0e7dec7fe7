package systest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestSocketActivation holds that the program answers on sockets that it is
// handed, those included who knocked before it ran, and that none is turned away
// while it is restarted.
func TestSocketActivation(t *testing.T) {
	s := newSite(t)
	put(s, "a.rpm", 20_000)
	var sockets []*os.File
	var addrs []string
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sockets, addrs = append(sockets, f), append(addrs, l.Addr().String())
	}
	for range 2 {
		var asked []*later
		for _, addr := range addrs {
			asked = append(asked, (&server{process: &process{t: t}, url: "http://" + addr}).begin("/fedora/a.rpm"))
		}
		// The number of a process is known to itself first.
		cmd := exec.Command("/bin/sh", "-c", `LISTEN_FDS=2 LISTEN_PID=$$ exec "$0" --config "$1"`, filepath.Join(programs, "imserve"), s.config)
		cmd.ExtraFiles = sockets
		p := launch(t, "imserve", cmd)
		for i, l := range asked {
			if n := len(l.whole()); n != 20_000 {
				t.Errorf("%s: %d bytes", addrs[i], n)
			}
		}
		s.configure("[serve]\nadmins = [\"192.0.2.1\"]")
		p.signal(syscall.SIGHUP)
		p.says("the configuration was read again")
		if code := p.stop(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// put puts a file of n bytes upstream that begins like a package.
func put(s *site, name string, n int) {
	s.t.Helper()
	s.write(filepath.Join(s.tree, upstreamBase, name), "\xed\xab\xee\xdb"+strings.Repeat("x", n-4))
}

// TestReloadUnderLoad holds that no request fails while the configuration is read
// again and again, good or bad.
func TestReloadUnderLoad(t *testing.T) {
	s := newSite(t).underRace()
	put(s, "a.rpm", 300_000)
	m := s.serve()
	want := m.get("/fedora/a.rpm")
	var answered, failed atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for i := range 8 {
		// Half of them come anew each time, the others stay.
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}}
		clients.Go(func() {
			defer client.CloseIdleConnections()
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, err := client.Get(m.url + "/fedora/a.rpm")
				if err == nil {
					var b []byte
					b, err = io.ReadAll(resp.Body)
					resp.Body.Close()
					if err == nil && (resp.StatusCode != http.StatusOK || !bytes.Equal(b, want)) {
						err = fmt.Errorf("%s, %d bytes", resp.Status, len(b))
					}
				}
				if err != nil && failed.Add(1) == 1 {
					t.Error(err)
				}
				answered.Add(1)
			}
		})
	}
	good, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		before := answered.Load()
		text, word := string(good)+fmt.Sprintf("top = %d\n", i), "the configuration was read again"
		if i%4 == 3 {
			text, word = "nonsense", "the configuration stays as it was"
		}
		s.write(s.config, text)
		from := strings.Count(m.stderr.String(), word)
		m.signal(syscall.SIGHUP)
		s.await(word, func() bool { return strings.Count(m.stderr.String(), word) > from })
		s.await("answers meanwhile", func() bool { return answered.Load() > before+8 })
	}
	close(stop)
	clients.Wait()
	if n := failed.Load(); n != 0 {
		t.Errorf("%d of %d requests failed", n, answered.Load())
	}
	if code := m.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestCurl holds that curl is answered over IPv6 and over TLS.
func TestCurl(t *testing.T) {
	curl := testrepo.Program(t, "curl")
	s := newSite(t)
	put(s, "a.rpm", 20_000)
	cert, key := certificate(s)
	s.configure(fmt.Sprintf("[serve]\nadmins = []\ntls_cert = %q\ntls_key = %q", cert, key))
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	s.write(s.config, strings.Replace(string(text), `listen = "127.0.0.1:0"`, `listen = ["http://[::1]:0", "[::1]:0", "127.0.0.1:0"]`, 1))
	m := s.serve()
	m.says("msg=imserve")
	s.await("three addresses", func() bool { return len(listening.FindAllString(m.stderr.String(), -1)) == 3 })
	var addrs []string
	for _, found := range listening.FindAllStringSubmatch(m.stderr.String(), -1) {
		addrs = append(addrs, found[1])
	}
	for _, args := range [][]string{
		{"-6", "http://" + addrs[0]},
		{"-6", "--cacert", cert, "https://" + addrs[1]},
		{"-4", "--http2", "--cacert", cert, "https://" + addrs[2]},
		{"-4", "--range", "0-19999", "--cacert", cert, "https://" + addrs[2]},
	} {
		args[len(args)-1] += "/fedora/a.rpm"
		if n := len(s.command(curl, append([]string{"-sS", "--fail", "--globoff"}, args...)...)); n != 20_000 {
			t.Errorf("curl %s: %d bytes", strings.Join(args, " "), n)
		}
	}
}

// certificate makes one for this machine.
func certificate(s *site) (cert, key string) {
	s.t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mirror"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		s.t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		s.t.Fatal(err)
	}
	cert, key = filepath.Join(s.dir, "tls.pem"), filepath.Join(s.dir, "tls.key")
	s.write(cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	s.write(key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})))
	return cert, key
}
