package repodata

import (
	"errors"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckLocation(t *testing.T) {
	good := map[string]string{ // to what is returned
		"foo-1-2.noarch.rpm":                   "foo-1-2.noarch.rpm",
		"Packages/g/gcc-c++-14.1-1.x86_64.rpm": "Packages/g/gcc-c++-14.1-1.x86_64.rpm",
		"./foo.rpm":                            "foo.rpm",
		"a/foo-1~rc1^git.rpm":                  "a/foo-1~rc1^git.rpm",
		"a/foo-1%2B2.rpm":                      "a/foo-1%2B2.rpm",
		"a/100%.rpm":                           "a/100%.rpm",
		"a/b:c.rpm":                            "a/b:c.rpm",
		"1:2.rpm":                              "1:2.rpm",
		"a%3Ab.rpm":                            "a%3Ab.rpm",
		"caf\u00e9.rpm":                        "caf\u00e9.rpm",
		"..foo/bar..rpm":                       "..foo/bar..rpm",
		"...":                                  "...",
		strings.Repeat("a", 255) + "/b":        strings.Repeat("a", 255) + "/b",
		strings.Repeat("a/", 1535) + "bc":      strings.Repeat("a/", 1535) + "bc",
	}
	for in, want := range good {
		if got, err := CheckLocation(in); got != want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	bad := map[string]string{ // to why
		"":                               "empty",
		".":                              "directory",
		"./":                             "empty",
		"a/":                             "directory",
		"/a":                             "absolute",
		"//host/a":                       "absolute",
		"..":                             "`..`",
		"../a":                           "`..`",
		"./../a":                         "`..`",
		"a/../b":                         "`..`",
		"a/..":                           "`..`",
		"a//b":                           "clean",
		"a/./b":                          "clean",
		"././a":                          "clean",
		"http://example.org/a.rpm":       "scheme",
		"HTTP:a":                         "scheme",
		"file:///etc/passwd":             "scheme",
		"./http://example.org/a":         "scheme",
		"%2e%2e/a":                       "`..`",
		"a/%2E./b":                       "`..`",
		"..%2fa":                         "slash",
		"a%2Fb":                          "slash",
		"%2e/a":                          "clean",
		"a%00b":                          "control",
		"a\x00b":                         "control",
		"a\nb":                           "control",
		"a\u0085b":                       "control",
		"a\xffb":                         "UTF-8",
		"a%ffb":                          "UTF-8",
		`..\a`:                           "backslash",
		"a%5Cb":                          "backslash",
		"a?b":                            "query",
		"a#b":                            "fragment",
		strings.Repeat("a", 256) + "/b":  "255",
		strings.Repeat("a/", 1536) + "b": "3 KiB",
	}
	for in, why := range bad {
		got, err := CheckLocation(in)
		if err == nil || got != "" {
			t.Errorf("%q: accepted as %q", in, got)
			continue
		}
		if !errors.Is(err, ErrLocation) || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want it to say %q", in, err, why)
		}
	}
}

// TestPackageLocation: a package is no metadata file, in whatever spelling, and may be called
// nearly like one.
func TestPackageLocation(t *testing.T) {
	for _, in := range []string{
		"repodata/repomd.xml", "./repodata/a.rpm", "os/repodata/repomd.xml", "%72epodata/repomd.xml", "repodata/%72epomd.xml",
		"dists/stable/InRelease", "InRelease", "dists/stable/Release", "Release.gpg", "dists/stable/InReleas%65",
	} {
		if got, err := checkPackage(in); got != "" || !errors.Is(err, ErrLocation) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"repodata.rpm", "repodata/a/b.rpm", "Packages/r/repodata-1-1.noarch.rpm", "Release-1-1.noarch.rpm", "pool/I/InRelease/a.deb", "100%.rpm"} {
		if got, err := checkPackage(in); got != in || err != nil {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	if got, err := checkPackage("../a.rpm"); got != "" || !errors.Is(err, ErrLocation) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzCheckLocation holds what is accepted to what callers do with it.
func FuzzCheckLocation(f *testing.F) {
	for _, s := range []string{"a/b.rpm", "./a", "../a", "%2e%2e/a", "a%2fb", "a:b", "//h/a", `a\b`, "a?b", "a%", "a%zz/../b"} {
		f.Add(s)
	}
	base, err := url.Parse("http://mirror.example.org/fedora/41/")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, href string) {
		loc, err := CheckLocation(href)
		if err != nil {
			return
		}
		if again, err := CheckLocation(loc); again != loc || err != nil {
			t.Fatalf("%q becomes %q, and that %q, %v", href, loc, again, err)
		}
		below := func(what, got, dir string) {
			if !strings.HasPrefix(got, dir+"/") || len(got) <= len(dir)+1 {
				t.Errorf("%q: %s leads to %q", loc, what, got)
			}
		}
		below("joined as a path", path.Join("/root", loc), "/root")
		if !filepath.IsLocal(loc) {
			t.Errorf("%q is not local", loc)
		}
		if dec, err := url.PathUnescape(loc); err == nil {
			below("decoded", path.Join("/root", dec), "/root")
		}
		if u, err := base.Parse(loc); err == nil {
			if u.Host != base.Host || u.Scheme != base.Scheme || u.RawQuery != "" {
				t.Errorf("%q resolves to %v", loc, u)
			}
			below("resolved as a URL", path.Clean(u.Path), "/fedora/41")
		}
	})
}
