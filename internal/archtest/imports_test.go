package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "intelligentmirror"

// A part is a top-level folder, or a folder of internal, with all packages below it.
type part struct {
	imports []string // the parts that it may import besides itself
	tests   []string // what its test files may import besides those
	reason  string   // why no more
}

// parts is the direction of the imports, from the top down. A part that does not stand here may import nothing and be
// imported by nothing: who adds one says here where it belongs.
var parts = map[string]part{
	"cmd": {
		imports: []string{"serve", "sync", "popularity", "internal/site", "internal/config", "internal/generation",
			"internal/upstream", "internal/cache", "internal/repodata", "internal/authority", "internal/manual", "internal/bucket", "internal/applog",
			"internal/announce", "internal/visible"},
		reason: "cmd wires what the others do",
	},
	"contrib": {
		imports: []string{"serve", "sync", "popularity", "internal/site", "internal/config", "internal/generation",
			"internal/upstream", "internal/cache", "internal/repodata"},
		reason: "contrib uses the programs like a stranger",
	},
	"serve": {
		imports: []string{"popularity", "internal/site", "internal/config", "internal/generation", "internal/upstream",
			"internal/cache", "internal/repodata", "internal/authority", "internal/manifest", "internal/visible"},
		reason: "the server answers without the agent, and must build and run where the agent is not wanted",
	},
	"sync": {
		imports: []string{"popularity", "internal/site", "internal/config", "internal/generation", "internal/upstream",
			"internal/cache", "internal/repodata", "internal/manifest", "internal/bucket",
			"internal/database"},
		reason: "the agent fills the cache whether or not a server runs",
	},
	"popularity": {
		imports: []string{"internal/config", "internal/repodata"},
		tests:   []string{"internal/cache"}, // that a file is counted under the key that it is stored under
		reason:  "a ranking comes from log lines alone, so that replay and tests need no cache and no network",
	},
	"internal/site": {
		// repodata for the keyrings alone: whoever else checks signatures gets them from here.
		imports: []string{"internal/config", "internal/cache", "internal/upstream", "internal/generation", "internal/repodata",
			"internal/bucket", "internal/database"},
		reason: "site builds the one cache that both programs share; what it knew of a program, the other would get too",
	},
	"internal/generation": {
		imports: []string{"internal/cache", "internal/repodata", "internal/upstream"},
		reason:  "a generation is metadata fetched from upstream into the cache; configuration reaches it as arguments",
	},
	"internal/bucket": {
		imports: []string{"internal/cache", "internal/upstream"},
		reason:  "a bucket is a source that mirrors ask first, and a copy of what the cache has; what it is for, others decide",
	},
	"internal/upstream": {
		imports: []string{"internal/cache", "internal/repodata"}, // metalinks and lists of mirrors
		reason:  "a list of mirrors is one source of the cache among others, and knows of repositories only URLs",
	},
	"internal/cache": {
		tests:  []string{"internal/upstream"}, // its scenarios run with the mirrors that it will have
		reason: "freshness is decided in the cache alone; its sources and catalogs reach it as interfaces",
	},
	"internal/announce": {
		reason: "what is told to the network are names and ports, whoever answers there",
	},
	"internal/database": {
		reason: "what is done about a damaged database is the same whatever it holds",
	},
	"internal/manual": {
		reason: "a manual page is made of a command line, whatever that does",
	},
	"internal/applog": {
		imports: []string{"internal/visible"},
		reason:  "how a log is written is the same whoever writes what; the others are handed a logger",
	},
	"internal/visible": {
		reason: "which characters show is the same whoever chose the text",
	},
	"internal/manifest": {
		reason: "the server that is copied and the agent that copies agree on it, and on nothing else",
	},
	"internal/authority": {
		reason: "who holds a key that clients trust knows of names and of nothing else",
	},
	"internal/repodata": {
		reason: "parsers of foreign input are fuzzed and reused on their own",
	},
	"internal/config": {
		reason: "configuration is data; a package that reads it must not be read by it",
	},
	"internal/testrepo": {
		reason: "every package's tests use testrepo; one that it imported could not, since that would be an import cycle",
	},
	"internal/systest": {
		reason: "systest runs the programs as processes; what it imported of them it could not hold them to",
	},
	"internal/archtest": {
		reason: "archtest reads the tree, it does not use it",
	},
}

// testrepo is for tests, for the demonstration, which shows the programs on a repository of its own making, and for the
// soak, a test that takes hours.
const testrepo = "internal/testrepo"

var usersOfTestrepo = []string{"contrib/demo", "contrib/bench/soak"}

// An edge is one import of a package of ours in one file.
type edge struct {
	file string // slash-separated, below the module's root: "serve/mirror.go"
	name string // the name that the file gives to the import, "" for none
	to   string // the package below the module: "internal/cache"
}

