package popularity

import (
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// However a stream comes in pieces, it is cut into its lines, and the offset and
// what stands before it are right after each, also at the end of the stream in
// the middle of a line.
func TestLineReader(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for b.Len() < 3*bufferSize {
		n := r.IntN(300)
		switch r.IntN(200) {
		case 0:
			n = maxLine - 1 + r.IntN(3)
		case 1:
			n = maxLine + r.IntN(bufferSize)
		}
		b.WriteString(strings.Repeat(string(rune('a'+r.IntN(26))), n) + "\n")
	}
	whole := b.String()
	for name, content := range map[string]string{
		"whole":            whole,
		"torn":             whole + "torn",
		"torn, and longer": whole + strings.Repeat("x", 2*bufferSize),
		"one long line":    strings.Repeat("x", 2*bufferSize) + "\n",
		"all torn":         strings.Repeat("x", 2*bufferSize),
		"empty":            "",
	} {
		for reader, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"data and EOF": iotest.DataErrReader,
			"in halves":    iotest.HalfReader,
		} {
			for _, start := range []int{0, strings.IndexByte(content, '\n') + 1} {
				t.Run(name+", "+reader, func(t *testing.T) {
					l := newLineReader(wrap(strings.NewReader(content[start:])), int64(start), []byte(content[max(0, start-window):start]))
					checkLines(t, l, content, start)
				})
			}
		}
	}
}

func checkLines(t *testing.T, l *lineReader, content string, off int) {
	t.Helper()
	tail := func() {
		t.Helper()
		if want := content[max(0, off-window):off]; l.off != int64(off) || string(l.tail()) != want {
			t.Fatalf("at %d, want %d; the tail has %d bytes", l.off, off, len(l.tail()))
		}
	}
	for {
		line, long, err := l.next()
		want, _, complete := strings.Cut(content[off:], "\n")
		if err != nil {
			if err != io.EOF || complete {
				t.Fatalf("at %d: %v", off, err)
			}
			tail()
			return
		}
		if !complete {
			t.Fatalf("at %d: a line without an end", off)
		}
		off += len(want) + 1
		if long != (len(want) > maxLine) {
			t.Fatalf("at %d: long %v for %d bytes", off, long, len(want))
		}
		if long {
			want = want[:maxExample+1]
		}
		if string(line) != want {
			t.Fatalf("at %d: %q, want %q", off, line, want)
		}
		tail()
	}
}
