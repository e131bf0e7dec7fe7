package config

import (
	"strings"
	"testing"
)

func TestPatternMatch(t *testing.T) {
	for _, c := range []struct {
		pattern Pattern
		s       string
		want    bool
	}{
		{"", "", true},
		{"", "a", false},
		{"*", "", true},
		{"*", "/a/b", true},
		{"**", "a", true},
		{"mplayer", "mplayer", true},
		{"mplayer", "mplayer-gui", false},
		{"gstreamer1*", "gstreamer1-plugins-good", true},
		{"gstreamer1*", "gstreamer1", true},
		{"*-devel", "vlc-devel", true},
		{"*-devel", "vlc-devel-docs", false},
		{"*.rpm", "/fedora/a/b.rpm", true},
		{"*.rpm", "/fedora/a/b.rpm.asc", false},
		{"*/repodata/*", "/fedora/x/repodata/repomd.xml", true},
		{"*/repodata/*", "/fedora/x/repodata", false},
		{"*.pkg.tar.*", "/arch/a.pkg.tar.zst", true},
		{"a*b*c", "abc", true},
		{"a*b*c", "aXbXc", true},
		{"a*b*c", "ac", false},
		{"aa*aa", "aaa", false}, // the two ends do not share a letter
		{"aa*aa", "aaaa", true},
		{"*ab*ab", "ab", false},
		{"*ab*ab", "abab", true},
		{"*/Packages.[gxbz]*", "/debian/dists/x/Packages.gz", true},
		{"*/Packages.[gxbz]*", "/debian/dists/x/Packages.xz", true},
		{"*/Packages.[gxbz]*", "/debian/dists/x/Packages.diff/Index", false},
		{"*[0-9]", "el9", true},
		{"*[0-9]", "el", false},
		{"*[0-9]", "", false},
		{"[!a]b", "bb", true},
		{"[!a]b", "ab", false},
		{"[^a]b", "ab", false},
		{"[!a]", "é", false},
		{"[]a]", "]", true},
		{"x[*]y*", "x*yz", true},
		{"x[*]y*", "xayz", false},
		{"*[ab][ab]*c", "xxabyyc", true},
		{"*[ab]c", "cac", true},
		{"[", "[", true}, // not closed: itself
		{"a?c", "abc", false},
		{"Mplayer", "mplayer", false},
		{"*é*", "caféteria", true},
	} {
		if got := c.pattern.Match(c.s); got != c.want {
			t.Errorf("%q matches %q: %v, want %v", c.pattern, c.s, got, c.want)
		}
	}
}

func TestParsePatternRefuses(t *testing.T) {
	for _, bad := range []string{"", "a?", "[", "[a", "a[]", "[!]", "[é]", "[a b]", strings.Repeat("a", maxPattern+1)} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("parsePattern(%q): want an error", bad)
		}
	}
}

// naiveMatch is Match by the book: a table of which part of the pattern
// matches which part of the string.
func naiveMatch(p, s string) bool {
	// can[j]: the pattern so far matches s[:j].
	can := make([]bool, len(s)+1)
	can[0] = true
	for i := 0; i < len(p); {
		next := make([]bool, len(s)+1)
		if p[i] == '*' {
			for j, seen := 0, false; j <= len(s); j++ {
				seen = seen || can[j]
				next[j] = seen
			}
			can, i = next, i+1
			continue
		}
		allowed, n := naiveUnit(p[i:])
		for j := 0; j < len(s); j++ {
			next[j+1] = can[j] && allowed[s[j]]
		}
		can, i = next, i+n
	}
	return can[len(s)]
}

// naiveUnit is the set of bytes that the first unit of p stands for, and its length.
func naiveUnit(p string) (allowed [256]bool, n int) {
	body := 1
	if p[0] == '[' && len(p) > 1 && strings.IndexByte("!^", p[1]) >= 0 {
		body = 2
	}
	if p[0] != '[' || len(p) < body+2 || !strings.Contains(p[body+1:], "]") {
		allowed[p[0]] = true
		return allowed, 1
	}
	end := body + 1 + strings.Index(p[body+1:], "]")
	for rest := p[body:end]; rest != ""; {
		if len(rest) >= 3 && rest[1] == '-' {
			for c := int(rest[0]); c <= int(rest[2]); c++ {
				allowed[c] = true
			}
			rest = rest[3:]
			continue
		}
		allowed[rest[0]] = true
		rest = rest[1:]
	}
	for c := range allowed {
		allowed[c] = c < 0x80 && allowed[c] == (body == 1)
	}
	return allowed, end + 1
}

func FuzzPatternMatch(f *testing.F) {
	for _, c := range [][2]string{
		{"*/Packages.[gxbz]*", "/debian/dists/x/Packages.gz"},
		{"*a*b*a*b", "abababab"},
		{"[]-a]*[!b]", "]xc"},
		{"*[ab][ab]*c", "xxabyyc"},
		{"[", "["},
		{"*é", "café"},
		{"[!a]", "\xff"},
	} {
		f.Add(c[0], c[1])
	}
	f.Fuzz(func(t *testing.T, p, s string) {
		if len(p) > 200 || len(s) > 2000 {
			t.Skip()
		}
		if got, want := Pattern(p).Match(s), naiveMatch(p, s); got != want {
			t.Errorf("%q matches %q: %v, want %v", p, s, got, want)
		}
	})
}
