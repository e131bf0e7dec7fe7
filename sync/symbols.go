package sync

import "strings"

// symbol stands for a string in one Index.
type symbol uint32

// symbols keeps each distinct string once. The zero value is ready; symbol 0 is
// the empty string. One writer, or many readers.
type symbols struct {
	ids   map[string]symbol
	texts []string
	chunk strings.Builder
}

// chunkSize is how much text is allocated at once: hundreds of thousands of
// short strings would otherwise each cost an allocation and its rounding up.
const chunkSize = 64 << 10

// id is the symbol of s, which is copied if it is new: strings from a parser
// would keep the parser's buffers alive.
func (t *symbols) id(s string) symbol {
	if s == "" {
		return 0
	}
	if id, ok := t.ids[s]; ok {
		return id
	}
	if t.ids == nil {
		t.ids = make(map[string]symbol)
		t.texts = []string{""}
	}
	id := symbol(len(t.texts))
	s = t.keep(s)
	t.texts = append(t.texts, s)
	t.ids[s] = id
	return id
}

// find is the symbol of s, if there is one.
func (t *symbols) find(s string) (symbol, bool) {
	id, ok := t.ids[s]
	return id, ok
}

// text is the string that id stands for.
func (t *symbols) text(id symbol) string {
	if id == 0 {
		return ""
	}
	return t.texts[id]
}

// keep copies s next to the others, without making a symbol of it.
func (t *symbols) keep(s string) string {
	if t.chunk.Cap()-t.chunk.Len() < len(s) {
		t.chunk.Reset()
		t.chunk.Grow(max(chunkSize, len(s)))
	}
	// A Builder that need not grow hands out views of one buffer.
	at := t.chunk.Len()
	t.chunk.WriteString(s)
	return t.chunk.String()[at:]
}
