package main

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// watchEvery is how often a status that is watched is looked at.
const watchEvery = 2 * time.Second

// watchRest is how many times as long as a look took it rests at least: to measure a
// large cache takes seconds.
const watchRest = 9

// watch writes what look gives now and then, until ctx ends. On a terminal, where size
// is not nil and tells its columns and lines, each takes the place of the one before,
// and what does not fit is cut off; elsewhere one that has changed is written behind
// the one before, with an empty line between.
func watch(ctx context.Context, w io.Writer, size func() (columns, lines int), look func() (string, error)) error {
	before := ""
	for {
		began := time.Now()
		text, err := look()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		switch {
		case size != nil:
			_, err = io.WriteString(w, screen(text, size))
		case text != before:
			if before != "" {
				text = "\n" + text
			}
			_, err = io.WriteString(w, text)
			before = strings.TrimPrefix(text, "\n")
		}
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(max(watchEvery, watchRest*time.Since(began))):
		}
	}
}

// screen is text as it takes the place of all that a terminal shows: line over line,
// so that nothing flickers. It has no colours.
func screen(text string, size func() (columns, lines int)) string {
	const home, toEndOfLine, below = "\x1b[H", "\x1b[K", "\x1b[J"
	columns, lines := size()
	var b strings.Builder
	b.WriteString(home)
	for i, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if i == lines-1 {
			break // the last line is the cursor's
		}
		if r := []rune(line); len(r) > columns {
			line = string(r[:max(columns-1, 0)]) + "…"
		}
		b.WriteString(line + toEndOfLine + "\r\n")
	}
	b.WriteString(below)
	return b.String()
}

// terminal tells the columns and lines of w; nil where it is no terminal, or one that
// can't move its cursor.
func terminal(w io.Writer, getenv func(string) string) (size func() (columns, lines int)) {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) || getenv("TERM") == "dumb" {
		return nil
	}
	return func() (int, int) {
		columns, lines, err := term.GetSize(int(f.Fd()))
		if err != nil || columns <= 0 || lines <= 0 {
			return 80, 24
		}
		return columns, lines
	}
}
