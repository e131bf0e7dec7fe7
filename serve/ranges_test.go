package serve

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestRanges(t *testing.T) {
	many := func(n int) string {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf("%d-%d", 2*i, 2*i))
		}
		return "bytes=" + strings.Join(list, ",")
	}
	for _, tt := range []struct {
		name  string
		field string
		size  int64
		want  []span
		unmet bool
	}{
		{"no range", "", 100, nil, false},
		{"first bytes", "bytes=0-9", 100, []span{{0, 10}}, false},
		{"one byte", "bytes=5-5", 100, []span{{5, 1}}, false},
		{"to the end", "bytes=90-", 100, []span{{90, 10}}, false},
		{"the last bytes", "bytes=-10", 100, []span{{90, 10}}, false},
		{"more last bytes than there are", "bytes=-1000", 100, []span{{0, 100}}, false},
		{"no last bytes", "bytes=-0", 100, nil, true},
		{"over the end", "bytes=90-1000", 100, []span{{90, 10}}, false},
		{"all of it", "bytes=0-99", 100, []span{{0, 100}}, false},
		{"behind the end", "bytes=100-", 100, nil, true},
		{"far behind the end", "bytes=99999999999999999999999999-", 100, nil, true},
		{"a last byte beyond all numbers", "bytes=1-99999999999999999999999999", 100, []span{{1, 99}}, false},
		{"a suffix beyond all numbers", "bytes=-99999999999999999999999999", 100, []span{{0, 100}}, false},
		{"the unit in capitals", "BYTES=0-1", 100, []span{{0, 2}}, false},
		{"another unit", "lines=0-1", 100, nil, false},
		{"no unit", "0-1", 100, nil, false},
		{"nothing", "bytes=", 100, nil, false},
		{"commas alone", "bytes=,,", 100, nil, false},
		{"no dash", "bytes=5", 100, nil, false},
		{"a dash alone", "bytes=-", 100, nil, false},
		{"backwards", "bytes=9-5", 100, nil, false},
		{"letters", "bytes=a-b", 100, nil, false},
		{"a sign", "bytes=+1-2", 100, nil, false},
		{"two dashes", "bytes=--5", 100, nil, false},
		{"a space within", "bytes=1 -2", 100, nil, false},
		{"two", "bytes=0-1,5-6", 100, []span{{0, 2}, {5, 2}}, false},
		{"two, with spaces and empty elements", "bytes= 0-1 ,\t, 5-6,", 100, []span{{0, 2}, {5, 2}}, false},
		{"in the order that was asked for", "bytes=50-51,0-1", 100, []span{{50, 2}, {0, 2}}, false},
		{"one of two behind the end", "bytes=0-1,200-", 100, []span{{0, 2}}, false},
		{"both behind the end", "bytes=100-,200-", 100, nil, true},
		{"one of two malformed", "bytes=0-1,x", 100, nil, false},
		{"more than all of it", "bytes=0-99,0-99", 100, nil, false},
		{"overlapping, less than all of it", "bytes=0-9,5-14", 100, []span{{0, 10}, {5, 10}}, false},
		{"too many", many(maxSpans + 1), 1 << 20, nil, false},
		{"an empty file", "bytes=0-", 0, nil, false},
		{"an empty file's end", "bytes=-5", 0, nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{}
			if tt.field != "" {
				h.Set("Range", tt.field)
			}
			got, ok := ranges(h, tt.size)
			if !slices.Equal(got, tt.want) || ok == tt.unmet {
				t.Errorf("ranges(%q, %d) = %v, satisfiable %v; want %v, %v", tt.field, tt.size, got, ok, tt.want, !tt.unmet)
			}
		})
	}
	t.Run("as many as are answered", func(t *testing.T) {
		if got, _ := ranges(http.Header{"Range": {many(maxSpans)}}, 1<<20); len(got) != maxSpans {
			t.Errorf("%d spans, want %d", len(got), maxSpans)
		}
	})
	t.Run("two fields", func(t *testing.T) {
		if got, ok := ranges(http.Header{"Range": {"bytes=0-1", "bytes=2-3"}}, 100); got != nil || !ok {
			t.Errorf("got %v, %v; want the whole file", got, ok)
		}
	})
}

func FuzzRanges(f *testing.F) {
	for _, s := range []string{"bytes=0-9", "bytes=-5", "bytes=5-", "bytes=0-1,5-6,-1", "bytes=9223372036854775807-", "bytes=,", "lines=1-2"} {
		f.Add(s, int64(100))
	}
	f.Fuzz(func(t *testing.T, field string, size int64) {
		if size < 0 {
			return
		}
		spans, ok := ranges(http.Header{"Range": {field}}, size)
		if len(spans) > 0 && !ok {
			t.Error("spans that are not satisfiable")
		}
		var sum int64
		for _, s := range spans {
			if s.from < 0 || s.n <= 0 || s.from > size-s.n {
				t.Errorf("span %v of %d bytes", s, size)
			}
			sum += s.n
		}
		if sum > size || sum < 0 || len(spans) > maxSpans {
			t.Errorf("%d spans of %d bytes in all, of a file of %d", len(spans), sum, size)
		}
	})
}

