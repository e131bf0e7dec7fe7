package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// retrieval is a request for a stored file, with the section that says what is to
// come of it. In its fields TAG and DATE are the file's validators.
type retrieval struct {
	name   string
	method string // GET where it is ""
	path   string // a package of 16 bytes where it is ""
	fields []string
	code   int
	body   string   // "" is not looked at
	has    []string // fields of the answer, pairs; "" is none
}

// sixteen is that package.
const sixteen = "\xed\xab\xee\xdb456789abcdef"

// retrievals are by RFC 9110 unless they say otherwise.
func retrievals() []retrieval {
	const early, late = "Sun, 06 Nov 1994 08:49:37 GMT", "Fri, 06 Nov 2094 08:49:37 GMT"
	ranged := func(name, field string, code int, span, body string) retrieval {
		return retrieval{name: name, fields: []string{"Range", field}, code: code, has: []string{"Content-Range", span}, body: body}
	}
	ifRange := func(name, value string, code int) retrieval {
		body := sixteen
		if code == 206 {
			body = "4567"
		}
		return retrieval{name: name, fields: []string{"Range", "bytes=4-7", "If-Range", value}, code: code, body: body}
	}
	return []retrieval{
		{name: "8.3, 8.6, 8.8, 14.3: what a file is, is said", code: 200, body: sixteen, has: []string{"Content-Type", "application/x-rpm", "Content-Length", "16", "Accept-Ranges", "bytes", "Etag", "TAG", "Last-Modified", "DATE"}},
		{name: "8.4: nothing is encoded, whatever is accepted", fields: []string{"Accept-Encoding", "gzip, br;q=0.5, identity;q=0"}, code: 200, body: sixteen, has: []string{"Content-Encoding", ""}},
		{name: "9.3.1: the body of a GET means nothing", fields: []string{"Content-Type", "text/x"}, code: 200, body: sixteen},
		{name: "9.3.2: HEAD has GET's fields and no body", method: "HEAD", code: 200, has: []string{"Content-Type", "application/x-rpm", "Content-Length", "16", "Accept-Ranges", "bytes", "Etag", "TAG", "Last-Modified", "DATE"}},
		{name: "9.3.2: HEAD of what is not there", method: "HEAD", path: "os/Packages/none.rpm", code: 404},
		{name: "9.3.2, 13.1.2: HEAD with a condition", method: "HEAD", fields: []string{"If-None-Match", "TAG"}, code: 304},
		{name: "10.2.1, 15.5.6: another method is told the right ones", method: "PUT", code: 405, has: []string{"Allow", "GET, HEAD"}},
		{name: "9.1: a method that nobody knows", method: "BREW", code: 405, has: []string{"Allow", "GET, HEAD"}},
		{name: "9.1: a method is case-sensitive", method: "Get", code: 405, has: []string{"Allow", "GET, HEAD"}},

		{name: "13.1.1: If-Match, met", fields: []string{"If-Match", `"x", TAG`}, code: 200, body: sixteen},
		{name: "13.1.1: If-Match, any", fields: []string{"If-Match", "*"}, code: 200, body: sixteen},
		{name: "13.1.1: If-Match, unmet", fields: []string{"If-Match", `"x"`}, code: 412},
		{name: "13.1.1: If-Match compares strongly", fields: []string{"If-Match", "W/TAG"}, code: 412},
		{name: "13.1.2: If-None-Match, unmet", fields: []string{"If-None-Match", "TAG"}, code: 304, has: []string{"Etag", "TAG", "Content-Type", "", "Content-Length", ""}},
		{name: "13.1.2: If-None-Match compares weakly", fields: []string{"If-None-Match", `W/"x", W/TAG`}, code: 304},
		{name: "13.1.2: If-None-Match, met", fields: []string{"If-None-Match", `"x"`}, code: 200, body: sixteen},
		{name: "13.1.3: If-Modified-Since, same", fields: []string{"If-Modified-Since", "DATE"}, code: 304},
		{name: "13.1.3: If-Modified-Since, earlier", fields: []string{"If-Modified-Since", early}, code: 200, body: sixteen},
		{name: "13.1.3: If-Modified-Since, no date", fields: []string{"If-Modified-Since", "0"}, code: 200, body: sixteen},
		{name: "13.1.3: If-Modified-Since, with If-None-Match, is not looked at", fields: []string{"If-None-Match", `"x"`, "If-Modified-Since", late}, code: 200, body: sixteen},
		{name: "13.1.4: If-Unmodified-Since, unmet", fields: []string{"If-Unmodified-Since", early}, code: 412},
		{name: "13.1.4: If-Unmodified-Since, with If-Match, is not looked at", fields: []string{"If-Match", "TAG", "If-Unmodified-Since", early}, code: 200, body: sixteen},
		{name: "13.2.1: conditions of what is not there are not looked at", path: "os/Packages/none.rpm", fields: []string{"If-None-Match", "*"}, code: 404},
		{name: "13.2.2: If-Match before If-None-Match", fields: []string{"If-Match", `"x"`, "If-None-Match", "TAG"}, code: 412},
		{name: "13.2.2: If-None-Match before Range", fields: []string{"If-None-Match", "TAG", "Range", "bytes=4-7"}, code: 304},
		{name: "13.2.2: If-Match before Range", fields: []string{"If-Match", "TAG", "Range", "bytes=4-7"}, code: 206, body: "4567"},
		{name: "15.4.5: 304 has the validators and Cache-Control of 200", path: repomd, fields: []string{"If-Modified-Since", late}, code: 304, has: []string{"Cache-Control", "no-cache", "Last-Modified", "DATE", "Etag", "TAG"}},
		{name: "15.5.13: 412 is no answer to keep", fields: []string{"If-Match", `"x"`}, code: 412, has: []string{"Cache-Control", "no-store", "Etag", "TAG"}},

		ifRange("13.1.5: If-Range, the tag", "TAG", 206),
		ifRange("13.1.5: If-Range compares strongly", "W/TAG", 200),
		ifRange("13.1.5: If-Range, another tag", `"x"`, 200),
		ifRange("13.1.5: If-Range, the date", "DATE", 206),
		ifRange("13.1.5: If-Range, an earlier date", early, 200),
		ifRange("13.1.5: If-Range, a later date", late, 200),
		ifRange("13.1.5: If-Range, what is neither", "x", 200),
		{name: "13.1.5: If-Range without Range", fields: []string{"If-Range", `"x"`}, code: 200, body: sixteen},

		ranged("14.1.2: the first bytes", "bytes=0-3", 206, "bytes 0-3/16", sixteen[:4]),
		ranged("14.1.2: the last bytes", "bytes=-2", 206, "bytes 14-15/16", "ef"),
		ranged("14.1.2: more last bytes than there are", "bytes=-99", 206, "bytes 0-15/16", sixteen),
		ranged("14.1.2: from a byte on", "bytes=12-", 206, "bytes 12-15/16", "cdef"),
		ranged("14.1.2: over the end", "bytes=12-99", 206, "bytes 12-15/16", "cdef"),
		ranged("14.1.1: backwards is malformed", "bytes=7-4", 200, "", sixteen),
		ranged("14.1.1: the unit is case-insensitive", "Bytes=4-7", 206, "bytes 4-7/16", "4567"),
		ranged("14.2: a unit that is not known", "lines=1-2", 200, "", sixteen),
		ranged("14.2: malformed", "bytes=a-b", 200, "", sixteen),
		ranged("14.2: more than the file in all", "bytes=0-,0-", 200, "", sixteen),
		ranged("14.2: hundreds", "bytes="+strings.Repeat("0-0,", maxSpans+1), 200, "", sixteen),
		ranged("14.4, 15.5.17: unsatisfiable", "bytes=16-", 416, "bytes */16", ""),
		ranged("15.5.17: none of several", "bytes=16-17,-0", 416, "bytes */16", ""),
		ranged("15.3.7.2: one of several that is there", "bytes=16-17,4-5", 206, "bytes 4-5/16", "45"),
		{name: "14.2: a Range of HEAD is not looked at", method: "HEAD", fields: []string{"Range", "bytes=4-7"}, code: 200, has: []string{"Content-Length", "16", "Content-Range", ""}},
		{name: "14.2: a Range of another method is not", method: "PUT", fields: []string{"Range", "bytes=4-7"}, code: 405},
		{name: "15.3.7: 206 has the fields of 200", fields: []string{"Range", "bytes=4-7"}, code: 206, body: "4567",
			has: []string{"Etag", "TAG", "Last-Modified", "DATE", "Content-Type", "application/x-rpm", "Content-Length", "4", "Content-Range", "bytes 4-7/16"}},
		{name: "15.3.7: and its Cache-Control", path: repomd, fields: []string{"Range", "bytes=0-0"}, code: 206, body: "<", has: []string{"Cache-Control", "no-cache", "Etag", "TAG"}},
		{name: "15.3.7.2: several have no Content-Range of their own", fields: []string{"Range", "bytes=4-5,8-9"}, code: 206, has: []string{"Content-Range", "", "Etag", "TAG"}},
		{name: "15.3.7.2: several that overlap", fields: []string{"Range", "bytes=4-7,6-9"}, code: 206, has: []string{"Content-Range", ""}},

		{name: "9111, 5.1: a stored answer has an Age", code: 200, has: []string{"Age", "60"}},
	}
}

