package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"
)

// shown is a Writer for what people read. Names of packages and files come from logs and
// from mirrors, which are anybody's: what in them does not print, a terminal's commands
// and the marks that turn the direction of writing among it, is written as Go escapes it.
// Each Write has whole characters, as all of fmt's and tabwriter's have.
type shown struct{ w io.Writer }

// Write implements io.Writer.
func (s shown) Write(text []byte) (int, error) {
	if _, err := io.WriteString(s.w, visible(string(text), "\n")); err != nil {
		return 0, err
	}
	return len(text), nil
}

// visible is text with what does not print escaped, but for the characters of kept.
func visible(text, kept string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case !strconv.IsPrint(r) && !strings.ContainsRune(kept, r):
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
	return b.String()
}

// people is where the program writes what people read, and complaints where it says what
// has failed.
func (p *program) people() io.Writer     { return shown{p.stdout} }
func (p *program) complaints() io.Writer { return shown{p.stderr} }
