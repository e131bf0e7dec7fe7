package repodata

import (
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

func leaf(name string) Rich { return Rich{Dep: Dep{Name: name}} }

func op(o Op, operands ...Rich) Rich { return Rich{Op: o, Operands: operands} }

func TestParseRich(t *testing.T) {
	a, b, c, d := leaf("a"), leaf("b"), leaf("c"), leaf("d")
	cases := []struct {
		in   string
		want Rich
		out  string // as String has it, if not like in
	}{
		{in: "(a and b)", want: op(OpAnd, a, b)},
		{in: "(a or b or c)", want: op(OpOr, a, b, c)},
		{in: "(a if b)", want: op(OpIf, a, b)},
		{in: "(a if b else c)", want: op(OpIf, a, b, c)},
		{in: "(a unless b)", want: op(OpUnless, a, b)},
		{in: "(a unless b else c)", want: op(OpUnless, a, b, c)},
		{in: "(a with b with c)", want: op(OpWith, a, b, c)},
		{in: "(a without b)", want: op(OpWithout, a, b)},
		{in: "((a or b) if (c and d))", want: op(OpIf, op(OpOr, a, b), op(OpAnd, c, d))},
		{in: "(a if b else (c if d))", want: op(OpIf, a, b, op(OpIf, c, d))},
		{in: "(a)", want: a},
		{in: "((a))", want: a, out: "(a)"},
		{in: "((a) or (b))", want: op(OpOr, a, b), out: "(a or b)"},
		{in: "( a\tor  b )", want: op(OpOr, a, b), out: "(a or b)"},
		{in: "(a, or b)", want: op(OpOr, a, b), out: "(a or b)"},
		{in: "(a >= 1:2-3 or b)", want: op(OpOr, Rich{Dep: Dep{Name: "a", Flags: "GE", EVR: EVR{1, "2", "3"}}}, b)},
		{in: "(a => 1 or b =< 2)", out: "(a >= 1 or b <= 2)",
			want: op(OpOr, Rich{Dep: Dep{Name: "a", Flags: "GE", EVR: EVR{Version: "1"}}}, Rich{Dep: Dep{Name: "b", Flags: "LE", EVR: EVR{Version: "2"}}})},
		{in: "(a == 1 or b)", out: "(a = 1 or b)", want: op(OpOr, Rich{Dep: Dep{Name: "a", Flags: "EQ", EVR: EVR{Version: "1"}}}, b)},
		{in: "(a < 1 with a > 0.5~rc1)", want: op(OpWith, Rich{Dep: Dep{Name: "a", Flags: "LT", EVR: EVR{Version: "1"}}},
			Rich{Dep: Dep{Name: "a", Flags: "GT", EVR: EVR{Version: "0.5~rc1"}}})},
		{in: "(libfoo.so.1(V_1)(64bit) or /usr/bin/foo)", want: op(OpOr, leaf("libfoo.so.1(V_1)(64bit)"), leaf("/usr/bin/foo"))},
		{in: "(config(a) if x())", want: op(OpIf, leaf("config(a)"), leaf("x()"))},
		{in: "(a>=1 or b)", want: op(OpOr, leaf("a>=1"), b)}, // rpm reads a name, too
		{in: "(if or else)", want: op(OpOr, leaf("if"), leaf("else"))},
		{in: "(langpacks-core-font-de if langpacks-core-de)", want: op(OpIf, leaf("langpacks-core-font-de"), leaf("langpacks-core-de"))},
		{in: "(crate(a/default) >= 1.0.0 with crate(a/default) < 2.0.0~)", want: op(OpWith,
			Rich{Dep: Dep{Name: "crate(a/default)", Flags: "GE", EVR: EVR{Version: "1.0.0"}}},
			Rich{Dep: Dep{Name: "crate(a/default)", Flags: "LT", EVR: EVR{Version: "2.0.0~"}}})},
	}
	for _, c := range cases {
		got, err := ParseRich(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v\nwant %+v", c.in, got, err, c.want)
			continue
		}
		if c.out == "" {
			c.out = c.in
		}
		if s := got.String(); s != c.out {
			t.Errorf("%s is written as %s", c.in, s)
		}
	}
}

// badRich is what rpm refuses as well.
var badRich = []string{"()", "(a", "(a or", "(a or b", "(a or)", "(or a b)", "(a b)", "(a or b and c)", "(a if b if c)", "(a if b and c)",
	"(a without b without c)", "(a if b else c else d)", "(a OR b)", "(a >= or b)", "(a >=1 or b)", "(a <> 1 or b)", "(a , b)", "(a,b)",
	"(a or b,c)", "(a or/bin/sh)", "(a (b))", "((a or b) (c or d))", "(a < 1 2 or b)", "(a nor b)", "((a or b)"}

func TestParseRichRefuses(t *testing.T) {
	deep := strings.Repeat("(", maxRichDepth+1) + "a" + strings.Repeat(")", maxRichDepth+1)
	// rpm takes what follows for another dependency, and reads `else` anywhere.
	more := []string{"", "a", "a or b", "(a or b) c", "(a or b)(c)", "(a or b))", "(a or b) ", "(a else b)", "(a and b else c)", "(a >=", "(a >= )", "(a = -)", "(a = 1:)", "(b( )", "(a = 1( )", "(a(b or c) or d)", deep}
	for _, in := range slices.Concat(badRich, more) {
		if got, err := ParseRich(in); err == nil {
			t.Errorf("%q: got %s", in, got)
		}
	}
}

func TestIsRich(t *testing.T) {
	for name, want := range map[string]bool{"(a or b)": true, "a": false, "a(b)": false, "/a": false, "": false} {
		if IsRich(name) != want {
			t.Errorf("%q: %v", name, !want)
		}
	}
}

// TestParseRichAsRPM puts the same dependencies to rpm, as a spec file's.
func TestParseRichAsRPM(t *testing.T) {
	rpmspec := testrepo.Program(t, "rpmspec")
	spec := filepath.Join(t.TempDir(), "t.spec")
	query := func(requires ...string) (string, error) {
		text := "Name: t\nVersion: 1\nRelease: 1\nSummary: t\nLicense: MIT\nBuildArch: noarch\nRequires: " +
			strings.Join(requires, "\nRequires: ") + "\n%description\nt\n"
		if err := os.WriteFile(spec, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(rpmspec, "-q", "--requires", spec).Output()
		return string(out), err
	}
	good := []string{"(a and b)", "(a or b or c)", "(a if b else (c and d))", "(foo(bar) with foo(baz) < 2)", "(a >= 1:2-3 or x()(64bit))",
		"(p without q)", "((a or b) if (c and d))", "(a  or\tb)", "(a => 1 or b == 2)", "((x or y) and z)", "(/bin/sh or c++)", "(if or b)"}
	out, err := query(good...)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, in := range good {
		r, err := ParseRich(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
			continue
		}
		want = append(want, r.String())
	}
	got := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("rpm writes\n%s\nand we\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, in := range badRich {
		if out, err := query(in); err == nil {
			t.Errorf("rpm accepts %s as %s", in, out)
		}
	}
}

func FuzzParseRich(f *testing.F) {
	for _, in := range badRich {
		f.Add(in)
	}
	f.Add("((a >= 1:2-3 or b(c)) if (d without /e) else (f unless g else h = 1-))")
	f.Add("((((a) with b < 0:1:2))")
	f.Fuzz(func(t *testing.T, in string) {
		r, err := ParseRich(in)
		if err != nil {
			return
		}
		var check func(r Rich)
		check = func(r Rich) {
			if (r.Op == OpNone) != (len(r.Operands) == 0) || r.Op != OpNone && len(r.Operands) < 2 || (r.Op == OpNone) != (r.Dep.Name != "") {
				t.Errorf("%q: %+v", in, r)
			}
			if (r.Op == OpIf || r.Op == OpUnless) && len(r.Operands) > 3 || r.Op == OpWithout && len(r.Operands) != 2 {
				t.Errorf("%q: %s with %d operands", in, r.Op, len(r.Operands))
			}
			for _, o := range r.Operands {
				check(o)
			}
		}
		check(r)
		again, err := ParseRich(r.String())
		if err != nil || again.String() != r.String() {
			t.Errorf("%q is written as %q, which is read as %q, %v", in, r, again, err)
		}
	})
}
