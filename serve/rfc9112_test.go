package serve

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// framed is an answer as it comes from the wire, with the section of RFC 9112 that
// says where it ends. BODY stands for the file, CHUNKS for it in chunks, LENGTH
// for its length; the connection ends behind it.
type framed struct {
	name, text string
	// What a client gets where the answer is relayed: the body, or else something
	// that does not look whole; and whether it is stored where it is a file's.
	relayed, stored bool
	has             []string // fields of the relayed answer, pairs; "" is none
}

func framings() []framed {
	const ok = "HTTP/1.1 200 OK\r\n"
	return []framed{
		{name: "6.2: a length", text: ok + "Content-Length: LENGTH\r\n\r\nBODY", relayed: true, stored: true},
		{name: "6.3: one length twice", text: ok + "Content-Length: LENGTH\r\nContent-Length: LENGTH\r\n\r\nBODY", relayed: true, stored: true},
		{name: "6.3: two lengths", text: ok + "Content-Length: LENGTH\r\nContent-Length: 5\r\n\r\nBODY"},
		{name: "6.3: a list of two lengths", text: ok + "Content-Length: LENGTH, 5\r\n\r\nBODY"},
		{name: "6.2: a length that is none", text: ok + "Content-Length: +5\r\n\r\nBODY"},
		{name: "6.2: a negative length", text: ok + "Content-Length: -1\r\n\r\nBODY"},
		{name: "8: less than the length", text: ok + "Content-Length: 1LENGTH\r\n\r\nBODY"},
		{name: "6.3: what follows the length is no answer", text: ok + "Content-Length: LENGTH\r\n\r\nBODYHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad", relayed: true, stored: true},
		{name: "7.1: chunks", text: ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKS0\r\n\r\n", relayed: true, stored: true},
		{name: "7.1.1: extensions of chunks say nothing", text: ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKS0;x=y\r\n\r\n", relayed: true, stored: true},
		{name: "7.1.2: trailers pass, and are no part of the file", text: ok + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\nCHUNKS0\r\nX-Sum: 1\r\n\r\n", relayed: true, stored: true, has: []string{"X-Sum", ""}},
		{name: "6.1: chunks and a length", text: ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nCHUNKS0\r\n\r\n", relayed: true, stored: true, has: []string{"Content-Length", ""}},
		{name: "8: chunks without an end", text: ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKS"},
		{name: "8: chunks with no last CRLF", text: ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKS0\r\n"},
		{name: "7.1: a chunk whose size is none", text: ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKSx\r\n\r\n"},
		{name: "7.1: a chunk whose size is beyond all numbers", text: ok + "Transfer-Encoding: chunked\r\n\r\nCHUNKSfffffffffffffffff\r\nx"},
		{name: "6.1: a coding that nobody knows", text: ok + "Transfer-Encoding: x, chunked\r\n\r\nCHUNKS0\r\n\r\n"},
		{name: "6.3: to the end of the connection: relayed, but never stored", text: ok + "\r\nBODY", relayed: true},
		{name: "6.3: the same of HTTP/1.0", text: "HTTP/1.0 200 OK\r\n\r\nBODY", relayed: true},
		{name: "2.3: an answer of HTTP/1.0", text: "HTTP/1.0 200 OK\r\nContent-Length: LENGTH\r\n\r\nBODY", relayed: true, stored: true},
		{name: "5.2: a folded field is one line", text: ok + "X-Fold: a\r\n  b\r\nContent-Length: LENGTH\r\n\r\nBODY", relayed: true, stored: true, has: []string{"X-Fold", "a b"}},
		{name: "2.2: lines that end in LF", text: strings.ReplaceAll(ok+"Content-Length: LENGTH\r\n\r\n", "\r\n", "\n") + "BODY", relayed: true, stored: true},
		{name: "5.1: a field without a colon", text: ok + "X-Bad\r\nContent-Length: LENGTH\r\n\r\nBODY"},
		{name: "4: no status", text: "HTTP/1.1 OK\r\nContent-Length: LENGTH\r\n\r\nBODY"},
		{name: "2.3: no HTTP", text: "SSH-2.0-OpenSSH_9.9\r\n"},
		{name: "9110, 15.2: answers before the answer", text: "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + ok + "Content-Length: LENGTH\r\n\r\nBODY",
			relayed: true, stored: true, has: []string{"Link", ""}},
		{name: "8: nothing at all", text: ""},
	}
}

// TestFraming: where an answer of upstream's ends. What has no right end is no
// whole answer to any client, and is not stored.
func TestFraming(t *testing.T) {
	o := newOrigin(t)
	var chunks bytes.Buffer
	for part := range slices.Chunk(testPackage, 1000) {
		fmt.Fprintf(&chunks, "%x\r\n%s\r\n", len(part), part)
	}
	fill := strings.NewReplacer("BODY", string(testPackage), "CHUNKS", chunks.String(), "LENGTH", fmt.Sprint(len(testPackage)))
	for i, tt := range framings() {
		t.Run(tt.name, func(t *testing.T) {
			o.does(raw(fill.Replace(tt.text)))
			path := fmt.Sprintf("%d/notes", i)
			// Twice on one connection of the client's: the second answer is its own.
			for range 2 {
				r := o.try(o.request("GET", "/q/"+path))
				switch whole := r.err == nil && r.StatusCode == 200; {
				case whole != tt.relayed:
					t.Errorf("relayed: %s, %d bytes, %v; want it whole: %v", r.Status, len(r.body), r.err, tt.relayed)
				case whole && !bytes.Equal(r.body, testPackage):
					t.Errorf("relayed: %d other bytes", len(r.body))
				case whole:
					compare(t, "the client", r.Header, tt.has)
				case r.err == nil && r.StatusCode != 502:
					t.Errorf("relayed: %s", r.Status)
				}
			}
			for _, f := range []form{byMirror, byProxy} {
				path := fmt.Sprintf("%d/a-1-1.noarch.rpm", i)
				r := o.asks(f, "GET", path)
				o.quiet()
				if whole := r.err == nil && r.StatusCode == 200; whole != tt.relayed || whole && !bytes.Equal(r.body, testPackage) {
					t.Errorf("by %s: %s, %d bytes, %v", f, r.Status, len(r.body), r.err)
				}
				if got := slices.Contains(o.files(), o.key(f, path)); got != tt.stored {
					t.Errorf("by %s: stored: %v, want %v", f, got, tt.stored)
				}
			}
		})
	}
}
