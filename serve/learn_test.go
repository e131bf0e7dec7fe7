package serve

import (
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// The lists of a repository's root os, as two kinds of servers have them.
var (
	someMetalink = testrepo.Metalink{Current: []byte("<repomd/>"), Time: time.Unix(1e9, 0), Mirrors: []string{
		"rsync://far.test/linux/r/os", "https://far.test/pub/linux/r/os", "http://else.test/mirrors/r/os",
	}}.Bytes()
	someMirrorlist = []byte("# mirrors\nhttps://far.test/pub/linux/r/os/\nhttp://else.test/mirrors/r/os/\n")
)

// TestLearn holds that a list of mirrors which a client gets by way of the mirror
// has it fetch that root's list too, so that what the next client asks the list's
// mirrors for is known for what it is.
func TestLearn(t *testing.T) {
	for key, body := range map[string][]byte{"metalink": someMetalink, "mirrorlist": someMirrorlist} {
		t.Run(key, func(t *testing.T) {
			lists := testrepo.Start(t, t.TempDir())
			if err := lists.Put("/list", body); err != nil {
				t.Fatal(err)
			}
			m := newMirror(t, setup{config: loopback, repo: "alias_paths = [\"/pub/linux/r\"]\n" + key + " = \"" + lists.URL + "/list?path={root}\"\n"})
			r := m.ask(http.MethodGet, lists.URL+"/list?repo=r-os&arch=all")
			if r.StatusCode != 200 || r.status() != "imserve; fwd=bypass" || string(r.body) != string(body) {
				t.Fatalf("%s, %s, %d bytes", r.Status, r.status(), len(r.body))
			}
			if err := lists.AwaitRequests(t.Context(), "GET", "/list", 2); err != nil {
				t.Fatal(err)
			}
			for len(m.server.reposAt("far.test:443")) == 0 { // until the list has been read
				runtime.Gosched()
			}
			if got := lists.Requests()[1].URI; got != "/list?path=os" {
				t.Errorf("it asked for %s", got)
			}
			for host, path := range map[string]string{"far.test": "/pub/linux/r/os/Packages/a.rpm", "else.test": "/mirrors/r/os/Packages/a.rpm"} {
				if repo, rest, ok := m.server.claim(host, path); !ok || repo != "r" || rest != "os/Packages/a.rpm" {
					t.Errorf("%s%s: %q, %q, %v", host, path, repo, rest, ok)
				}
			}
		})
	}
}

// TestLessons holds which documents are learnt from, and what.
func TestLessons(t *testing.T) {
	m := newMirror(t, setup{repo: "alias_paths = [\"/pub/linux/r\"]\nmetalink = \"https://lists.test/list?path={root}\"\n"})
	named := func(host string) target { return target{named: &url.URL{Scheme: "https", Host: host, Path: "/list"}} }
	for _, tt := range []struct {
		name, method, host string
		code               int
		encoding           string
		body               []byte
		want               []target
	}{
		{"a metalink", "GET", "lists.test", 200, "", someMetalink, []target{{repo: "r", rest: "os/repodata/repomd.xml"}}},
		{"a list of mirrors", "GET", "lists.test", 200, "", someMirrorlist, []target{{repo: "r", rest: "os/repodata/repomd.xml"}}},
		{"of two roots", "GET", "lists.test", 200, "", []byte("http://a.test/pub/linux/r/x\nhttp://b.test/r/y/\nhttp://c.test/r/x"),
			[]target{{repo: "r", rest: "x/repodata/repomd.xml"}, {repo: "r", rest: "y/repodata/repomd.xml"}}},
		{"another repository's", "GET", "lists.test", 200, "", []byte("https://far.test/pub/fedora/linux/releases/41/Everything/x86_64/os/\n"), nil},
		{"a page", "GET", "lists.test", 200, "", []byte("<html>This is a page.</html>\n"), nil},
		{"one without end", "GET", "lists.test", 200, "", []byte(strings.Repeat("https://far.test/pub/linux/r/os/\n", 1+maxLesson/32)), nil},
		{"from another host", "GET", "far.test", 200, "", someMetalink, nil},
		{"the head alone", "HEAD", "lists.test", 200, "", nil, nil},
		{"an error", "GET", "lists.test", 503, "", someMirrorlist, nil},
		{"compressed", "GET", "lists.test", 200, "gzip", someMirrorlist, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp := &http.Response{StatusCode: tt.code, Header: http.Header{}}
			if tt.encoding != "" {
				resp.Header.Set("Content-Encoding", tt.encoding)
			}
			var got []target
			if l := m.server.lesson(&http.Request{Method: tt.method}, named(tt.host), resp); l != nil {
				for piece := range slices.Chunk(tt.body, 1000) {
					if n, err := l.Write(piece); n != len(piece) || err != nil {
						t.Fatal(n, err)
					}
				}
				got = l.anchors()
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
