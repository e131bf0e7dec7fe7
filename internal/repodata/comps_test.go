package repodata

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"

	"github.com/google/go-cmp/cmp"
)

func groups(data string) (all []Group, err error) {
	err = ScanComps(strings.NewReader(data), func(g *Group) error {
		all = append(all, *g)
		return nil
	})
	return all, err
}

const workstation = `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>workstation-product</id><name>Fedora Workstation</name><name xml:lang="de">Arbeitsplatz</name>
    <packagelist>
      <packagereq type="mandatory">gnome-shell</packagereq>
      <packagereq type="default">vlc</packagereq>
      <packagereq type="optional">emacs</packagereq>
      <packagereq type="conditional" requires="foo">foo-gnome</packagereq>
      <packagereq type="default"> </packagereq>
    </packagelist>
  </group>
  <environment>
    <id>workstation-product-environment</id>
    <grouplist><groupid>core</groupid><groupid> workstation-product </groupid></grouplist>
    <optionlist><groupid>games</groupid></optionlist>
  </environment>
  <category><id>apps</id><grouplist><groupid>core</groupid></grouplist></category>
  <group><name>without an id</name></group>
</comps>`

func TestComps(t *testing.T) {
	got, err := groups(workstation)
	want := []Group{
		{ID: "workstation-product", Packages: []string{"gnome-shell", "vlc"}},
		{ID: "workstation-product-environment", Groups: []string{"core", "workstation-product"}},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	enough := errors.New("enough")
	if err := ScanComps(strings.NewReader(workstation), func(*Group) error { return enough }); err != enough {
		t.Errorf("the caller's error: %v", err)
	}
}

func TestCompsRefuses(t *testing.T) {
	for _, c := range []struct{ name, in, err string }{
		{"nothing", "", "EOF"},
		{"cut short", workstation[:len(workstation)-20], "EOF"},
		{"cut short in a group", workstation[:500], "EOF"},
		{"another document", "<html></html>", "<comps>"},
		{"two documents", "<comps/><comps/>", "<comps>"},
		{"declarations of its own", `<!DOCTYPE comps [<!ENTITY a "aaaa">]><comps/>`, "declaration"},
		{"an entity", `<!DOCTYPE comps><comps><group><id>&a;</id></group></comps>`, "entity"},
		{"too deep", "<comps>" + strings.Repeat("<a>", 100), "inside each other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if _, err := groups(c.in); err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("error %v, want %q in it", err, c.err)
			}
		})
	}
}

func TestRealComps(t *testing.T) {
	files, packages := 0, 0
	realXML(t, testrepo.Shared(t, "repodata"), func(path string, data []byte) {
		if !bytes.Contains(data, []byte("<comps>")) {
			return
		}
		files++
		all, err := groups(string(data))
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, g := range all {
			packages += len(g.Packages)
		}
	})
	if files == 0 || packages == 0 {
		t.Errorf("%d files with %d packages", files, packages)
	}
}

func FuzzScanComps(f *testing.F) {
	f.Add([]byte(workstation))
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := groups(string(data))
		for _, g := range all {
			if g.ID == "" || strings.TrimSpace(g.ID) != g.ID {
				t.Errorf("a group with the id %q, %v", g.ID, err)
			}
			for _, name := range append(g.Packages, g.Groups...) {
				if name == "" {
					t.Errorf("%s has a package or group without a name", g.ID)
				}
			}
		}
	})
}