// TestRetrieval: what a stored file is answered with, by whichever form it is
// asked for.
func TestRetrieval(t *testing.T) {
	m := newMirror(t, setup{config: loopback, repo: "aliases = [\"http://alias.test/pub/r\"]\n"})
	m.put(pkg, []byte(sixteen))
	m.put(repomd, []byte("<repomd/>"))
	fill := map[string]*strings.Replacer{}
	for _, path := range []string{pkg, repomd} {
		h := m.prime(path).Header
		fill[path] = strings.NewReplacer("TAG", h.Get("Etag"), "DATE", h.Get("Last-Modified"))
	}
	m.pass(time.Minute)
	for _, tt := range retrievals() {
		for _, proxied := range []bool{false, true} {
			if proxied && tt.code == 405 {
				continue // what a repository does not take is the named host's to answer
			}
			t.Run(fmt.Sprintf("%s/proxied=%v", tt.name, proxied), func(t *testing.T) {
				if tt.method == "" {
					tt.method = http.MethodGet
				}
				path := tt.path
				if path == "" {
					path = pkg
				}
				text := strings.NewReplacer().Replace
				if f := fill[path]; f != nil {
					text = f.Replace
				}
				var fields []string
				for _, f := range tt.fields {
					fields = append(fields, text(f))
				}
				var r reply
				if proxied {
					r = m.ask(tt.method, "http://alias.test/pub/r/"+path, fields...)
				} else {
					r = m.do(m.request(tt.method, path, fields...))
				}
				if r.err != nil || r.StatusCode != tt.code {
					t.Fatalf("%s, %v; want %d", r.Status, r.err, tt.code)
				}
				if tt.body != "" && string(r.body) != tt.body || tt.method == "HEAD" && len(r.body) > 0 {
					t.Errorf("body %q, want %q", r.body, tt.body)
				}
				for i := 0; i+1 < len(tt.has); i += 2 {
					if got, want := strings.Join(r.Header.Values(tt.has[i]), ", "), text(tt.has[i+1]); got != want {
						t.Errorf("%s: %q, want %q", tt.has[i], got, want)
					}
				}
				m.agrees(t, tt, r)
			})
		}
	}
}

