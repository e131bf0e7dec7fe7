package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"intelligentmirror/internal/cache"
)

// pipes is a listener for one connection within the process, whose deadlines are
// those of the test's clock.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.accepted:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// within runs test in a bubble of time with a connection to a server that answers
// with handle, with the limits of ours.
func within(t *testing.T, handle func(*answer), test func(c net.Conn)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{o: Options{Log: slog.New(slog.DiscardHandler)}}
		s.metrics = newMetrics(s, nil)
		h := s.listenerSide()
		h.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a := newAnswer(w, r, defaultPatience, time.Now)
			handle(a)
			a.begin()
		})
		l := &pipes{make(chan net.Conn), make(chan struct{})}
		go h.Serve(l)
		client, server := net.Pipe()
		l.accepted <- server
		test(client)
		client.Close()
		if err := h.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
}

// TestSlowReader holds that a client which takes its answer slowly gets all of it,
// and that one which takes nothing any more is cut.
func TestSlowReader(t *testing.T) {
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	const size = 1 << 20
	if _, err := file.Write(rpm(size, 1)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		send func(a *answer) error
	}{
		{"a file", func(a *answer) error {
			if _, err := file.Seek(0, io.SeekStart); err != nil {
				return err
			}
			_, err := io.CopyN(a, file, size)
			return err
		}},
		{"a stream", func(a *answer) error {
			var err error
			for range size / (32 << 10) {
				if _, err = a.Write(make([]byte, 32<<10)); err != nil {
					break
				}
			}
			return err
		}},
	} {
		var failed error
		var took time.Duration
		handle := func(a *answer) {
			start := time.Now()
			a.Header().Set("Content-Length", fmt.Sprint(size))
			a.Header().Set("Content-Type", "application/octet-stream")
			failed = tt.send(a)
			took = time.Since(start)
		}
		t.Run(tt.name+", slowly", func(t *testing.T) {
			within(t, handle, func(c net.Conn) {
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				resp, err := http.ReadResponse(bufio.NewReaderSize(c, 32<<10), nil)
				if err != nil {
					t.Fatal(err)
				}
				var n int64
				for n < size {
					time.Sleep(15 * time.Second) // some 2 KiB a second
					m, err := io.CopyN(io.Discard, resp.Body, min(32<<10, size-n))
					n += m
					if err != nil {
						t.Fatalf("%d bytes: %v", n, err)
					}
				}
			})
			if failed != nil || took < 2*defaultPatience {
				t.Errorf("%v after %s", failed, took)
			}
		})
		t.Run(tt.name+", not at all", func(t *testing.T) {
			within(t, handle, func(c net.Conn) {
				fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				in := bufio.NewReaderSize(c, 32<<10)
				if _, err := http.ReadResponse(in, nil); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				if n, err := io.Copy(io.Discard, in); n >= size {
					t.Errorf("%d bytes, %v", n, err)
				}
			})
			if !errors.Is(failed, os.ErrDeadlineExceeded) || took < defaultPatience || took > 2*defaultPatience {
				t.Errorf("%v after %s", failed, took)
			}
		})
	}
}

// TestSlowBody holds that a client which does not send what it has announced is
// cut, whether or not anybody wants its body.
func TestSlowBody(t *testing.T) {
	var took time.Duration
	var failed error
	read := func(a *answer) {
		start := time.Now()
		_, failed = io.Copy(io.Discard, a.r.Body)
		took = time.Since(start)
	}
	refuse := func(a *answer) {
		start := time.Now()
		a.readOnly()
		a.begin()
		failed, took = nil, time.Since(start)
	}
	const head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n"
	for _, tt := range []struct {
		name   string
		handle func(*answer)
		fails  bool
	}{
		{"read", read, true},
		{"refused", refuse, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			within(t, tt.handle, func(c net.Conn) {
				go io.WriteString(c, head+"x")
				resp, err := http.ReadResponse(bufio.NewReader(c), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := io.Copy(io.Discard, resp.Body); err != nil || !resp.Close {
					t.Errorf("%v, the connection ends: %v", err, resp.Close)
				}
				if n, err := c.Read(make([]byte, 1)); err == nil {
					t.Errorf("%d bytes behind the answer", n)
				}
			})
			if took != defaultPatience || (failed != nil) != tt.fails {
				t.Errorf("%v after %s", failed, took)
			}
		})
	}
	t.Run("read, slowly", func(t *testing.T) {
		within(t, read, func(c net.Conn) {
			go func() {
				_, _ = io.WriteString(c, head)
				for range 10 {
					time.Sleep(defaultPatience - time.Second)
					_, _ = c.Write(make([]byte, 100))
				}
			}()
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.Close {
				t.Errorf("%v", err)
			}
		})
		if failed != nil || took != 10*(defaultPatience-time.Second) {
			t.Errorf("%v after %s", failed, took)
		}
	})
	t.Run("an answer that takes longer than its request's body", func(t *testing.T) {
		within(t, func(a *answer) {
			read(a)
			select {
			case <-a.r.Context().Done():
				failed = a.r.Context().Err()
			case <-time.After(time.Hour):
			}
		}, func(c net.Conn) {
			go io.WriteString(c, head+strings.Repeat("x", 1000))
			if resp, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || resp.Close {
				t.Errorf("%v", err)
			}
		})
		if failed != nil {
			t.Error(failed)
		}
	})
}

// TestSlowHeader holds that a client which does not send its header is cut, and
// one that sends too much of it is refused.
func TestSlowHeader(t *testing.T) {
	never := func(*answer) { t.Error("it was answered") }
	t.Run("slow", func(t *testing.T) {
		within(t, never, func(c net.Conn) {
			start := time.Now()
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-"); err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(c)
			if took := time.Since(start); took != headerTimeout {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("idle", func(t *testing.T) {
		within(t, func(a *answer) { a.text(200, cache.Status{}, "ok") }, func(c net.Conn) {
			go io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			in := bufio.NewReader(c)
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, _ = io.ReadAll(in)
			if took := time.Since(start); took != idleTimeout {
				t.Errorf("it took %s", took)
			}
		})
	})
	t.Run("large", func(t *testing.T) {
		within(t, never, func(c net.Conn) {
			go func() {
				_, _ = io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nX-Large: "+strings.Repeat("x", 2*maxHeader)+"\r\n\r\n")
			}()
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
				t.Errorf("%v", err)
			}
		})
	})
}
