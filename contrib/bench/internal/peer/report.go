package peer

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// Median is the middle one of some samples, the upper of two middle ones; the
// zero value where there are none.
func Median[T cmp.Ordered](samples []T) T {
	if len(samples) == 0 {
		var none T
		return none
	}
	sorted := slices.Sorted(slices.Values(samples))
	return sorted[len(sorted)/2]
}

// Table collects rows, to print them in columns.
type Table struct{ rows [][]string }

// NewTable is a table with these headings.
func NewTable(headings ...string) *Table { return &Table{rows: [][]string{headings}} }

// Row adds a row; each cell is printed as fmt.Sprint does.
func (t *Table) Row(cells ...any) {
	row := make([]string, len(cells))
	for i, c := range cells {
		row[i] = fmt.Sprint(c)
	}
	t.rows = append(t.rows, row)
}

// Print writes the table.
func (t *Table) Print(w io.Writer) error {
	columns := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range t.rows {
		// The Writer keeps the first error for Flush.
		_, _ = fmt.Fprintln(columns, strings.Join(row, "\t"))
	}
	return columns.Flush()
}
