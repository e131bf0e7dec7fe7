package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"intelligentmirror/contrib/bench/internal/link"
)

// mirror serves a repository at the end of a long line, and notes what it is asked.
// It is safe for concurrent use.
type mirror struct {
	URL string // by the line, without a slash at its end; the repository is below it at /os

	server *httptest.Server
	files  http.Handler
	line   *link.Link

	mu    sync.Mutex
	asked map[string]int // "GET Packages/a/atool0-1.0-1.fc41.x86_64.rpm"
}

// newMirror serves the files below dir, delay away in each direction.
func newMirror(ctx context.Context, dir string, delay time.Duration, rate int64) (*mirror, error) {
	m := &mirror{files: http.FileServer(http.Dir(dir)), asked: map[string]int{}}
	m.server = httptest.NewServer(http.StripPrefix("/os", m))
	var err error
	if m.line, err = link.Start(ctx, strings.TrimPrefix(m.server.URL, "http://"), delay, rate); err != nil {
		m.server.Close()
		return nil, err
	}
	m.URL = "http://" + m.line.Addr
	return m, nil
}

// Close ends the line and the mirror.
func (m *mirror) Close() error {
	err := m.line.Close()
	m.server.Close()
	return err
}

// ServeHTTP sends a file, with the writer as it is, so that sendfile stays.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.asked[r.Method+" "+strings.TrimPrefix(r.URL.Path, "/")]++
	m.mu.Unlock()
	m.files.ServeHTTP(w, r)
}

// took is what was asked, and what has passed over the line, since it was called last.
func (m *mirror) took() (map[string]int, link.Traffic) {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked
	m.asked = map[string]int{}
	return asked, m.line.Took()
}

// once is an error unless each of these files was asked for, and nothing of it twice.
func once(asked map[string]int, files []rpm) error {
	for _, f := range files {
		if asked["GET "+f.file] != 1 || asked["HEAD "+f.file] != 0 {
			return errors.New("the mirror was not asked once for " + f.file)
		}
	}
	return nil
}
