package serve

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/config"
)

// counted counts the requests that reach net/http. It answers POST itself, with
// the length of the body.
func (m *mirror) counted() *atomic.Int64 {
	n := &atomic.Int64{}
	m.server.http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.Add(1)
		if r.Method == http.MethodPost {
			b, err := io.ReadAll(r.Body)
			fmt.Fprintf(w, "%d bytes, %v", len(b), err)
			return
		}
		m.server.ServeHTTP(w, r)
	})
	return n
}

// atHand brings a file into the cache, and has it at hand: that is so a moment
// after the answer to a hit has gone. A hit before the end of the commit is forgotten
// by that.
func (m *mirror) atHand(path string) {
	m.t.Helper()
	m.prime(path)
	for {
		f := m.server.hits.find([]byte("/r/" + path))
		if f != nil && m.server.o.Cache.Current(f.entry) {
			f.entry.Release()
			return
		}
		m.get(path)
	}
}

// A hit on a file that is at hand is answered past net/http, and nobody can tell.
func TestHitConn(t *testing.T) {
	for _, tt := range []struct {
		name string
		size int
	}{
		{"small", 16 << 10}, {"the largest small", 64 << 10}, {"large", 64<<10 + 1}, {"many pages", 5<<20 + 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{})
			body := rpm(tt.size, 1)
			m.put(pkg, body)
			m.atHand(pkg)
			slow := m.get(pkg, "X-Any", "thing")
			m.pass(900 * time.Millisecond)
			n := m.counted()
			for range 3 {
				fast := m.get(pkg, "User-Agent", `dnf "5"`, "Referer", "http://a/")
				if n.Load() != 0 {
					t.Fatal("net/http was asked")
				}
				if !bytes.Equal(fast.body, body) {
					t.Error("another body")
				}
				if d := fast.Header.Get("Date"); d == "" {
					t.Error("no Date")
				}
				fast.Header.Del("Date")
				slow.Header.Del("Date")
				if !maps.EqualFunc(fast.Header, slow.Header, func(a, b []string) bool { return fmt.Sprint(a) == fmt.Sprint(b) }) ||
					fast.Status != slow.Status || fast.Proto != slow.Proto || fast.ContentLength != slow.ContentLength {
					t.Errorf("%s %v\nnet/http has %s %v", fast.Status, fast.Header, slow.Status, slow.Header)
				}
			}
			m.pass(5 * time.Second)
			if fast := m.get(pkg); fast.Header.Get("Age") == slow.Header.Get("Age") {
				t.Errorf("Age is %s for ever", fast.Header.Get("Age"))
			}
			if n.Load() != 0 {
				t.Error("an unchanged file was asked net/http for")
			}
			if r := m.up.Requests(); len(r) > 0 {
				t.Errorf("upstream was asked: %v", r)
			}
			before := m.totals()
			if before.Hits != before.Requests-1 {
				t.Errorf("%d hits of %d requests", before.Hits, before.Requests)
			}
			lines := m.lines()
			want := fmt.Sprintf(`"GET /r/%s HTTP/1.1" 200 %d "http://a/" "dnf \"5\"" "imserve; hit"`, pkg, tt.size)
			if line := lines[len(lines)-2]; !strings.HasPrefix(line, "127.0.0.1 - - [") || !strings.Contains(line, want) {
				t.Errorf("the log says %s, want %s", line, want)
			}
		})
	}
}