// refused says why an import is not allowed; "" if it is.
func refused(e edge) string {
	from, to := partOf(path.Dir(e.file)), partOf(e.to)
	test := strings.HasSuffix(e.file, "_test.go")
	rule, known := parts[from]
	switch {
	case !known:
		return fmt.Sprintf("%s has no entry in the table of parts; add one, with what it may import and why", from)
	case e.to == "sync" && e.name != "imsync":
		return `sync is imported as imsync: its own name is the standard library's`
	case to == testrepo && !test && from != testrepo &&
		!slices.ContainsFunc(usersOfTestrepo, func(dir string) bool { return below(e.file, dir) }):
		return "testrepo makes repositories for tests, and for " + strings.Join(usersOfTestrepo, " and ") + "; a program has no use for it"
	case to == testrepo, from == to, slices.Contains(rule.imports, to), test && slices.Contains(rule.tests, to):
		return ""
	case len(rule.imports) == 0:
		return fmt.Sprintf("%s imports nothing of ours: %s", from, rule.reason)
	default:
		return fmt.Sprintf("%s imports only %s: %s", from, strings.Join(rule.imports, ", "), rule.reason)
	}
}

// partOf is the part that a package belongs to.
func partOf(pkg string) string {
	first, rest, _ := strings.Cut(pkg, "/")
	if first != "internal" {
		return first
	}
	second, _, _ := strings.Cut(rest, "/")
	return path.Join(first, second)
}

func below(file, dir string) bool { return strings.HasPrefix(file, dir+"/") }

// edges are all imports of packages of ours in the Go files of tree, test files and files of every platform included.
func edges(tree fs.FS) ([]edge, error) {
	var all []edge
	err := walkGo(tree, func(file string) error {
		src, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			to, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			e := edge{file: file, to: to}
			if spec.Name != nil {
				e.name = spec.Name.Name
			}
			all = append(all, e)
		}
		return nil
	})
	return all, err
}

func TestImportsGoOneWay(t *testing.T) {
	all, err := edges(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if why := refused(e); why != "" {
			t.Errorf("%s imports %s: %s", e.file, e.to, why)
		}
	}
}

