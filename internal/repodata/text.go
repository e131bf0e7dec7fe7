package repodata

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Classes of a byte in XML.
const (
	plainByte = 1 << iota // stands for itself in text and in values
	nameByte              // may stand in a name
	nameStart             // may begin a name
)

// classes has the class of each byte. Plain are the printable ASCII characters,
// tab and newline, without those that mean something anywhere: `<`, `&`, `>`
// (for `]]>`) and `\r` (which becomes a newline).
var classes = func() (t [256]byte) {
	for c := 0x20; c <= 0x7f; c++ {
		t[c] = plainByte
	}
	t['\t'], t['\n'] = plainByte, plainByte
	t['<'], t['>'], t['&'] = 0, 0, 0
	for c := range t {
		switch b := byte(c); {
		case isLetter(b), b == '_', b == ':':
			t[c] |= nameByte | nameStart
		case isDigit(b), b == '.', b == '-':
			t[c] |= nameByte
		}
	}
	return t
}()

// plainRun is the number of leading bytes of b that stand for themselves.
func plainRun(b []byte) int {
	i := 0
	for len(b)-i >= 8 {
		if !plainWord(binary.LittleEndian.Uint64(b[i:])) {
			// One that is not, or a newline or tab.
			for end := i + 8; i < end; i++ {
				if classes[b[i]]&plainByte == 0 {
					return i
				}
			}
			continue
		}
		i += 8
	}
	for ; i < len(b); i++ {
		if classes[b[i]]&plainByte == 0 {
			return i
		}
	}
	return i
}

// plainWord reports whether all eight bytes of w are plain and none is a newline or
// a tab: descriptions are a third of a primary.xml, and so read eight bytes at a time.
func plainWord(w uint64) bool {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	// The high bit of a byte of (x-ones)&^x is set for 0, and above a 0 maybe for 1.
	lt, gt, amp := w^('<'*ones), w^('>'*ones), w^('&'*ones)
	zero := (lt-ones)&^lt | (gt-ones)&^gt | (amp-ones)&^amp
	return (w|(w-' '*ones)|zero)&high == 0
}

// skipSpace is the index of the first byte at or behind i that is no white space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// parseName reads the name at b[i:] and tells where it ends.
func parseName(b []byte, i int) (name []byte, end int, err error) {
	if i == len(b) {
		return nil, 0, errShort
	}
	if classes[b[i]]&nameStart == 0 {
		return nil, 0, fmt.Errorf("a name expected, not %q", b[i])
	}
	colons := 0
	if b[i] == ':' {
		colons++
	}
	for end = i + 1; end < len(b) && classes[b[end]]&nameByte != 0; end++ {
		if b[end] == ':' {
			colons++
		}
	}
	if end == len(b) {
		return nil, 0, errShort
	}
	if b[end] >= utf8.RuneSelf {
		return nil, 0, errors.New("a name that is not ASCII")
	}
	name = b[i:end]
	if colons > 1 {
		return nil, 0, fmt.Errorf("name %.50q with two colons", name)
	}
	return name, end, nil
}

// localName is name without its prefix.
func localName(name []byte) []byte {
	if i := bytes.IndexByte(name, ':'); i > 0 && i < len(name)-1 {
		return name[i+1:]
	}
	return name
}

// appendText appends the character data src to dst, decoded.
func appendText(dst, src []byte) ([]byte, error) {
	if bytes.Contains(src, []byte("]]>")) {
		return dst, errors.New("`]]>` outside of a CDATA section")
	}
	return appendDecoded(dst, src, true)
}

// appendValue appends the value src of an attribute to dst, decoded.
func appendValue(dst, src []byte) ([]byte, error) {
	if bytes.IndexByte(src, '<') >= 0 {
		return dst, errors.New("`<` in the value of an attribute")
	}
	return appendDecoded(dst, src, true)
}

// appendCDATA appends the inside of a CDATA section to dst.
func appendCDATA(dst, src []byte) ([]byte, error) {
	return appendDecoded(dst, src, false)
}

// appendDecoded appends src to dst with line ends made newlines and, where
// entities says so, entities replaced. It fails on what is no character of XML.
func appendDecoded(dst, src []byte, entities bool) ([]byte, error) {
	for len(src) > 0 {
		n := plainRun(src)
		dst, src = append(dst, src[:n]...), src[n:]
		if len(src) == 0 {
			break
		}
		switch c := src[0]; {
		case c == '&' && entities:
			r, n, err := parseEntity(src)
			if err != nil {
				return dst, err
			}
			if !isChar(r) {
				return dst, fmt.Errorf("character code %U", r)
			}
			dst, src = utf8.AppendRune(dst, r), src[n:]
		case c == '\r':
			dst, src = append(dst, '\n'), src[1:]
			if len(src) > 0 && src[0] == '\n' {
				src = src[1:]
			}
		default:
			r, n := utf8.DecodeRune(src)
			if r == utf8.RuneError && n == 1 {
				return dst, errors.New("invalid UTF-8")
			}
			if !isChar(r) {
				return dst, fmt.Errorf("character code %U", r)
			}
			dst, src = append(dst, src[:n]...), src[n:]
		}
	}
	return dst, nil
}

// parseEntity decodes the entity at the beginning of b and tells its length. The
// code of a surrogate becomes U+FFFD, as in encoding/xml.
func parseEntity(b []byte) (rune, int, error) {
	end := bytes.IndexByte(b, ';')
	if end < 0 {
		return 0, 0, errors.New("`&` that begins no entity")
	}
	name := b[1:end]
	switch string(name) {
	case "lt":
		return '<', end + 1, nil
	case "gt":
		return '>', end + 1, nil
	case "amp":
		return '&', end + 1, nil
	case "apos":
		return '\'', end + 1, nil
	case "quot":
		return '"', end + 1, nil
	}
	bad := func() (rune, int, error) {
		return 0, 0, fmt.Errorf("entity %.50q: neither predefined nor a character's code", b[:end+1])
	}
	digits, ok := bytes.CutPrefix(name, []byte("#"))
	if !ok {
		return bad()
	}
	base := 10
	if hex, ok := bytes.CutPrefix(digits, []byte("x")); ok {
		base, digits = 16, hex
	}
	n, err := strconv.ParseUint(string(digits), base, 64)
	if err != nil || n > utf8.MaxRune {
		return bad()
	}
	if !utf8.ValidRune(rune(n)) {
		return utf8.RuneError, end + 1, nil
	}
	return rune(n), end + 1, nil
}

// isChar reports whether XML 1.0 has the character r.
func isChar(r rune) bool {
	return r == '\t' || r == '\n' || r == '\r' || r >= 0x20 && r <= 0xd7ff ||
		r >= 0xe000 && r <= 0xfffd || r >= 0x10000 && r <= utf8.MaxRune
}