// What depends on more than its target is answered by net/http, and what comes
// behind that on the same connection too, or not, as it should be.
func TestHitConnMix(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(5000, 1)
	m.put(pkg, body)
	m.atHand(pkg)
	n := m.counted()
	const host = "\r\nHost: mirror\r\n"
	get := "GET /r/" + pkg + " HTTP/1.1" + host
	hit := get + "\r\n"
	post := fmt.Sprintf("POST /r/form HTTP/1.1%sContent-Length: %d\r\n\r\n%s", host, len(hit), hit) // a body that looks like a request
	ranged := get + "Range: bytes=0-9\r\n\r\n"
	whole, part, form := string(body), string(body[:10]), fmt.Sprintf("%d bytes, <nil>", len(hit))
	type step struct {
		write string
		want  []string // the bodies of the answers; none: any answer, the last
	}
	for _, tt := range []struct {
		name  string
		steps []step
		asked int64 // net/http, with what it takes to be a request
	}{
		{"one after the other", []step{{hit, []string{whole}}, {hit, []string{whole}}}, 0},
		{"pipelined", []step{{hit + hit + hit, []string{whole, whole, whole}}}, 0},
		{"a range between", []step{{hit, []string{whole}}, {ranged, []string{part}}, {hit, []string{whole}}}, 1},
		{"a condition", []step{{get + "If-None-Match: *\r\n\r\n", []string{""}}, {hit, []string{whole}}}, 1},
		{"pipelined behind a range", []step{{ranged + hit, []string{part, whole}}, {hit, []string{whole}}}, 3}, // net/http has it all
		{"pipelined before a range", []step{{hit + ranged, []string{whole, part}}, {hit, []string{whole}}}, 1},
		{"a body", []step{{hit, []string{whole}}, {post, []string{form}}, {hit, []string{whole}}}, 2},
		{"pipelined behind a body", []step{{post + hit, []string{form, whole}}}, 2},
		{"an absolute URL", []step{{"GET http://127.0.0.1/r/" + pkg + " HTTP/1.1" + host + "\r\n", nil}}, 1},
		{"an older client", []step{{"GET /r/" + pkg + " HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", []string{whole}}, {hit, []string{whole}}}, 2},
		{"a word in front", []step{{"X" + hit, nil}}, 1},
		{"an empty line in front", []step{{"\r\n" + hit, nil}}, 0},
		{"two hosts", []step{{get + "Host: other\r\n\r\n", nil}}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := n.Load()
			c, err := net.Dial("tcp", m.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			r := bufio.NewReader(c)
			for _, s := range tt.steps {
				if _, err := io.WriteString(c, s.write); err != nil {
					t.Fatal(err)
				}
				for _, want := range s.want {
					resp, err := http.ReadResponse(r, nil)
					if err != nil {
						t.Fatal(err)
					}
					if b, err := io.ReadAll(resp.Body); string(b) != want || err != nil {
						t.Fatalf("%s with %d bytes, %v, want %d bytes", resp.Status, len(b), err, len(want))
					}
				}
				if s.want == nil {
					if _, err := http.ReadResponse(r, nil); err != nil {
						t.Fatal(err)
					}
				}
			}
			if got := n.Load() - before; got != tt.asked {
				t.Errorf("net/http was asked %d times, want %d", got, tt.asked)
			}
		})
	}
}

// A header that comes in parts is net/http's, with its time.
func TestHitConnParts(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(5000, 1)
	m.put(pkg, body)
	m.atHand(pkg)
	hit := "GET /r/" + pkg + " HTTP/1.1\r\nHost: mirror\r\n\r\n"
	for at := 1; at < len(hit); at += 9 {
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(c)
		for _, w := range []string{hit[:at], hit[at:], hit} {
			if _, err := io.WriteString(c, w); err != nil {
				t.Fatal(err)
			}
			if w == hit[:at] {
				continue
			}
			resp, err := http.ReadResponse(r, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); !bytes.Equal(b, body) {
				t.Errorf("cut at %d: %s, %d bytes, %v", at, resp.Status, len(b), err)
			}
		}
		c.Close()
	}
}

// What is at hand is looked at again, and never outlives a change by more than a
// second.
func TestHitConnChanges(t *testing.T) {
	old, replaced := rpm(5000, 1), rpm(5000, 2)
	for _, tt := range []struct {
		name   string
		size   int
		change func(m *mirror, name string)
		want   int
	}{
		{"replaced on disk", 5000, func(m *mirror, name string) {
			if err := os.WriteFile(name+".new", replaced, 0o644); err != nil {
				m.t.Fatal(err)
			}
			if err := os.Rename(name+".new", name); err != nil {
				m.t.Fatal(err)
			}
		}, http.StatusOK},
		{"no longer fresh", 5000, func(m *mirror, _ string) {
			m.put(pkg, replaced)
			m.pass(2 * time.Hour)
		}, http.StatusOK},
		{"deleted by hand", 5000, func(m *mirror, name string) {
			m.put(pkg, replaced)
			if err := os.Remove(name); err != nil {
				m.t.Fatal(err)
			}
		}, http.StatusOK},
		{"none of the clients any more", 5000, func(m *mirror, _ string) {
			cfg := *m.server.o.Config
			cfg.Serve.Clients, cfg.Serve.Admins = config.Networks{}, config.Networks{}
			m.server.Reconfigure(&cfg, m.server.o.Mirrors, nil, nil)
		}, http.StatusForbidden},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{})
			m.put(pkg, old)
			m.atHand(pkg)
			n := m.counted()
			if r := m.get(pkg); !bytes.Equal(r.body, old) || n.Load() != 0 {
				t.Fatalf("%s, asked net/http %d times", r.Status, n.Load())
			}
			tt.change(m, filepath.Join(m.dir, "r", pkg))
			m.pass(time.Second)
			r := m.get(pkg)
			if r.StatusCode != tt.want || tt.want == http.StatusOK && !bytes.Equal(r.body, replaced) {
				t.Errorf("%s, %s", r.Status, r.status())
			}
		})
	}
}

