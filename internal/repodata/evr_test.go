package repodata

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

func TestParseEVR(t *testing.T) {
	cases := map[string]EVR{
		"":                   {},
		"1":                  {0, "1", ""},
		"1-2":                {0, "1", "2"},
		"3:1-2":              {3, "1", "2"},
		"3:1":                {3, "1", ""},
		"0:1-2.fc41":         {0, "1", "2.fc41"},
		":1-2":               {0, "1", "2"},
		"1-2-3":              {0, "1-2", "3"},
		"1-":                 {0, "1", ""},
		"-1":                 {0, "", "1"},
		"x:1":                {0, "x:1", ""},
		"1:2:3":              {1, "2:3", ""},
		"99999999999999:1":   {1<<31 - 1, "1", ""},
		"1.0~rc1^git-1":      {0, "1.0~rc1^git", "1"},
		"2:8.2.4621-1.fc37~": {2, "8.2.4621", "1.fc37~"},
	}
	for in, want := range cases {
		if got := ParseEVR(in); got != want {
			t.Errorf("%q: got %+v, want %+v", in, got, want)
		}
	}
	for _, s := range []string{"", "1", "1-2", "3:1-2", "3:1", "0:x:1", "1-2-"} {
		if got := ParseEVR(s).String(); got != s {
			t.Errorf("%q becomes %q", s, got)
		}
	}
}

func TestCompareEVR(t *testing.T) {
	// Each is older than the next.
	order := []string{"1~~-1", "1~rc1-1", "1~rc2-1", "1", "1-0", "1-1~a", "1-1", "1-1^a", "1-1.a", "1-1.1", "1-2", "1-10",
		"1^-1", "1^git1-1", "1.a-1", "1.0-1", "1.1-1", "1.10-1", "2-1", "1:0-1", "2:0~-0"}
	for i, a := range order {
		for j, b := range order {
			if got := ParseEVR(a).Compare(ParseEVR(b)); sign(got) != sign(i-j) {
				t.Errorf("%s against %s: %d", a, b, got)
			}
		}
	}
	for _, same := range [][2]string{{"1.0-1", "1.00-01"}, {"1.0-1", "1_0-1"}, {"1.0-1", "1..0-1"}, {"1.0-1", "0:1.0.-1"}} {
		if got := ParseEVR(same[0]).Compare(ParseEVR(same[1])); got != 0 {
			t.Errorf("%v: %d", same, got)
		}
	}
}

func sign(n int) int { return min(max(n, -1), 1) }

// parts are what the versions that are put to rpm are made of.
var parts = []string{"", "0", "1", "01", "10", "9", "a", "b", "ab", "Z", "rc1", "~", "~~", "~rc1", "^", "^^", "^git", "^20240101", ".", "..",
	"_", "+", "1.0", "1.0.0", "1.0~rc1", "1.0^1", "1.0^1~2", "1.0~1^2", "1a", "a1", "1.a", "1.1a2", "fc41", "4.1.3_20071030", "2.0.20240101git",
	"99999999999999999999", "\u00e9", "1\u00e9", "$!", "^1~", "~1^", "1~^", "1^~"}

// luaString spells s so that neither rpm's macros nor Lua see anything in it.
func luaString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\%03d`, c)
	}
	return b.String() + `"`
}

// askRPM gives rpm's verdict on each pair, by a Lua expression over a and b.
func askRPM(t *testing.T, expr string, pairs [][2]string) []int {
	t.Helper()
	rpm := testrepo.Program(t, "rpm")
	var verdicts []int
	// The longest argument of a program has 128 KiB.
	for chunk := range slices.Chunk(pairs, 500) {
		var lua strings.Builder
		lua.WriteString("%{lua: local function f(a, b) print((" + expr + ") .. ' ') end ")
		for _, p := range chunk {
			fmt.Fprintf(&lua, "f(%s,%s) ", luaString(p[0]), luaString(p[1]))
		}
		lua.WriteString("}")
		out, err := exec.Command(rpm, "--eval", lua.String()).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		lines := strings.Fields(string(out))
		if len(lines) != len(chunk) {
			t.Fatalf("rpm gave %d answers to %d questions: %.300s", len(lines), len(chunk), out)
		}
		for _, l := range lines {
			var n int
			if _, err := fmt.Sscan(l, &n); err != nil {
				t.Fatalf("%q: %v", l, err)
			}
			verdicts = append(verdicts, n)
		}
	}
	return verdicts
}

// TestCompareVersionsAsRPM compares with rpm itself.
func TestCompareVersionsAsRPM(t *testing.T) {
	var pairs [][2]string
	for _, a := range parts {
		for _, b := range parts {
			if a+b == "" {
				continue
			}
			pairs = append(pairs, [2]string{a + b, b + a}, [2]string{"1." + a, "1." + a + b}, [2]string{"1" + a, "1" + b})
			if a != "" && b != "" { // no version for rpm
				pairs = append(pairs, [2]string{a, b})
			}
		}
	}
	for i, want := range askRPM(t, "rpm.vercmp(a, b)", pairs) {
		p := pairs[i]
		if got := compareVersions(p[0], p[1]); got != want {
			t.Errorf("%q against %q: %d, rpm says %d", p[0], p[1], got, want)
		}
	}
}

// TestCompareEVRAsRPM does so with whole versions.
func TestCompareEVRAsRPM(t *testing.T) {
	var all []string
	for _, epoch := range []string{"", "0:", "1:", "10:"} {
		for _, version := range []string{"1", "1.0", "1.0~rc1", "1.0^git1", "2_0"} {
			for _, release := range []string{"", "-1", "-1~", "-1^a", "-2.fc41"} {
				all = append(all, epoch+version+release)
			}
		}
	}
	var pairs [][2]string
	for i, a := range all {
		for _, b := range all[i:] {
			pairs = append(pairs, [2]string{a, b})
		}
	}
	expr := "rpm.ver(a) < rpm.ver(b) and -1 or (rpm.ver(b) < rpm.ver(a) and 1 or 0)"
	for i, want := range askRPM(t, expr, pairs) {
		p := pairs[i]
		if got := ParseEVR(p[0]).Compare(ParseEVR(p[1])); got != want {
			t.Errorf("%s against %s: %d, rpm says %d", p[0], p[1], got, want)
		}
	}
}

// FuzzCompareEVR holds the comparison to what sorting needs.
func FuzzCompareEVR(f *testing.F) {
	for i, p := range parts {
		f.Add(p, parts[len(parts)-1-i])
		f.Add("1:2-"+p, p+"-1")
	}
	f.Add("::", "--")
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := ParseEVR(a), ParseEVR(b)
		if x.Compare(x) != 0 || y.Compare(y) != 0 {
			t.Errorf("%q or %q is not the same as itself", a, b)
		}
		if c, d := x.Compare(y), y.Compare(x); c != -d {
			t.Errorf("%q against %q: %d, and the other way round %d", a, b, c, d)
		}
		if x == y && x.Compare(y) != 0 {
			t.Errorf("%q and %q differ", a, b)
		}
		if again := ParseEVR(x.String()); again != x {
			t.Errorf("%q becomes %+v, and that %q, and that %+v", a, x, x, again)
		}
	})
}
