package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

func TestLocate(t *testing.T) {
	// Each value is its own line's number, so that the text is the expectation.
	const text = `a = 1 # a comment with ] and "
"b c" = 2
'd.e' = 3
f.g = 4

[t]            # 6
x = 7
y.z = 8
list = [       # 9
  10, # ]
  11,

  13, [13, 13,
  14],
]
s = """        # 16
[no]
no = 1 \""""   # and now it ends
r = '''        # 19
[no] ''''
u = { v = 21, w = [21] }
"\u0071" = 22
m = {          # 23
  n = 24, # }
  o.p = 25 }

[[r]]          # 27
name = 28
[r.sub]        # 29
k = 30
[[r.more]]     # 31
l = 32
[[r.more]]     # 33
l = 34
[[r]]          # 35
name = 36
sub = { k = 37 }
[t.y.deep]     # 38
q = 39
e = "#"
h = "\\"
i = ''
j = 43
[[ spaced . "out" ]] # 44
w = 45`
	var doc map[string]any
	if _, err := toml.Decode(text, &doc); err != nil {
		t.Fatal(err)
	}
	root, again := locate(text)
	if again.line > 0 {
		t.Errorf("%+v stands there once", again)
	}
	seen := 0
	var check func(path string, v any, at *place)
	check = func(path string, v any, at *place) {
		if at == nil {
			t.Errorf("%s: no place", path)
			return
		}
		switch v := v.(type) {
		case map[string]any:
			for name, w := range v {
				check(path+"."+name, w, at.fields[name])
			}
		case []map[string]any:
			for i, w := range v {
				check(fmt.Sprintf("%s[%d]", path, i), w, at.elems[i])
			}
		case []any:
			for i, w := range v {
				check(fmt.Sprintf("%s[%d]", path, i), w, at.elems[i])
			}
		case int64:
			seen++
			if at.line != int(v) {
				t.Errorf("%s: line %d, want %d", path, at.line, v)
			}
		}
	}
	check("", doc, root)
	if seen != 26 {
		t.Errorf("%d numbers were looked at, want 26", seen)
	}
	for path, want := range map[string]int{
		"t": 6, "t list": 9, "t s": 16, "t r": 19, "t m": 23, "r": 27, "t y": 8, "t y deep": 38, "f": 4, "t e": 0, "t y deep e": 40, "t y deep j": 43, "spaced": 44,
	} {
		at := root
		for name := range strings.SplitSeq(path, " ") {
			if at = at.fields[name]; at == nil {
				break
			}
		}
		if at == nil && want != 0 || at != nil && at.line != want {
			t.Errorf("%s: %+v, want line %d", path, at, want)
		}
	}
	for i, want := range []int{27, 35} {
		if got := root.fields["r"].elems[i].line; got != want {
			t.Errorf("r[%d]: line %d, want %d", i, got, want)
		}
	}
	if got, want := root.order, []string{"a", "b c", "d.e", "f", "t", "r", "spaced"}; !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

// FuzzLocate holds the walk against the library: of any document that it
// accepts, both find the same tables, keys and arrays, and each key stands in
// the line that is given for it.
func FuzzLocate(f *testing.F) {
	for _, s := range []string{
		builtinRepos,
		"a = 1\n[t]\nb = [1, [2], {c = 3}]\n[[r]]\nx.y = '''z'''\n[[r]]\n[r.s]\n",
		"a = \"\"\"x\\\"\"\"\"\nb = ''''''\nc = \"\\u0041\"\n'' = 1\n\"\" .\"a\\tb\" = 2",
		"d = 1979-05-27 07:32:00 # x\r\ne = [\r\n1,\r\n]\r\n",
		"a = {b = 1, c = {d = [ ] } }\na2 = {\n # x }\n b = 1,\n}",
		"t.a = 1\nt.b = 2\n[u.v]\n[u]\nx=1",
		"a = '''''x'''''\nb = \"\"\"\"\"y\"\"\"\"\"",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		locate(text) // of anything at all: it comes back
		// The marks before a text are taken off before the walk.
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") || strings.HasPrefix(text, "\xef\xbb\xbf") {
			return
		}
		var doc map[string]any
		if _, err := toml.Decode(text, &doc); err != nil {
			return
		}
		root, again := locate(text)
		if again.line > 0 {
			return // the library should not have
		}
		lines := strings.Split(text, "\n")
		var check func(path string, v any, at *place)
		each := func(path string, n int, at *place, elem func(int) any) {
			if len(at.elems) != n {
				t.Fatalf("%s: %d elements, want %d", path, len(at.elems), n)
			}
			for i := range n {
				check(fmt.Sprintf("%s[%d]", path, i), elem(i), at.elems[i])
			}
		}
		check = func(path string, v any, at *place) {
			if at.line < 1 || at.line > len(lines) {
				t.Fatalf("%s: line %d of %d", path, at.line, len(lines))
			}
			switch v := v.(type) {
			case map[string]any:
				if len(at.fields) != len(v) || len(at.order) != len(v) {
					t.Fatalf("%s: keys %q, want those of %v", path, at.order, v)
				}
				for name, w := range v {
					sub := at.fields[name]
					if sub == nil {
						t.Fatalf("%s has no %q", path, name)
					}
					if line := lines[max(0, min(sub.line, len(lines))-1)]; !strings.Contains(line, name) && !strings.Contains(line, `\`) {
						t.Fatalf("%s.%s is not in line %d, %q", path, name, sub.line, line)
					}
					check(path+"."+name, w, sub)
				}
			case []map[string]any:
				each(path, len(v), at, func(i int) any { return v[i] })
			case []any:
				each(path, len(v), at, func(i int) any { return v[i] })
			}
		}
		check("", doc, root)
	})
}
