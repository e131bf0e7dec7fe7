package systest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
)

// server is imserve under way.
type server struct {
	*process
	url string // "http://127.0.0.1:40123"
}

var listening = regexp.MustCompile(`msg=listening addr=(\S+)`)

// serve starts imserve and returns when it listens.
func (s *site) serve(args ...string) *server {
	s.t.Helper()
	cmd := exec.Command(filepath.Join(s.bin, "imserve"), append(args, "--config", s.config)...)
	cmd.Env = s.env
	p := launch(s.t, "imserve", cmd)
	line := p.says("msg=listening")
	m := listening.FindStringSubmatch(line)
	if m == nil {
		s.t.Fatalf("no address in %q", line)
	}
	return &server{p, "http://" + m[1]}
}

// answer is a response that has been read to its end.
type answer struct {
	status int
	header http.Header
	body   []byte
	err    error // the body did not come to its end
}

// request asks for a path. Each has a connection of its own, so that none is
// found closed.
func (s *server) request(path string, header ...string) (*http.Response, error) {
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	return client.Do(req)
}

// fetch asks for a path and reads the answer; the error is of a connection that
// brought none.
func (s *server) fetch(path string, header ...string) (answer, error) {
	resp, err := s.request(path, header...)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode, header: resp.Header}
	a.body, a.err = io.ReadAll(resp.Body)
	return a, nil
}

// get asks for a path that has to be there, and returns its bytes.
func (s *server) get(path string, header ...string) []byte {
	s.t.Helper()
	a, err := s.fetch(path, header...)
	if err == nil {
		err = a.err
	}
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("status %d: %s", a.status, a.body)
	}
	if err != nil {
		s.t.Fatalf("GET %s: %v", path, err)
	}
	return a.body
}

// restart lets upstream come back, and waits until the server asks it again for
// the path: a while after it could not.
func (s *server) restart(at *site, path string) {
	s.t.Helper()
	if err := at.up.Restart(); err != nil {
		s.t.Fatal(err)
	}
	asked := len(at.up.Requests())
	at.await("a question to upstream", func() bool {
		s.get(path)
		return len(at.up.Requests()) > asked
	})
}

// later is an answer that a client waits for in the background.
type later struct {
	t     testing.TB
	path  string
	begun chan struct{} // closed at the first byte, or the end
	done  chan struct{} // closed at the end
	answer
	failed error // no answer
}

// begin asks for a path without waiting for the answer.
func (s *server) begin(path string) *later {
	l := &later{t: s.t, path: path, begun: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(l.done)
		begun := sync.OnceFunc(func() { close(l.begun) })
		defer begun()
		var resp *http.Response
		if resp, l.failed = s.request(path); l.failed != nil {
			return
		}
		defer resp.Body.Close()
		l.status, l.header = resp.StatusCode, resp.Header
		var b bytes.Buffer
		_, l.err = io.CopyN(&b, resp.Body, 1)
		begun()
		if l.err == nil {
			_, l.err = io.Copy(&b, resp.Body)
		}
		l.body = b.Bytes()
	}()
	return l
}

// first waits for the answer's first byte.
func (l *later) first() { <-l.begun }

// await waits for the answer's end, whole or not.
func (l *later) await() { <-l.done }

// whole waits for an answer that has to be whole, and returns its body.
func (l *later) whole() []byte {
	l.t.Helper()
	l.await()
	if l.failed != nil || l.err != nil || l.status != http.StatusOK {
		l.t.Fatalf("GET %s: %v, %v, status %d after %d bytes", l.path, l.failed, l.err, l.status, len(l.body))
	}
	return l.body
}
