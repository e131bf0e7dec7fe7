package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// passage is a message that passes this server, with the section that says how.
type passage struct {
	name string
	// The request: its line has PATH for the path or URL of a form. Lines end in
	// CRLF; Host and Connection: close are added.
	line    string
	fields  []string
	body    string
	answer  http.HandlerFunc // nil: 200 with "ok"
	code    int
	heard   []string // fields that the host got, pairs; "" is none
	has     []string // fields that the client got
	refused bool     // the host got nothing
}

// forwards are by RFC 9110 unless they say otherwise.
func forwards(via string) []passage {
	return []passage{
		{name: "7.6.1: fields of the connection do not pass", line: "GET PATH HTTP/1.1", code: 200,
			fields: []string{"Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: 5", "Proxy-Connection: keep-alive", "TE: trailers", "Upgrade: h2c", "X-End: 2"},
			heard:  []string{"X-Hop", "", "Keep-Alive", "", "Proxy-Connection", "", "Te", "", "Upgrade", "", "Connection", "", "X-End", "2"}},
		{name: "7.6.1: nor do an answer's", line: "GET PATH HTTP/1.1", code: 200,
			answer: sends(200, []byte("ok"), "Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=5", "X-End", "2"),
			has:    []string{"X-Hop", "", "Keep-Alive", "", "X-End", "2"}},
		{name: "7.6.2: Max-Forwards of OPTIONS counts down", line: "OPTIONS PATH HTTP/1.1", fields: []string{"Max-Forwards: 3"}, code: 200, heard: []string{"Max-Forwards", "2"}},
		{name: "7.6.2: and ends", line: "OPTIONS PATH HTTP/1.1", fields: []string{"Max-Forwards: 0"}, code: 204, has: []string{"Allow", "GET, HEAD, OPTIONS, CONNECT"}, refused: true},
		{name: "7.6.2: Max-Forwards of TRACE counts down", line: "TRACE PATH HTTP/1.1", fields: []string{"Max-Forwards: 1"}, code: 200, heard: []string{"Max-Forwards", "0"}},
		{name: "7.6.2: and ends, with nothing sent back", line: "TRACE PATH HTTP/1.1", fields: []string{"Max-Forwards: 0", "Cookie: secret=1"}, code: 405, refused: true},
		{name: "7.6.2: of other methods it is not ours", line: "GET PATH HTTP/1.1", fields: []string{"Max-Forwards: 0"}, code: 200, heard: []string{"Max-Forwards", "0"}},
		{name: "7.6.3: Via both ways", line: "GET PATH HTTP/1.1", fields: []string{"Via: 1.0 fred"}, code: 200, heard: []string{"Via", "1.0 fred, 1.1 " + via}, has: []string{"Via", "1.1 " + via}},
		{name: "7.6.3: Via has the version that came", line: "GET PATH HTTP/1.0", code: 200, heard: []string{"Via", "1.0 " + via}, has: []string{"Via", "1.1 " + via}},
		{name: "7.6.3: a loop is found", line: "GET PATH HTTP/1.1", fields: []string{"Via: 1.1 " + via}, code: 508, refused: true},
		{name: "6.6.1: an answer without Date gets one", line: "GET PATH HTTP/1.1", code: 200,
			answer: func(w http.ResponseWriter, _ *http.Request) { w.Header()["Date"] = nil }},
		{name: "6.6.1: an answer's Date stays", line: "GET PATH HTTP/1.1", code: 200, answer: sends(200, nil, "Date", dated), has: []string{"Date", dated}},
		{name: "7.7: nothing of a relayed answer is transformed", line: "GET PATH HTTP/1.1", code: 206,
			answer: sends(206, []byte("cd"), "Content-Range", "bytes 2-3/9", "Content-Encoding", "br", "Etag", `W/"x"`, "Last-Modified", dated, "Content-Location", "/x", "Server", "other", "Age", "7", "Warning", "110 x y", "Vary", "*"),
			has: []string{"Content-Range", "bytes 2-3/9", "Content-Encoding", "br", "Etag", `W/"x"`, "Last-Modified", dated, "Content-Location", "/x",
				"Server", "other", "Age", "7", "Warning", "110 x y", "Vary", "*"}},
		{name: "5.3: fields of one name keep their order", line: "GET PATH HTTP/1.1", fields: []string{"X-A: 1", "X-B: 3", "X-A: 2"}, code: 200, heard: []string{"X-A", "1, 2"}},
		{name: "5.1: fields that nobody knows pass", line: "GET PATH HTTP/1.1", fields: []string{"X-Unheard-Of: 1"}, code: 200, heard: []string{"X-Unheard-Of", "1"}},
		{name: "10.1.1: Expect of HTTP/1.0 is not looked at", line: "POST PATH HTTP/1.0", fields: []string{"Expect: 100-continue", "Content-Length: 2"}, body: "hi", code: 200, heard: []string{"Expect", ""}},
		{name: "10.1.1: an expectation that nobody knows", line: "GET PATH HTTP/1.1", fields: []string{"Expect: the-spanish-inquisition"}, code: 417, refused: true},
		{name: "11.7.2: what is for a proxy does not pass", line: "GET PATH HTTP/1.1", fields: []string{"Proxy-Authorization: Basic eDp5", "Authorization: Basic cTpy"}, code: 200,
			heard: []string{"Proxy-Authorization", "", "Authorization", "Basic cTpy"}},
		{name: "9.3.4: PUT", line: "PUT PATH HTTP/1.1", fields: []string{"Content-Length: 2"}, body: "hi", code: 201, answer: sends(201, nil, "Location", "/x"), has: []string{"Location", "/x"}, heard: []string{"Content-Length", "2"}},
		{name: "9112, 7.1: PUT in chunks", line: "PUT PATH HTTP/1.1", fields: []string{"Transfer-Encoding: chunked"}, body: "2\r\nhi\r\n0\r\n\r\n", code: 200},
		{name: "9.3.2: HEAD", line: "HEAD PATH HTTP/1.1", code: 200, answer: sends(200, []byte("ok")), has: []string{"Content-Length", "2"}},
		{name: "15.2.2, 7.8: a protocol that nobody asked for", line: "GET PATH HTTP/1.1", fields: []string{"Connection: Upgrade", "Upgrade: x"}, code: 502, heard: []string{"Upgrade", ""},
			answer: raw("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")},
		{name: "15.3.5, 6.4.1: 204 has no body", line: "DELETE PATH HTTP/1.1", code: 204, answer: sends(204, nil), has: []string{"Content-Length", "", "Transfer-Encoding", ""}},
		{name: "15.4.5: a relayed 304", line: "GET PATH HTTP/1.1", fields: []string{`If-None-Match: "x"`}, code: 304, answer: sends(304, nil, "Etag", `"x"`), has: []string{"Etag", `"x"`}, heard: []string{"If-None-Match", `"x"`}},
		{name: "15.1: a status that nobody knows", line: "GET PATH HTTP/1.1", code: 477, answer: sends(477, nil)},
		{name: "9112, 9.3: a client of HTTP/1.0", line: "GET PATH HTTP/1.0", code: 200,
			answer: func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); io.WriteString(w, "ok") }, has: []string{"Transfer-Encoding", ""}},
	}
}

