package repodata

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxField bounds a line of a field that is read, in bytes: that of a Filename,
// of a list of components. What nobody reads, a description, may be longer.
const maxField = 64 << 10

// stanzas reads the paragraphs that Debian's metadata is made of (deb822): lines
// of "Name: value", each with the lines behind it that begin with white space. It
// holds one line at a time.
type stanzas struct {
	r    *bufio.Reader
	line int // its number, from 1
}

func newStanzas(r io.Reader) *stanzas { return &stanzas{r: bufio.NewReaderSize(r, maxField)} }

// errLong says that a line has more bytes than are kept.
var errLong = fmt.Errorf("a line of more than %d bytes", maxField)

// line822 is one line of a stanza.
type line822 struct {
	blank bool   // the stanza ends here
	name  string // of the field, in lower case; "" for a line that continues the field before
	value string // without the white space around it
	cut   bool   // it is longer than what is kept, which is the beginning
}

// next is the next line, io.EOF behind the last. Any other error says that this
// is no such document, or comes from the reader.
func (s *stanzas) next() (l line822, err error) {
	raw, err := s.r.ReadSlice('\n')
	for err == bufio.ErrBufferFull {
		if !l.cut {
			raw = append([]byte(nil), raw...) // the buffer is needed for the rest
			l.cut = true
		}
		_, err = s.r.ReadSlice('\n')
	}
	if err != nil && err != io.EOF {
		return l, err
	}
	if err == io.EOF && len(raw) == 0 {
		return l, io.EOF
	}
	s.line++
	text := strings.TrimRight(string(raw), " \t\r\n")
	switch {
	case text == "" && (raw[0] == ' ' || raw[0] == '\t'):
		return l, nil // some tools write an empty line of a description so
	case text == "":
		l.blank = true
		return l, nil
	case raw[0] == ' ' || raw[0] == '\t':
		l.value = strings.TrimLeft(text, " \t")
		return l, nil
	}
	name, value, ok := strings.Cut(text, ":")
	if !ok || !isFieldName(name) {
		return l, fmt.Errorf("line %d: %.50q is no field", s.line, text)
	}
	l.name, l.value = strings.ToLower(name), strings.TrimSpace(value)
	return l, nil
}

// isFieldName reports whether name can be a field's: visible ASCII, and no
// comment or list.
func isFieldName(name string) bool {
	if name == "" || name[0] == '#' || name[0] == '-' {
		return false
	}
	for _, c := range []byte(name) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	return true
}

// sumTypes are the fields whose digests are a promise, by their names in lower
// case. MD5 and SHA-1, which old Release files have alone, are none.
var sumTypes = map[string]int{"sha256": 64, "sha512": 128}

// newSum is a digest of the type typ, of which there has to be one of its length.
func newSum(typ, hex string) (Checksum, error) {
	c, err := newChecksum(typ, hex)
	if err == nil && len(c.Hex) != sumTypes[typ] {
		err = errors.New("checksum: not as long as a " + strings.ToUpper(typ))
	}
	return c, err
}
