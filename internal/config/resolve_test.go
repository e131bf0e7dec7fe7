package config

import (
	"net/netip"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	c, err := fromText(`
[[repo]]
name = "site"
upstreams = ["http://pkg.example.org:8080/a%20b/site", "https://[2001:db8::1]/s"]
aliases = ["https://Mirrors.Example.org:443/site/", "http://old.example.org", "https://ftp.*.example.org/pub"]
alias_paths = ["/pub/site/linux"]

[[repo]]
name = "twin"   # the built-in's upstream: the file's comes first
upstreams = ["https://security.debian.org/debian-security"]
`)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct{ host, path, repo, rest string }{
		// On this mirror, and in other mirrors' logs.
		{"", "/fedora/updates/41/x", "fedora", "updates/41/x"},
		{"", "/pub/fedora/linux/updates/41/x", "fedora", "updates/41/x"},
		{"", "/fedora/linux/updates/41/x", "fedora", "updates/41/x"},
		{"", "/fedora/epel/9/x", "epel", "9/x"},
		{"", "/fedora-epel/9/x", "epel", "9/x"},
		{"", "/pub/epel/9/x", "epel", "9/x"},
		{"", "/pub/rocky/9/x", "rocky", "9/x"},
		{"", "/debian-security/dists/x", "debian-security", "dists/x"},
		{"", "/debian/dists/x", "debian", "dists/x"},
		{"", "/site/x%2By", "site", "x%2By"},
		{"", "//site//x", "site", "x"},
		{"", "/site/", "site", ""},
		{"", "/site", "site", ""},
		{"", "/siteX/y", "", ""},
		{"", "/Site/y", "", ""},
		{"", "/pub/site/linux/x", "site", "x"},
		{"", "/a%20b/site/x", "", ""},
		{"", "/proxy/dl.fedoraproject.org/x", "", ""},
		{"", "/-/healthz", "", ""},
		{"", "/", "", ""},
		{"", "", "", ""},
		{"", "site/x", "", ""},
		{"", "*", "", ""},

		// By upstream.
		{"dl.fedoraproject.org", "/pub/fedora/linux/updates/41/x", "fedora", "updates/41/x"},
		{"dl.fedoraproject.org", "/pub/archive/fedora/linux/releases/30/x", "fedora", "releases/30/x"},
		{"dl.fedoraproject.org", "/pub/epel/9/x", "epel", "9/x"},
		{"dl.fedoraproject.org", "/fedora/linux/x", "fedora", "x"}, // an alias path, on a host that it knows
		{"dl.fedoraproject.org", "/pub/alt/x", "", ""},
		{"DL.FedoraProject.org.", "/pub/epel/9/x", "epel", "9/x"},
		{"download.opensuse.org", "/tumbleweed/repo/oss/x", "opensuse", "tumbleweed/repo/oss/x"},
		{"download.opensuse.org", "/opensuse/x", "opensuse", "x"},
		{"pkg.example.org:8080", "/a%20b/site/x", "site", "x"},
		{"pkg.example.org", "/a%20b/site/x", "", ""},
		{"[2001:db8::1]", "/s/x", "site", "x"},
		{"[2001:db8::1]:443", "/s/x", "site", "x"},
		{"security.debian.org", "/debian-security/x", "twin", "x"},
		{"archive.debian.org", "/debian-security/x", "debian-security", "x"},

		// By alias.
		{"mirrors.example.org", "/site/x", "site", "x"},
		{"mirrors.example.org:80", "/site/x", "site", "x"},
		{"mirrors.example.org:8080", "/site/x", "", ""},
		{"mirrors.example.org", "/sites/x", "", ""},
		{"mirrors.example.org", "/pub/site/linux/x", "", ""}, // an alias's host may hold other things too
		{"old.example.org", "/anything/x", "site", "anything/x"},
		{"cdn.opensuse.org", "/distribution/x", "opensuse", "distribution/x"},
		{"de.archive.ubuntu.com", "/ubuntu/pool/x", "ubuntu", "pool/x"},
		{"archive.ubuntu.com", "/ubuntu/pool/x", "ubuntu", "pool/x"},
		{"a.b.archive.ubuntu.com", "/ubuntu/pool/x", "", ""},
		{".archive.ubuntu.com", "/ubuntu/pool/x", "", ""},
		{"security.ubuntu.com", "/ubuntu/pool/x", "ubuntu", "pool/x"},
		{"ftp.de.example.org", "/pub/x", "site", "x"},
		{"ftp.de.example.org.evil.example", "/pub/x", "", ""},
		{"cdn.debian.org", "/debian-security/x", "debian-security", "x"},
		{"ftp.de.debian.org", "/debian/x", "debian", "x"},
		{"evil.example", "/fedora/x", "", ""},
		{"evil.example", "/pub/fedora/linux/x", "", ""},
	} {
		repo, rest, ok := c.Resolve(x.host, x.path)
		if repo != x.repo || rest != x.rest || ok != (x.repo != "") {
			t.Errorf("Resolve(%q, %q) = %q, %q, %v; want %q, %q", x.host, x.path, repo, rest, ok, x.repo, x.rest)
		}
	}
}

// FuzzResolve holds that what comes back is the path's own end, below a
// repository that there is.
func FuzzResolve(f *testing.F) {
	for _, x := range [][2]string{
		{"", "/fedora/updates/41/x"}, {"de.archive.ubuntu.com", "/ubuntu//pool/x"}, {"[::1]:443", "/"}, {".", "//"}, {"download.opensuse.org:80", "/a"},
	} {
		f.Add(x[0], x[1])
	}
	c := mustLoad(f, host(nil, nil))
	f.Fuzz(func(t *testing.T, host, path string) {
		repo, rest, ok := c.Resolve(host, path)
		switch {
		case !ok && (repo != "" || rest != ""):
			t.Errorf("Resolve(%q, %q) = %q, %q, false", host, path, repo, rest)
		case ok && (c.Repo(repo) == nil || !strings.HasSuffix(path, rest) || strings.HasPrefix(rest, "/")):
			t.Errorf("Resolve(%q, %q) = %q, %q", host, path, repo, rest)
		}
	})
}

func TestNetworksContain(t *testing.T) {
	n := mustNetworks("10.0.0.0/8", "::1", "fe80::/10")
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "::ffff:10.1.2.3": true, "11.0.0.1": false, "::1": true, "::2": false, "fe80::1%eth0": true, "::ffff:11.0.0.1": false,
	} {
		if got := n.Contains(netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is in %v: %v, want %v", addr, n, got, want)
		}
	}
	if n.Contains(netip.Addr{}) {
		t.Error("no address is in a network")
	}
}