// raw answers with these bytes, and ends the connection.
func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		_, _ = io.WriteString(c, text) // its client may have had enough
	}
}

// TestForwards: what becomes of a message that is only passed on, of a repository
// by the mirror's path and of another host by its URL.
func TestForwards(t *testing.T) {
	o := newOrigin(t)
	for _, tt := range forwards(o.server.via) {
		for target, want := range map[string]string{"/q/some/thing": "/base/some/thing", o.url + "/some/thing": "/some/thing"} {
			t.Run(tt.name+"/"+want, func(t *testing.T) {
				var got *http.Request
				var sent []byte
				o.does(func(w http.ResponseWriter, r *http.Request) {
					got = r
					sent, _ = io.ReadAll(r.Body) // what came is compared
					if tt.answer != nil {
						tt.answer(w, r)
						return
					}
					io.WriteString(w, "ok")
				})
				lines := append([]string{strings.Replace(tt.line, "PATH", target, 1), "Host: x"}, tt.fields...)
				if !slices.ContainsFunc(tt.fields, func(f string) bool { return strings.HasPrefix(f, "Connection:") }) {
					lines = append(lines, "Connection: close")
				}
				r := o.send(strings.Join(lines, "\r\n") + "\r\n\r\n" + tt.body)
				if r.StatusCode != tt.code {
					t.Fatalf("%s %q; want %d", r.Status, r.body, tt.code)
				}
				compare(t, "the client", r.Header, tt.has)
				if r.Header.Get("Date") == "" {
					t.Error("6.6.1: no Date")
				}
				if (got == nil) != tt.refused {
					t.Fatalf("the host got %v", got)
				}
				if got == nil {
					return
				}
				compare(t, "the host", got.Header, tt.heard)
				if method, _, _ := strings.Cut(tt.line, " "); got.Method != method || got.RequestURI != want || got.ProtoMinor != 1 {
					t.Errorf("the host got %s %s %s", got.Method, got.RequestURI, got.Proto)
				}
				if want := map[bool]string{true: "hi"}[tt.body != ""]; string(sent) != want {
					t.Errorf("the host got the body %q, want %q", sent, want)
				}
				if tt.answer == nil && string(r.body) != "ok" {
					t.Errorf("the client got the body %q", r.body)
				}
			})
		}
	}
	if got := o.files(); len(got) > 0 {
		t.Errorf("stored: %q", got)
	}
}

