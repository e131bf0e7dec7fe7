package visible_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"intelligentmirror/internal/visible"
)

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"plain, größer, 日本":                   "plain, größer, 日本",
		"\x1b[2J\x07":                         `\x1b[2J\a`,
		"a\rb\tc\x00":                         `a\rb\tc\x00`,
		"\u009b2J\x7f":                        `\u009b2J\x7f`,
		"\u202egpj.\u2066":                    `\u202egpj.\u2066`,
		"\u2028\u0085\U000e0001":              `\u2028\u0085\U000e0001`,
		"v\u200blc\ufeff\u00ad":               `v\u200blc\ufeff\u00ad`,
		"v\u034flc\u3164\u115f\uffa0":         `v\u034flc\u3164\u115f\uffa0`,
		"v\ufe0flc\u2800":                     `v\ufe0flc\u2800`,
		"\U000e0100\U0001d159":                `\U000e0100\U0001d159`,
		"\u1160\u17b4\u180b\u2065\ufff0":      `\u1160\u17b4\u180b\u2065\ufff0`,
		"\xff\xc0\xaf":                        `\xff\xc0\xaf`,
		"<b>\\":                               `<b>\`,
		"two\nlines":                          "two\nlines",
		"a space, and one\u00a0like it\u3000": `a space, and one\u00a0like it\u3000`,
	} {
		var b strings.Builder
		if n, err := (visible.Writer{W: &b}).Write([]byte(in)); b.String() != want || n != len(in) || err != nil {
			t.Errorf("%q is shown as %q, %d, %v; want %q", in, b.String(), n, err, want)
		}
		if got := visible.Text(in, ""); strings.Contains(got, "\n") {
			t.Errorf("%q has a line of its own: %q", in, got)
		}
	}
}

// TestShows: of all characters those show that print, but for what Unicode wants ignored
// where it has no shape, whatever kind of character it says that this is.
func TestShows(t *testing.T) {
	for r := range rune(unicode.MaxRune + 1) {
		ignorable := unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Cf)
		switch shows := visible.Shows(r); {
		case shows && (ignorable || !unicode.IsPrint(r)):
			t.Errorf("%U shows", r)
		case !shows && !ignorable && unicode.IsPrint(r) && r != '\u2800' && r != '\U0001d159':
			t.Errorf("%U does not show", r)
		}
	}
}

// FuzzJSON: whatever a string has, a document says the same, and nothing in it is obeyed
// or invisible.
func FuzzJSON(f *testing.F) {
	for _, s := range []string{"vlc", "\x1b[2J\r\n\x7f\u009b", "\u202e\u2066\u2028\u3164\ufe0f", "\U000e0001\U000e0100", "\xff\"\\", "größer"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var plain, b bytes.Buffer
		if err := json.NewEncoder(&plain).Encode(map[string]string{s: s}); err != nil {
			t.Fatal(err)
		}
		if n, err := (visible.JSON{W: &b}).Write(plain.Bytes()); n != plain.Len() || err != nil {
			t.Fatal(n, err)
		}
		var want, got map[string]string
		if err := json.Unmarshal(plain.Bytes(), &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil || len(got) != 1 {
			t.Fatalf("%q: %v", b.Bytes(), err)
		}
		for k, v := range want {
			if w, ok := got[k]; !ok || w != v {
				t.Errorf("%q is read as %q", s, got)
			}
		}
		if text := b.String(); !utf8.ValidString(text) || visible.Text(text, "\n") != text {
			t.Errorf("%q is written as %q", s, text)
		}
	})
}
