// Package manifest is the list of what a cache stores, as /-/manifest has it: what
// the machine that is copied and the one that copies agree on.
//
// A manifest is lines of JSON, a stored file each, in the order of Compare. Its tag
// is the SHA-256 of all of them: who has read it knows by the tag whether it came
// whole and undamaged, and names by it, as a cursor, what it has seen. The changes
// since a cursor are lines too; applied to the manifest of the cursor they make the
// new one, to the byte, so that its tag proves them as well.
//
// Nothing here holds a manifest in memory: a million lines pass through.
//
// Read manifest.go (lines), taking.go (how one is made, and what has changed since
// another), then changes.go (how changes are applied, and two lists compared).
package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// Line is a stored file.
type Line struct {
	Path    string    `json:"path"`   // below the cache directory: the repository's name first
	Size    int64     `json:"size"`   // bytes
	SHA256  string    `json:"sha256"` // in hexadecimal; "" where nobody has computed it
	ModTime time.Time `json:"mtime"`
}

// change is a line of changes: a Line or, with Deleted, a file that is not stored
// any more.
type change struct {
	Line
	Deleted bool `json:"deleted,omitempty"`
}

// deletion is how a line of changes that is no Line is written.
type deletion struct {
	Path    string `json:"path"`
	Deleted bool   `json:"deleted"`
}

// Since is the header field by which an answer says that it has only the changes
// since that cursor.
const Since = "Manifest-Since"

// Compare orders paths as a walk through directories meets them: what is in a
// directory comes before what has a longer name than the directory.
func Compare(a, b string) int {
	for i := range min(len(a), len(b)) {
		if x, y := rank(a[i]), rank(b[i]); x != y {
			return int(x) - int(y)
		}
	}
	return len(a) - len(b)
}

// rank has a slash before all that a name can have in it.
func rank(c byte) byte {
	if c == '/' {
		return 0
	}
	return c
}

// encode is v as a line.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a path is written as it is
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// maxLine bounds a line, in bytes: a path has 4 KiB at the most, each byte of which
// may take six.
const maxLine = 64 << 10

// ErrDamaged says that what was read is no manifest, or not the one that it should be.
var ErrDamaged = errors.New("it is damaged")

// reader reads lines, each of a path behind the one before.
type reader struct {
	s    *bufio.Scanner
	last string
	n    int
}

func newReader(r io.Reader) *reader {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 4<<10), maxLine)
	s.Split(wholeLines)
	return &reader{s: s}
}

// wholeLines splits at ends of lines, which stay, and refuses a last line without one.
func wholeLines(data []byte, atEOF bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	if atEOF && len(data) > 0 {
		return 0, nil, fmt.Errorf("the last line has no end: %w", ErrDamaged)
	}
	return 0, nil, nil
}

// next is the next line, and its bytes, which hold until the call after; io.EOF
// behind the last.
func (r *reader) next() (c change, raw []byte, err error) {
	if !r.s.Scan() {
		if err := r.s.Err(); errors.Is(err, bufio.ErrTooLong) {
			return c, nil, fmt.Errorf("line %d is too long: %w", r.n+1, ErrDamaged)
		} else if err != nil {
			return c, nil, err
		}
		return c, nil, io.EOF
	}
	r.n++
	raw = r.s.Bytes()
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, nil, fmt.Errorf("line %d: %w: %w", r.n, ErrDamaged, err)
	}
	if !strings.Contains(c.Path, "/") || c.Size < 0 || r.n > 1 && Compare(r.last, c.Path) >= 0 {
		return c, nil, fmt.Errorf("line %d: %q has no place here: %w", r.n, c.Path, ErrDamaged)
	}
	r.last = c.Path
	return c, raw, nil
}

// Each calls visit with each line of a manifest, until that returns an error, which
// it returns then. The error wraps ErrDamaged where r has no manifest.
func Each(r io.Reader, visit func(Line) error) error {
	for in := newReader(r); ; {
		c, _, err := in.next()
		if err == io.EOF {
			return nil
		}
		if err == nil && c.Deleted {
			err = fmt.Errorf("line %d: a change in a manifest: %w", in.n, ErrDamaged)
		}
		if err == nil {
			err = visit(c.Line)
		}
		if err != nil {
			return err
		}
	}
}
