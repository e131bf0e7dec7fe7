package repodata

import (
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"

	"github.com/google/go-cmp/cmp"
)

const nodejs = `---
document: modulemd
version: 2
data:
  name: nodejs
  stream: 18
  version: 8090020240301112609
  context: 489197e6
  arch: x86_64
  summary: Javascript runtime
  artifacts:
    rpms:
    - nodejs-1:18.19.1-1.module_el8+1.x86_64
    - nodejs-1:18.19.1-1.module_el8+1.src
...
---
document: modulemd
version: 2
data:
  name: perl
  stream: "5.30"
  version: 1
...
---
document: modulemd-defaults
version: 1
data: {module: nodejs, stream: 10, profiles: {10: [common]}}
...
---
document: modulemd-obsoletes
version: 1
data: {module: nodejs, stream: 10}
---
document: modulemd
data: {stream: nameless}
---
document: modulemd
data: {name: a, stream: b, artifacts: {rpms: [no-package]}}
---
document: modulemd
data: {name: a, stream: b, version: many}
`

func TestModules(t *testing.T) {
	got, err := ReadModules(strings.NewReader(nodejs))
	if err != nil {
		t.Fatal(err)
	}
	evr := EVR{1, "18.19.1", "1.module_el8+1"}
	want := []ModuleBuild{
		{Name: "nodejs", Stream: "18", Version: 8090020240301112609, Context: "489197e6", Arch: "x86_64",
			Packages: []NEVRA{{"nodejs", evr, "x86_64"}, {"nodejs", evr, "src"}}},
		{Name: "perl", Stream: "5.30", Version: 1},
	}
	if d := cmp.Diff(want, got.Builds); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{"nodejs": "10"}, got.Defaults); d != "" {
		t.Errorf("defaults (-want +got):\n%s", d)
	}
	if got.Skipped != 3 || len(got.Refused) != 3 {
		t.Errorf("%d skipped: %v", got.Skipped, got.Refused)
	}
	for _, bad := range []string{"{", "a: &a [*a]\nb: *c", "\x00"} {
		if _, err := ReadModules(strings.NewReader(bad)); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

// TestLargeModules: what a decoder would make a tree of that fills the memory is not
// read to its end, and many small documents are.
func TestLargeModules(t *testing.T) {
	const junk = "document: other\ndata: ["
	for _, tt := range []struct {
		name, text, want string
	}{
		{"many documents", strings.Repeat(nodejs, 3<<19/len(nodejs)), ""},
		{"a large document", "---\n" + junk + strings.Repeat("a,", 2<<20) + "]\n", "a document of more than 1 MiB"},
		{"dashes within", junk + strings.Repeat(" --- ,\n", 1<<20) + "]\n", "a document of more than 1 MiB"},
		{"more than all may have", strings.Repeat("---\n#"+strings.Repeat("x", 1<<19)+"\n", 33), "more than 16 MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ReadModules(strings.NewReader(tt.text))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestRealModules(t *testing.T) {
	files, streams, packages := 0, 0, 0
	err := filepath.WalkDir(testrepo.Shared(t, "repodata"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(path, "modules.yaml") || strings.HasSuffix(path, ".zck") {
			return err
		}
		data, err := readUnpacked(path)
		if err != nil {
			return err
		}
		m, err := ReadModules(strings.NewReader(string(data)))
		if err != nil || m.Skipped > 0 {
			t.Errorf("%s: %v, %+v", path, err, m)
			return nil
		}
		files, streams = files+1, streams+len(m.Builds)
		for _, b := range m.Builds {
			packages += len(b.Packages)
		}
		return nil
	})
	if err != nil || files < 15 || streams < 20 || packages < 100 {
		t.Errorf("%d files, %d streams, %d packages, %v", files, streams, packages, err)
	}
}

func FuzzReadModules(f *testing.F) {
	f.Add([]byte(nodejs))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadModules(strings.NewReader(string(data)))
		if err != nil {
			return
		}
		for _, b := range m.Builds {
			for _, n := range b.Packages {
				if b.Name == "" || n.Name == "" || n.Version == "" || n.Arch == "" {
					t.Errorf("%+v", b)
				}
			}
		}
	})
}
