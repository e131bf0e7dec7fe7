package config

import (
	"slices"
	"strings"
	"testing"
)

func TestBuiltinRepos(t *testing.T) {
	c := mustLoad(t, host(nil, nil))
	var names []string
	for _, r := range c.Repos {
		names = append(names, r.Name)
		for _, u := range r.Upstreams {
			if !strings.HasPrefix(u, "https://") {
				t.Errorf("%s: upstream %s is not https", r.Name, u)
			}
		}
	}
	want := []string{"fedora", "epel", "centos-stream", "rocky", "almalinux", "rpmfusion", "opensuse",
		"debian", "debian-security", "ubuntu", "ubuntu-ports"}
	if !slices.Equal(names, want) {
		t.Errorf("repos %q, want %q", names, want)
	}
	if c.Repo("fedora") == nil || c.Repo("proxy") != nil {
		t.Errorf("Repo finds fedora: %v, and proxy: %v", c.Repo("fedora"), c.Repo("proxy"))
	}
}

// TestBuiltinTemplates has, of each distribution, the roots that its own .repo
// files name and the documents that they name for them.
func TestBuiltinTemplates(t *testing.T) {
	c := mustLoad(t, host(nil, nil))
	for _, x := range []struct{ repo, root, metalink, mirrorlist string }{
		{repo: "fedora", root: "updates/41/Everything/x86_64",
			metalink: "https://mirrors.fedoraproject.org/metalink?path=pub/fedora/linux/updates/41/Everything/x86_64/repodata/repomd.xml"},
		{repo: "fedora", root: "releases/41/Everything/x86_64/os",
			metalink: "https://mirrors.fedoraproject.org/metalink?path=pub/fedora/linux/releases/41/Everything/x86_64/os/repodata/repomd.xml"},
		{repo: "epel", root: "10.1/Everything/aarch64",
			metalink: "https://mirrors.fedoraproject.org/metalink?path=pub/epel/10.1/Everything/aarch64/repodata/repomd.xml"},
		{repo: "centos-stream", root: "9-stream/BaseOS/x86_64/os",
			metalink: "https://mirrors.centos.org/metalink?repo=centos-baseos-9-stream&arch=x86_64"},
		{repo: "centos-stream", root: "10-stream/AppStream/aarch64/os",
			metalink: "https://mirrors.centos.org/metalink?repo=centos-appstream-10-stream&arch=aarch64"},
		{repo: "centos-stream", root: "9-stream/CRB/ppc64le/os",
			metalink: "https://mirrors.centos.org/metalink?repo=centos-crb-9-stream&arch=ppc64le"},
		{repo: "centos-stream", root: "9-stream/RT/x86_64/os"},
		{repo: "rocky", root: "9/BaseOS/x86_64/os",
			mirrorlist: "https://mirrors.rockylinux.org/mirrorlist?arch=x86_64&repo=BaseOS-9"},
		{repo: "rocky", root: "9/BaseOS/x86_64/debug/tree"},
		{repo: "almalinux", root: "9/AppStream/x86_64/os",
			mirrorlist: "https://mirrors.almalinux.org/mirrorlist/9/appstream"},
		{repo: "rpmfusion", root: "free/fedora/releases/41/Everything/x86_64/os",
			metalink: "https://mirrors.rpmfusion.org/metalink?repo=free-fedora-41&arch=x86_64"},
		{repo: "rpmfusion", root: "nonfree/fedora/updates/41/x86_64",
			metalink: "https://mirrors.rpmfusion.org/metalink?repo=nonfree-fedora-updates-released-41&arch=x86_64"},
		{repo: "opensuse", root: "tumbleweed/repo/oss"},
	} {
		r := c.Repo(x.repo)
		if got, ok := r.Metalink.Expand(x.root); got != x.metalink || ok != (x.metalink != "") {
			t.Errorf("%s/%s: metalink %q, %v; want %q", x.repo, x.root, got, ok, x.metalink)
		}
		if got, ok := r.Mirrorlist.Expand(x.root); got != x.mirrorlist || ok != (x.mirrorlist != "") {
			t.Errorf("%s/%s: mirrorlist %q, %v; want %q", x.repo, x.root, got, ok, x.mirrorlist)
		}
	}
}

