package serve

import (
	"io"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"intelligentmirror/internal/visible"
)

// accessLog writes a line per answer: Apache's combined format, then the
// Cache-Status and the seconds that the answer took.
//
// A request appends its line to a buffer, and a goroutine writes what has
// gathered, whole lines in one Write: a disk that is slow holds up nobody, and a
// file that is opened for appending may be truncated at any time. What doesn't
// fit in the buffer is dropped and counted.
type accessLog struct {
	w   io.Writer
	log *slog.Logger

	mu      sync.Mutex
	wake    sync.Cond
	lines   []byte
	dropped int64
	closed  bool

	lost atomic.Int64 // lines that were dropped since the start
	done chan struct{}
}

// logPause is how long the first of the lines that are written together waits for
// the others.
const logPause = 10 * time.Millisecond

// maxLogged bounds the lines that wait to be written, in bytes.
const maxLogged = 4 << 20

// newAccessLog starts writing lines to w.
func newAccessLog(w io.Writer, log *slog.Logger) *accessLog {
	l := &accessLog{w: w, log: log, done: make(chan struct{})}
	l.wake.L = &l.mu
	go l.write()
	return l
}

// add logs e.
func (l *accessLog) add(e *event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || len(l.lines) > maxLogged {
		l.dropped++
		l.lost.Add(1)
		return
	}
	if len(l.lines) == 0 {
		l.wake.Signal()
	}
	l.lines = e.appendLine(l.lines)
}

// waiting is how many bytes wait to be written.
func (l *accessLog) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// close writes what is left.
func (l *accessLog) close() {
	l.mu.Lock()
	l.closed = true
	l.wake.Signal()
	l.mu.Unlock()
	<-l.done
}

// write is the background.
func (l *accessLog) write() {
	defer close(l.done)
	var batch []byte
	for failing := false; ; {
		l.mu.Lock()
		for len(l.lines) == 0 && !l.closed {
			l.wake.Wait()
		}
		if !l.closed {
			// What comes in this moment goes with it: a write costs as much as ten lines.
			l.mu.Unlock()
			time.Sleep(logPause)
			l.mu.Lock()
		}
		batch, l.lines = l.lines, batch[:0]
		dropped, closed := l.dropped, l.closed
		l.dropped = 0
		l.mu.Unlock()
		if dropped > 0 {
			l.log.Warn("the access log can't keep up: lines were dropped", "lines", dropped)
		}
		if len(batch) == 0 && closed {
			return
		}
		// Said once for each time that it begins to fail: a full disk is full for long.
		if _, err := l.w.Write(batch); err != nil && !failing {
			l.log.Warn("the access log can't be written: lines are lost", "error", err)
			failing = true
		} else if err == nil {
			failing = false
		}
	}
}

// event is one answer, as the access log and the status page tell of it. The
// strings are the client's, and not to be trusted.
type event struct {
	At       time.Time // when the request came
	Took     time.Duration
	Client   string
	Method   string
	Target   string // as it was sent
	Proto    string
	Code     int
	Sent     int64 // bytes of the body
	Referer  string
	Agent    string
	Status   string // Cache-Status
	Outcome  outcome
	Internal bool // a page of the server's own
}

// How much of a field is logged, in bytes.
const (
	maxTarget = 8 << 10
	maxField  = 1 << 10
)

// appendLine appends e's line with its newline to b.
func (e *event) appendLine(b []byte) []byte {
	b = append(b, e.Client...)
	b = append(b, " - - ["...)
	b = e.At.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, e.Method, maxField)
	b = append(b, ' ')
	b = appendEscaped(b, e.Target, maxTarget)
	b = append(b, ' ')
	b = appendEscaped(b, e.Proto, maxField)
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(e.Code), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, e.Sent, 10)
	for _, field := range [...]string{e.Referer, e.Agent} {
		if field == "" {
			field = "-"
		}
		b = append(b, ` "`...)
		b = appendEscaped(b, field, maxField)
		b = append(b, '"')
	}
	b = append(b, ` "`...)
	b = appendEscaped(b, e.Status, maxField)
	b = append(b, `" `...)
	b = strconv.AppendFloat(b, e.Took.Seconds(), 'f', 3, 64)
	return append(b, '\n')
}

// appendEscaped appends s as it may stand within quotes: quotes and backslashes
// escaped, and each byte of what does not show as \xhh, so that no client can
// end a field or a line, or make one look like another. Of a long one only the
// first most bytes are taken.
func appendEscaped(b []byte, s string, most int) []byte {
	const hex = "0123456789abcdef"
	cut := len(s) > most
	if cut {
		s = s[:most]
	}
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', s[i])
		case r == utf8.RuneError && n <= 1, !visible.Shows(r):
			for _, c := range []byte(s[i : i+n]) {
				b = append(b, '\\', 'x', hex[c>>4], hex[c&15])
			}
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	if cut {
		b = append(b, "..."...)
	}
	return b
}
