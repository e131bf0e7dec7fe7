package config

import (
	"strings"

	"github.com/BurntSushi/toml"
)

// place is where a value of a TOML document stands. The TOML library tells a
// value's line only where it fails to decode it, and of a key in several
// [[tables]] only the last one's; so the lines are found by a walk of our own
// over a document that the library has accepted. It knows TOML's structure
// and skips what it does not need: values are the library's business.
type place struct {
	line   int // of its key, of its [header], or of itself in an array; from 1
	order  []string
	fields map[string]*place // of a table, with their order
	elems  []*place          // of an array, and of an array of tables
}

// locate finds the lines of text, which is a TOML document that the library has
// accepted, and a key that it should not have accepted.
func locate(text string) (*place, again) {
	w := &walker{text: text, line: 1}
	root := &place{line: 1}
	table := root
	for w.skip(); w.pos < len(w.text); w.skip() {
		line := w.line
		switch {
		case w.take("[["):
			table = root.descend(w.key(), line).appendElem(line)
			w.take("]]")
		case w.take("["):
			table = root.descend(w.key(), line).last()
			// Where a dotted key made it first, its header is its line all the same.
			table.line = line
			w.take("]")
		default:
			w.field(table)
		}
	}
	return root, w.again
}

// descend is the table at key below p, made where it is not there yet.
func (p *place) descend(key []string, line int) *place {
	for _, name := range key {
		p = p.last()
		next := p.fields[name]
		if next == nil {
			next = &place{line: line}
			p.set(name, next)
		}
		p = next
	}
	return p
}

// last is the table that p stands for: the last one of an array of tables.
func (p *place) last() *place {
	if len(p.elems) > 0 {
		return p.elems[len(p.elems)-1]
	}
	return p
}

func (p *place) appendElem(line int) *place {
	e := &place{line: line}
	p.elems = append(p.elems, e)
	return e
}

// set gives p a field, and reports whether it had none of that name.
func (p *place) set(name string, v *place) bool {
	_, there := p.fields[name]
	if p.fields == nil {
		p.fields = make(map[string]*place)
	}
	if !there {
		p.order = append(p.order, name)
	}
	p.fields[name] = v
	return !there
}

// again is a key that stands in a document twice. TOML has no such thing, but the
// library passes over one that has the name of a table which dotted keys have made.
type again struct {
	line int // 0: there is none
	key  string
}

// walker reads a TOML document once, from its beginning. It never fails: where
// text is no TOML it goes on a byte at a time.
type walker struct {
	text  string
	pos   int
	line  int
	again again // the last
}

// advance goes on by n bytes.
func (w *walker) advance(n int) {
	n = min(n, len(w.text)-w.pos)
	w.line += strings.Count(w.text[w.pos:w.pos+n], "\n")
	w.pos += n
}

// take goes over s if s is next.
func (w *walker) take(s string) bool {
	if !strings.HasPrefix(w.text[w.pos:], s) {
		return false
	}
	w.advance(len(s))
	return true
}

// peek is the next byte, 0 at the end.
func (w *walker) peek() byte {
	if w.pos < len(w.text) {
		return w.text[w.pos]
	}
	return 0
}

// skip goes over white space, newlines and comments.
func (w *walker) skip() {
	for w.pos < len(w.text) {
		switch w.text[w.pos] {
		case ' ', '\t', '\r', '\n':
			w.advance(1)
		case '#':
			w.until("\n")
		default:
			return
		}
	}
}

// until goes on to the next of the bytes in stop, or to the end.
func (w *walker) until(stop string) {
	n := strings.IndexAny(w.text[w.pos:], stop)
	if n < 0 {
		n = len(w.text)
	}
	w.advance(n)
}

// key reads a dotted key.
func (w *walker) key() []string {
	var names []string
	for {
		w.skip()
		start := w.pos
		switch w.peek() {
		case '"', '\'':
			w.quoted()
			names = append(names, unquoteKey(w.text[start:w.pos]))
		default:
			w.until(" \t\r\n.=]#")
			names = append(names, w.text[start:w.pos])
		}
		w.skip()
		if !w.take(".") {
			return names
		}
	}
}

// unquoteKey is what a quoted key says. Escapes are left to the library.
func unquoteKey(quoted string) string {
	if !strings.Contains(quoted, `\`) {
		return strings.Trim(quoted, quoted[:1])
	}
	var v struct{ K string }
	if _, err := toml.Decode("K = "+quoted, &v); err != nil {
		return quoted
	}
	return v.K
}

// field reads "key = value" into table.
func (w *walker) field(table *place) {
	line, start := w.line, w.pos
	key := w.key()
	w.take("=")
	v := &place{line: line}
	last := len(key) - 1
	if !table.descend(key[:last], line).last().set(key[last], v) {
		w.again = again{line, strings.Join(key, ".")}
	}
	w.value(v)
	if w.pos == start {
		w.advance(1)
	}
}

// value goes over a value and notes in p what is in it.
func (w *walker) value(p *place) {
	w.skip()
	switch w.peek() {
	case '"', '\'':
		w.quoted()
	case '[':
		w.advance(1)
		for w.skip(); w.pos < len(w.text) && !w.take("]"); w.skip() {
			start := w.pos
			w.value(p.appendElem(w.line))
			w.skip()
			if !w.take(",") && w.pos == start {
				w.advance(1)
			}
		}
	case '{':
		w.advance(1)
		for w.skip(); w.pos < len(w.text) && !w.take("}"); w.skip() {
			w.field(p)
			w.skip()
			w.take(",")
		}
	default:
		w.until(",]}#\n")
	}
}

// quoted goes over a string in any of its four forms.
func (w *walker) quoted() {
	quote := w.text[w.pos : w.pos+1]
	triple := strings.Repeat(quote, 3)
	long := w.take(triple)
	if !long {
		w.advance(1)
	}
	for w.pos < len(w.text) {
		switch {
		case quote == `"` && w.peek() == '\\':
			w.advance(2)
		case !long && w.take(quote):
			return
		case long && w.take(triple):
			// Up to two quotes more belong to the string.
			for i := 0; i < 2 && w.take(quote); i++ {
			}
			return
		default:
			w.advance(1)
		}
	}
}
