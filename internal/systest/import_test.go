package systest

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// TestAptImported: a Debian archive that was adopted from a mirror's tree serves apt, to
// the last package, with no upstream in reach; with keys only where they have signed
// it. When upstream is back, its next publication takes the place of what was adopted.
func TestAptImported(t *testing.T) {
	key, stranger := newKey(t), newKey(t)
	for _, tt := range []struct {
		name  string
		suite testrepo.Suite
		keyed bool
		code  int
	}{
		{"by hash", testrepo.Suite{Name: "stable", ByHash: true, Inline: key.Inline}, false, 0},
		{"with keys", testrepo.Suite{Name: "stable", ByHash: true, Inline: key.Inline}, true, 0},
		{"with keys and Release.gpg", testrepo.Suite{Name: "stable", Detached: key.Detached}, true, 0},
		{"a stranger's", testrepo.Suite{Name: "stable", Inline: stranger.Inline}, true, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := newSuiteArchive(t, tt.suite, key, "[serve]\nmetadata_max_age = \"0s\"")
			if tt.keyed {
				a.configure("[serve]\nmetadata_max_age = \"0s\"", fmt.Sprintf("[[repo]]\ngpg_keys = [%q]", a.key))
			}
			first := a.build("1")
			a.issue(first)
			a.up.Stop()
			in := a.imsync("import", a.tree+upstreamBase, "--repo", "fedora")
			if in.code != tt.code {
				t.Fatalf("import: %+v", in)
			}
			if in.code != 0 {
				if _, err := os.Stat(a.dir + "/cache/fedora/dists/stable/InRelease"); err == nil || !strings.Contains(in.stdout, "not among") {
					t.Errorf("it is adopted, or nothing says why not: %v, %+v", err, in)
				}
				return
			}
			server := a.serve()
			m := a.machine(server.url)
			for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "hello", "world"}} {
				if _, err := m.run(args...); err != nil {
					t.Fatal(err)
				}
			}
			if got := files(t, m.dir+"/cache/archives")["hello_1_amd64.deb"]; got != digest(a.has["pool/main/h/hello/hello_1_amd64.deb"]) {
				t.Errorf("apt has %q", got)
			}
			if err := a.up.Restart(); err != nil {
				t.Fatal(err)
			}
			a.issue(a.build("2"))
			for _, args := range [][]string{{"update"}, {"--download-only", "--yes", "install", "hello"}} {
				if _, err := m.run(args...); err != nil {
					t.Error(err)
				}
			}
			if has := files(t, m.dir+"/cache/archives"); has["hello_2_amd64.deb"] == "" {
				t.Errorf("apt has %q, not upstream's next", slices.Sorted(maps.Keys(has)))
			}
			// The older tree has nothing more to give: with keys only what the suite lists now
			// may be stored.
			old := a.dir + "/old"
			for name, b := range first {
				a.mkdir(filepath.Dir(old + "/" + name))
				a.write(old+"/"+name, string(b))
			}
			again := a.imsync("import", old, "--repo", "fedora")
			if left := strings.Contains(again.stdout, "2 packages are left out"); again.code != 0 || left != tt.keyed || !strings.Contains(again.stdout, "the cache's own stays") {
				t.Errorf("the older tree: %+v", again)
			}
			if v := a.imsync("verify"); v.code != 0 {
				t.Errorf("verify: %+v", v)
			}
		})
	}
}

// TestRealImport: what dpkg and apt's own programs make of a directory is adopted, and
// so is what rsync copied of it.
func TestRealImport(t *testing.T) {
	scan, rsync := testrepo.Program(t, "apt-ftparchive"), testrepo.Program(t, "rsync")
	s := newSite(t)
	src, copied := s.dir+"/flat", s.dir+"/copied"
	list := []testrepo.Deb{{Name: "hello", Version: "1", Size: 20_000}, {Name: "world", Version: "1:2~rc1", Arch: "all", Size: 100}}
	made, err := testrepo.BuildSuite(list, testrepo.Suite{})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range made {
		if path.Ext(name) == ".deb" {
			s.mkdir(filepath.Dir(src + "/" + name))
			s.write(src+"/"+name, string(b))
		}
	}
	for _, command := range []string{
		"cd " + src + " && " + scan + " packages . >Packages && gzip -k Packages && xz -k Packages",
		"cd " + src + " && " + scan + " -o APT::FTPArchive::Release::Suite=flat release . >../Release && mv ../Release .",
		rsync + " -a " + src + " " + copied + "/",
	} {
		s.command("sh", "-c", command)
	}
	in := s.imsync("import", copied, "--repo", "fedora")
	if in.code != 0 || !strings.Contains(in.stdout, "2 packages") || !strings.Contains(in.stdout, "taken over") {
		t.Fatalf("%+v", in)
	}
	for _, name := range []string{"Release", "Packages.xz", list[0].Filename(true), list[1].Filename(true)} {
		want, err := os.ReadFile(src + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(s.dir + "/cache/fedora/flat/" + name)
		if err != nil || digest(got) != digest(want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}
