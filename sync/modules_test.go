package sync

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"intelligentmirror/internal/repodata"
	"intelligentmirror/internal/testrepo"
)

const appstream = "rocky/9/AppStream/x86_64/os"

// moduleBuild makes a build of "module:stream:version:context".
func moduleBuild(t *testing.T, id string, version uint64, packages ...string) repodata.ModuleBuild {
	t.Helper()
	part := strings.Split(id, ":")
	b := repodata.ModuleBuild{Name: part[0], Stream: part[1], Context: part[2], Version: version, Arch: "x86_64"}
	b.Packages = advisory(t, "", "", packages...).Packages
	return b
}

func TestModuleStreams(t *testing.T) {
	const repos = `
rocky/9/AppStream/x86_64/os
    nodejs-16-9.module1.x86_64
    nodejs-16-2.module2.x86_64 | requires npm
    npm-8-1.module2.x86_64
    npm-10-1.module3.x86_64
    nodejs-18-1.module3.x86_64 | requires npm
    nodejs-20-1.module4.x86_64
    php-7-1.module5.x86_64
    php-8-1.module6.x86_64
    shared-1-1.module7.x86_64
    bash-5-1.x86_64
`
	modules := &repodata.Modules{
		Builds: []repodata.ModuleBuild{
			moduleBuild(t, "nodejs:16:a", 1, "nodejs-16-9.module1.x86_64"),
			// The last build of a stream counts, though its version is the older.
			moduleBuild(t, "nodejs:16:b", 2, "nodejs-16-2.module2.x86_64", "npm-8-1.module2.x86_64", "shared-1-1.module7.x86_64"),
			moduleBuild(t, "nodejs:18:c", 1, "nodejs-18-1.module3.x86_64", "npm-10-1.module3.x86_64", "shared-1-1.module7.x86_64"),
			moduleBuild(t, "nodejs:20:d", 1, "nodejs-20-1.module4.x86_64"),
			moduleBuild(t, "php:7:e", 1, "php-7-1.module5.x86_64"),
			moduleBuild(t, "php:8:f", 1, "php-8-1.module6.x86_64"),
		},
		Defaults: map[string]string{"nodejs": "20", "php": "7"},
	}
	ranks := asked("nodejs.x86_64 "+appstream, "php.x86_64 "+appstream, "bash.x86_64 "+appstream)
	for _, tc := range []struct {
		name string
		used []string
		want []string
	}{{
		name: "nobody uses any: the default stream",
		want: []string{"popular nodejs-20-1.module4.x86_64", "popular php-7-1.module5.x86_64", "popular bash-5-1.x86_64"},
	}, {
		name: "one stream, with what belongs to it",
		used: []string{"nodejs:16"},
		want: []string{
			"popular nodejs-16-2.module2.x86_64", "dependency npm-8-1.module2.x86_64 (nodejs)",
			"popular php-7-1.module5.x86_64", "popular bash-5-1.x86_64",
		},
	}, {
		name: "two streams, each with its own",
		used: []string{"nodejs:16", "nodejs:18", "php:8"},
		want: []string{
			"popular nodejs-16-2.module2.x86_64", "dependency npm-8-1.module2.x86_64 (nodejs)",
			"popular nodejs-18-1.module3.x86_64", "dependency npm-10-1.module3.x86_64 (nodejs)",
			"popular php-8-1.module6.x86_64", "popular bash-5-1.x86_64",
		},
	}} {
		t.Run(tc.name, func(t *testing.T) {
			var b IndexBuilder
			b.Modules(appstream, modules, func(m, s string) bool { return slices.Contains(tc.used, m+":"+s) })
			for _, p := range parseRepos(t, repos) {
				b.Add(p.root, p.Package)
			}
			res := Plan(ranks, b.Index(), nothingStored, Budget{Bytes: -1, Top: -1})
			if d := cmp.Diff(tc.want, short(res.Items)); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
	files := map[string]bool{"nodejs-16-9.module1.x86_64.rpm": true, "shared-1-1.module7.x86_64.rpm": true, "bash-5-1.x86_64.rpm": true}
	if got, want := streamsAsked(modules, files), []ModuleStream{{"nodejs", "16"}}; !slices.Equal(got, want) {
		t.Errorf("asked for streams %v, want %v", got, want)
	}
}

// TestRealStreams plans from a real repository with modules.
func TestRealStreams(t *testing.T) {
	dir := filepath.Join(testrepo.Shared(t, "repodata"), "dnf-modules/modules/_all/x86_64/repodata")
	open := func(kind string) *os.File {
		names, err := filepath.Glob(filepath.Join(dir, "*-"+kind))
		if err != nil || len(names) != 1 {
			t.Fatalf("%s: %v, %v", kind, names, err)
		}
		f, err := os.Open(names[0])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		return f
	}
	unpacked := func(kind string) io.Reader {
		r, err := repodata.Decompress(open(kind), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for _, tc := range []struct {
		stream, httpd, glibc string
	}{
		// There is an httpd beside the module's. The module has a default stream, base-runtime has none.
		{"", "2.2.10-1 2.4.25-8 ", ""},
		{"httpd:2.2", "2.2.10-1 2.2.15-59 ", ""},
		{"base-runtime:f26", "2.2.10-1 2.4.25-8 ", "2.25.90-2 "},
		{"base-runtime:rhel73", "2.2.10-1 2.4.25-8 ", "2.17-157 "},
	} {
		t.Run(tc.stream, func(t *testing.T) {
			m, err := repodata.ReadModules(unpacked("modules.yaml.gz"))
			if err != nil {
				t.Fatal(err)
			}
			m.Defaults["httpd"] = "2.4"
			var b IndexBuilder
			b.Modules("r/x86_64", m, func(m, s string) bool { return m+":"+s == tc.stream })
			if _, err := repodata.ScanPrimary(unpacked("primary.xml.gz"), func(p *repodata.Package) error {
				b.Add("r/x86_64", p)
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			res := Plan(asked("httpd.x86_64 r/x86_64", "glibc.x86_64 r/x86_64"), b.Index(), nothingStored, Budget{Bytes: -1, Top: -1})
			got := map[string]string{}
			for _, it := range res.Items {
				if it.Reason == ReasonPopular {
					got[it.Name] += it.EVR + " "
				}
			}
			if got["httpd"] != tc.httpd || got["glibc"] != tc.glibc {
				t.Errorf("planned %v; httpd %q and glibc %q wanted", got, tc.httpd, tc.glibc)
			}
		})
	}
}
