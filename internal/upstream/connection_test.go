package upstream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/testrepo"
)

// TestLeftOver: what a server sends behind an answer is not the answer to the request
// that comes next, however soon that comes: RFC 9112, 6.3 ("a client MUST NOT process,
// cache, or forward such extra data as a separate response").
func TestLeftOver(t *testing.T) {
	const bad = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad"
	for _, tt := range []struct{ name, method, first string }{
		{"behind a body", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"},
		{"behind a last chunk", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"},
		{"behind an answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
		{"behind no body", "GET", "HTTP/1.1 204 No Content\r\n\r\n"},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(tt.name+" of "+scheme, func(t *testing.T) {
				var asked atomic.Int32
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					text := "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecond"
					if asked.Add(1) == 1 {
						text = tt.first + bad
					}
					c, _, err := http.NewResponseController(w).Hijack()
					if err != nil {
						t.Error(err)
						return
					}
					t.Cleanup(func() { c.Close() })
					if _, err := io.WriteString(c, text); err != nil {
						t.Error(err)
					}
				}))
				if scheme == "https" {
					s.StartTLS()
				} else {
					s.Start()
				}
				defer s.Close()
				client := KeepAlive(&http.Transport{DialContext: new(net.Dialer).DialContext, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}})
				defer client.CloseIdleConnections()
				ask := func(method string, trace *httptrace.ClientTrace) (string, error) {
					ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(context.Background(), trace), time.Minute)
					defer cancel()
					req, err := http.NewRequestWithContext(ctx, method, s.URL, nil)
					if err != nil {
						return "", err
					}
					resp, err := client.RoundTrip(req)
					if err != nil {
						return "", err
					}
					defer resp.Body.Close()
					b, err := io.ReadAll(resp.Body)
					return string(b), err
				}

				var second string
				var err error
				firstErr := testrepo.BackToBack(
					func(trace *httptrace.ClientTrace) error { _, err := ask(tt.method, trace); return err },
					func(trace *httptrace.ClientTrace) { second, err = ask("GET", trace) },
				)
				if firstErr != nil {
					t.Fatal(firstErr)
				}
				if err != nil || second != "second" {
					t.Errorf("the second answer is %q, %v", second, err)
				}
			})
		}
	}
}

// TestKeepsAlive: connections are used again, also of HTTP/2.
func TestKeepsAlive(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Proto != proto {
				t.Errorf("asked by %s", r.Proto)
			}
			io.WriteString(w, "ok")
		}))
		var conns atomic.Int32
		s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				conns.Add(1)
			}
		}
		s.EnableHTTP2 = proto == "HTTP/2.0"
		s.StartTLS()
		client := KeepAlive(&http.Transport{
			DialContext: new(net.Dialer).DialContext, ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		})
		for range 100 {
			resp, err := (&http.Client{Transport: client}).Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "ok" {
				t.Errorf("%q, %v", b, err)
			}
			resp.Body.Close()
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%s: %d connections for requests one after the other", proto, n)
		}
		client.CloseIdleConnections()
		s.Close()
	}
}

// TestConnectionSettles: a connection is settled when its next byte is waited for and has not come.
func TestConnectionSettles(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	far, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	c := &connection{Conn: near}

	settled := func() chan struct{} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.settle(t.Context())
		}()
		return done
	}
	waits := func(done chan struct{}) {
		t.Helper()
		select {
		case <-done:
			t.Error("it is taken for settled")
		case <-time.After(20 * time.Millisecond):
		}
	}
	done := settled()
	waits(done) // nobody has looked yet
	read := make(chan struct{})
	go func() {
		defer close(read)
		var b [1]byte
		if _, err := c.Read(b[:]); err != nil {
			t.Error(err)
		}
	}()
	<-done
	<-settled()
	if _, err := far.Write([]byte("xy")); err != nil {
		t.Fatal(err)
	}
	<-read
	waits(settled()) // what has come is being looked at
	c.mu.Lock()
	c.reading = true // and a byte is on its way to who reads
	c.mu.Unlock()
	done = settled()
	waits(done)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	<-done
	<-settled()

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	(&connection{Conn: near}).settle(ctx)
}

// BenchmarkKeptAlive is a request on a connection that was used before, with http.Transport's
// own ways beside ours.
func BenchmarkKeptAlive(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok") }))
	defer s.Close()
	plain := &http.Transport{DialContext: new(net.Dialer).DialContext}
	for _, tt := range []struct {
		name string
		transport
	}{{"http.Transport", plain.Clone()}, {"KeptAlive", KeepAlive(plain.Clone())}} {
		b.Run(tt.name, func(b *testing.B) {
			client := http.Client{Transport: tt.transport}
			defer client.CloseIdleConnections()
			b.ReportAllocs()
			for b.Loop() {
				resp, err := client.Get(s.URL)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil {
					b.Fatal(err)
				}
				resp.Body.Close()
			}
		})
	}
}