// TestHitConnStop: a server that stops lets hits come to their end as any answer,
// and breaks off what takes too long.
func TestHitConnStop(t *testing.T) {
	for _, tt := range []struct {
		name  string
		grace time.Duration
		whole bool
	}{
		{"in time", time.Minute, true},
		{"too slow", 20 * time.Millisecond, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMirror(t, setup{grace: tt.grace})
			body := rpm(12<<20, 1) // more than sockets take
			m.put(pkg, body)
			m.atHand(pkg)
			n := m.counted()
			c, err := net.Dial("tcp", m.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.(*net.TCPConn).SetReadBuffer(64 << 10); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, "GET /r/"+pkg+" HTTP/1.1\r\nHost: mirror\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			m.stop()
			var got []byte
			if tt.whole {
				// Only now: what stops must wait for it.
				for !m.server.stopping.Load() {
					time.Sleep(time.Millisecond)
				}
				got, err = io.ReadAll(resp.Body)
			}
			if served := <-m.served; served != nil {
				t.Error(served)
			}
			m.served <- nil
			if !tt.whole {
				got, err = io.ReadAll(resp.Body)
			}
			if (err == nil) != tt.whole || bytes.Equal(got, body) != tt.whole {
				t.Errorf("%d bytes, %v", len(got), err)
			}
			if n.Load() != 0 {
				t.Error("it was net/http's answer")
			}
			if broken := strings.Contains(m.log.String(), "broken off"); broken == tt.whole {
				t.Error(m.log.String())
			}
		})
	}
}

// Many connections at once, while files are replaced and let go.
func TestHitConnTogether(t *testing.T) {
	m := newMirror(t, setup{})
	const files = 4
	bodies := make([][]byte, files)
	path := func(i int) string { return fmt.Sprintf("os/Packages/p%d.rpm", i) }
	for i := range bodies {
		bodies[i] = rpm(40<<10+i*20<<10, byte(i))
		m.put(path(i), bodies[i])
		m.prime(path(i))
	}
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for n := range 50 {
				i := (w + n) % files
				if r := m.try(m.request(http.MethodGet, path(i))); r.err != nil || !bytes.Equal(r.body, bodies[i]) {
					t.Errorf("%s: %s, %v", path(i), r.Status, r.err)
					return
				}
				if n%10 == w {
					m.pass(time.Second)
				}
				if n%25 == w {
					// As an adopted tree: to be validated.
					if err := os.Chtimes(filepath.Join(m.dir, "r", path(i)), time.Time{}, time.Now()); err != nil && !errors.Is(err, os.ErrNotExist) {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
}

// By way of a load balancer a hit is answered as fast, as the client's that it names.
func TestHitConnBehind(t *testing.T) {
	m := newMirror(t, setup{config: `[serve]
clients = ["127.0.0.0/8", "10.0.0.0/8"]`})
	body := rpm(5000, 1)
	m.put(pkg, body)
	m.atHand(pkg)
	n := m.counted()
	var clients []string
	for _, tt := range []struct {
		forwarded, client string
		code              int
	}{
		{"10.1.2.3", "10.1.2.3", http.StatusOK},
		{"10.1.2.3", "10.1.2.3", http.StatusOK},
		{"192.0.2.9, 10.1.2.4", "10.1.2.4", http.StatusOK}, // whoever that is says so
		{"192.0.2.9, 127.0.0.2", "192.0.2.9", http.StatusForbidden},
		{"192.0.2.9", "192.0.2.9", http.StatusForbidden},
		{"unknown", "127.0.0.1", http.StatusOK},
		{"10.1.2.5", "10.1.2.5", http.StatusOK},
	} {
		before := n.Load()
		r := m.get(pkg, "X-Forwarded-For", tt.forwarded)
		if r.StatusCode != tt.code || tt.code == http.StatusOK && !bytes.Equal(r.body, body) {
			t.Errorf("%s: %s", tt.forwarded, r.Status)
		}
		if asked := n.Load() - before; (asked > 0) != (tt.code != http.StatusOK) {
			t.Errorf("%s: net/http was asked %d times", tt.forwarded, asked)
		}
		clients = append(clients, tt.client)
	}
	cfg := *m.server.o.Config
	cfg.Serve.TrustedProxies = config.Networks{}
	m.server.Reconfigure(&cfg, m.server.o.Mirrors, nil, nil)
	if r := m.get(pkg, "X-Forwarded-For", "10.1.2.5"); r.StatusCode != http.StatusOK {
		t.Error(r.Status)
	}
	clients = append(clients, "127.0.0.1") // no proxy is trusted any more
	lines := m.lines()
	lines = lines[max(len(lines)-len(clients), 0):]
	for i, line := range lines {
		if !strings.HasPrefix(line, clients[i]+" ") {
			t.Errorf("want %s in the log, which has %s", clients[i], line)
		}
	}
}
