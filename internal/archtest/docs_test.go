package archtest

import (
	"io/fs"
	"path"
	"regexp"
	"strings"
	"testing"
)

// Where a document says what a log says, the programs say that.
func TestQuotedLogLines(t *testing.T) {
	tree := root(t)
	var source strings.Builder
	err := walkGo(tree, func(file string) error {
		text, err := fs.ReadFile(tree, file)
		if !strings.HasSuffix(file, "_test.go") {
			source.Write(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	quoted := regexp.MustCompile(`msg="([^"]+?)(?:"|\.\.\.)`)
	found := 0
	for name, text := range documents(t, tree) {
		for _, m := range quoted.FindAllStringSubmatch(text, -1) {
			found++
			// What follows a colon may be put together as it is said.
			if said, _, _ := strings.Cut(m[1], ": "); !strings.Contains(source.String(), `"`+said) {
				t.Errorf("%s quotes %q, which no program says", name, m[1])
			}
		}
	}
	if found == 0 {
		t.Error("no document quotes a log")
	}
}

var (
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading  = regexp.MustCompile(`(?m)^#+ (.+)$`)
	unlinked = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// A document's links lead to files and headings that there are.
func TestLinks(t *testing.T) {
	tree := root(t)
	all := documents(t, tree)
	for name, text := range all {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			to := name
			if file != "" {
				to = path.Join(path.Dir(name), file)
			}
			if _, err := fs.Stat(tree, to); err != nil {
				t.Errorf("%s leads to %s: %v", name, m[1], err)
				continue
			}
			if anchor != "" && !anchors(all[to])[anchor] {
				t.Errorf("%s leads to %s, which has no such heading", name, m[1])
			}
		}
	}
}

// anchors are the names that headings of a text are linked by.
func anchors(text string) map[string]bool {
	names := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		names[strings.ReplaceAll(unlinked.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")] = true
	}
	return names
}

// documents are the texts of the tree's Markdown files, by name.
func documents(t *testing.T, tree fs.FS) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "contrib/*/*.md", "contrib/*/*/*.md"} {
		names, err := fs.Glob(tree, pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			text, err := fs.ReadFile(tree, name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(text)
		}
	}
	return all
}

// The tests that a document names, there are.
func TestNamedTests(t *testing.T) {
	tree := root(t)
	tests := map[string]bool{}
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	err := walkGo(tree, func(file string) error {
		if !strings.HasSuffix(file, "_test.go") {
			return nil
		}
		text, err := fs.ReadFile(tree, file)
		for _, m := range declared.FindAllSubmatch(text, -1) {
			tests[string(m[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	named := regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z]\\w*)")
	for name, text := range documents(t, tree) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			if !tests[m[1]] {
				t.Errorf("%s names %s, which is no test", name, m[1])
			}
		}
	}
}
