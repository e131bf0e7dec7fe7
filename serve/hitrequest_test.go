package serve

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestParseHitRequest(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		is       shape
	}{
		{"dnf", "GET /a.rpm HTTP/1.1\r\nHost: m:3180\r\nUser-Agent: libdnf (Fedora Linux 41)\r\nAccept: */*\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n\r\n", plainGet},
		{"curl", "GET /a.rpm HTTP/1.1\r\nhost:[::1]:3180\r\nACCEPT:*/*\r\n\r\n", plainGet},
		{"keep-alive", "GET / HTTP/1.1\r\nHost: m\r\nConnection: Keep-Alive\r\n\r\n", plainGet},
		{"to be closed", "GET / HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n", bodyless},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: m\r\n\r\n", bodyless},
		{"another host", "GET http://m/ HTTP/1.1\r\nHost: m\r\n\r\n", bodyless},
		{"a range", "GET / HTTP/1.1\r\nHost: m\r\nRange: bytes=0-\r\n\r\n", bodyless},
		{"a condition", "GET / HTTP/1.1\r\nHost: m\r\nIf-None-Match: *\r\n\r\n", bodyless},
		{"credentials", "GET / HTTP/1.1\r\nHost: m\r\nAuthorization: Basic YQ==\r\n\r\n", bodyless},
		{"by way of a proxy", "GET / HTTP/1.1\r\nHost: m\r\nVia: 1.1 squid\r\n\r\n", bodyless},
		{"for somebody else", "GET / HTTP/1.1\r\nHost: m\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nX-Forwarded-Proto: http\r\n\r\n", plainGet},
		{"for somebody else, twice", "GET / HTTP/1.1\r\nHost: m\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\n\r\n", bodyless},
		{"for nobody who is named", "GET / HTTP/1.1\r\nHost: m\r\nX-Forwarded-For: \r\n\r\n", bodyless},
		{"no host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", bodyless},
		{"two hosts", "GET / HTTP/1.1\r\nHost: m\r\nHost: n\r\n\r\n", bodyless},
		{"an odd host", "GET / HTTP/1.1\r\nHost: m/n\r\n\r\n", bodyless},
		{"a body", "GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 1\r\n\r\n", opaque},
		{"chunks", "GET / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n", opaque},
		{"a space before the colon", "GET / HTTP/1.1\r\nHost: m\r\nContent-Length : 1\r\n\r\n", opaque},
		{"a folded line", "GET / HTTP/1.1\r\nHost: m\r\nAccept: a\r\n b\r\n\r\n", opaque},
		{"a bare line feed", "GET / HTTP/1.1\r\nHost: m\nContent-Length: 1\r\n\r\n", opaque},
		{"a bare carriage return", "GET / HTTP/1.1\r\nHost: m\rContent-Length: 1\r\n\r\n", opaque},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: m\r\n\r\n", opaque},
		{"an older version", "GET / HTTP/1.0\r\nHost: m\r\n\r\n", opaque},
		{"another method", "POST / HTTP/1.1\r\nHost: m\r\n\r\n", opaque},
		{"a part", "GET / HTTP/1.1\r\nHost: m\r\n\r", opaque},
		{"an upgrade", "GET / HTTP/1.1\r\nHost: m\r\nUpgrade: h2c\r\n\r\n", opaque},
		{"waiting for a word", "GET / HTTP/1.1\r\nHost: m\r\nExpect: 100-continue\r\n\r\n", opaque},
	} {
		if _, size, is := parseHitRequest([]byte(tt.in + "GET")); is != tt.is || is != opaque && size != len(tt.in) {
			t.Errorf("%s: %v of %d bytes", tt.name, is, size)
		}
	}
}

// Whatever is taken for a request without a body net/http takes for the same, and
// for a plain one only what has nothing else in it.
func FuzzParseHitRequest(f *testing.F) {
	for _, s := range []string{
		"GET /a.rpm HTTP/1.1\r\nHost: m:3180\r\nUser-Agent: dnf\r\nAccept: */*\r\n\r\nGET /b HTTP/1.1\r\n\r\n",
		"HEAD / HTTP/1.1\r\nHost: m\r\nX: y\r\n\r\n", "GET / HTTP/1.1\r\nHost: m\r\nContent-Length: 3\r\n\r\nabc",
		"GET /%zz HTTP/1.1\r\nHost: m\r\nReferer: a\r\nConnection: keep-alive\r\n\r\n", "GET / HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		q, size, is := parseHitRequest(b)
		if is == opaque {
			return
		}
		r := bufio.NewReaderSize(bytes.NewReader(b), 2*len(b)+16)
		req, err := http.ReadRequest(r)
		if err != nil {
			if is == plainGet && !strings.Contains(err.Error(), "parse") {
				t.Fatalf("net/http refuses it: %v", err) // but for a target that is no URL, which leads to nothing
			}
			return
		}
		rest, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if req.Body != http.NoBody || len(req.TransferEncoding) > 0 || !bytes.Equal(rest, b[size:]) || req.ProtoMinor != 1 {
			t.Fatalf("%d bytes behind the request, want %d", len(rest), len(b)-size)
		}
		if is == bodyless {
			return
		}
		if req.Method != http.MethodGet || req.RequestURI != string(q.target) || req.UserAgent() != string(q.agent) || req.Referer() != string(q.referer) ||
			req.Header.Get("X-Forwarded-For") != string(q.behind) || req.Close {
			t.Errorf("%q: net/http reads %s %s", b[:size], req.Method, req.RequestURI)
		}
		for name := range req.Header {
			if weigh([]byte(name)) == isMeaningful || weigh([]byte(name)) == isFraming {
				t.Errorf("%q has the field %s", b[:size], name)
			}
		}
	})
}
