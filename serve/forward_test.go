package serve

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// newForward is a proxy in front of a host that answers with h, which also is the
// upstream, below /q, of the repository "q"; the second value is that host.
func newForward(t *testing.T, h http.HandlerFunc) (*mirror, string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.DisableGeneralOptionsHandler = true
	s.Start()
	t.Cleanup(s.Close)
	return newMirror(t, setup{config: loopback + "[[repo]]\nname = \"q\"\nupstreams = [\"" + s.URL + "/q\"]\n"}), strings.TrimPrefix(s.URL, "http://")
}

// relays are the two ways by which requests are passed on: the beginnings of a
// proxy's targets and of a mirror's.
func relays(host string) []string { return []string{"http://" + host, "/q"} }

// at makes req one for path behind the beginning of a target.
func (m *mirror) at(req *http.Request, target, path string) *http.Request {
	m.t.Helper()
	if strings.HasPrefix(target, "/") {
		req.URL.Path = target + path
		return req
	}
	req.URL.Host, req.URL.Path, req.Host = strings.TrimPrefix(target, "http://"), path, ""
	return m.proxied(req)
}

// TestForwarded holds that what is asked of another host passes as it is.
func TestForwarded(t *testing.T) {
	var got *http.Request
	var sent []byte
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		sent, _ = io.ReadAll(r.Body) // what came before an error is compared
		got.Trailer = r.Trailer
		h := w.Header()
		h.Set("Connection", "X-Private")
		h.Set("X-Private", "1")
		h.Set("Set-Cookie", "a=b")
		h.Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusTeapot)
		if r.Method != http.MethodHead {
			io.WriteString(w, "body of "+r.Method)
			h.Set("X-Sum", "42")
		}
	})
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND"} {
		req := m.request(method, "/", "Connection", "X-Hop", "X-Hop", "1", "Proxy-Connection", "keep-alive", "Proxy-Authorization", "Basic eDp5",
			"Authorization", "Basic cTpy", "Cookie", "c=d", "X-Forwarded-For", "127.0.0.1", "Accept-Encoding", "br")
		req.URL.Host, req.URL.Path, req.URL.RawPath, req.URL.RawQuery = host, "/some/thing/else", "/some/thing%2Felse", "b=2&a=%20"
		req.Host = ""
		if method != "GET" && method != "HEAD" {
			req.Trailer = http.Header{"X-Count": {"3"}}
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader("question")), -1
		}
		r := m.do(m.proxied(req))
		if r.err != nil || r.StatusCode != http.StatusTeapot || r.status() != "imserve; fwd=bypass" || r.Header.Get("Via") != "1.1 "+m.server.via ||
			r.Header.Get("Set-Cookie") != "a=b" || r.Header.Get("X-Private") != "" {
			t.Errorf("%s: %v, %s %v", method, r.err, r.Status, r.Header)
		}
		if got.Method != method || got.Host != host || got.RequestURI != "/some/thing%2Felse?b=2&a=%20" {
			t.Errorf("%s: the host got %s %s for %s", method, got.Method, got.RequestURI, got.Host)
		}
		for name, want := range map[string]string{
			"X-Hop": "", "Proxy-Connection": "", "Proxy-Authorization": "", "Authorization": "Basic cTpy", "Cookie": "c=d", "X-Forwarded-For": "",
			"Accept-Encoding": "br", "Via": "1.1 " + m.server.via,
		} {
			if v := strings.Join(got.Header.Values(name), ", "); v != want {
				t.Errorf("%s: the host got %s: %q, want %q", method, name, v, want)
			}
		}
		switch method {
		case "HEAD":
			if len(r.body) != 0 {
				t.Errorf("HEAD has a body: %q", r.body)
			}
		default:
			if string(r.body) != "body of "+method || r.Trailer.Get("X-Sum") != "42" {
				t.Errorf("%s: %q, trailers %v", method, r.body, r.Trailer)
			}
			if method != "GET" && (string(sent) != "question" || got.ContentLength != -1 || got.Trailer.Get("X-Count") != "3") {
				t.Errorf("%s: the host got %q of %d bytes, trailers %v", method, sent, got.ContentLength, got.Trailer)
			}
		}
	}
}

// TestHostIsTheURLs holds that the URL of a request says which host is meant,
// whatever its Host field says (RFC 9112, 3.2.2).
func TestHostIsTheURLs(t *testing.T) {
	var hosts []string
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) { hosts = append(hosts, r.Host) })
	for _, field := range []string{"evil.test", "", host} {
		if r := m.send("GET http://" + host + "/ HTTP/1.1\r\nHost: " + field + "\r\nConnection: close\r\n\r\n"); r.StatusCode != 200 {
			t.Errorf("Host: %q: %s", field, r.Status)
		}
	}
	if fmt.Sprint(hosts) != fmt.Sprint([]string{host, host, host}) {
		t.Errorf("the host was asked as %q", hosts)
	}
}

