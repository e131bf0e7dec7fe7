package systest

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
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
	p := start(s.t, "imserve", append(args, "--config", s.config)...)
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

// fetch asks for a path; the error is of a connection that brought no answer.
func (s *server) fetch(path string, header ...string) (answer, error) {
	req, err := http.NewRequest(http.MethodGet, s.url+path, nil)
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	// No connection is used twice, so that none is found closed.
	req.Close = true
	client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
	resp, err := client.Do(req)
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

// later is an answer that a client waits for in the background.
type later struct {
	t    testing.TB
	path string
	done chan struct{}
	answer
	failed error
}

// begin asks for a path without waiting for the answer.
func (s *server) begin(path string) *later {
	l := &later{t: s.t, path: path, done: make(chan struct{})}
	go func() {
		defer close(l.done)
		l.answer, l.failed = s.fetch(path)
	}()
	return l
}

// await waits for the answer's end, whole or not.
func (l *later) await() *later {
	<-l.done
	return l
}

// whole waits for an answer that has to be whole, and returns its body.
func (l *later) whole() []byte {
	l.t.Helper()
	l.await()
	if l.failed != nil || l.err != nil || l.status != http.StatusOK {
		l.t.Fatalf("GET %s: %v, %v, status %d after %d bytes", l.path, l.failed, l.err, l.status, len(l.body))
	}
	return l.body
}
