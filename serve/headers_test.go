package serve

import (
	"bytes"
	"strings"
	"testing"
)

// TestHugeHeaders: a request whose header is larger than any client's is refused, of
// whatever it is made, also behind a hit in the same write, and what it asks for is
// neither answered nor asked for upstream; one that is merely large is answered.
func TestHugeHeaders(t *testing.T) {
	m := newMirror(t, setup{})
	body := append(rpm(1000, 1), "the end of the body"...)
	m.put(pkg, body)
	m.atHand(pkg)
	m.up.Forget()
	const get = "GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\n"
	const end = "Connection: close\r\n\r\n"
	end1 := []byte("the end of the body")
	for _, tt := range []struct {
		name, request string
		answered      bool
	}{
		{"large, within bounds", get + "X: " + strings.Repeat("y", 8<<10) + "\r\n" + end, true},
		{"one field of 4 MiB", get + "X: " + strings.Repeat("y", 4<<20) + "\r\n" + end, false},
		{"200,000 fields", get + strings.Repeat("X: y\r\n", 200_000) + end, false},
		{"100,000 ranges", get + "Range: bytes=0-0" + strings.Repeat(",0-0", 400_000) + "\r\n" + end, false},
		{"a name of 4 MiB", get + strings.Repeat("X", 4<<20) + ": y\r\n" + end, false},
		{"a target of 4 MiB", "GET /r/" + strings.Repeat("x", 4<<20) + ".rpm HTTP/1.1\r\nHost: x\r\n" + end, false},
		{"a method of 4 MiB", strings.Repeat("X", 4<<20) + " /r/" + pkg + " HTTP/1.1\r\nHost: x\r\n" + end, false},
		{"a host of 4 MiB", "GET /r/" + pkg + " HTTP/1.1\r\nHost: " + strings.Repeat("x", 4<<20) + "\r\n" + end, false},
		{"a line without end", strings.Repeat("y", 4<<20), false},
		{"empty lines without end", strings.Repeat("\r\n", 2<<20), false},
	} {
		for _, before := range []string{"", get + "\r\n"} {
			hits := bytes.Count([]byte(before), []byte("GET "))
			all := m.converse([]string{before + tt.request}, "")
			got := bytes.Count(all, end1)
			want := hits
			if tt.answered {
				want++
			}
			// Where the server ends the connection with bytes unread, what it said may be lost.
			if got > want || tt.answered && got < want {
				t.Errorf("%s behind %d hits: %d bodies, want %d", tt.name, hits, got, want)
			}
		}
	}
	if list := m.up.Requests(); len(list) > 0 {
		t.Errorf("upstream was asked %d times", len(list))
	}
	if r := m.do(m.request("GET", "/r/"+pkg)); !bytes.Equal(r.body, body) {
		t.Errorf("afterwards: %s, %d bytes", r.Status, len(r.body))
	}
}
