package serve

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"

// TestListing holds what is shown of a directory, and to whom.
func TestListing(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(3000, 1))
	m.prime(pkg)
	for name, size := range map[string]int{
		"b.rpm": 1, "a<b>&\"c\".rpm": 2048, "1:2.rpm": 3, "%41.rpm": 4, "a b?c#d.rpm": 5, "ü.rpm": 6, ".treeinfo": 7, "z/x.rpm": 8, "c/x.rpm": 9,
	} {
		file := filepath.Join(m.dir, "r/os/list", name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, make([]byte, size), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc", filepath.Join(m.dir, "r/os/list/out")); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(m.dir, "r/os/list/pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := m.get("os/list/", "Accept", browser)
	text := string(r.body)
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/html; charset=utf-8" || r.status() != "imserve" || r.Header.Get("Vary") != "Accept" ||
		r.Header.Get("Cache-Control") != "no-store" || !strings.Contains(r.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%s %v", r.Status, r.Header)
	}
	var links []string
	for _, match := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(text, -1) {
		links = append(links, match[1])
	}
	want := []string{"?upstream", "../", "./c/", "./z/", "./%2541.rpm", "./.treeinfo", "./1:2.rpm", "./a%20b%3Fc%23d.rpm", "./a%3Cb%3E&amp;%22c%22.rpm", "./b.rpm", "./%C3%BC.rpm"}
	if !slices.Equal(links, want) {
		t.Errorf("links %q\nwant %q", links, want)
	}
	for _, want := range []string{"<h1>/r/os/list/</h1>", "7 files, 2.0 KiB", `title="2048 bytes">2.0 KiB<`, "a&lt;b&gt;&amp;&#34;c&#34;.rpm"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q: %s", want, text)
		}
	}
	for _, tt := range []struct {
		name, path, accept string
		status             string // Cache-Status: "imserve" is our own listing
		code               int
	}{
		{"the top of a repository", "", browser, "imserve", 200},
		{"without its slash", "os/list", browser, "imserve", 301},
		{"a program", "os/list/", "*/*", "imserve; fwd=bypass", 404},
		{"a program that does not say what it takes", "os/list/", "", "imserve; fwd=bypass", 404},
		{"anything but a page", "os/list/", "text/html;q=0, */*", "imserve; fwd=bypass", 404},
		{"upstream's", "os/list/?upstream", browser, "imserve; fwd=bypass", 404},
		{"nothing is stored", "os/nothing/", browser, "imserve; fwd=bypass", 404},
		{"a file", "os/list/.treeinfo/", browser, "imserve; fwd=bypass", 404},
		{"a pipe", "os/list/pipe/", browser, "imserve; fwd=bypass", 404},
		{"a link that leads out", "os/list/out/", browser, "imserve; fwd=bypass", 404},
		{"out of the repository", "..%2f/", browser, "imserve", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			fields := []string{"Accept", tt.accept}
			if tt.accept == "" {
				fields = nil
			}
			r := m.get(tt.path, fields...)
			if r.StatusCode != tt.code || r.status() != tt.status {
				t.Errorf("%s, %s; want %d, %s", r.Status, r.status(), tt.code, tt.status)
			}
			if tt.code == 301 && r.Header.Get("Location") != "./list/" {
				t.Errorf("Location %q", r.Header.Get("Location"))
			}
		})
	}
	m.up.Stop()
	if r := m.get("os/list/", "Accept", browser); r.StatusCode != 200 {
		t.Errorf("offline: %s", r.Status)
	}
	// Each link leads to its file.
	for _, link := range want[4:] {
		link = strings.TrimPrefix(strings.ReplaceAll(link, "&amp;", "&"), "./")
		if r := m.get("os/list/" + link); strings.HasSuffix(link, ".rpm") && (r.StatusCode != 200 || len(r.body) == 0) {
			t.Errorf("%s: %s", link, r.Status)
		}
	}
	if r := m.do(m.request(http.MethodHead, "os/list/", "Accept", browser)); r.StatusCode != 200 || len(r.body) != 0 || r.ContentLength < 1000 {
		t.Errorf("HEAD: %s, %d bytes", r.Status, r.ContentLength)
	}
}

func TestRobots(t *testing.T) {
	m := newMirror(t, setup{})
	if r := m.get("/robots.txt"); r.StatusCode != 200 || string(r.body) != "User-agent: *\nDisallow: /\n" || r.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%s %q", r.Status, r.body)
	}
	if r := m.do(m.request(http.MethodPost, "/robots.txt")); r.StatusCode != 405 {
		t.Error(r.Status)
	}
}
