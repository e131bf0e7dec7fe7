package config

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// documented is a key as docs/CONFIGURATION.md has it.
type documented struct {
	kind, byDefault string
	examples        []string
}

var (
	docHead = regexp.MustCompile(`(?m)^(##|###) (.+)\n`)
	docType = regexp.MustCompile("^\nType: ([^.]+)\\. Default: (required|`.*`)\n")
	// docIndented is docExample where it may stand in a list.
	docIndented = regexp.MustCompile("(?ms)^ *```toml\n(.*?)^ *```$")
	docExample  = regexp.MustCompile("(?ms)^```toml\n(.*?)^```$")
)

// readDocument takes docs/CONFIGURATION.md apart: its keys, "serve.listen" or
// "repo/name", and all its examples.
func readDocument(t *testing.T) (keys map[string]documented, order, examples []string) {
	t.Helper()
	data, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for _, m := range docExample.FindAllStringSubmatch(text, -1) {
		examples = append(examples, m[1])
	}
	keys = map[string]documented{}
	prefix := ""
	heads := docHead.FindAllStringSubmatchIndex(text, -1)
	for i, h := range heads {
		level, title := text[h[2]:h[3]], text[h[4]:h[5]]
		body := text[h[1]:]
		if i+1 < len(heads) {
			body = text[h[1]:heads[i+1][0]]
		}
		if level == "##" {
			prefix = map[string]string{"[[repo]]": "repo/", "[serve]": "serve.", "[sync]": "sync.", "[[replicate]]": "replicate/"}[title]
			continue
		}
		m := docType.FindStringSubmatch(body)
		if m == nil {
			t.Fatalf("%s does not begin with its type and default:\n%s", title, body)
		}
		d := documented{kind: m[1], byDefault: strings.Trim(m[2], "`")}
		for _, m := range docExample.FindAllStringSubmatch(body, -1) {
			d.examples = append(d.examples, m[1])
		}
		if _, twice := keys[prefix+title]; twice {
			t.Errorf("%s%s is documented twice", prefix, title)
		}
		keys[prefix+title] = d
		order = append(order, prefix+title)
	}
	return keys, order, examples
}

// TestDocument holds docs/CONFIGURATION.md to the truth: it has every key and
// no other, in the order of the file that Write writes, each with its type, its
// default and an example that sets it.
func TestDocument(t *testing.T) {
	docs, order, _ := readDocument(t)
	none := mustLoad(t, host(nil, nil))

	var want []string
	// each checks one key; with makes a file that sets it, and get says what a
	// configuration has for it.
	each := func(name string, s setting, with func(literal string) string, get func(*Config) (text string, set bool)) {
		want = append(want, name)
		d, ok := docs[name]
		if !ok {
			t.Errorf("%s is not documented", name)
			return
		}
		if d.kind != s.kind {
			t.Errorf("%s: type %q, want %q", name, d.kind, s.kind)
		}
		if d.byDefault != "required" {
			c, err := fromText(with(d.byDefault))
			if err != nil {
				t.Errorf("%s: the default: %v", name, err)
				return
			}
			documented, _ := get(c)
			c, err = fromText(with(""))
			if err != nil {
				t.Fatal(err)
			}
			if actual, _ := get(c); documented != actual {
				t.Errorf("%s: default %s, want %s", name, documented, actual)
			}
		}
		if len(d.examples) == 0 {
			t.Errorf("%s has no example", name)
		}
		for _, e := range d.examples {
			c, err := fromText(e)
			if err != nil {
				t.Errorf("%s: the example: %v", name, err)
				continue
			}
			if text, set := get(c); !set || text == s.text() {
				t.Errorf("%s: the example does not set it, or only to what it is anyway", name)
			}
		}
	}

	for i, s := range settings(none) {
		table, key, ok := strings.Cut(s.key, ".")
		head := "[" + table + "]\n"
		if !ok {
			head, key = "", s.key
		}
		each(s.key, s, func(literal string) string {
			if literal == "" {
				return ""
			}
			return head + key + " = " + literal
		}, func(c *Config) (string, bool) { return settings(c)[i].text(), c.origins[s.key].set })
		// The keys within [[repo]] come behind those outside of any table.
		if s.key != "generation_keep" {
			continue
		}
		for j, s := range repoSettings(&Repo{RepoGPGCheck: GPGAuto}) {
			each("repo/"+s.key, s, func(literal string) string {
				text := "[[repo]]\nname = 'x'\nupstreams = ['https://h']\n"
				if literal == "" {
					return text
				}
				return text + s.key + " = " + literal
			}, func(c *Config) (string, bool) {
				r := &c.Repos[0]
				return repoSettings(r)[j].text(), c.origins[originKey(r.Name, s.key)].set
			})
		}
	}
	silent := newReplica()
	for j, s := range replicaSettings(&silent) {
		each("replicate/"+s.key, s, func(literal string) string {
			text := "[[replicate]]\nfrom = 'http://h'\n"
			if literal == "" {
				return text
			}
			return text + s.key + " = " + literal
		}, func(c *Config) (string, bool) {
			r := &c.Replicas[0]
			return replicaSettings(r)[j].text(), c.origins[replicaOrigin(r.From, s.key)].set
		})
	}
	if !slices.Equal(order, want) {
		t.Errorf("the document has\n%q\nand there are\n%q", order, want)
	}
}

// TestDocumentExamples holds that each example in the document is a
// configuration.
func TestDocumentExamples(t *testing.T) {
	_, _, examples := readDocument(t)
	for _, e := range examples {
		if _, err := fromText(e); err != nil {
			t.Errorf("%v\n%s", err, e)
		}
	}
	if len(examples) < 40 {
		t.Errorf("only %d examples were found", len(examples))
	}
}

// TestExamplesInDocuments holds that what other documents have of a configuration is
// one, too.
func TestExamplesInDocuments(t *testing.T) {
	names, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, name := range append(names, "../../README.md") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docIndented.FindAllStringSubmatch(string(data), -1) {
			found++
			if _, err := fromText(m[1]); err != nil {
				t.Errorf("%s: %v\n%s", name, err, m[1])
			}
		}
	}
	if found < 45 {
		t.Errorf("only %d examples were found", found)
	}
}

// TestDocumentNamesTheBuiltins holds that the document lists the repositories
// that need no entry.
func TestDocumentNamesTheBuiltins(t *testing.T) {
	data, err := os.ReadFile("../../docs/CONFIGURATION.md")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, r := range mustLoad(t, host(nil, nil)).Repos {
		names = append(names, "`"+r.Name+"`")
	}
	list := strings.Join(names, ", ") + ";"
	if !strings.Contains(strings.Join(strings.Fields(string(data)), " "), "These need no entry: "+list) {
		t.Errorf("the document does not say that these need no entry: %s", list)
	}
}
