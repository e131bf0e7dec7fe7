package popularity

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// However a stream comes in pieces, it is cut into its lines, and the offset and
// what stands before it are right after each, also at the end of the stream in
// the middle of a line.
func TestBlockReader(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	var b strings.Builder
	for b.Len() < 2*blockSize {
		n := r.IntN(300)
		switch r.IntN(200) {
		case 0:
			n = maxLine - 1 + r.IntN(3)
		case 1:
			n = maxLine + r.IntN(2*blockSize)
		}
		b.WriteString(strings.Repeat(string(rune('a'+r.IntN(26))), n) + "\n")
	}
	whole := b.String()
	for name, content := range map[string]string{
		"whole":            whole,
		"torn":             whole + "torn",
		"torn, and longer": whole + strings.Repeat("x", 2*blockSize),
		"one long line":    strings.Repeat("x", 2*blockSize) + "\n",
		"all torn":         strings.Repeat("x", 2*blockSize),
		"as long as a block": strings.Repeat("x", blockSize-1) + "\n" + strings.Repeat("y", blockSize) + "\n" +
			strings.Repeat("z", blockSize+1) + "\nend\n",
		"empty": "",
	} {
		for reader, wrap := range map[string]func(io.Reader) io.Reader{
			"at once":      func(r io.Reader) io.Reader { return r },
			"data and EOF": iotest.DataErrReader,
			"in halves":    iotest.HalfReader,
		} {
			for _, start := range []int{0, strings.IndexByte(content, '\n') + 1} {
				t.Run(name+", "+reader, func(t *testing.T) {
					l := newBlockReader(wrap(strings.NewReader(content[start:])), int64(start), []byte(content[max(0, start-window):start]))
					checkBlocks(t, l, content, start)
				})
			}
		}
	}
}

func checkBlocks(t *testing.T, r *blockReader, content string, off int) {
	t.Helper()
	var b block
	for {
		if err := r.next(&b); err != nil {
			if _, _, complete := strings.Cut(content[off:], "\n"); err != io.EOF || complete {
				t.Fatalf("at %d: %v", off, err)
			}
			return
		}
		if b.long != nil {
			line, _, complete := strings.Cut(content[off:], "\n")
			if !complete || len(line) <= blockSize || string(b.long) != line[:maxExample+1] {
				t.Fatalf("at %d: a long line of %d bytes: %q", off, len(line), b.long)
			}
			off += len(line) + 1
			if b.off != int64(off) || b.start != len(b.buf) {
				t.Fatalf("after a long line: at %d, want %d", b.off, off)
			}
			checkTail(t, &b, b.start, content, off)
			continue
		}
		if b.off != int64(off) || len(b.buf) == b.start {
			t.Fatalf("a block of %d bytes at %d, want it at %d", len(b.buf)-b.start, b.off, off)
		}
		for at := b.start; at < len(b.buf); {
			line, _, complete := strings.Cut(content[off:], "\n")
			i := bytes.IndexByte(b.buf[at:], '\n')
			if !complete || i != len(line) || string(b.buf[at:at+i]) != line {
				t.Fatalf("at %d: a line of %d bytes, want %d", off, i, len(line))
			}
			at, off = at+i+1, off+i+1
			checkTail(t, &b, at, content, off)
		}
	}
}

func checkTail(t *testing.T, b *block, at int, content string, off int) {
	t.Helper()
	if want := content[max(0, off-window):off]; string(b.tail(at)) != want {
		t.Fatalf("at %d: a tail of %d bytes, want %d", off, len(b.tail(at)), len(want))
	}
}
