// Package squid_test holds that the files of this folder say of paths what imserve does.
package squid_test

import (
	"io/fs"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"intelligentmirror/internal/config"
)

// TestParentTakesWhatImserveStores: by its parent's way squid asks imserve for what
// that takes for a package or for metadata, and for nothing else.
func TestParentTakesWhatImserveStores(t *testing.T) {
	text, err := os.ReadFile("imserve-parent.conf")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []*regexp.Regexp
	for line := range strings.Lines(string(text)) {
		if p, ok := strings.CutPrefix(strings.TrimSpace(line), "acl imserve_file urlpath_regex "); ok {
			patterns = append(patterns, regexp.MustCompile(p))
		}
	}
	if len(patterns) == 0 {
		t.Fatal("the file has no acl imserve_file")
	}
	c, err := config.Load(config.Options{
		Getenv: func(string) string { return "" }, Interfaces: func() ([]net.Addr, error) { return nil, nil },
		ReadFile: func(string) ([]byte, error) { return nil, fs.ErrNotExist },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{
		"/pub/fedora/linux/updates/41/Everything/x86_64/Packages/v/vlc-3.0.21-4.fc41.x86_64.rpm", "/drpms/a.drpm",
		"/debian/pool/main/h/hello/hello_2.10-3_amd64.deb", "/debian/pool/main/a/a.udeb", "/alpine/v3.20/main/x86_64/curl-8.9.1-r1.apk",
		"/archlinux/core/os/x86_64/bash-5.2.pkg.tar.zst", "/archlinux/core/os/x86_64/bash-5.2.pkg.tar.zst.sig",
		"/x/repodata/repomd.xml", "/x/repodata/repomd.xml.asc", "/x/repodata/abc-primary.xml.zst", "/debian/dists/stable/InRelease",
		"/debian/dists/stable/main/binary-amd64/by-hash/SHA256/abc", "/flat/Release", "/flat/Release.gpg", "/flat/Packages", "/flat/Packages.gz",
		"/flat/Packages.xz", "/flat/Packages.bz2", "/flat/InRelease", "/suse/media.1/media", "/RPM-GPG-KEY-EPEL-9",
		"/", "/index.html", "/a.rpm.html", "/arpm", "/rpm", "/adeb", "/x/repodata", "/x/dists", "/Releases", "/flat/Packages.html", "/flat/Release.txt",
		"/media.11/x", "/search/deb", "/x/myrepodata/y", "/images/logo.png", "/pub/x.pkg.tar", "/a/RPM-GPG-KEYS.d/x/y.html",
	} {
		class := c.Serve.Classify(path)
		want := class == config.Package || class == config.Metadata
		got := false
		for _, p := range patterns {
			got = got || p.MatchString(path)
			if p.MatchString(path + "?x=/a.rpm") {
				t.Errorf("%s with a query is imserve's by %v", path, p)
			}
		}
		if got != want {
			t.Errorf("%s: squid says %v, imserve %v", path, got, class)
		}
	}
}

// TestFilesNameTheProgram: the helper is the program that the unit starts.
func TestFilesNameTheProgram(t *testing.T) {
	unit, err := os.ReadFile("../systemd/imserve.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"imserve-helper.conf", "imserve-store-id.conf"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(`(?m)^(?:url_rewrite|store_id)_program (\S+) squid-helper\b`).FindSubmatch(text)
		if m == nil || !strings.Contains(string(unit), "ExecStart="+string(m[1])+"\n") {
			t.Errorf("%s starts %q, the unit another program", name, m)
		}
	}
}