// TestOptions holds what becomes of requests for a server as such, and of those
// that may go no further.
func TestOptions(t *testing.T) {
	var uri, hops string
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		uri, hops = r.RequestURI, r.Header.Get("Max-Forwards")
	})
	for _, tt := range []struct {
		line, field string
		code        int
		uri, hops   string
	}{
		{"OPTIONS http://" + host, "", 200, "*", ""},
		{"OPTIONS http://" + host + "/", "", 200, "/", ""},
		{"OPTIONS http://" + host + "?q", "", 200, "/?q", ""},
		{"OPTIONS http://" + host + "/a", "Max-Forwards: 5\r\n", 200, "/a", "4"},
		{"OPTIONS http://" + host + "/a", "Max-Forwards: 0\r\n", 204, "", ""},
		{"TRACE http://" + host + "/a", "Max-Forwards: 1\r\n", 200, "/a", "0"},
		{"TRACE http://" + host + "/a", "Max-Forwards: 0\r\n", 405, "", ""},
		{"GET http://" + host + "/a", "Max-Forwards: 0\r\n", 200, "/a", "0"},
	} {
		uri, hops = "", ""
		r := m.send(tt.line + " HTTP/1.1\r\nHost: x\r\n" + tt.field + "Connection: close\r\n\r\n")
		if r.StatusCode != tt.code || uri != tt.uri || hops != tt.hops {
			t.Errorf("%s, %q: %s, the host got %q, Max-Forwards %q", tt.line, tt.field, r.Status, uri, hops)
		}
	}
}

// TestBothWaysAtOnce holds that neither side of a relayed request has to end
// before the other may begin.
func TestBothWaysAtOnce(t *testing.T) {
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).EnableFullDuplex(); err != nil {
			t.Error(err)
		}
		w.(http.Flusher).Flush()
		in := bufio.NewReader(r.Body)
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			io.WriteString(w, "heard "+line)
			w.(http.Flusher).Flush()
		}
	})
	for _, target := range relays(host) {
		body, say := io.Pipe()
		req := m.request("POST", "/")
		req.Body, req.ContentLength = body, -1
		resp, err := m.http.Do(m.at(req, target, "/talk")) // before anything has been said
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		hear := bufio.NewReader(resp.Body)
		for _, word := range []string{"one\n", "two\n"} {
			io.WriteString(say, word)
			if line, err := hear.ReadString('\n'); err != nil || line != "heard "+word {
				t.Fatalf("%s: %q, %v", target, line, err)
			}
		}
		say.Close()
		if rest, err := io.ReadAll(hear); err != nil || len(rest) > 0 {
			t.Errorf("%s: %q, %v", target, rest, err)
		}
	}
}

// TestExpect holds that a body is not asked for before the host asks for it, and
// not at all where it does not.
func TestExpect(t *testing.T) {
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "100-continue" {
			t.Errorf("Expect: %q", r.Header.Get("Expect"))
		}
		if strings.HasSuffix(r.URL.Path, "/no") {
			// A host that would use the connection again, which is more than Go's does.
			c, buf, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			buf.WriteString("HTTP/1.1 413 Request Entity Too Large\r\nContent-Length: 0\r\n\r\n")
			buf.Flush()
			if rest, err := io.ReadAll(buf); err != nil || len(rest) > 0 {
				t.Errorf("the host was sent %q all the same, %v", rest, err)
			}
			return
		}
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, len(b), err)
	})
	for _, target := range relays(host) {
		for path, want := range map[string]string{
			"/yes": "HTTP/1.1 100 Continue",
			"/no":  "HTTP/1.1 413 Request Entity Too Large",
		} {
			expect(t, m, target+path, want)
		}
	}
}

// expect sends a body to target once it is asked for it; want is the first line
// of what is answered.
func expect(t *testing.T, m *mirror, target, want string) {
	t.Helper()
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", target)
	in := bufio.NewReader(c)
	line, err := in.ReadString('\n')
	if err != nil || strings.TrimSpace(line) != want {
		t.Errorf("%s: %q, %v", target, line, err)
	}
	if !strings.Contains(want, " 100 ") {
		return
	}
	if line, err := in.ReadString('\n'); err != nil || line != "\r\n" {
		t.Errorf("behind 100: %q, %v", line, err)
	}
	io.WriteString(c, "5\r\nhello\r\n0\r\n\r\n")
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "5 <nil>" {
		t.Errorf("%s: %s %q, %v", target, resp.Status, b, err)
	}
}

// TestInterimAnswers holds that what comes before an answer passes, to a client
// that knows such answers.
func TestInterimAnswers(t *testing.T) {
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Del("Link")
		w.WriteHeader(http.StatusProcessing)
		io.WriteString(w, "answer")
	})
	for _, target := range relays(host) {
		var early []string
		req := m.request("GET", "/")
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				early = append(early, fmt.Sprint(code, h.Get("Link"), h.Get("Keep-Alive")))
				return nil
			},
		}))
		r := m.do(m.at(req, target, "/early"))
		if r.StatusCode != 200 || string(r.body) != "answer" || r.Header.Get("Link") != "" || r.Header.Get("Via") == "" {
			t.Errorf("%s: %s %q %v", target, r.Status, r.body, r.Header)
		}
		if got := strings.Join(early, ", "); got != "103</style.css>; rel=preload, 102" {
			t.Errorf("%s: before it came %q", target, got)
		}
		if r := m.send("GET " + target + "/early HTTP/1.0\r\n\r\n"); r.StatusCode != 200 || string(r.body) != "answer" {
			t.Errorf("%s: a client of HTTP/1.0: %s %q", target, r.Status, r.body)
		}
	}
}

