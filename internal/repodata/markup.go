package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// parse reads one token of b and tells its length; the event of the scanner's token
// stays what it was where there is nothing to hand out. It returns errShort where b may
// not hold all of it.
func (s *scanner) parse(b []byte) (n int, err error) {
	if len(b) < 2 {
		return 0, errShort
	}
	if b[0] != '<' {
		return s.parseText(b)
	}
	switch b[1] {
	case '/':
		return s.parseEnd(b)
	case '?':
		return parseInstruction(b)
	case '!':
		return s.parseBang(b)
	}
	return s.parseStart(b)
}

// parseText reads text up to the next tag.
func (s *scanner) parseText(b []byte) (int, error) {
	n := plainRun(b)
	if n < len(b) && b[n] == '<' && len(s.ends) > 0 {
		if !s.mute {
			s.token.isText(b[:n])
		}
		return n, nil
	}
	i := bytes.IndexByte(b[n:], '<')
	if i < 0 {
		return 0, errShort
	}
	n += i
	text, err := s.decode(b[:n])
	s.token.isText(text)
	return n, err
}

// decode decodes text and refuses it where it must not stand.
func (s *scanner) decode(b []byte) (text []byte, err error) {
	if s.scratch, err = appendText(s.scratch[:0], b); err != nil {
		return nil, err
	}
	return s.scratch, s.place(s.scratch)
}

// place refuses text outside of the root element.
func (s *scanner) place(text []byte) error {
	if len(s.ends) == 0 && len(bytes.Trim(text, " \t\r\n")) > 0 {
		return errors.New("text outside of the root element")
	}
	return nil
}

// parseBang reads a comment or a CDATA section.
func (s *scanner) parseBang(b []byte) (n int, err error) {
	const comment, cdata = "<!--", "<![CDATA["
	switch {
	case bytes.HasPrefix(b, []byte(comment)):
		i := bytes.Index(b[len(comment):], []byte("--"))
		if n = len(comment) + i + 3; i < 0 || n > len(b) {
			return 0, errShort
		}
		if b[n-1] != '>' {
			return 0, errors.New("`--` inside a comment")
		}
		return n, nil
	case bytes.HasPrefix(b, []byte(cdata)):
		i := bytes.Index(b[len(cdata):], []byte("]]>"))
		if i < 0 {
			return 0, errShort
		}
		text := b[len(cdata) : len(cdata)+i]
		if s.scratch, err = appendCDATA(s.scratch[:0], text); err != nil {
			return 0, err
		}
		s.token.isText(s.scratch)
		return len(cdata) + i + 3, s.place(s.scratch)
	case isPrefix(b, comment), isPrefix(b, cdata):
		return 0, errShort
	}
	return 0, ErrDTD
}

// isPrefix reports whether b is the beginning of whole.
func isPrefix(b []byte, whole string) bool {
	return len(b) < len(whole) && whole[:len(b)] == string(b)
}

// parseEnd reads an end tag.
func (s *scanner) parseEnd(b []byte) (int, error) {
	name, i, err := parseName(b, 2)
	if err != nil {
		return 0, err
	}
	if i = skipSpace(b, i); i == len(b) {
		return 0, errShort
	}
	if b[i] != '>' {
		return 0, fmt.Errorf("characters between </%.50s and >", name)
	}
	open := len(s.ends) - 1
	if open < 0 {
		return 0, fmt.Errorf("</%.50s> closes nothing", name)
	}
	from := 0
	if open > 0 {
		from = s.ends[open-1]
	}
	if was := s.names[from:s.ends[open]]; !bytes.Equal(was, name) {
		return 0, fmt.Errorf("<%.50s> closed by </%.50s>", was, name)
	}
	s.names, s.ends = s.names[:from], s.ends[:open]
	s.done = open == 0
	s.token.event = eventEnd
	return i + 1, nil
}