// parts reads a multipart/byteranges body: the ranges with their bytes.
func parts(t *testing.T, r reply) (list []string) {
	t.Helper()
	typ, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || typ != "multipart/byteranges" {
		t.Fatalf("Content-Type %q: %v", r.Header.Get("Content-Type"), err)
	}
	mr := multipart.NewReader(bytes.NewReader(r.body), params["boundary"])
	for {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(p)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p.Header.Get("Content-Range")+" "+p.Header.Get("Content-Type")+" "+string(b))
	}
}

func TestRangesOverHTTP(t *testing.T) {
	m := newMirror(t, setup{})
	body := []byte("\xed\xab\xee\xdb456789abcdef")
	m.put(pkg, body)
	first := m.prime(pkg)
	tag, modified := first.Header.Get("Etag"), first.Header.Get("Last-Modified")
	if tag == "" || modified == "" {
		t.Fatalf("validators %q and %q", tag, modified)
	}
	for _, tt := range []struct {
		name   string
		fields []string
		code   int
		body   string
		span   string // Content-Range
	}{
		{"single", []string{"Range", "bytes=4-7"}, 206, "4567", "bytes 4-7/16"},
		{"suffix", []string{"Range", "bytes=-2"}, 206, "ef", "bytes 14-15/16"},
		{"open", []string{"Range", "bytes=12-"}, 206, "cdef", "bytes 12-15/16"},
		{"unsatisfiable", []string{"Range", "bytes=16-"}, 416, "", "bytes */16"},
		{"malformed", []string{"Range", "bytes=x"}, 200, string(body), ""},
		{"If-Range with the tag", []string{"Range", "bytes=4-7", "If-Range", tag}, 206, "4567", "bytes 4-7/16"},
		{"If-Range with another tag", []string{"Range", "bytes=4-7", "If-Range", `"other"`}, 200, string(body), ""},
		{"If-Range with the weak tag", []string{"Range", "bytes=4-7", "If-Range", "W/" + tag}, 200, string(body), ""},
		{"If-Range with the date", []string{"Range", "bytes=4-7", "If-Range", modified}, 206, "4567", "bytes 4-7/16"},
		{"If-Range with another date", []string{"Range", "bytes=4-7", "If-Range", "Sun, 06 Nov 1994 08:49:37 GMT"}, 200, string(body), ""},
		{"If-Range with nonsense", []string{"Range", "bytes=4-7", "If-Range", "x"}, 200, string(body), ""},
		{"not modified comes before ranges", []string{"Range", "bytes=4-7", "If-None-Match", tag}, 304, "", ""},
		{"precondition failed comes before ranges", []string{"Range", "bytes=4-7", "If-Match", `"other"`}, 412, "", ""},
		{"a range, If-Match met", []string{"Range", "bytes=4-7", "If-Match", tag}, 206, "4567", "bytes 4-7/16"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := m.get(pkg, tt.fields...)
			if r.StatusCode != tt.code || r.Header.Get("Content-Range") != tt.span {
				t.Errorf("%s, Content-Range %q; want %d, %q", r.Status, r.Header.Get("Content-Range"), tt.code, tt.span)
			}
			if tt.code < 400 && string(r.body) != tt.body {
				t.Errorf("body %q, want %q", r.body, tt.body)
			}
			if r.status() != "imserve; hit" {
				t.Errorf("Cache-Status %q", r.status())
			}
		})
	}
	t.Run("HEAD has no ranges", func(t *testing.T) {
		r := m.do(m.request(http.MethodHead, pkg, "Range", "bytes=4-7"))
		if r.StatusCode != 200 || r.ContentLength != 16 {
			t.Errorf("%s, %d bytes", r.Status, r.ContentLength)
		}
	})
	t.Run("several", func(t *testing.T) {
		r := m.get(pkg, "Range", "bytes=4-5,10-11,-1")
		if r.StatusCode != 206 || r.Header.Get("Content-Range") != "" || r.ContentLength != int64(len(r.body)) {
			t.Errorf("%s, Content-Range %q, Content-Length %d of %d", r.Status, r.Header.Get("Content-Range"), r.ContentLength, len(r.body))
		}
		want := []string{"bytes 4-5/16 application/x-rpm 45", "bytes 10-11/16 application/x-rpm ab", "bytes 15-15/16 application/x-rpm f"}
		if got := parts(t, r); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}
