// Package visible shows text that strangers chose: names of packages and files come from
// logs and from mirrors, which are anybody's. What in them does not show, a terminal's
// commands, the marks that turn the direction of writing and characters without a shape
// among it, is written as an escape, so that no name looks like another and none is obeyed.
package visible

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// The letters and signs without a shape that Unicode does not say are to be ignored: one of
// Braille without a dot, a note without a head.
const (
	blank    = '\u2800'
	headless = '\U0001d159'
)

// Shows reports whether a character leaves a mark of its own where it is written. The
// space does; letters and marks that have no shape, which Unicode counts as printing, don't.
func Shows(r rune) bool {
	if r < utf8.RuneSelf {
		return ' ' <= r && r <= '~' // nearly all are, and the access log asks of each
	}
	return strconv.IsPrint(r) && r != blank && r != headless &&
		!unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// Text is text with what does not show as Go escapes it, but for the characters of kept.
func Text(text, kept string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, text[0])
		case Shows(r) || strings.ContainsRune(kept, r):
			b.WriteString(text[:n])
		case !strconv.IsPrint(r):
			q := strconv.QuoteRune(r)
			b.WriteString(q[1 : len(q)-1])
		case r > 0xffff:
			fmt.Fprintf(&b, `\U%08x`, r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		text = text[n:]
	}
	return b.String()
}

// Writer writes lines of Text to W. Each Write has whole characters, as all of fmt's and
// tabwriter's have, and becomes one Write.
type Writer struct{ W io.Writer }

// Write implements io.Writer.
func (w Writer) Write(text []byte) (int, error) {
	if _, err := io.WriteString(w.W, Text(string(text), "\n")); err != nil {
		return 0, err
	}
	return len(text), nil
}

// JSON writes documents in JSON to W, with what does not show in their strings as JSON
// escapes it: who reads them gets what they were. Each Write has whole characters, as an
// encoder's has, and becomes one Write.
type JSON struct{ W io.Writer }

// Write implements io.Writer.
func (j JSON) Write(text []byte) (int, error) {
	out := make([]byte, 0, len(text))
	for rest := text; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		switch {
		case r == '\n' || Shows(r):
			out = append(out, rest[:n]...)
		case r > 0xffff:
			a, b := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, a, b)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		rest = rest[n:]
	}
	if _, err := j.W.Write(out); err != nil {
		return 0, err
	}
	return len(text), nil
}