// parseStart reads a start tag with its attributes.
func (s *scanner) parseStart(b []byte) (n int, err error) {
	name, i, err := parseName(b, 1)
	if err != nil {
		return 0, err
	}
	s.attrs, s.scratch = s.attrs[:0], s.scratch[:0]
	self := false
	for {
		if i = skipSpace(b, i); i == len(b) {
			return 0, errShort
		}
		if b[i] == '>' {
			i++
			break
		}
		if b[i] == '/' {
			if i+1 == len(b) {
				return 0, errShort
			}
			if b[i+1] != '>' {
				return 0, fmt.Errorf("a `/` in <%.50s that does not end it", name)
			}
			self = true
			i += 2
			break
		}
		if i, err = s.parseAttr(b, i); err != nil {
			return 0, err
		}
	}
	if len(s.ends) == 0 && s.done {
		return 0, fmt.Errorf("a second root element <%.50s>", name)
	}
	if len(s.ends) == maxDepth {
		return 0, fmt.Errorf("more than %d elements inside each other", maxDepth)
	}
	if !self {
		s.names = append(s.names, name...)
		s.ends = append(s.ends, len(s.names))
	} else if len(s.ends) == 0 {
		s.done = true
	}
	s.token.event, s.token.name, s.token.self = eventStart, localName(name), self
	return i, nil
}

// parseAttr reads the attribute at b[i:] into s.attrs and tells where it ends.
func (s *scanner) parseAttr(b []byte, i int) (int, error) {
	name, i, err := parseName(b, i)
	if err != nil {
		return 0, err
	}
	if i = skipSpace(b, i); i == len(b) {
		return 0, errShort
	}
	if b[i] != '=' {
		return 0, fmt.Errorf("attribute %.50s without a value", name)
	}
	if i = skipSpace(b, i+1); i == len(b) {
		return 0, errShort
	}
	quote := b[i]
	if quote != '"' && quote != '\'' {
		return 0, fmt.Errorf("value of attribute %.50s without quotes", name)
	}
	i++
	j := bytes.IndexByte(b[i:], quote)
	if j < 0 {
		return 0, errShort
	}
	value := b[i : i+j]
	if plainRun(value) < j {
		from := len(s.scratch)
		if s.scratch, err = appendValue(s.scratch, value); err != nil {
			return 0, err
		}
		value = s.scratch[from:]
	}
	s.attrs = append(s.attrs, attr{name, value})
	return i + j + 1, nil
}

// parseInstruction passes over a processing instruction, and holds an XML
// declaration to XML 1.0 in UTF-8.
func parseInstruction(b []byte) (n int, err error) {
	target, i, err := parseName(b, 2)
	if err != nil {
		return 0, err
	}
	i = skipSpace(b, i)
	j := bytes.Index(b[i:], []byte("?>"))
	if j < 0 {
		return 0, errShort
	}
	if string(target) == "xml" {
		if err := checkDeclaration(string(b[i : i+j])); err != nil {
			return 0, err
		}
	}
	return i + j + 2, nil
}

// checkDeclaration checks what stands inside an XML declaration.
func checkDeclaration(s string) error {
	for s != "" {
		name, rest, _ := strings.Cut(s, "=")
		name, rest = strings.TrimRight(name, " \t\r\n"), strings.TrimLeft(rest, " \t\r\n")
		if rest == "" || rest[0] != '"' && rest[0] != '\'' {
			return errors.New("malformed XML declaration")
		}
		value, after, ok := strings.Cut(rest[1:], rest[:1])
		if !ok {
			return errors.New("malformed XML declaration")
		}
		good := false
		switch name {
		case "version":
			good = value == "1.0"
		case "encoding":
			good = strings.EqualFold(value, "utf-8")
		case "standalone":
			good = value == "yes" || value == "no"
		}
		if !good {
			return fmt.Errorf("XML declaration with %.20s=%.30q: only version 1.0 in UTF-8 is read", name, value)
		}
		s = strings.TrimLeft(after, " \t\r\n")
	}
	return nil
}
