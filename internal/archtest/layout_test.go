package archtest

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// top is what lies at the top of the tree; names that begin with a dot are tools' and free.
var top = map[string]string{
	"cmd/":        "the two programs",
	"popularity/": "log lines to ranking",
	"sync/":       "the agent",
	"serve/":      "the server",
	"internal/":   "what both stand on",
	"contrib/":    "units, examples, the demonstration, benchmarks",
	"docs/":       "for people",

	"README.md":        "",
	"LICENSE":          "",
	"CHANGELOG.md":     "",
	"Makefile":         "",
	"go.mod":           "",
	"go.sum":           "",
	"staticcheck.conf": "staticcheck looks for it under this name, at the top",
}

// maxLines is the length of a file at which it certainly has more than one reason to change; about 300 is where to look.
const maxLines = 500

// root is the module's folder, in which the test was started.
func root(t *testing.T) fs.FS {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return os.DirFS(dir)
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod in any folder above this one")
		}
	}
}

// ignored are the names at the top that .gitignore leaves out: lines such as "/bin/".
func ignored(tree fs.FS) ([]string, error) {
	text, err := fs.ReadFile(tree, ".gitignore")
	if err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "/"); ok {
			names = append(names, strings.TrimSuffix(name, "/"))
		}
	}
	return names, nil
}

// walkGo calls fn for each Go file of the module that go itself would look at, and no file of another module.
func walkGo(tree fs.FS, fn func(file string) error) error {
	skip, err := ignored(tree)
	if err != nil {
		return err
	}
	return fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case name == ".":
			return nil
		case !d.IsDir():
			if path.Ext(name) == ".go" && base[0] != '.' && base[0] != '_' {
				return fn(name)
			}
			return nil
		case base[0] == '.', base[0] == '_', base == "testdata", slices.Contains(skip, name):
			return fs.SkipDir
		}
		if _, err := fs.Stat(tree, path.Join(name, "go.mod")); err == nil {
			return fs.SkipDir
		}
		return nil
	})
}

// strangers are the names at the top that do not belong there, folders with a slash behind them.
func strangers(tree fs.FS) ([]string, error) {
	skip, err := ignored(tree)
	if err != nil {
		return nil, err
	}
	entries, err := fs.ReadDir(tree, ".")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		if name[0] == '.' || slices.Contains(skip, name) {
			continue
		}
		if e.IsDir() {
			name += "/"
		}
		if _, ok := top[name]; !ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// long are the Go files, tests left out, that have more than maxLines lines, each with their number.
func long(tree fs.FS) ([]string, error) {
	var files []string
	err := walkGo(tree, func(file string) error {
		if strings.HasSuffix(file, "_test.go") {
			return nil
		}
		src, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		if n := bytes.Count(src, []byte("\n")); n > maxLines {
			files = append(files, fmt.Sprintf("%s: %d", file, n))
		}
		return nil
	})
	return files, err
}

func TestTop(t *testing.T) {
	names, err := strangers(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		t.Errorf("%s does not belong at the top; DESIGN's layout has no such place, and .gitignore does not leave it out", name)
	}
}

func TestLongFiles(t *testing.T) {
	files, err := long(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Errorf("%s lines are more than %d: find the seam, one reason to change a file", file, maxLines)
	}
}

// The tests above would pass on an empty tree too; this one shows that they look at the right one.
func TestRoot(t *testing.T) {
	var files []string
	if err := walkGo(root(t), func(file string) error { files = append(files, file); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"internal/archtest/layout_test.go", "internal/cache/key.go"} {
		if !slices.Contains(files, file) {
			t.Errorf("%s is not among the %d files that are looked at", file, len(files))
		}
	}
}

func TestStrangers(t *testing.T) {
	file, dir := &fstest.MapFile{}, &fstest.MapFile{Mode: fs.ModeDir | 0o755}
	got, err := strangers(fstest.MapFS{
		".gitignore":      {Data: []byte("# built\n/bin/\n/demo/\n*.tmp\n")},
		".ci/run":         file,
		"bin/imserve":     file,
		"demo/log":        file,
		"cmd/imserve":     file,
		"serve":           dir,
		"README.md":       file,
		"go.sum":          file,
		"util/util.go":    file,
		"pkg":             dir,
		"main.go":         file,
		"LICENSE/LICENSE": file,
		"docs":            file, // a folder's name, but no folder
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"LICENSE/", "docs", "main.go", "pkg/", "util/"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestLong(t *testing.T) {
	lines := func(n int) *fstest.MapFile { return &fstest.MapFile{Data: bytes.Repeat([]byte("\n"), n)} }
	got, err := long(fstest.MapFS{
		"serve/just.go":       lines(500),
		"serve/over.go":       lines(501),
		"serve/over_test.go":  lines(2000),
		"serve/over.txt":      lines(2000),
		"sync/testdata/in.go": lines(2000),
		"top.go":              lines(700),
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"serve/over.go: 501", "top.go: 700"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