// The table of parts is itself a claim: no part may reach itself by way of others, and each says why.
func TestPartsHaveNoCycle(t *testing.T) {
	var visit func(name string, trail []string)
	visit = func(name string, trail []string) {
		if slices.Contains(trail, name) {
			t.Fatalf("the table allows a cycle: %s", strings.Join(append(trail, name), " -> "))
		}
		p, known := parts[name]
		if !known {
			t.Fatalf("%s may be imported, but is not in the table", name)
		}
		if p.reason == "" {
			t.Errorf("%s gives no reason", name)
		}
		for _, to := range p.imports {
			visit(to, append(slices.Clone(trail), name))
		}
	}
	for name := range parts {
		visit(name, nil)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		edge edge
		want string // part of the reason, "" if allowed
	}{
		{"a command wires the server", edge{"cmd/imserve/main.go", "", "serve"}, ""},
		{"a command wires the agent", edge{"cmd/imsync/main.go", "imsync", "sync"}, ""},
		{"a command wires the site", edge{"cmd/imsync/main.go", "", "internal/site"}, ""},
		{"a command's own packages", edge{"cmd/imsync/main.go", "", "cmd/internal/flags"}, ""},
		{"nobody imports a command", edge{"serve/serve.go", "", "cmd/internal/flags"}, "without the agent"},
		{"nobody imports contrib", edge{"cmd/imserve/main.go", "", "contrib/demo"}, "cmd wires"},

		{"the agent's name is free", edge{"cmd/imsync/main.go", "", "sync"}, "as imsync"},
		{"the agent by another name", edge{"cmd/imsync/main.go", "agent", "sync"}, "as imsync"},
		{"the agent without a name", edge{"cmd/imsync/main.go", ".", "sync"}, "as imsync"},
		{"the agent in its own external test", edge{"sync/plan_test.go", "", "sync"}, "as imsync"},
		{"the agent's own test, named", edge{"sync/plan_test.go", "imsync", "sync"}, ""},
		{"a package below the agent keeps its name", edge{"sync/sync.go", "", "sync/closure"}, ""},

		{"the server knows no agent", edge{"serve/status.go", "imsync", "sync"}, "without the agent"},
		{"the agent knows no server", edge{"sync/run.go", "", "serve"}, "whether or not a server runs"},
		{"not in tests either", edge{"sync/run_test.go", "", "serve"}, "whether or not a server runs"},
		{"nor below", edge{"sync/run.go", "", "serve/mirror"}, "whether or not a server runs"},
		{"the server ranks", edge{"serve/status.go", "", "popularity"}, ""},
		{"the agent ranks", edge{"sync/plan.go", "", "popularity"}, ""},
		{"the agent reads a cache", edge{"sync/plan.go", "", "internal/cache"}, ""},

		{"popularity reads configuration", edge{"popularity/store.go", "", "internal/config"}, ""},
		{"popularity parses names", edge{"popularity/store.go", "", "internal/repodata"}, ""},
		{"popularity needs no cache", edge{"popularity/store.go", "", "internal/cache"}, "log lines alone"},
		{"but its tests compare", edge{"popularity/store_test.go", "", "internal/cache"}, ""},
		{"popularity is below the agent", edge{"popularity/store.go", "imsync", "sync"}, "log lines alone"},

		{"site builds the cache", edge{"internal/site/site.go", "", "internal/cache"}, ""},
		{"site knows no program", edge{"internal/site/site.go", "", "serve"}, "both programs"},
		{"site reads keys", edge{"internal/site/keys.go", "", "internal/repodata"}, ""},
		{"site ranks nothing", edge{"internal/site/site.go", "", "popularity"}, "both programs"},
		{"a generation is cached", edge{"internal/generation/flip.go", "", "internal/cache"}, ""},
		{"a generation is parsed", edge{"internal/generation/flip.go", "", "internal/repodata"}, ""},
		{"a generation is fetched", edge{"internal/generation/flip.go", "", "internal/upstream"}, ""},
		{"a generation is not configured", edge{"internal/generation/flip.go", "", "internal/config"}, "as arguments"},
		{"upstream is a source of the cache", edge{"internal/upstream/mirrors.go", "", "internal/cache"}, ""},
		{"upstream reads metalinks", edge{"internal/upstream/list.go", "", "internal/repodata"}, ""},
		{"upstream is not configured", edge{"internal/upstream/list.go", "", "internal/config"}, "only URLs"},
		{"the cache knows no source", edge{"internal/cache/fill.go", "", "internal/upstream"}, "imports nothing of ours"},
		{"but its tests do", edge{"internal/cache/fill_test.go", "", "internal/upstream"}, ""},
		{"and no more than that", edge{"internal/cache/fill_test.go", "", "internal/generation"}, "imports nothing of ours"},
		{"nor does it know any generation", edge{"internal/cache/decide.go", "", "internal/generation"}, "imports nothing of ours"},
		{"a parser stands alone", edge{"internal/repodata/primary.go", "", "internal/config"}, "on their own"},
		{"configuration stands alone", edge{"internal/config/load.go", "", "internal/repodata"}, "configuration is data"},
		{"internal knows nothing above it", edge{"internal/cache/fill.go", "", "popularity"}, "imports nothing of ours"},

		{"a test makes a repository", edge{"sync/run_test.go", "", "internal/testrepo"}, ""},
		{"the demonstration makes one", edge{"contrib/demo/main.go", "", "internal/testrepo"}, ""},
		{"so does the soak", edge{"contrib/bench/soak/upstream.go", "", "internal/testrepo"}, ""},
		{"the rest of contrib does not", edge{"contrib/bench/main.go", "", "internal/testrepo"}, "for tests"},
		{"nor one that is named like it", edge{"contrib/demonstration/main.go", "", "internal/testrepo"}, "for tests"},
		{"nor a program", edge{"cmd/imsync/main.go", "", "internal/testrepo"}, "for tests"},
		{"testrepo's parts know each other", edge{"internal/testrepo/build.go", "", "internal/testrepo/rpm"}, ""},
		{"testrepo is below all tests", edge{"internal/testrepo/build.go", "", "internal/cache"}, "import cycle"},
		{"its tests too", edge{"internal/testrepo/build_test.go", "", "internal/cache"}, "import cycle"},

		{"a new part imports nothing", edge{"internal/extra/extra.go", "", "internal/cache"}, "no entry"},
		{"a new part is not imported", edge{"serve/serve.go", "", "internal/extra"}, "serve imports only"},
		{"a file at the top", edge{"main.go", "", "serve"}, "no entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := refused(c.edge)
			if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
				t.Errorf("refused(%+v) = %q, want %q in it", c.edge, got, c.want)
			}
		})
	}
}

func TestEdges(t *testing.T) {
	file := func(src string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(src)} }
	got, err := edges(fstest.MapFS{
		"cmd/imsync/main.go":            file("package main\nimport (\n\t\"fmt\"\n\timsync \"intelligentmirror/sync\"\n)\n"),
		"serve/serve.go":                file("package serve\nimport \"intelligentmirror/internal/cache\"\nfunc (\n"), // its body is not looked at
		"serve/serve_windows_test.go":   file("//go:build windows\n\npackage serve\nimport . \"intelligentmirror/internal/testrepo\"\n"),
		"sync/sync.go":                  file("package sync\nimport \"sync\"\nimport \"intelligentmirrors/serve\"\n"),
		"serve/testdata/src/a/a.go":     file("package a\nimport \"intelligentmirror/cmd\"\n"),
		"bin/gen.go":                    file("not Go, and not ours: .gitignore has it"),
		".gitignore":                    file("/bin/\n"),
		".cache/go/a.go":                file("not Go"),
		"_attic/a.go":                   file("not Go"),
		"docs/example.go.txt":           file("not Go"),
		"contrib/other/go.mod":          file("module other\n"),
		"contrib/other/inner/module.go": file("package inner\nimport \"intelligentmirror/serve\"\n"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []edge{
		{"cmd/imsync/main.go", "imsync", "sync"},
		{"serve/serve.go", "", "internal/cache"},
		{"serve/serve_windows_test.go", ".", "internal/testrepo"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := edges(fstest.MapFS{"a/a.go": file("package")}); err == nil {
		t.Error("a file that does not parse is no error")
	}
}
