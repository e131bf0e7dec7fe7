package config

import (
	"errors"
	"fmt"
	"strings"
)

// Pattern is a glob over a whole string. "*" is any run of characters, "/"
// included; "[gx]", "[0-9]" and "[!a]" are one character of ASCII; everything
// else stands for itself.
type Pattern string

// maxPattern bounds what a pattern costs on a hostile path.
const maxPattern = 256

// parsePattern refuses what Match would take in another way than its writer.
func parsePattern(s string) (Pattern, error) {
	switch {
	case s == "":
		return "", errors.New("an empty pattern matches nothing")
	case len(s) > maxPattern:
		return "", fmt.Errorf("a pattern has at most %d characters", maxPattern)
	case strings.Contains(s, "?"):
		return "", errors.New(`"?" has no meaning in a pattern`)
	}
	for i := 0; i < len(s); {
		if s[i] != '[' {
			i++
			continue
		}
		n := classLen(s[i:])
		if n == 0 {
			return "", errors.New(`"[" without "]"`)
		}
		if strings.Trim(s[i:i+n], asciiGraphic) != "" {
			return "", errors.New("only ASCII may stand between brackets")
		}
		i += n
	}
	return Pattern(s), nil
}

// asciiGraphic is ASCII's visible characters.
const asciiGraphic = "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~"

// Match reports whether p matches the whole of s. What lies between two stars
// has a fixed length, so that its leftmost occurrence is always a right one:
// there is no backtracking, and the time is linear in s.
func (p Pattern) Match(s string) bool {
	part, rest, star := cutStar(string(p))
	n, ok := matchHere(part, s)
	if !ok {
		return false
	}
	for s = s[n:]; star; {
		if part, rest, star = cutStar(rest); !star {
			return matchEnd(part, s)
		}
		end := indexEnd(part, s)
		if end < 0 {
			return false
		}
		s = s[end:]
	}
	return s == ""
}

// cutStar is strings.Cut at the first star that is not within brackets.
func cutStar(p string) (before, after string, found bool) {
	for i := 0; i < len(p); i++ {
		switch p[i] {
		case '*':
			return p[:i], p[i+1:], true
		case '[':
			i += max(1, classLen(p[i:])) - 1
		}
	}
	return p, "", false
}

// classLen is the length of the brackets that p begins with, 0 if they are not
// closed or empty.
func classLen(p string) int {
	from := 1
	if len(p) > 1 && (p[1] == '!' || p[1] == '^') {
		from = 2
	}
	if len(p) <= from {
		return 0
	}
	// The first character is always one of the class, "]" too.
	n := strings.IndexByte(p[from+1:], ']')
	if n < 0 {
		return 0
	}
	return from + 1 + n + 1
}

// classLenAt is the length of the brackets that open at i, 0 if none do.
func classLenAt(part string, i int) int {
	if part[i] != '[' {
		return 0
	}
	return classLen(part[i:])
}

// inClass reports whether c is in class, brackets included.
func inClass(class string, c byte) bool {
	body := class[1 : len(class)-1]
	not := body[0] == '!' || body[0] == '^'
	if not {
		body = body[1:]
	}
	in := false
	for i := 0; i < len(body); i++ {
		if i+2 < len(body) && body[i+1] == '-' {
			in = in || body[i] <= c && c <= body[i+2]
			i += 2
			continue
		}
		in = in || body[i] == c
	}
	return in != not && c < 0x80
}

// matchHere matches part, which has no star, at the beginning of s, and tells
// how much of s it took.
func matchHere(part, s string) (n int, ok bool) {
	if strings.IndexByte(part, '[') < 0 {
		return len(part), strings.HasPrefix(s, part)
	}
	for i := 0; i < len(part); n++ {
		if n == len(s) {
			return 0, false
		}
		class := classLenAt(part, i)
		if class > 0 && !inClass(part[i:i+class], s[n]) || class == 0 && part[i] != s[n] {
			return 0, false
		}
		i += max(1, class)
	}
	return n, true
}

// width is how many bytes part, which has no star, takes of a string.
func width(part string) (n int) {
	for i := 0; i < len(part); n++ {
		i += max(1, classLenAt(part, i))
	}
	return n
}

// matchEnd matches part at the end of s.
func matchEnd(part, s string) bool {
	if strings.IndexByte(part, '[') < 0 {
		return strings.HasSuffix(s, part)
	}
	w := width(part)
	if w > len(s) {
		return false
	}
	_, ok := matchHere(part, s[len(s)-w:])
	return ok
}

// indexEnd is where the leftmost occurrence of part in s ends, -1 if it has none.
func indexEnd(part, s string) int {
	if strings.IndexByte(part, '[') < 0 {
		if i := strings.Index(s, part); i >= 0 {
			return i + len(part)
		}
		return -1
	}
	for i, last := 0, len(s)-width(part); i <= last; i++ {
		if n, ok := matchHere(part, s[i:]); ok {
			return i + n
		}
	}
	return -1
}
