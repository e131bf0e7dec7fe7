package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"

	"intelligentmirror/internal/visible"
)

// writeJSON prints v for other programs. Terminals get to see it too: what does not show
// in a name is escaped.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(visible.JSON{W: w})
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeJSONList is writeJSON for a list that may be long: no more than an element of it
// is in memory as text.
func writeJSONList[T any](w io.Writer, list []T) error {
	if len(list) == 0 {
		return writeJSON(w, []T{})
	}
	out := bufio.NewWriter(w)
	var one bytes.Buffer
	e := json.NewEncoder(visible.JSON{W: &one})
	e.SetEscapeHTML(false)
	e.SetIndent("  ", "  ")
	before := "[\n  "
	for i := range list {
		one.Reset()
		if err := e.Encode(&list[i]); err != nil {
			return err
		}
		// A bufio.Writer keeps its error for Flush.
		_, _ = out.WriteString(before)
		_, _ = out.Write(bytes.TrimSuffix(one.Bytes(), []byte("\n")))
		before = ",\n  "
	}
	_, _ = out.WriteString("\n]\n")
	return out.Flush()
}
