package upstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"intelligentmirror/internal/cache"
)

// parent is a site's proxy. It connects nowhere: it says what it was asked.
func parent(t *testing.T) *url.URL {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodConnect {
			fmt.Fprintf(w, "%s %s", r.Method, r.RequestURI)
			return
		}
		if strings.HasPrefix(r.RequestURI, "refused") {
			http.Error(w, "no", http.StatusForbidden)
			return
		}
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		// What the host says first comes with the answer.
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\n\r\nCONNECT %s %s %s", r.RequestURI, r.Header.Get("Proxy-Authorization"), r.Header.Get("Via"))
	}))
	t.Cleanup(s.Close)
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("im", "secret")
	return u
}

// A site's proxy carries what clients ask of strange hosts too, and is no way
// around what may not be reached.
func TestParent(t *testing.T) {
	by := parent(t)
	loopback := netip.MustParsePrefix("127.0.0.0/8")
	c := patient(t, Options{
		Via: "me", UserAgent: "test",
		MayReach: func(_ string, a netip.Addr) bool { return !loopback.Contains(a.Unmap()) && a != netip.IPv6Loopback() },
		Parent: func(r *http.Request) (*url.URL, error) {
			switch {
			case strings.HasPrefix(r.URL.Host, "local."), strings.HasPrefix(r.URL.Host, "127.0.0.9"):
				return nil, nil // as NO_PROXY has it
			case strings.HasPrefix(r.URL.Host, "socks."):
				return url.Parse("socks5://proxy.invalid:1080")
			}
			return by, nil
		},
	})
	h := c.Hosts()
	defer h.Close()
	for _, tt := range []struct {
		name, host, want string
		denied           bool
		err              string
	}{
		{name: "a name that only the proxy knows", host: "strange.invalid:8080", want: "strange.invalid:8080"},
		{name: "an address", host: "192.0.2.7:80", want: "192.0.2.7"},
		{name: "an address that is denied", host: "127.0.0.1:80", denied: true},
		{name: "the same as IPv6 has it", host: "[::ffff:127.0.0.1]:80", denied: true},
		{name: "a name of one", host: "localhost:80", denied: true},
		{name: "without the proxy", host: "127.0.0.9:9", denied: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			relayed, err := relay(t, h, "http://"+strings.TrimSuffix(tt.host, ":80")+"/a")
			if denied := errors.As(err, new(*DeniedError)); denied != tt.denied {
				t.Errorf("relay: %v", err)
			}
			if want := "GET http://" + tt.want + "/a"; !tt.denied && relayed != want {
				t.Errorf("the proxy was asked %q, want %q", relayed, want)
			}
			through, err := tunnel(t, h, tt.host)
			if denied := errors.As(err, new(*DeniedError)); denied != tt.denied {
				t.Errorf("tunnel: %v", err)
			}
			if want := "CONNECT " + tt.host + " Basic aW06c2VjcmV0 1.1 me"; !tt.denied && through != want {
				t.Errorf("through the tunnel came %q, want %q", through, want)
			}
		})
	}
	for host, want := range map[string]string{"refused.invalid:443": "it answers 403 Forbidden", "socks.invalid:443": "only http:// proxies"} {
		_, err := tunnel(t, h, host)
		if !errors.As(err, new(*cache.UnreachableError)) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func relay(t *testing.T, h *Hosts, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.Relay(t.Context(), req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return string(b), err
}

func tunnel(t *testing.T, h *Hosts, host string) (string, error) {
	t.Helper()
	c, err := h.Tunnel(t.Context(), host)
	if err != nil {
		return "", err
	}
	defer c.Close()
	b, err := io.ReadAll(c)
	return string(b), err
}

// A client that leaves is not kept by a proxy that says nothing.
func TestParentThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := patient(t, Options{Parent: func(*http.Request) (*url.URL, error) { return &url.URL{Scheme: "http", Host: l.Addr().String()}, nil }})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if c, err := l.Accept(); err == nil {
			cancel()
			io.Copy(io.Discard, c)
			c.Close()
		}
	}()
	if _, err := c.Hosts().Tunnel(ctx, "a.invalid:443"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
