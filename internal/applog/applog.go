// Package applog makes the application log of both programs: what they say of
// themselves, as text for people or as JSON for machines, and with the priorities
// that systemd's journal goes by where the journal reads it.
//
// What it promises: a record is one line and one Write, and nothing in it commands the
// terminal that shows it: names in messages are mirrors' and clients'. Who asked for what is not
// its business: that is the access log's, which has a retention of its own.
package applog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/visible"
)

// Format is how the log is written.
type Format string

// The formats.
const (
	Text Format = "text" // key=value
	JSON Format = "json" // an object a line
)

// UnmarshalText implements encoding.TextUnmarshaler, for a flag.
func (f *Format) UnmarshalText(text []byte) error {
	switch format := Format(text); format {
	case Text, JSON:
		*f = format
		return nil
	}
	return fmt.Errorf("%q: text or json", text)
}

// MarshalText implements encoding.TextMarshaler. The zero Format is Text.
func (f Format) MarshalText() ([]byte, error) {
	if f == "" {
		f = Text
	}
	return []byte(f), nil
}

// Options are how a log is written.
type Options struct {
	Level   slog.Level // the least that is written
	Format  Format     // "" is Text
	Journal bool       // whether the journal reads it: InJournal
}

// New is a log that is written to w. It is safe for concurrent use, also where
// writing to w is not.
//
// For the journal each line begins with its priority, as sd-daemon(3) has it, and
// bears no time, since the journal's own is nearer to what happened.
func New(w io.Writer, o Options) *slog.Logger {
	h := &slog.HandlerOptions{Level: o.Level}
	if !o.Journal {
		return slog.New(o.Format.handler(w, h))
	}
	h.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey && o.Format != JSON) {
			return slog.Attr{}
		}
		return a
	}
	p := &prefixed{w: w}
	return slog.New(&journal{Handler: o.Format.handler(p, h), to: p})
}

func (f Format) handler(w io.Writer, o *slog.HandlerOptions) slog.Handler {
	if f == JSON {
		return slog.NewJSONHandler(visible.JSON{W: w}, o)
	}
	return slog.NewTextHandler(visible.Writer{W: w}, o)
}

// journal is a handler whose lines begin with their priority.
type journal struct {
	slog.Handler
	to *prefixed // which Handler writes to; shared by all that are derived from it
}

// Handle implements slog.Handler.
func (j *journal) Handle(ctx context.Context, r slog.Record) error {
	j.to.mu.Lock()
	defer j.to.mu.Unlock()
	j.to.priority = priority(r.Level)
	return j.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journal{j.Handler.WithAttrs(attrs), j.to}
}

// WithGroup implements slog.Handler.
func (j *journal) WithGroup(name string) slog.Handler {
	return &journal{j.Handler.WithGroup(name), j.to}
}

// prefixed puts the priority of the record that is being written before its line.
type prefixed struct {
	mu       sync.Mutex // from a record's priority to its line
	priority int
	w        io.Writer
}

// Write implements io.Writer; the handlers call it once a record.
func (p *prefixed) Write(line []byte) (int, error) {
	if _, err := p.w.Write(append(fmt.Appendf(nil, "<%d>", p.priority), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// priority is syslog's, as sd-daemon(3) numbers it.
func priority(l slog.Level) int {
	switch {
	case l >= slog.LevelError:
		return 3 // err
	case l >= slog.LevelWarn:
		return 4 // warning
	case l >= slog.LevelInfo:
		return 6 // info
	}
	return 7 // debug
}

// Failure writes what a program ends with, for the journal with an error's priority
// before each line. That it can't be written nobody can be told.
func Failure(w io.Writer, journal bool, text string) {
	for line := range strings.Lines(strings.TrimSuffix(text, "\n") + "\n") {
		if journal {
			line = fmt.Sprintf("<%d>%s", priority(slog.LevelError), line)
		}
		_, _ = io.WriteString(w, visible.Text(line, "\n"))
	}
}

// InJournal reports whether what is written to w is read by the journal: systemd
// says in $JOURNAL_STREAM which file that is (systemd.exec(5)). A program that was
// started from such a service and writes elsewhere has the variable too.
func InJournal(w io.Writer, getenv func(string) string) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	var stat unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &stat); err != nil {
		return false
	}
	return getenv("JOURNAL_STREAM") == fmt.Sprintf("%d:%d", stat.Dev, stat.Ino)
}
