package popularity

import (
	"strings"
	"testing"

	"intelligentmirror/internal/cache"
)

func TestSplitTarget(t *testing.T) {
	for _, c := range []struct {
		name, target, host, path string
		ok                       bool
	}{
		{"origin form", "/fedora/a.rpm", "", "/fedora/a.rpm", true},
		{"a query", "/fedora/a.rpm?x=/y", "", "/fedora/a.rpm", true},
		{"http", "http://Example.ORG/a/b.rpm", "example.org", "/a/b.rpm", true},
		{"https and its port", "HTTPS://example.org:443/a", "example.org", "/a", true},
		{"http's port", "http://example.org:80/a", "example.org", "/a", true},
		{"another port", "http://example.org:3180/a", "example.org:3180", "/a", true},
		{"credentials", "http://user:p@ss@example.org/a", "example.org", "/a", true},
		{"IPv6", "http://[2001:db8::1]:80/a", "[2001:db8::1]", "/a", true},
		{"IPv6 that ends like a port", "http://[2001:db8::80]/a", "[2001:db8::80]", "/a", true},
		{"no path", "http://example.org", "example.org", "/", true},
		{"no path but a query", "http://example.org?/a.rpm", "example.org", "/", true},
		{"fragment", "http://example.org/a#b", "example.org", "/a", true},
		{"no host", "http:///a", "", "", false},
		{"another scheme", "ftp://example.org/a", "", "", false},
		{"authority", "example.org:443", "", "", false},
		{"asterisk", "*", "", "", false},
		{"squid's error", "error:invalid-request", "", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			host, path, ok := splitTarget(c.target)
			if host != c.host || path != c.path || ok != c.ok {
				t.Errorf("got %q %q %v", host, path, ok)
			}
		})
	}
}

func TestUnescapeLog(t *testing.T) {
	for in, want := range map[string]string{
		`/plain`:                  `/plain`,
		`/a\"b\\c`:                `/a"b\c`,
		`/\xC3\xa9\x2B`:           "/\u00e9+",
		`/tab\tnewline\nreturn\r`: "/tab\tnewline\nreturn\r",
		`/\xZZ\x1`:                `/\xZZ\x1`,
		`/ends\`:                  `/ends\`,
	} {
		if got := string(unescapeLog(in)); got != want {
			t.Errorf("%s: got %q, want %q", in, got, want)
		}
	}
}

// A path is what the cache stores the file under, so that a rank is found for
// what is stored.
func TestCleanPathIsTheCachesKey(t *testing.T) {
	for _, escaped := range cleanPaths {
		checkCleanPath(t, escaped)
	}
}

var cleanPaths = []string{
	"updates/41/vlc.rpm", "/updates/41/vlc.rpm", "a//b/./c", "a/../../b", "..", "", "/", "a/", "a/.", "a/..",
	"libstdc++-1%2B~%7e^%5E.rpm", "a%2fb", "a%2Fb", "a%25b", "a%", "a%zz", "%ff", "\xff", "a%00b", "a\x1fb", "a b", "%C3%A9",
	strings.Repeat("n", 255), strings.Repeat("n", 256), "d/" + strings.Repeat("n", 255) + "/f", "d/" + strings.Repeat("n", 256) + "/f", "/a//b", "//a", "a/.b", "a/b.", "a\x7fb", "%2e%2e/a", "\xc8/../0",
}

func checkCleanPath(t *testing.T, escaped string) {
	t.Helper()
	got, ok := cleanPath(escaped)
	key, err := cache.NewKey("r", escaped)
	if ok != (err == nil) && len(escaped) <= maxPath || ok && key.Path != got {
		t.Errorf("%q: %q, %v; the cache's key: %q, %v", escaped, got, ok, key.Path, err)
	}
}

func TestPackageName(t *testing.T) {
	for _, c := range []struct{ file, name, arch string }{
		{"kernel-6.8.5-301.fc40.x86_64.rpm", "kernel", "x86_64"},
		{"vlc-plugins-freeworld-3.0.21-4.fc41.x86_64.rpm", "vlc-plugins-freeworld", "x86_64"},
		{"libstdc++-14.2.1-1.fc41.i686.rpm", "libstdc++", "i686"},
		{"mplayer-1.5.1~rc1-2.fc41.src.rpm", "mplayer", "src"},
		{"vlc-3.0.20-1.fc40_3.0.21-1.fc40.x86_64.drpm", "vlc", "x86_64"},
		{"vlc_3%3a3.0.21-1_amd64.deb", "vlc", "amd64"},
		{"base-installer_1.219_amd64.udeb", "base-installer", "amd64"},
		{"busybox-static-1.36.1-r29.apk", "busybox-static", "x86_64"},
		{"linux-firmware-20260101-1-any.pkg.tar.zst", "linux-firmware", "any"},
		{"linux-6.9-1-x86_64.pkg.tar.zst.sig", "", ""},
		{"vlc.rpm", "", ""}, {"vlc-3.rpm", "", ""}, {".rpm", "", ""}, {"-1-2.x86_64.rpm", "", ""}, {"a-1-.x86_64.rpm", "", ""},
		{"a--1.x86_64.rpm", "", ""}, {"a-1-2..rpm", "", ""}, {"vlc-1-2-3.x86_64.drpm", "", ""},
		{"vlc_3.deb", "", ""}, {"_1_amd64.deb", "", ""}, {"a_b_c_d.deb", "", ""}, {"busybox.apk", "", ""}, {"a.tar.gz", "", ""},
	} {
		t.Run(c.file, func(t *testing.T) {
			name, arch, ok := packageName("alpine/v3.20/main/x86_64", c.file)
			if name != c.name && ok || ok && arch != c.arch || ok != (c.name != "") {
				t.Errorf("got %q %q %v", name, arch, ok)
			}
		})
	}
}

func TestNormalClient(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.7": "10.0.0.7", "::ffff:10.0.0.7": "10.0.0.7", "[2001:DB8::0:1]": "2001:db8::1", "2001:db8:0:0::1": "2001:db8::1",
		"fe80::1%eth0": "fe80::1", "PC7.Example.org": "pc7.example.org",
	} {
		if got := normalClient(in); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
}
