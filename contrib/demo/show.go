package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"golang.org/x/term"
)

// width is how many columns the output takes at most.
const width = 100

// page prints the demonstration. What can't be printed is lost: whoever reads
// has gone then.
type page struct{ w io.Writer }

func (p page) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// heading prints a line in bold where a person looks at a terminal.
func (p page) heading(text string) {
	if f, ok := p.w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" {
		text = "\x1b[1m" + text + "\x1b[0m"
	}
	p.line("%s", text)
}

// step begins a part: what happens, and the command that does it.
func (p page) step(title, command string) {
	p.line("")
	p.heading(title)
	if command != "" {
		p.line("$ %s", command)
	}
	p.line("")
}

// table prints rows below a header, which is left out where it has no words:
// columns that begin with "<" to the left, others to the right.
func (p page) table(header []string, rows [][]string) {
	all := append([][]string{header}, rows...)
	widths := make([]int, len(header))
	left := make([]bool, len(header))
	for i, h := range header {
		header[i], left[i] = strings.CutPrefix(h, "<")
	}
	if strings.Join(header, "") == "" {
		all = rows
	}
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range all {
		var b strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if left[i] {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString("  " + cell)
		}
		p.line("%s", clip(strings.TrimRight(b.String(), " ")))
	}
}

// clip shortens a line to the width.
func clip(s string) string {
	if r := []rune(s); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return s
}

// list prints words in lines behind a label, as many as fit.
func (p page) list(label string, words []string) {
	const indent = 30
	line := fmt.Sprintf("  %-*s", indent-2, label)
	for i, word := range words {
		if i < len(words)-1 {
			word += ","
		}
		if utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			p.line("%s", line)
			line = strings.Repeat(" ", indent)
		}
		line += " " + word
	}
	p.line("%s", line)
}

// size is a number of bytes as a person reads it.
func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// percent is part of whole.
func percent(part, whole int64) string {
	if whole == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f %%", 100*float64(part)/float64(whole))
}

// millis is a duration as a person reads it.
func millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	if d < time.Second {
		return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
