package serve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"intelligentmirror/internal/testrepo"
)

// newRelay is a mirror of an upstream that answers with h.
func newRelay(t *testing.T, h http.HandlerFunc) *mirror {
	t.Helper()
	up := httptest.NewServer(h)
	t.Cleanup(up.Close)
	return newMirror(t, setup{config: fmt.Sprintf("[[repo]]\nname = \"q\"\nupstreams = [\"%s/base\"]\n", up.URL)})
}

// TestRelayed holds that what is none of our business passes as it is.
func TestRelayed(t *testing.T) {
	var got *http.Request
	var sent []byte
	m := newRelay(t, func(w http.ResponseWriter, r *http.Request) {
		got = r.Clone(context.Background())
		sent, _ = io.ReadAll(r.Body) // what came before an error is compared
		h := w.Header()
		h.Set("Content-Type", "text/x-test")
		h.Set("Etag", `"theirs"`)
		h.Set("X-Private", "1")
		h.Set("Keep-Alive", "timeout=5")
		h.Set("Connection", "X-Private")
		h.Set("Cache-Status", "edge; hit")
		h.Set("Set-Cookie", "a=b")
		h.Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "body of ")
		w.(http.Flusher).Flush()
		io.WriteString(w, r.Method)
		h.Set("X-Sum", "42")
		h.Set(http.TrailerPrefix+"X-Late", "43")
	})
	req := m.request(http.MethodPost, "/q/some/thing%2Felse?b=2&a=%20",
		"Connection", "X-Hop, Keep-Alive", "X-Hop", "1", "Te", "trailers", "Proxy-Authorization", "Basic eDp5", "Upgrade", "websocket",
		"X-Forwarded-For", "10.1.2.3", "Cookie", "c=d", "X-End", "2", "Accept-Encoding", "br", "Via", "1.0 other")
	req.Body, req.ContentLength = io.NopCloser(strings.NewReader("question")), 8
	r := m.do(req)
	if r.err != nil {
		t.Fatal(r.err)
	}
	if r.StatusCode != http.StatusTeapot || string(r.body) != "body of POST" {
		t.Errorf("%s %q", r.Status, r.body)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/x-test", "Etag": `"theirs"`, "Set-Cookie": "a=b", "X-Private": "", "Keep-Alive": "",
		"Cache-Status": "edge; hit, imserve; fwd=bypass", "Via": "1.1 " + m.server.via,
	} {
		if v := strings.Join(r.Header.Values(name), ", "); v != want {
			t.Errorf("answer: %s: %q, want %q", name, v, want)
		}
	}
	if r.Trailer.Get("X-Sum") != "42" || r.Trailer.Get("X-Late") != "43" {
		t.Errorf("trailers %v", r.Trailer)
	}
	if got.Method != http.MethodPost || got.RequestURI != "/base/some/thing%2Felse?b=2&a=%20" || string(sent) != "question" || got.ContentLength != 8 {
		t.Errorf("upstream got %s %s %q", got.Method, got.RequestURI, sent)
	}
	for name, want := range map[string]string{
		"X-Hop": "", "Te": "", "Proxy-Authorization": "", "Upgrade": "", "Connection": "", "X-Forwarded-For": "",
		"Cookie": "c=d", "X-End": "2", "Accept-Encoding": "br", "Via": "1.0 other, 1.1 " + m.server.via, "User-Agent": "Go-http-client/1.1",
	} {
		if v := strings.Join(got.Header.Values(name), ", "); v != want {
			t.Errorf("request: %s: %q, want %q", name, v, want)
		}
	}
	if files := m.files(); len(files) != 0 {
		t.Errorf("stored: %q", files)
	}
}

// TestRelayedMethods holds that the method is none of our business either.
func TestRelayedMethods(t *testing.T) {
	m := newRelay(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Method", r.Method)
		w.Header().Set("X-Agent", r.UserAgent())
		w.Header().Set("Content-Length", "3")
		if r.Method != http.MethodHead {
			io.WriteString(w, "abc")
		}
	})
	for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PROPFIND"} {
		r := m.do(m.request(method, "/q/", "User-Agent", ""))
		if r.StatusCode != 200 || r.Header.Get("X-Method") != method || r.ContentLength != 3 || r.Header.Get("X-Agent") != "" {
			t.Errorf("%s: %s %v", method, r.Status, r.Header)
		}
	}
}

// TestRelayedAsItIs holds what else is left alone: redirects, statuses without a
// body, a body without a type.
func TestRelayedAsItIs(t *testing.T) {
	m := newRelay(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/moved":
			w.Header().Set("Location", "https://example.org/else?where")
			w.WriteHeader(http.StatusFound)
		case "/base/same":
			w.WriteHeader(http.StatusNotModified)
		case "/base/plain":
			w.Header()["Content-Type"] = nil
			io.WriteString(w, "<html>")
		}
	})
	if r := m.get("/q/moved"); r.StatusCode != 302 || r.Header.Get("Location") != "https://example.org/else?where" {
		t.Errorf("%s %q", r.Status, r.Header.Get("Location"))
	}
	if r := m.get("/q/same"); r.StatusCode != 304 {
		t.Error(r.Status)
	}
	if r := m.get("/q/plain"); string(r.body) != "<html>" || len(r.Header["Content-Type"]) != 0 {
		t.Errorf("%q as %q", r.body, r.Header["Content-Type"])
	}
}