// TestSwitchedProtocols: a host that talks of another protocol, unasked.
func TestSwitchedProtocols(t *testing.T) {
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "" {
			t.Error("the host is asked for another protocol")
		}
		c, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		buf.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
		buf.Flush()
	})
	if r := m.ask("GET", "http://"+host+"/", "Upgrade", "x", "Connection", "Upgrade"); r.StatusCode != 502 {
		t.Errorf("%s %q", r.Status, r.body)
	}
}

// TestSmuggling holds that no request is read from what another proxy may take
// for a body, and that what has two readings is refused.
func TestSmuggling(t *testing.T) {
	var mu sync.Mutex
	var paths []string
	m, host := newForward(t, func(w http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err == nil {
			mu.Lock()
			paths = append(paths, r.Method+" "+r.URL.Path+" "+string(b))
			mu.Unlock()
		}
	})
	took := func() string {
		mu.Lock()
		defer mu.Unlock()
		defer func() { paths = nil }()
		return strings.Join(paths, ", ")
	}
	const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	post := "POST http://" + host + "/a HTTP/1.1\r\nHost: x\r\n"
	for _, tt := range []struct {
		name, request string
		code          int    // of the only answer
		got           string // what the host got
	}{
		{"CL.TE", post + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner, 200, "POST /a "},
		{"TE.CL", post + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n3\r\nabc\r\n0\r\n\r\n" + inner, 200, "POST /a abc"},
		{"TE alone, and more behind it", post + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner, 200, "POST /a "},
		{"TE of HTTP/1.0", "POST http://" + host + "/a HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc" + inner, 200, "POST /a abc"},
		{"TE.TE", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n" + inner, 501, ""},
		{"TE: x, chunked", post + "Transfer-Encoding: x, chunked\r\n\r\n0\r\n\r\n" + inner, 501, ""},
		{"TE: chunked with a tab", post + "Transfer-Encoding:\tchunked x\r\n\r\n0\r\n\r\n" + inner, 501, ""},
		{"a space before the colon", post + "Transfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n" + inner, 400, ""},
		{"two lengths", post + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc" + inner, 400, ""},
		{"two lengths in one field", post + "Content-Length: 3, 4\r\n\r\nabc" + inner, 400, ""},
		{"a signed length", post + "Content-Length: +3\r\n\r\nabc" + inner, 400, ""},
		{"a length with an x", post + "Content-Length: 0x3\r\n\r\nabc" + inner, 400, ""},
		{"a chunk that ends in LF", post + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n" + inner, 400, ""},
		{"a chunk that is too long", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n" + inner, 400, ""},
		{"a folded TE is one that is read", post + "Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + inner, 200, "POST /a "},
		{"a field before the first", "POST http://" + host + "/a HTTP/1.1\r\n Host: x\r\n\r\n" + inner, 400, ""},
		{"CR in a field", post + "X: a\rTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n" + inner, 400, ""},
		{"NUL in a field", post + "X: a\x00b\r\n\r\n" + inner, 400, ""},
		{"two hosts", "GET http://" + host + "/a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + inner, 400, ""},
		{"no host", "GET http://" + host + "/a HTTP/1.1\r\n\r\n" + inner, 400, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", m.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, tt.request); err != nil {
				t.Fatal(err)
			}
			if err := c.SetReadDeadline(time.Now().Add(hung)); err != nil {
				t.Fatal(err)
			}
			// To the end, which is the server's: a client that goes on gets nothing. It
			// may be a reset, since the server leaves what it does not read.
			all, _ := io.ReadAll(c)
			first, _, _ := bytes.Cut(all, []byte("\r\n"))
			if n := bytes.Count(all, []byte("HTTP/1.1 ")) + bytes.Count(all, []byte("HTTP/1.0 ")); n != 1 || !bytes.Contains(first, fmt.Appendf(nil, " %d ", tt.code)) {
				t.Errorf("%d answers: %q", n, all)
			}
			if got := took(); got != tt.got {
				t.Errorf("the host got %q", got)
			}
		})
	}
	// Equal lengths are one length (RFC 9112, 6.3), and lines may end in LF alone (2.2).
	r := m.send(strings.ReplaceAll(post, "\r\n", "\n") + "Content-Length: 3\nContent-Length: 3\nConnection: close\n\nabc")
	if got := took(); r.StatusCode != 200 || got != "POST /a abc" {
		t.Errorf("%s, the host got %q", r.Status, got)
	}
}