func TestTemplate(t *testing.T) {
	for _, c := range []struct {
		name, toml string
		root       string
		want       string // "" is none
	}{
		{"none", `""`, "a/b", ""},
		{"the root", `"https://h/{root}/repomd.xml"`, "a/b", "https://h/a/b/repomd.xml"},
		{"a stranger's root", `"https://h/m?path={root}"`, "a&x=1/#?%+é b", "https://h/m?path=a%26x%3D1/%23%3F%25%2B%C3%A9%20b"},
		{"the architecture", `"https://h/?arch={arch}"`, "x/aarch64/os", "https://h/?arch=aarch64"},
		{"no architecture", `"https://h/?arch={arch}"`, "x/os", ""},
		{"the first that fits", `{ "9/*" = "https://h/nine", "*" = "https://h/{root}" }`, "9/x/y", "https://h/nine"},
		{"the next", `{ "9/*" = "https://h/nine", "*" = "https://h/{root}" }`, "8/x", "https://h/8/x"},
		{"the whole root", `{ "x" = "https://h/" }`, "a/x", ""},
		{"a name is one element", `{ "{v}/os" = "https://h/{v}" }`, "a/b/os", ""},
		{"a name is not empty", `{ "{v}/os" = "https://h/{v}" }`, "/os", ""},
		{"an architecture of one's own", `{ "{arch}/x86_64" = "https://h/{arch}" }`, "mips/x86_64", "https://h/mips"},
		{"dots are dots", `{ "a.b" = "https://h/" }`, "axb", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg, err := fromText("[[repo]]\nname = 'x'\nupstreams = ['https://h']\nmetalink = " + c.toml)
			if err != nil {
				t.Fatal(err)
			}
			m := cfg.Repo("x").Metalink
			if got, ok := m.Expand(c.root); got != c.want || ok != (c.want != "") {
				t.Errorf("Expand(%q) = %q, %v; want %q", c.root, got, ok, c.want)
			}
			if m.IsZero() != (c.toml == `""`) {
				t.Errorf("IsZero is %v", m.IsZero())
			}
		})
	}
}

// TestFind has, of paths as clients ask for them, the root that a list is of.
func TestFind(t *testing.T) {
	c := mustLoad(t, host(nil, nil))
	const eight = "[[repo]]\nname = 'x'\nupstreams = ['https://h']\nmetalink = "
	custom, err := fromText(eight + `{ "8/{a}" = "https://h/eight/{a}", "*" = "https://h/any/{root}" }`)
	if err != nil {
		t.Fatal(err)
	}
	x := custom.Repo("x").Metalink
	for _, tt := range []struct {
		name       string
		t          Template
		path       string
		root, want string // want "" is none
	}{
		{"metadata", c.Repo("epel").Metalink, "10.1/Everything/x86_64/repodata/repomd.xml", "10.1/Everything/x86_64",
			"https://mirrors.fedoraproject.org/metalink?path=pub/epel/10.1/Everything/x86_64/repodata/repomd.xml"},
		{"a package", c.Repo("epel").Metalink, "10.1/Everything/x86_64/Packages/v/vlc-1-1.el10.x86_64.rpm", "10.1/Everything/x86_64",
			"https://mirrors.fedoraproject.org/metalink?path=pub/epel/10.1/Everything/x86_64/repodata/repomd.xml"},
		{"a file of no likely root", c.Repo("fedora").Metalink, "releases/41/Everything/x86_64/os/images/boot.iso", "", ""},
		{"a file that is called so", c.Repo("fedora").Metalink, "releases/Packages", "", ""},
		{"by a pattern without a star", c.Repo("rpmfusion").Metalink, "free/fedora/updates/41/x86_64/v/vlc-1-1.fc41.x86_64.rpm", "free/fedora/updates/41/x86_64",
			"https://mirrors.rpmfusion.org/metalink?repo=free-fedora-updates-released-41&arch=x86_64"},
		{"by a pattern, an image", c.Repo("rocky").Mirrorlist, "9/BaseOS/x86_64/os/images/boot.iso", "9/BaseOS/x86_64/os",
			"https://mirrors.rockylinux.org/mirrorlist?arch=x86_64&repo=BaseOS-9"},
		{"of no root of the pattern", c.Repo("rocky").Mirrorlist, "9/BaseOS/x86_64/debug/tree/repodata/repomd.xml", "", ""},
		{"the longest", x, "8/a/Packages/b/repodata/repomd.xml", "8/a/Packages/b", "https://h/any/8/a/Packages/b"},
		{"the first Packages", x, "7/a/Packages/b/Packages/c.rpm", "7/a", "https://h/any/7/a"},
		{"the first rule", x, "8/a/Packages/c.rpm", "8/a", "https://h/eight/a"},
		{"the repository is the root", x, "repodata/repomd.xml", "", "https://h/any/"},
		{"nowhere", x, "", "", ""},
		{"no template", Template{}, "8/a/repodata/repomd.xml", "", ""},
	} {
		root, address, ok := tt.t.Find(tt.path)
		if root != tt.root || address != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %q at %q, %v; want %q at %q", tt.name, root, address, ok, tt.root, tt.want)
		}
	}
}

func TestRepoReplacesBuiltin(t *testing.T) {
	c, err := fromText("[[repo]]\nname = 'site'\nupstreams = ['https://s']\n" +
		"[[repo]]\nname = 'fedora'\nupstreams = ['https://near.example.org/fedora/']\n")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Repos) != 12 || c.Repos[0].Name != "site" || c.Repos[1].Name != "fedora" || c.Repos[2].Name != "epel" {
		t.Errorf("%d repos, not the file's first and each once", len(c.Repos))
	}
	f := c.Repo("fedora")
	if !slices.Equal(f.Upstreams, []string{"https://near.example.org/fedora"}) || !f.Metalink.IsZero() || len(f.AliasPaths) != 0 || f.RepoGPGCheck != GPGAuto {
		t.Errorf("something of the built-in is left: %+v", f)
	}
	for name, want := range map[string]bool{"site": false, "fedora": false, "epel": true, "none": false} {
		if c.BuiltIn(name) != want {
			t.Errorf("%s: BuiltIn is not %v", name, want)
		}
	}
}
