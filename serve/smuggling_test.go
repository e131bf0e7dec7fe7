package serve

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// converse sends what is given on one connection, each part when what came before is
// answered (awaits says by which bytes), and returns all that is answered until the
// server ends the connection.
func (m *mirror) converse(parts []string, awaits string) []byte {
	m.t.Helper()
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		m.t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(hung)); err != nil {
		m.t.Fatal(err)
	}
	var all []byte
	for i, part := range parts {
		for n := 0; n < i; n = bytes.Count(all, []byte(awaits)) {
			buf := make([]byte, 16<<10)
			got, err := c.Read(buf)
			if all = append(all, buf[:got]...); err != nil {
				m.t.Fatalf("%v behind %d bytes", err, len(all))
			}
		}
		// The server may have ended the connection before it has read all.
		_, _ = io.WriteString(c, part)
	}
	rest, err := io.ReadAll(c)
	if e, ok := err.(net.Error); ok && e.Timeout() {
		m.t.Errorf("the connection does not end behind %q", parts[len(parts)-1])
	}
	return append(all, rest...)
}

// TestSmugglingBehindHits: what hides a request in another one has no other effect where
// hits are answered past net/http than where they are not: as the first request of a
// connection, in one write with a hit before it, and behind one that has been answered.
// The hidden request is neither answered nor passed on nor logged.
func TestSmugglingBehindHits(t *testing.T) {
	const hidden, marker = "os/Packages/hidden-1-1.noarch.rpm", "the hidden file's bytes"
	const inner = "GET /r/" + hidden + " HTTP/1.1\r\nHost: x\r\n\r\n"
	m := newMirror(t, setup{})
	body := append(rpm(1000, 1), "the end of the body"...)
	m.put(pkg, body)
	m.put(hidden, append(rpm(100, 2), marker...))
	m.atHand(pkg)
	const get = "GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\n"
	const hit = get + "\r\n"
	const last = "GET /-/healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
	length := "Content-Length: 62\r\n"
	if len(inner) != 62 {
		t.Fatalf("the hidden request has %d bytes", len(inner))
	}
	if all := m.converse([]string{hit + inner + last}, ""); !bytes.Contains(all, []byte(marker)) {
		t.Fatalf("one that is not hidden is not answered: %.2000q", all)
	}
	for _, tt := range []struct{ name, request string }{
		{"a body", get + length + "\r\n" + inner},
		{"a body of HEAD", "HEAD" + strings.TrimPrefix(get, "GET") + length + "\r\n" + inner},
		{"CL.TE", get + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner},
		{"TE.CL", get + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3e\r\n" + inner + "\r\n0\r\n\r\n"},
		{"TE.TE", get + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner},
		{"TE.TE, obscured", get + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner},
		{"TE with a space before its colon", get + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner},
		{"TE behind a vertical tab", get + "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + inner},
		{"TE behind NUL", get + "Transfer-Encoding\x00: chunked\r\n\r\n0\r\n\r\n" + inner},
		{"TE, folded", get + "Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n" + "x" + inner},
		{"CL, folded", get + "Content-Length:\r\n 62\r\n\r\n" + inner},
		{"CL in a folded field", get + "X: y\r\n " + length + "\r\n\x00" + inner},
		{"CL behind a bare LF", get + "X: y\n" + length + "\r\n" + inner},
		{"CL behind a bare CR", get + "X: y\r" + length + "\r\n" + inner},
		{"a header that ends in bare LF", get + length + "X: y\n\n" + inner},
		{"two lengths", get + length + "Content-Length: 0\r\n\r\n" + inner},
		{"two lengths in one", get + "Content-Length: 0, 62\r\n\r\n" + inner},
		{"a length and a plus", get + "Content-Length: +62\r\n\r\n" + inner},
		{"a length of another kind", get + "Content-Length: 0x3e\r\n\r\n" + inner},
		{"a length with an underscore", get + "Content_Length: 0\r\n" + length + "\r\n" + inner},
		{"a chunk's length and LF", get + "Transfer-Encoding: chunked\r\n\r\n3e\n" + inner + "\r\n0\r\n\r\n"},
		{"a chunk that is longer than it says", get + "Transfer-Encoding: chunked\r\n\r\n1\r\nxx\r\n0\r\n\r\n" + inner},
		{"a chunk's extension with a line in it", get + "Transfer-Encoding: chunked\r\n\r\n0;a=\"\n\n" + inner},
		{"a request line with one in it", "GET /r/" + pkg + " HTTP/1.1 " + "GET /r/" + hidden + " HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a target with a line in it", "GET /r/" + pkg + "\rGET /r/" + hidden + " HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"a version with a body", "GET /r/" + pkg + " HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n" + length + "\r\n" + inner},
		{"a method that is glued to a body", get + "Content-Length: 3\r\n\r\nabcX" + inner},
		{"a body that waits to be asked for", get + length + "Expect: 100-continue\r\n\r\n" + inner},
		{"another protocol", get + length + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n" + inner},
	} {
		for _, before := range []struct {
			name  string
			parts []string
		}{
			{"first", []string{tt.request + last}},
			{"in one write", []string{hit + hit + tt.request + last}},
			{"behind a hit", []string{hit, tt.request + last}},
		} {
			t.Run(tt.name+"/"+before.name, func(t *testing.T) {
				m.up.Forget()
				all := m.converse(before.parts, "the end of the body")
				if bytes.Contains(all, []byte(marker)) || bytes.Contains(all, []byte("hidden")) {
					t.Errorf("the hidden request is answered: %.2000q", all)
				}
				if bytes.Count(all, []byte("HTTP/1.")) == 0 {
					t.Errorf("no answer at all: %q", all)
				}
				for _, r := range m.up.Requests() {
					t.Errorf("upstream was asked for %s", r.URI)
				}
			})
		}
	}
	if n := strings.Count(strings.Join(m.lines(), "\n"), `"GET /r/`+hidden+` `); n != 1 {
		t.Errorf("the log has %d requests for the hidden file, of which one was not hidden", n)
	}
}
