package serve

import (
	"fmt"
	"math"
	"net/http"
	"strings"
)

// span is a part of a file: n bytes from byte from on.
type span struct{ from, n int64 }

// contentRange is the value of the Content-Range field for s of size bytes.
func (s span) contentRange(size int64) string {
	return fmt.Sprintf("bytes %d-%d/%d", s.from, s.from+s.n-1, size)
}

// maxSpans is how many ranges of one request are answered as such. zchunk
// clients send some dozens, up to 256; nobody has a use for more.
const maxSpans = 512

// ranges reads the Range field of a request for a file of size bytes. Without
// one that is to be honoured there are no spans: the whole file is the answer.
// That is the case for what is no range of bytes by RFC 9110, 14.1.2, and for
// ranges that would cost more than the file itself (14.2). satisfiable is false
// where no range has a byte of the file: the answer is 416.
func ranges(h http.Header, size int64) (spans []span, satisfiable bool) {
	list := h.Values("Range")
	// Of an empty file there is no range, and a client that goes on where it was
	// with nothing, at byte 0, asks for all of it.
	if len(list) != 1 || size == 0 {
		return nil, true
	}
	unit, set, ok := strings.Cut(list[0], "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return nil, true
	}
	given, total := 0, int64(0)
	for spec := range strings.SplitSeq(set, ",") {
		spec = strings.Trim(spec, " \t")
		if spec == "" {
			continue // RFC 9110, 5.6.1.2
		}
		s, ok := parseSpan(spec, size)
		if given++; !ok || given > maxSpans {
			return nil, true
		}
		if s.n == 0 {
			continue
		}
		spans = append(spans, s)
		total += s.n
	}
	switch {
	case given == 0 || len(spans) > 1 && total > size:
		return nil, true
	case len(spans) == 0:
		return nil, false
	}
	return spans, true
}

// parseSpan reads "5-9", "5-" or "-5"; ok is false for what is none of these. A
// span without bytes is one that the file does not have.
func parseSpan(spec string, size int64) (s span, ok bool) {
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return span{}, false
	}
	if first == "" {
		n, ok := position(last)
		n = min(n, size)
		return span{size - n, n}, ok
	}
	from, ok := position(first)
	if !ok {
		return span{}, false
	}
	to := int64(math.MaxInt64)
	if last != "" {
		if to, ok = position(last); !ok || to < from {
			return span{}, false
		}
	}
	if from >= size {
		return span{}, true
	}
	return span{from, min(to, size-1) - from + 1}, true
}

// position reads a number of bytes; one that is too large for any file is the
// largest there is.
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n := int64(0)
	for _, c := range s {
		d := int64(c - '0')
		if n > (math.MaxInt64-d)/10 {
			return math.MaxInt64, true
		}
		n = n*10 + d
	}
	return n, true
}

// byteranges is a body of several spans (RFC 9110, 14.6).
type byteranges struct {
	boundary string
	heads    []string // what stands before each span
	tail     string   // what stands behind the last
	length   int64    // of all, in bytes
}

// newByteranges frames spans of a file of size bytes. boundary has no character
// that needs to be quoted, and is in no file but by chance.
func newByteranges(spans []span, size int64, contentType, boundary string) byteranges {
	m := byteranges{boundary: boundary, tail: "\r\n--" + boundary + "--\r\n"}
	m.length = int64(len(m.tail))
	for _, s := range spans {
		head := fmt.Sprintf("\r\n--%s\r\nContent-Type: %s\r\nContent-Range: %s\r\n\r\n", boundary, contentType, s.contentRange(size))
		m.heads = append(m.heads, head)
		m.length += int64(len(head)) + s.n
	}
	return m
}

// contentType is the body's. Its boundary stands last and without quotes, which
// some clients rely on.
func (m byteranges) contentType() string { return "multipart/byteranges; boundary=" + m.boundary }
