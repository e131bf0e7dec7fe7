package cache

import (
	"errors"
	"path"
	"strings"
	"testing"
)

func TestNewKey(t *testing.T) {
	long := strings.Repeat("n", 255)
	deep := strings.Repeat(long+"/", 11) + strings.Repeat("n", 3072-len("r/")-11*256)
	for _, tt := range []struct {
		name, escaped, want string // "": refused
	}{
		{"plain", "a/b.rpm", "a/b.rpm"},
		{"leading slash", "/a/b.rpm", "a/b.rpm"},
		{"plus", "c++-1.rpm", "c++-1.rpm"},
		{"escaped plus", "c%2B%2b-1.rpm", "c++-1.rpm"},
		{"tilde", "a-1~rc1.rpm", "a-1~rc1.rpm"},
		{"escaped tilde", "a-1%7Erc1.rpm", "a-1~rc1.rpm"},
		{"caret", "a-1^git.rpm", "a-1^git.rpm"},
		{"escaped caret", "a-1%5Egit.rpm", "a-1^git.rpm"},
		{"decoded once", "a%252Fb", "a%2Fb"},
		{"escaped percent", "100%25.rpm", "100%.rpm"},
		{"space", "a%20b", "a b"},
		{"a plus is no space", "a+b", "a+b"},
		{"question mark", "a%3Fb", "a?b"},
		{"UTF-8", "%C3%A9.rpm", "é.rpm"},
		{"UTF-8, not escaped", "é.rpm", "é.rpm"},
		{"colon", "1:2.rpm", "1:2.rpm"},
		{"double slash", "a//b", "a/b"},
		{"dot", "a/./b", "a/b"},
		{"dots within", "a/x/../b", "a/b"},
		{"dots beyond the top", "../../../etc/passwd", "etc/passwd"},
		{"escaped dots", "%2e%2e/%2E./x", "x"},
		{"three dots are a name", ".../x", ".../x"},
		{"backslash is a letter", `..\x`, `..\x`},
		{"star", "*", "*"},
		{"the longest name", long + "/" + long, long + "/" + long},
		{"the longest path", deep, deep},

		{"empty", "", ""},
		{"slash", "/", ""},
		{"directory", "a/", ""},
		{"escaped slash", "a%2Fb", ""},
		{"escaped slash, small", "a%2fb", ""},
		{"only dots", "..", ""},
		{"dots to the top", "a/..", ""},
		{"bad escape", "a%zz", ""},
		{"cut escape", "a%2", ""},
		{"NUL", "a%00b", ""},
		{"newline", "a%0Ab", ""},
		{"DEL", "a%7Fb", ""},
		{"not UTF-8", "a%ff", ""},
		{"a name too long", "a/" + long + "n", ""},
		{"a path too long", deep + "n", ""},
		{"a name too long in bytes", strings.Repeat("%C3%A9", 128), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k, err := NewKey("r", tt.escaped)
			if tt.want == "" {
				if !errors.Is(err, ErrNotAFile) || k != (Key{}) {
					t.Errorf("%q, %v; want a refusal", k, err)
				}
				return
			}
			if err != nil || k != (Key{Repo: "r", Path: tt.want}) || k.String() != "r/"+tt.want {
				t.Errorf("%q, %v; want %q", k, err, tt.want)
			}
		})
	}
}

func TestEscapedPath(t *testing.T) {
	for path, want := range map[string]string{
		"a/b.rpm":     "a/b.rpm",
		"c++.rpm":     "c%2B%2B.rpm",
		"a~b^c%d.rpm": "a~b%5Ec%25d.rpm",
		"a b?c#d":     "a%20b%3Fc%23d",
		"1:2/x":       "1:2/x",
		"é":           "%C3%A9",
	} {
		if got := (Key{Repo: "r", Path: path}).EscapedPath(); got != want {
			t.Errorf("%q: %q, want %q", path, got, want)
		}
	}
}

// FuzzNewKey: no path leads out of its repository, and every spelling of a key
// is that key.
func FuzzNewKey(f *testing.F) {
	for _, s := range []string{"a/b", "/../%2e%2e/x", "a%2Fb", "%252e/..", "a+b~c%5E%25", "./a", "a/./../../b", "*", "%C3%A9", "a%00", "x:y/z", ";v=1", "a//b/"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, escaped string) {
		k, err := NewKey("r", escaped)
		if err != nil {
			if !errors.Is(err, ErrNotAFile) || k != (Key{}) {
				t.Fatalf("%q: %q, %v", escaped, k, err)
			}
			return
		}
		if k.Path == "" || path.Clean(k.String()) != k.String() || !strings.HasPrefix(k.String(), "r/") || strings.HasPrefix(k.Path, "..") && (len(k.Path) == 2 || k.Path[2] == '/') {
			t.Fatalf("%q: leads out of its repository: %q", escaped, k)
		}
		if strings.ContainsRune(k.Path, 0) {
			t.Fatalf("%q: %q holds NUL", escaped, k)
		}
		for _, spelling := range []string{k.EscapedPath(), "/" + k.EscapedPath()} {
			if again, err := NewKey("r", spelling); err != nil || again != k {
				t.Fatalf("%q is %q, whose spelling %q is %q, %v", escaped, k, spelling, again, err)
			}
		}
	})
}
