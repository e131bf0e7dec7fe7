package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/BurntSushi/toml"
)

// value is a value of a TOML document with its line.
type value struct {
	v    any // string, int64, float64, bool, time.Time, []value or table
	line int // 0: not from a file
}

// table is a TOML table, its keys in the order of the file.
type table []field

// field is a key of a table.
type field struct {
	name string
	value
}

// line is where the key name is in t, 0 where it is not.
func (t table) line(name string) int {
	for _, f := range t {
		if f.name == name {
			return f.line
		}
	}
	return 0
}

// kind names the value's type in an error.
func (v value) kind() string {
	switch v.v.(type) {
	case string:
		return "a string"
	case int64:
		return "an integer"
	case float64:
		return "a float"
	case bool:
		return "a boolean"
	case time.Time:
		return "a date"
	case []value:
		return "an array"
	}
	return "a table"
}

// parseTOML reads a document. The problem is the only one: the library stops
// at the first.
func parseTOML(name, text string) (table, *Problem) {
	// The marks that editors put before a text; the library goes over them too.
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\xef\xbb\xbf"} {
		if rest, ok := strings.CutPrefix(text, mark); ok {
			text = rest
			break
		}
	}
	var doc map[string]any
	if _, err := toml.Decode(text, &doc); err != nil {
		p := &Problem{File: name, Line: 1, Text: oneLine(err.Error())}
		if e, ok := errors.AsType[toml.ParseError](err); ok {
			p.Line = max(1, e.Position.Line)
			p.Key = oneLine(e.LastKey)
			p.Text = oneLine(e.Message)
		}
		return nil, p
	}
	at, again := locate(text)
	if again.line > 0 {
		return nil, &Problem{File: name, Line: again.line, Key: oneLine(again.key), Text: "this key has already been defined"}
	}
	root := annotate(doc, at, 1)
	return root.v.(table), nil
}

// annotate joins the library's value with its place. Where a place is missing
// the line of what it stands in has to do.
func annotate(v any, at *place, line int) value {
	if at == nil {
		at = &place{line: line}
	}
	switch v := v.(type) {
	case map[string]any:
		t := make(table, 0, len(v))
		for _, name := range orderOf(v, at) {
			t = append(t, field{name, annotate(v[name], at.fields[name], at.line)})
		}
		return value{t, at.line}
	case []map[string]any:
		return value{annotateAll(v, at), at.line}
	case []any:
		return value{annotateAll(v, at), at.line}
	}
	return value{v, at.line}
}

func annotateAll[T any](list []T, at *place) []value {
	values := make([]value, len(list))
	for i, e := range list {
		var elem *place
		if i < len(at.elems) {
			elem = at.elems[i]
		}
		values[i] = annotate(e, elem, at.line)
	}
	return values
}

// orderOf are the keys of v, as in the file.
func orderOf(v map[string]any, at *place) []string {
	var names []string
	for _, name := range at.order {
		if _, ok := v[name]; ok {
			names = append(names, name)
		}
	}
	if len(names) < len(v) {
		for name := range v {
			if at.fields[name] == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
	}
	return names
}

// keyText is a key as an error names it: in quotes where it needs them.
func keyText(name string) string {
	if name == "" || len(name) > 64 || strings.Trim(name, nameLetters) != "" {
		return shown(name)
	}
	return name
}

// oneLine has a question mark for each control character of s, so that it
// stays on its line and does nothing to a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	File string // "" where it is not in a file: a flag's value
	Line int    // from 1; 0 without a file
	Key  string // "serve.listen", "repo fedora: upstreams"; "" where none is to blame
	Text string // what is wrong, and what is expected
}

// Error is "config.toml:7: serve.listen: what is wrong".
func (p *Problem) Error() string {
	var b strings.Builder
	if p.File != "" {
		fmt.Fprintf(&b, "%s:%d: ", p.File, p.Line)
	}
	if p.Key != "" {
		fmt.Fprintf(&b, "%s: ", p.Key)
	}
	b.WriteString(p.Text)
	return b.String()
}
