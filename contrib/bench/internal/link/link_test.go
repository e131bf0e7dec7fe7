package link

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Bytes pass as they are, on several connections, each until its end.
func TestLink(t *testing.T) {
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked, err := io.ReadAll(r.Body)
		if err != nil || string(asked) != "which" {
			http.Error(w, "another request", http.StatusBadRequest)
			return
		}
		w.Write(body)
	}))
	defer up.Close()
	l, err := Start(t.Context(), strings.TrimPrefix(up.URL, "http://"), time.Millisecond, 1<<40)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Post("http://"+l.Addr, "text/plain", strings.NewReader("which"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("%s: %d bytes, %v", resp.Status, len(got), err)
		}
	}
	if took := l.Took(); took.Connections != 3 || took.Down < 3*int64(len(body)) {
		t.Errorf("%+v", took)
	}
	if took := l.Took(); took != (Traffic{}) {
		t.Errorf("once more: %+v", took)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if conn, err := net.Dial("tcp", l.Addr); err == nil {
		conn.Close()
		t.Error("it still takes connections")
	}
}

// ends are a connection over l whose two ends are the test's.
func ends(t *testing.T, l *Link) (client, server net.Conn) {
	client, near := net.Pipe()
	far, server := net.Pipe()
	go l.join(t.Context(), near, far, time.Now().Add(2*l.delay))
	return client, server
}

// The first request of a connection waits for its set-up, and each for both ways.
func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := ends(t, &Link{delay: 20 * time.Millisecond, rate: 1 << 40})
		go io.Copy(server, server) // an echo
		for _, want := range []time.Duration{80 * time.Millisecond, 40 * time.Millisecond} {
			begin := time.Now()
			if _, err := client.Write([]byte("ping")); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(begin).Round(time.Millisecond); got != want {
				t.Errorf("an answer came after %v, not %v", got, want)
			}
		}
		client.Close()
		time.Sleep(time.Second) // for the other end to hear of it
	})
}

// All connections share the line, in turns.
func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &Link{delay: 20 * time.Millisecond, rate: 1_000_000}
		begin := time.Now()
		done := make(chan time.Duration)
		for range 4 {
			client, server := ends(t, l)
			go func() {
				server.Write(make([]byte, 1_000_000))
				server.Close()
			}()
			go func() {
				io.Copy(io.Discard, client)
				client.Close()
				done <- time.Since(begin)
			}()
		}
		for range 4 {
			if got := <-done; got < 3800*time.Millisecond || got > 4100*time.Millisecond {
				t.Errorf("one of four was done after %v", got)
			}
		}
		time.Sleep(time.Second) // for the other ends to hear of it
		if took := l.Took(); took.Down != 4_000_000 {
			t.Errorf("%+v", took)
		}
	})
}