// compare compares fields; what is expected is in pairs, "" being none.
func compare(t *testing.T, who string, h http.Header, want []string) {
	t.Helper()
	for i := 0; i+1 < len(want); i += 2 {
		if got := strings.Join(h.Values(want[i]), ", "); got != want[i+1] {
			t.Errorf("%s got %s: %q, want %q", who, want[i], got, want[i+1])
		}
	}
}

// TestViaOfFiles: RFC 9110, 7.6.3: what a proxy forwards has its name in it, also
// where it comes from the cache; what a mirror answers by itself need not.
func TestViaOfFiles(t *testing.T) {
	o := newOrigin(t)
	o.does(sends(200, testPackage, "Last-Modified", dated))
	for _, f := range forms {
		want := "1.1 " + o.server.via
		if f == byMirror {
			want = ""
		}
		path := f.String() + "/a-1-1.noarch.rpm"
		for _, method := range []string{"HEAD", "GET", "GET", "HEAD"} {
			if r := o.asks(f, method, path); r.StatusCode != 200 || r.Header.Get("Via") != want {
				t.Errorf("%s by %s: %s, Via %q, want %q", method, f, r.Status, r.Header.Get("Via"), want)
			}
			o.quiet()
		}
	}
}

// TestPersistence: RFC 9112, 9.3: what a proxy's client of HTTP/1.0 keeps alive, a
// proxy before it may not know; a mirror's client may.
func TestPersistence(t *testing.T) {
	o := newOrigin(t)
	o.does(sends(200, []byte("ok")))
	for _, tt := range []struct {
		name, line, fields string
		stays              bool
	}{
		{"1.1", "GET /q/x HTTP/1.1", "", true},
		{"1.1, close", "GET /q/x HTTP/1.1", "Connection: close\r\n", false},
		{"1.0", "GET /q/x HTTP/1.0", "", false},
		{"1.0, keep-alive, of a mirror", "GET /q/x HTTP/1.0", "Connection: keep-alive\r\n", true},
		{"1.0, keep-alive, of a proxy", "GET " + o.url + "/x HTTP/1.0", "Connection: keep-alive\r\n", false},
		{"1.1, of a proxy", "GET " + o.url + "/x HTTP/1.1", "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", o.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			in := bufio.NewReader(c)
			ask := func() error {
				if _, err := fmt.Fprintf(c, "%s\r\nHost: x\r\n%s\r\n", tt.line, tt.fields); err != nil {
					return err
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					return err
				}
				if b, err := io.ReadAll(resp.Body); err != nil || !bytes.Equal(b, []byte("ok")) {
					t.Errorf("%s %q, %v", resp.Status, b, err)
				}
				return nil
			}
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			if err := ask(); (err == nil) != tt.stays {
				t.Errorf("a second request: %v, want an answer: %v", err, tt.stays)
			}
		})
	}
}
