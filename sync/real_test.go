package sync

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
)

// realRepos reads the repositories below dir, each under its own path.
func realRepos(t testing.TB, dir string) []listed {
	t.Helper()
	var all []listed
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || !strings.Contains(e.Name(), "primary.xml") || strings.HasSuffix(path, ".zck") {
			return err
		}
		if info, err := e.Info(); err != nil || info.Size() == 0 {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		plain, err := repodata.Decompress(f, 16<<20)
		if err != nil {
			return err
		}
		defer plain.Close()
		root, err := filepath.Rel(filepath.Dir(dir), filepath.Dir(filepath.Dir(path)))
		if err != nil {
			return err
		}
		_, err = repodata.ScanPrimary(plain, func(p *repodata.Package) error {
			all = append(all, listed{root, p.Clone()})
			return nil
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestPlanOfRealRepositories plans all that real repositories have, and looks
// whether what is required is there or reported.
func TestPlanOfRealRepositories(t *testing.T) {
	all := realRepos(t, testrepo.Shared(t, "repodata"))
	idx := buildIndex(all)
	if len(idx.Refused()) > 0 {
		t.Errorf("refused: %v", idx.Refused())
	}
	for _, seed := range []string{"*", "zypper", "virtualbox*", "httpd", "kernel"} {
		res := Plan(nil, idx, nothingStored, Budget{Bytes: -1, Seeds: named(seed)})
		if len(res.Items) == 0 || len(res.Seeds) > 0 {
			t.Fatalf("%s: %d items, misses %v", seed, len(res.Items), res.Seeds)
		}
		reported := make(map[string]bool)
		for _, u := range res.Unmet {
			reported[u.Requires] = true
		}
		var planned []listed
		for _, i := range res.Items {
			at := slices.IndexFunc(all, func(p listed) bool {
				return p.root+"/"+p.Location == i.Path && p.Name == i.Name && p.EVR.String() == i.EVR && p.Size == i.Size
			})
			if at < 0 {
				t.Fatalf("%s: no repository has %+v", seed, i)
			}
			planned = append(planned, all[at])
		}
		for _, p := range planned {
			for _, d := range p.Requires {
				text := required(d)
				if strings.HasPrefix(d.Name, "rpmlib(") || reported[text] {
					continue
				}
				if !slices.ContainsFunc(planned, func(q listed) bool {
					return slices.Contains(q.Files, d.Name) || slices.ContainsFunc(q.Provides, func(o repodata.Dep) bool {
						return o.Name == d.Name && overlap(senseOf(o.Flags), o.EVR, senseOf(d.Flags), d.EVR)
					})
				}) {
					t.Errorf("%s: %s requires %s: neither planned nor reported", seed, p.Name, text)
				}
			}
		}
	}
}

// TestClosureOfZypper is a real closure, in a root that has two architectures.
func TestClosureOfZypper(t *testing.T) {
	all := realRepos(t, filepath.Join(testrepo.Shared(t, "repodata"), "opensuse-OBS_zypp_svn-11.1"))
	res := Plan(nil, buildIndex(all), nothingStored, Budget{Bytes: -1, Seeds: named("zypper")})
	want := []string{
		"seed zypper-0.12.8-1.3.x86_64 (zypper)",
		"dependency libzypp-5.14.0-2.3.x86_64 (zypper)",
		"dependency satsolver-tools-0.11.0-1.2.x86_64 (zypper -> libzypp)",
	}
	if d := cmp.Diff(want, short(res.Items)); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	// The distribution itself is not among the repositories.
	if !slices.ContainsFunc(res.Unmet, func(u Unmet) bool { return u.Requires == "libc.so.6()(64bit)" && u.By == "zypper" && u.Others == 2 }) {
		t.Errorf("libc is not reported: %+v", res.Unmet)
	}
}
