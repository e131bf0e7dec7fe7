package upstream

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/cavaliergopher/grab/v3"

	"intelligentmirror/internal/cache"
)

func TestErrandCheck(t *testing.T) {
	ok := errors.New("accepted")
	resp := func(status int, length int64, fields ...string) *http.Response {
		h := http.Header{}
		for i := 0; i < len(fields); i += 2 {
			h.Set(fields[i], fields[i+1])
		}
		return &http.Response{StatusCode: status, ContentLength: length, Header: h}
	}
	for _, tt := range []struct {
		name string
		off  int64
		resp *http.Response
		want error
	}{
		{"whole", 0, resp(200, 100), ok},
		{"whole, chunked", 0, resp(200, -1), ok},
		{"whole, identity", 0, resp(200, 100, "Content-Encoding", "identity"), ok},
		{"whole, another length", 0, resp(200, 99), cache.ErrWrongContent},
		{"whole, encoded", 0, resp(200, -1, "Content-Encoding", "gzip"), cache.ErrWrongContent},
		{"a part, not asked for", 0, resp(206, 100, "Content-Range", "bytes 0-99/100"), cache.ErrWrongContent},
		{"no content", 0, resp(204, 0), cache.ErrWrongContent},
		{"the rest", 40, resp(206, 60, "Content-Range", "bytes 40-99/100"), ok},
		{"the rest, chunked", 40, resp(206, -1, "Content-Range", "bytes 40-99/100"), ok},
		{"the rest of who knows what", 40, resp(206, 60, "Content-Range", "bytes 40-99/*"), ok},
		{"the rest, encoded", 40, resp(206, -1, "Content-Range", "bytes 40-99/100", "Content-Encoding", "br"), cache.ErrWrongContent},
		{"a part of the rest", 40, resp(206, 10, "Content-Range", "bytes 40-49/100"), errGuard},
		{"another part", 40, resp(206, 60, "Content-Range", "bytes 39-98/100"), errGuard},
		{"the rest of another length", 40, resp(206, 61, "Content-Range", "bytes 40-100/101"), errGuard},
		{"a part without a range", 40, resp(206, 60), errGuard},
		{"the whole for the rest", 40, resp(200, 100), errGuard},
		{"the whole for the rest, chunked", 40, resp(200, -1), errGuard},
		{"a page for the rest", 40, resp(200, 7), cache.ErrWrongContent},
	} {
		err := errand{off: tt.off, size: 100}.check(tt.resp)
		if err == nil {
			err = ok
		}
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
	}
}

// TestErrandHead: grab's question is answered without asking the mirror.
func TestErrandHead(t *testing.T) {
	e := errand{size: 100, next: roundTrip(func(*http.Request) (*http.Response, error) {
		t.Error("the mirror was asked")
		return nil, io.ErrClosedPipe
	})}
	resp, err := e.RoundTrip(&http.Request{Method: http.MethodHead})
	if err != nil || resp.StatusCode != 200 || resp.ContentLength != 100 || resp.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("%+v, %v", resp, err)
	}
}

func TestBounded(t *testing.T) {
	for _, tt := range []struct {
		body string
		left int64
		want string
		err  error
	}{
		{"12345", 5, "12345", nil},
		{"1234", 5, "1234", nil},
		{"123456", 5, "12345", errGuard},
		{strings.Repeat("x", 9999), 5, "xxxxx", errGuard},
		{"", 0, "", nil},
		{"1", 0, "", errGuard},
	} {
		for _, size := range []int{1, 3, 5, 6, 100} {
			var got, digested strings.Builder
			b := &bounded{io.NopCloser(strings.NewReader(tt.body)), tt.left, &digested}
			_, err := io.CopyBuffer(struct{ io.Writer }{&got}, onlyReader{b}, make([]byte, size))
			if got.String() != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("%d of %d bytes by %d: %q, %v", tt.left, len(tt.body), size, got.String(), err)
			}
			if digested.String() != tt.want {
				t.Errorf("%d of %d bytes by %d: %q for the digest", tt.left, len(tt.body), size, digested.String())
			}
		}
	}
}

// onlyReader hides all but Read.
type onlyReader struct{ io.Reader }

// TestVerdict: grab's errors, by whose fault they are.
func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		off   int64
		is    []error
		isNot []error
	}{
		{"the disk is full", &fs.PathError{Op: "write", Path: "p", Err: syscall.ENOSPC}, 0, []error{cache.ErrUnstorable}, nil},
		{"our file is gone", &fs.PathError{Op: "open", Path: "p", Err: syscall.ENOENT}, 0, []error{cache.ErrUnstorable}, []error{fs.ErrNotExist}},
		{"404", grab.StatusCodeError(404), 0, []error{fs.ErrNotExist}, []error{cache.ErrUnstorable}},
		{"410", grab.StatusCodeError(410), 9, []error{fs.ErrNotExist}, nil},
		{"503", grab.StatusCodeError(503), 9, nil, []error{fs.ErrNotExist, cache.ErrWrongContent, errStale}},
		{"416 at first", grab.StatusCodeError(416), 0, []error{cache.ErrWrongContent}, []error{errStale}},
		{"416", grab.StatusCodeError(416), 9, []error{errStale}, []error{cache.ErrWrongContent}},
		{"length at first", grab.ErrBadLength, 0, []error{cache.ErrWrongContent}, []error{errStale}},
		{"length", grab.ErrBadLength, 9, []error{errStale}, []error{cache.ErrWrongContent}},
		{"cut", io.ErrUnexpectedEOF, 9, []error{io.ErrUnexpectedEOF}, []error{errStale, cache.ErrWrongContent}},
	} {
		err := grabber{}.verdict(tt.err, "u", tt.off, new(cache.Partial))
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		for _, is := range tt.is {
			if !errors.Is(err, is) {
				t.Errorf("%s: %v is not %v", tt.name, err, is)
			}
		}
		for _, not := range tt.isNot {
			if errors.Is(err, not) {
				t.Errorf("%s: %v is %v", tt.name, err, not)
			}
		}
	}
}
