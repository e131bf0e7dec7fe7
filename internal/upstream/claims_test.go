package upstream

import (
	"strings"
	"testing"
)

func TestClaims(t *testing.T) {
	c := patient(t, Options{})
	none := func(string) (string, string, bool) { return "", "", false }
	for _, r := range []struct {
		name, root string
		bases      []string
	}{
		{"fedora", "updates/41", []string{"https://M.test:443/pub/fedora/updates/41", "http://n.test:8080/f"}},
		{"epel", "9/a+b", []string{"https://m.test/pub/epel/9/a%2Bb", "https://o.test"}},
	} {
		m := c.Repo(Repo{Name: r.name, Mirrorlist: none, Paths: []string{"/" + r.name, "/pub/" + r.name}})
		l := &list{lists: m.lists, root: r.root}
		l.install(&snapshot{Bases: r.bases})
		m.lists.byRoot[r.root] = l
	}
	c.claims.rebuild()
	for _, tt := range []struct{ host, path, want string }{
		{"m.test", "/pub/fedora/updates/41/repodata/repomd.xml", "fedora updates/41/repodata/repomd.xml"},
		{"M.TEST.:80", "/pub/fedora/updates/41/a%2bb.rpm", "fedora updates/41/a%2bb.rpm"},
		{"m.test", "/pub/fedora/updates/41", "fedora updates/41"},
		{"m.test", "/pub/fedora/updates/411/x", "fedora updates/411/x"},
		{"m.test", "/fedora/releases/x/", "fedora releases/x/"},
		{"m.test", "/pub/epel/9/a%2Bb/x", "epel 9/a%2Bb/x"},
		{"m.test", "/other/x", ""},
		{"n.test:8080", "/f/x", "fedora updates/41/x"},
		{"n.test", "/f/x", ""},
		{"n.test:8080", "/foo", ""},
		{"o.test", "/x//y", "epel 9/a%2Bb/x//y"},
		{"o.test", "/pub/epel//9/x", "epel 9/x"},
		{"p.test", "/pub/fedora/x", ""},
	} {
		repo, rest, ok := c.Claims().Find(tt.host, tt.path)
		if got := strings.TrimSpace(repo + " " + rest); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%s%s: %q, %v; want %q", tt.host, tt.path, got, ok, tt.want)
		}
	}
	if _, _, ok := patient(t, Options{}).Claims().Find("m.test", "/pub/fedora/x"); ok {
		t.Error("claimed without any list")
	}
}
