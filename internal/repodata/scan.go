package repodata

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

const (
	// scanBuffer is the size a scanner's buffer starts with, and maxToken the size
	// that it may grow to: the longest tag, comment or run of text, in bytes.
	scanBuffer = 64 << 10
	maxToken   = 1 << 20
	// maxDepth bounds the nesting of elements; primary.xml has 5 levels.
	maxDepth = 64
)

// errShort says that a token goes on behind the bytes that are in the buffer.
var errShort = errors.New("token cut by the end of the buffer")

// scanner reads the XML that repository metadata is made of: elements,
// attributes, text, CDATA, comments, processing instructions and the predefined
// entities, in UTF-8, with names in ASCII. It accepts nothing that encoding/xml
// refuses, and refuses declarations besides. It works on one buffer that holds at
// least the token being read; what it hands out lies in that buffer and is gone
// with the next call.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int   // what is unread of buf
	base     int64 // offset of buf[0] in the input
	rerr     error // why nothing more can be read: io.EOF or worse

	names []byte // of the open elements, one behind the other
	ends  []int  // where each of them ends in names
	done  bool   // the root element is closed

	token   token // the last one
	attrs   []attr
	scratch []byte // decoded values of attributes of one tag, or of one run of text
	// mute is set by who reads the tokens while no text is wanted: it is checked all
	// the same, but not handed out.
	mute bool
	// passing is set by who reads the tokens and wants nothing of what is in the element
	// that was opened last: next is its end.
	passing bool
}

// attr is an attribute; its name is as it was written, prefix included.
type attr struct {
	name, value []byte
}

// event is what scanner.next found.
type event int

const (
	eventNone  event = iota // a comment, a processing instruction; never from next
	eventStart              // name, and the scanner's attrs
	eventEnd
	eventText // text
	eventEOF
)

// token is one step of a document. There are millions in a listing, so that a scanner
// has one and fills it anew for each: to hand them on by value took an eighth of the time of a scan.
type token struct {
	event event
	name  []byte // eventStart: without its prefix
	self  bool   // eventStart: the element ends here, no eventEnd follows
	text  []byte // eventText
}

// isText makes the token text.
func (t *token) isText(text []byte) { t.event, t.text = eventText, text }

func newScanner(r io.Reader) *scanner {
	return &scanner{r: r, buf: make([]byte, scanBuffer)}
}

// next is the next token. At the end of a whole document it is eventEOF.
func (s *scanner) next() (*token, error) {
	if s.base == 0 && s.pos == 0 {
		if err := s.skipMark(); err != nil {
			return nil, err
		}
	}
	if s.passing {
		s.passing = false
		if err := s.pass(); err == io.EOF {
			return s.atEOF()
		} else if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", s.base+int64(s.pos), err)
		}
	}
	for {
		s.token.event = eventNone
		n, err := s.parse(s.buf[s.pos:s.end])
		if err == errShort {
			if err = s.more(); err == nil {
				continue
			}
			if err == io.EOF {
				return s.atEOF()
			}
		}
		if err != nil {
			return nil, fmt.Errorf("at byte %d: %w", s.base+int64(s.pos), err)
		}
		s.pos += n
		if s.token.event != eventNone {
			return &s.token, nil
		}
	}
}

// pass goes on to the end tag of the innermost open element. What it passes is not
// checked, but for elements of that name, comments and the like, in which such a tag is
// none. The error is io.EOF where the tag does not come.
func (s *scanner) pass() error {
	depth, from := len(s.ends), 0
	if depth > 1 {
		from = s.ends[depth-2]
	}
	name := bytes.Clone(s.names[from:])
	for {
		i, found := passed(s.buf[s.pos:s.end], name)
		s.pos += i
		b := s.buf[s.pos:s.end]
		n, err := 0, errShort
		if found {
			if b[1] == '/' && len(s.ends) == depth {
				return nil
			}
			n, err = s.parse(b)
		}
		if err == errShort {
			n, err = 0, s.more()
		}
		if err != nil {
			return err
		}
		s.pos += n
	}
}

// passed is where in b the first thing stands that pass has to look at: a tag of that
// name, a comment or the like. Where none is found all before at is done with.
func passed(b, name []byte) (at int, found bool) {
	for i := 0; ; i++ {
		j := bytes.IndexByte(b[i:], '<')
		if j < 0 {
			return len(b), false
		}
		i += j
		rest := b[i+1:]
		if len(rest) == 0 {
			return i, false
		}
		switch rest[0] {
		case '!', '?':
			return i, true
		case '/':
			rest = rest[1:]
		}
		if len(rest) <= len(name) {
			if bytes.HasPrefix(name, rest) {
				return i, false // it may be one
			}
			continue
		}
		if c := rest[len(name)]; (c == '>' || c == '/' || skipSpace(rest, len(name)) > len(name)) && bytes.HasPrefix(rest, name) {
			return i, true
		}
	}
}

// value is the value of an attribute of the last start tag, "" if it has none.
func (s *scanner) value(name string) []byte {
	for i := len(s.attrs) - 1; i >= 0; i-- {
		if string(s.attrs[i].name) == name {
			return s.attrs[i].value
		}
	}
	return nil
}

// skipMark drops a byte order mark at the beginning.
func (s *scanner) skipMark() error {
	const mark = "\ufeff"
	for s.end < len(mark) {
		if err := s.more(); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	if bytes.HasPrefix(s.buf[:s.end], []byte(mark)) {
		s.pos = len(mark)
	}
	return nil
}

// atEOF handles what is left when the input has ended.
func (s *scanner) atEOF() (*token, error) {
	rest := s.buf[s.pos:s.end]
	if len(rest) > 0 && rest[0] != '<' && len(s.ends) == 0 {
		// Text at the end has no `<` to stop at.
		if _, err := s.decode(rest); err != nil {
			return nil, err
		}
		s.pos, rest = s.end, nil
	}
	if len(rest) > 0 || len(s.ends) > 0 || !s.done {
		return nil, fmt.Errorf("at byte %d: %w", s.base+int64(s.end), io.ErrUnexpectedEOF)
	}
	s.token.event = eventEOF
	return &s.token, nil
}

// more reads until the buffer is full, making room for at least one byte first.
// It returns io.EOF where there is nothing more.
func (s *scanner) more() error {
	if s.rerr != nil {
		return s.rerr
	}
	if s.pos > 0 {
		s.base += int64(s.pos)
		s.end = copy(s.buf, s.buf[s.pos:s.end])
		s.pos = 0
	}
	if s.end == len(s.buf) {
		if len(s.buf) >= maxToken {
			return fmt.Errorf("a tag, comment or text of more than %d bytes", maxToken)
		}
		s.buf = append(s.buf, make([]byte, len(s.buf))...)
	}
	had := s.end
	for empty := 0; s.end < len(s.buf) && s.rerr == nil; {
		n, err := s.r.Read(s.buf[s.end:])
		s.end += n
		s.rerr = err
		if n > 0 {
			empty = 0
		} else if empty++; empty == 100 && err == nil {
			s.rerr = io.ErrNoProgress
		}
	}
	if s.end > had {
		return nil
	}
	return s.rerr
}
