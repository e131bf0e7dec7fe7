package config

import (
	"net/netip"
	"slices"
	"testing"
)

const reachText = `
[[repo]]
name = "site"
upstreams = ["https://pkg.campus.example/site", "http://10.7.7.7:8080/site"]
aliases = ["http://alias.campus.example/site", "http://*.alias.campus.example/site"]
alias_paths = ["/pub/site"]

[[repo]]
name = "other"
upstreams = ["http://pkg.campus.example/other"]

[serve]
proxy_allow = ["10.20.0.0/16", "192.168.3.4", "Intranet.Campus.Example", "fc00:20::/32"]
`

// TestMayReach holds where a proxied request may lead: what counts is the
// address that is dialled, in whatever form it is written.
func TestMayReach(t *testing.T) {
	c, err := fromText(reachText)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, host, addr string
		want             bool
	}{
		{"a public address", "example.org", "192.0.2.1", true},
		{"a public address of IPv6", "example.org", "2001:db8::1", true},
		{"loopback", "example.org", "127.0.0.1", false},
		{"loopback, another of its addresses", "example.org", "127.9.9.9", false},
		{"loopback of IPv6", "example.org", "::1", false},
		{"loopback, mapped into IPv6", "example.org", "::ffff:127.0.0.1", false},
		{"loopback, within IPv6", "example.org", "::127.0.0.1", false},
		{"loopback, by a translator", "example.org", "64:ff9b::7f00:1", false},
		{"loopback, by 6to4", "example.org", "2002:7f00:1::1", false},
		{"a public address, by a translator", "example.org", "64:ff9b::192.0.2.1", true},
		{"no address of IPv4, which is this machine", "example.org", "0.0.0.0", false},
		{"no address of IPv6, which is this machine", "example.org", "::", false},
		{"a cloud's metadata", "example.org", "169.254.169.254", false},
		{"a cloud's metadata, mapped", "example.org", "::ffff:169.254.169.254", false},
		{"a private network", "example.org", "10.1.1.1", false},
		{"a link's address, with its interface", "example.org", "fe80::1%eth0", false},
		{"a local address of IPv6", "example.org", "fd00::1", false},
		{"an exception's network", "example.org", "10.20.1.1", true},
		{"an exception's network, mapped", "example.org", "::ffff:10.20.1.1", true},
		{"an exception's network of IPv6", "example.org", "fc00:20::1", true},
		{"an exception's address", "192.168.3.4:81", "192.168.3.4", true},
		{"the address beside it", "192.168.3.5:81", "192.168.3.5", false},
		{"an exception by name", "intranet.campus.example", "10.1.1.1", true},
		{"an exception by name, with a port", "INTRANET.campus.example.:8443", "127.0.0.1", true},
		{"a name that ends as it does", "x.intranet.campus.example", "10.1.1.1", false},
		{"an upstream", "pkg.campus.example:443", "10.1.1.1", true},
		{"an upstream, over http", "pkg.campus.example:80", "127.0.0.1", true},
		{"an upstream's host at another port", "pkg.campus.example:22", "10.1.1.1", false},
		{"an upstream by address", "10.7.7.7:8080", "10.7.7.7", true},
		{"an upstream's address at another port", "10.7.7.7:80", "10.7.7.7", false},
		{"an alias is no upstream", "alias.campus.example", "10.1.1.1", false},
		{"a name that is an upstream's address by accident", "example.org:8080", "10.7.7.7", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := c.MayReach(tt.host, netip.MustParseAddr(tt.addr)); got != tt.want {
				t.Errorf("MayReach(%q, %s) = %v", tt.host, tt.addr, got)
			}
		})
	}
}

func TestReposAt(t *testing.T) {
	c, err := fromText(reachText)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"pkg.campus.example":         {"site", "other"},
		"PKG.campus.example.:443":    {"site", "other"},
		"pkg.campus.example:8443":    nil,
		"alias.campus.example":       {"site"},
		"de.alias.campus.example":    {"site"},
		"x.de.alias.campus.example":  nil,
		"10.7.7.7:8080":              {"site"},
		"dl.fedoraproject.org":       {"fedora", "epel"},
		"example.org":                nil,
		"":                           nil,
		"download.fedoraproject.org": {"fedora", "epel"},
	} {
		if got := c.ReposAt(host); !slices.Equal(got, want) {
			t.Errorf("ReposAt(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestListsAt(t *testing.T) {
	c, err := fromText(`[[repo]]
name = "site"
upstreams = ["https://pkg.campus.example"]
mirrorlist = "https://Lists.campus.example:8443?root={root}"
[[repo]]
name = "other"
upstreams = ["https://pkg.campus.example/other"]
metalink = { "x/*" = "https://lists.campus.example/a?root={root}", "*" = "http://lists.campus.example:80/b/{root}" }
mirrorlist = "https://lists.campus.example:8443/c"
`)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string][]string{
		"lists.campus.example":       {"other"},
		"LISTS.campus.example.:443":  {"other"},
		"lists.campus.example:8443":  {"site", "other"},
		"mirrors.fedoraproject.org":  {"fedora", "epel"},
		"pkg.campus.example":         nil,
		"x.lists.campus.example":     nil,
		"":                           nil,
		"download.fedoraproject.org": nil,
	} {
		if got := c.ListsAt(host); !slices.Equal(got, want) {
			t.Errorf("ListsAt(%q) = %q, want %q", host, got, want)
		}
	}
}