// TestRelayedWhat holds which URLs are relayed though their names are a package's.
func TestRelayedWhat(t *testing.T) {
	m := newMirror(t, setup{repo: "aliases = [\"http://old.example.org/pub/r\"]\nalias_paths = [\"/pub/linux/r\"]\n"})
	body := rpm(100, 1)
	m.put(pkg, body)
	m.put("os/notes", []byte("text"))
	for _, tt := range []struct{ path, status string }{
		{"os/notes", "imserve; fwd=bypass"},
		{pkg + "?token=1", "imserve; fwd=bypass"},
		{"os%2FPackages/a-1-1.noarch.rpm", "imserve; fwd=bypass"},
		{"os/Packages/a-1-1.noarch.rpm", "imserve; fwd=uri-miss; stored"},
		{"/pub/linux/r/os/notes", "imserve; fwd=bypass"},
	} {
		if r := m.get(tt.path); r.StatusCode != 200 || r.status() != tt.status {
			t.Errorf("%s: %s, Cache-Status %q, want %q", tt.path, r.Status, r.status(), tt.status)
		}
	}
	m.prime(pkg)
	for _, path := range []string{"os/Packages/a%2D1-1.noarch.rpm", "os//Packages/./x/../a-1-1.noarch.rpm", "/pub/linux/r/" + pkg, "/x/%2e%2E/r/" + pkg} {
		if r := m.get(path); !bytes.Equal(r.body, body) || r.status() != "imserve; hit" {
			t.Errorf("%s: %s, Cache-Status %q", path, r.Status, r.status())
		}
	}
	if got, want := m.files(), []string{"r/" + pkg}; !slices.Equal(got, want) {
		t.Errorf("stored: %q", got)
	}
}

// TestRelayedStream holds that a relayed body goes on as it comes.
func TestRelayedStream(t *testing.T) {
	more := make(chan struct{})
	m := newRelay(t, func(w http.ResponseWriter, r *http.Request) {
		for _, part := range []string{"one", "two"} {
			w.(http.Flusher).Flush()
			<-more
			io.WriteString(w, part)
		}
	})
	resp, err := m.http.Do(m.request(http.MethodGet, "/q/stream")) // the header is there before any byte
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, part := range []string{"one", "two"} {
		more <- struct{}{}
		got := make([]byte, 3)
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != part {
			t.Fatalf("%q, %v", got, err)
		}
	}
}

func TestRelayedBroken(t *testing.T) {
	m := newMirror(t, setup{})
	m.put("os/notes", bytes.Repeat([]byte("text"), 10_000))
	m.up.On("*", testrepo.Chunked().With(testrepo.Cut(20_000)))
	if r := m.do(m.request(http.MethodGet, "os/notes")); r.err == nil {
		t.Errorf("%d bytes look whole", len(r.body))
	}
	m.up.Stop()
	r := m.get("os/notes")
	if r.StatusCode != 502 || !strings.HasPrefix(string(r.body), "No route to host") || r.status() != "imserve; fwd=bypass" {
		t.Errorf("%s %q, Cache-Status %q", r.Status, r.body, r.status())
	}
}

// TestRelayedTrailers holds that what follows a request's body arrives behind it.
func TestRelayedTrailers(t *testing.T) {
	var sum string
	m := newRelay(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		sum = r.Trailer.Get("X-Sum")
	})
	req := m.request(http.MethodPost, "/q/upload")
	req.Trailer = http.Header{"X-Sum": nil}
	req.Body = io.NopCloser(io.MultiReader(strings.NewReader("question"), atEnd(func() { req.Trailer.Set("X-Sum", "42") })))
	req.ContentLength = -1
	if r := m.do(req); r.err != nil || r.StatusCode != http.StatusOK || sum != "42" {
		t.Errorf("%v, trailer %q", r.err, sum)
	}
}

// atEnd is a reader that calls itself where it ends.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}

// TestUpstreamLeadsBack: a mirror that redirects to this very server is found
// out at once, and not by a time-out.
func TestUpstreamLeadsBack(t *testing.T) {
	m := newMirror(t, setup{})
	m.up.On("*", testrepo.Redirect("http://"+m.addr+"/"))
	r := m.get(pkg)
	if r.StatusCode != http.StatusBadGateway || !strings.Contains(string(r.body), "508") {
		t.Errorf("%s %q", r.Status, r.body)
	}
}

func TestLoop(t *testing.T) {
	m := newMirror(t, setup{})
	for _, path := range []string{"os/notes", pkg} {
		r := m.get(path, "Via", "1.0 fred, 1.1 "+m.server.via)
		if r.StatusCode != 508 || r.status() != "imserve" {
			t.Errorf("%s: %s, Cache-Status %q", path, r.Status, r.status())
		}
		if r := m.get(path, "Via", "1.1 imserve-somebody"); r.StatusCode != 404 {
			t.Errorf("another imserve's request: %s", r.Status)
		}
	}
}
