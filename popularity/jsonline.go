package popularity

import (
	"bytes"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonLine reads one line.
type jsonLine struct {
	b     []byte
	at    int
	depth int
	keep  func([]byte) []byte
	found [maxJSONPlaces + 1][]byte // by place; nil: not there
}

// maxJSONDepth is how deep values may lie in each other.
const maxJSONDepth = 100

func (l *jsonLine) space() {
	for l.at < len(l.b) && (l.b[l.at] == ' ' || l.b[l.at] == '\t' || l.b[l.at] == '\r' || l.b[l.at] == '\n') {
		l.at++
	}
}

// take reads the byte c, and reports whether it was there.
func (l *jsonLine) take(c byte) bool {
	l.space()
	if l.at < len(l.b) && l.b[l.at] == c {
		l.at++
		return true
	}
	return false
}

func (l *jsonLine) end() bool {
	l.space()
	return l.at == len(l.b)
}

// object reads an object whose names n knows; nil knows none.
func (l *jsonLine) object(n *jsonNode) bool {
	if l.depth++; l.depth > maxJSONDepth || !l.take('{') {
		return false
	}
	defer func() { l.depth-- }()
	if l.take('}') {
		return true
	}
	for {
		l.space()
		name, ok := l.str(n != nil)
		if !ok || !l.take(':') {
			return false
		}
		var c *jsonNode
		if n != nil {
			c = n.find(name)
		}
		if !l.value(c) {
			return false
		}
		if l.take('}') {
			return true
		}
		if !l.take(',') {
			return false
		}
	}
}

// array reads an array, of which the first element is n's.
func (l *jsonLine) array(n *jsonNode) bool {
	if l.depth++; l.depth > maxJSONDepth || !l.take('[') {
		return false
	}
	defer func() { l.depth-- }()
	if l.take(']') {
		return true
	}
	for {
		if !l.value(n) {
			return false
		}
		n = nil
		if l.take(']') {
			return true
		}
		if !l.take(',') {
			return false
		}
	}
}

// value reads a value. The last of two with one name counts, as everywhere.
func (l *jsonLine) value(n *jsonNode) bool {
	if n != nil {
		l.forget(n)
	}
	l.space()
	if l.at == len(l.b) {
		return false
	}
	switch l.b[l.at] {
	case '{':
		return l.object(n)
	case '[':
		return l.array(n)
	case '"':
		s, ok := l.str(n != nil)
		if ok && n != nil && n.place > 0 {
			l.found[n.place] = s
		}
		return ok
	}
	s, ok := l.word()
	if ok && n != nil && n.place > 0 && (s[0] == '-' || s[0] <= '9') {
		l.found[n.place] = s
	}
	return ok
}

func (l *jsonLine) forget(n *jsonNode) {
	l.found[n.place] = nil
	for _, c := range n.below {
		l.forget(c)
	}
}

// str reads a string; its content only if it is wanted.
func (l *jsonLine) str(wanted bool) ([]byte, bool) {
	if l.at == len(l.b) || l.b[l.at] != '"' {
		return nil, false
	}
	l.at++
	from, escaped := l.at, false
	for l.at < len(l.b) {
		switch c := l.b[l.at]; {
		case c == '"':
			s := l.b[from:l.at]
			l.at++
			if escaped && wanted {
				s = l.keep(unescapeJSON(s))
			}
			return s, true
		case c < ' ':
			return nil, false
		case c == '\\':
			escaped = true
			if l.at+1 >= len(l.b) {
				return nil, false
			}
			l.at++
			switch l.b[l.at] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if l.at+4 >= len(l.b) {
					return nil, false
				}
				for _, h := range l.b[l.at+1 : l.at+5] {
					if !isHex(h) {
						return nil, false
					}
				}
				l.at += 4
			default:
				return nil, false
			}
		}
		l.at++
	}
	return nil, false
}

// unescapeJSON undoes the escapes of a string that str accepted.
func unescapeJSON(s []byte) []byte {
	out := make([]byte, 0, len(s))
	unit := func() rune {
		r := rune(hexValue(s[2]))<<12 | rune(hexValue(s[3]))<<8 | rune(hexValue(s[4]))<<4 | rune(hexValue(s[5]))
		s = s[6:]
		return r
	}
	for len(s) > 0 {
		if s[0] != '\\' {
			out, s = append(out, s[0]), s[1:]
			continue
		}
		if s[1] == 'u' {
			r := unit()
			if utf16.IsSurrogate(r) {
				if len(s) >= 6 && s[0] == '\\' && s[1] == 'u' {
					before := s
					if r = utf16.DecodeRune(r, unit()); r == utf8.RuneError {
						s = before
					}
				} else {
					r = utf8.RuneError
				}
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		c := s[1]
		if i := strings.IndexByte("bfnrt", c); i >= 0 {
			c = "\b\f\n\r\t"[i]
		}
		out, s = append(out, c), s[2:]
	}
	return out
}

// word reads a number, true, false or null.
func (l *jsonLine) word() ([]byte, bool) {
	from := l.at
	for l.at < len(l.b) && strings.IndexByte(" \t\r\n,]}", l.b[l.at]) < 0 {
		l.at++
	}
	s := l.b[from:l.at]
	switch string(s) {
	case "true", "false", "null":
		return s, true
	}
	return s, isNumber(s)
}

// isNumber says whether s is a number in JSON's syntax.
func isNumber(s []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
		s = s[n:]
		return n > 0
	}
	s = bytes.TrimPrefix(s, []byte("-"))
	if len(s) > 1 && s[0] == '0' && s[1] >= '0' && s[1] <= '9' || !digits() {
		return false
	}
	if len(s) > 0 && s[0] == '.' {
		if s = s[1:]; !digits() {
			return false
		}
	}
	if len(s) > 0 && (s[0] == 'e' || s[0] == 'E') {
		if s = s[1:]; len(s) > 0 && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		return digits() && len(s) == 0
	}
	return len(s) == 0
}