// agrees checks what holds of each answer.
func (m *mirror) agrees(t *testing.T, tt retrieval, r reply) {
	t.Helper()
	if _, err := http.ParseTime(r.Header.Get("Date")); err != nil {
		t.Errorf("6.6.1: Date %q", r.Header.Get("Date"))
	}
	if err := wellFormed(r.status()); err != nil {
		t.Errorf("9211: Cache-Status %q: %v", r.status(), err)
	}
	if r.StatusCode == 304 && (len(r.body) > 0 || r.Header.Get("Transfer-Encoding") != "") {
		t.Errorf("15.4.5: 304 with %d bytes", len(r.body))
	}
	if kind := r.Header.Get("Content-Type"); strings.HasPrefix(kind, "multipart/byteranges") {
		for _, p := range parts(t, r) {
			var from, to int
			var bytesOf string
			if n, err := fmt.Sscanf(p, "bytes %d-%d/16 application/x-rpm %s", &from, &to, &bytesOf); n != 3 || bytesOf != sixteen[from:to+1] {
				t.Errorf("15.3.7.2: part %q: %v", p, err)
			}
		}
	}
}

// TestEmptyFile: RFC 9110, 14.1.2: of nothing there is no range, and a client that
// goes on behind nothing gets all of it.
func TestEmptyFile(t *testing.T) {
	m := newMirror(t, setup{})
	const empty = "os/images/empty"
	m.put(empty, nil)
	m.prime(empty)
	for _, field := range []string{"bytes=0-", "bytes=-1", "bytes=0-0"} {
		if r := m.get(empty, "Range", field); r.StatusCode != 200 || !bytes.Equal(r.body, nil) || r.ContentLength != 0 {
			t.Errorf("%s: %s, %d bytes", field, r.Status, len(r.body))
		}
	}
}
