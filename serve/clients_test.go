package serve

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/config"
)

func networks(list ...string) (n config.Networks) {
	for _, s := range list {
		n = append(n, netip.MustParsePrefix(s))
	}
	return n
}

func TestClientOf(t *testing.T) {
	trusted := networks("127.0.0.0/8", "::1/128", "10.9.0.0/16")
	for _, tt := range []struct {
		name    string
		peer    string
		fields  []string
		addr    string
		proxied bool
	}{
		{"a peer", "192.0.2.1:4000", nil, "192.0.2.1", false},
		{"IPv4 in IPv6", "[::ffff:192.0.2.1]:4000", nil, "192.0.2.1", false},
		{"an interface's name", "[fe80::1%eth0]:4000", nil, "fe80::1", false},
		{"a stranger says who asks", "192.0.2.1:4000", []string{"X-Forwarded-For", "10.0.0.1"}, "192.0.2.1", true},
		{"a proxy says who asks", "127.0.0.1:4000", []string{"X-Forwarded-For", "192.0.2.7"}, "192.0.2.7", true},
		{"two proxies", "127.0.0.1:4000", []string{"X-Forwarded-For", "192.0.2.7, 10.9.1.1"}, "192.0.2.7", true},
		{"two proxies, two fields", "127.0.0.1:4000", []string{"X-Forwarded-For", "192.0.2.7", "X-Forwarded-For", "10.9.1.1"}, "192.0.2.7", true},
		{"a client says who it wants to be", "127.0.0.1:4000", []string{"X-Forwarded-For", "127.0.0.1, 192.0.2.7"}, "192.0.2.7", true},
		{"proxies alone", "127.0.0.1:4000", []string{"X-Forwarded-For", "127.0.0.1, 10.9.1.1"}, "127.0.0.1", true},
		{"IPv6", "[::1]:4000", []string{"X-Forwarded-For", "2001:db8::1"}, "2001:db8::1", true},
		{"IPv6 in brackets, with a port", "[::1]:4000", []string{"X-Forwarded-For", "[2001:db8::1]:99"}, "2001:db8::1", true},
		{"IPv4 with a port", "[::1]:4000", []string{"X-Forwarded-For", "192.0.2.7:99"}, "192.0.2.7", true},
		{"unknown", "127.0.0.1:4000", []string{"X-Forwarded-For", "192.0.2.7, unknown"}, "127.0.0.1", true},
		{"empty", "127.0.0.1:4000", []string{"X-Forwarded-For", ""}, "127.0.0.1", true},
		{"by way of a proxy that does not say for whom", "127.0.0.1:4000", []string{"Via", "1.1 squid"}, "127.0.0.1", true},
		{"Forwarded", "127.0.0.1:4000", []string{"Forwarded", "for=192.0.2.7"}, "127.0.0.1", true},
		{"no address", "@", nil, "-", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := &http.Request{RemoteAddr: tt.peer, Header: http.Header{}}
			for i := 0; i < len(tt.fields); i += 2 {
				r.Header.Add(tt.fields[i], tt.fields[i+1])
			}
			if got := clientOf(r, trusted); got.String() != tt.addr || got.proxied != tt.proxied {
				t.Errorf("got %s, proxied %v; want %s, %v", got, got.proxied, tt.addr, tt.proxied)
			}
		})
	}
}

// TestAccess holds who gets an answer, as the networks and the proxies have it.
func TestAccess(t *testing.T) {
	m := newMirror(t, setup{config: "[serve]\nclients = [\"192.0.2.0/24\"]\nadmins = [\"127.0.0.1\"]\n"})
	m.put(pkg, rpm(100, 1))
	for _, tt := range []struct {
		name, path string
		fields     []string
		code       int
	}{
		{"a client", pkg, []string{"X-Forwarded-For", "192.0.2.7"}, 200},
		{"a stranger", pkg, []string{"X-Forwarded-For", "198.51.100.7"}, 403},
		{"a stranger, a URL that there isn't", "/nothing/x", []string{"X-Forwarded-For", "198.51.100.7"}, 403},
		{"a stranger, health", "/-/healthz", []string{"X-Forwarded-For", "198.51.100.7"}, 403},
		{"a client, health", "/-/healthz", []string{"X-Forwarded-For", "192.0.2.7"}, 200},
		{"a client, readiness", "/-/readyz", []string{"X-Forwarded-For", "192.0.2.7"}, 200},
		{"a client, status", "/-/", []string{"X-Forwarded-For", "192.0.2.7"}, 403},
		{"a client, no page", "/-/nothing", []string{"X-Forwarded-For", "192.0.2.7"}, 403},
		{"an administrator, status", "/-/", nil, 200},
		{"an administrator, a file", pkg, nil, 200},
		{"an administrator's address, by way of a proxy", "/-/status.json", []string{"X-Forwarded-For", "127.0.0.1"}, 403},
		{"an administrator's address, by way of a proxy that hides whose it is", "/-/status.json", []string{"Via", "1.1 squid"}, 403},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := m.get(tt.path, tt.fields...)
			if r.StatusCode != tt.code || r.status() == "" {
				t.Errorf("%s %q, want %d", r.Status, r.body, tt.code)
			}
			if len(tt.fields) > 1 && strings.HasPrefix(tt.fields[1], "198.") && string(r.body) != "Forbidden\n" {
				t.Errorf("a stranger learns %q", r.body)
			}
		})
	}
	const warned = "network=198.51.100.0/24"
	if got := strings.Count(m.log.String(), warned); got != 1 {
		t.Errorf("the refusal was logged %d times", got)
	}
	if want := `to_let_it_in="clients = [\"192.0.2.0/24\", \"198.51.100.0/24\"]"`; !strings.Contains(m.log.String(), want) {
		t.Errorf("the log does not say what to write: %s", m.log)
	}
	m.pass(refusalEvery)
	m.get(pkg, "X-Forwarded-For", "198.51.100.7")
	if got := strings.Count(m.log.String(), warned); got != 2 {
		t.Errorf("after a while, the refusal was logged %d times", got)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	now := time.Unix(0, 0)
	f := &seldom[netip.Addr]{now: func() time.Time { return now }}
	a := netip.MustParseAddr("2001:db8::1")
	for range 3 * maxRefusals {
		if !f.due(a) || f.due(a) {
			t.Fatal("an address is due once")
		}
		a = a.Next()
	}
	if len(f.seen) > maxRefusals {
		t.Errorf("%d addresses are remembered", len(f.seen))
	}
}
