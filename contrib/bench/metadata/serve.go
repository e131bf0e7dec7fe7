package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"

	"intelligentmirror/contrib/bench/internal/rpmrepo"
)

// mirror serves a repository, and notes what it is asked. It is safe for concurrent use.
type mirror struct {
	*httptest.Server
	files http.Handler
	repo  *repository

	mu    sync.Mutex
	asked []string // "304 repodata/repomd.xml"
}

// newMirror serves the repository at dir below /bench/.
func newMirror(dir string, r *repository) *mirror {
	m := &mirror{files: http.FileServer(http.Dir(dir)), repo: r}
	m.Server = httptest.NewServer(http.StripPrefix("/bench/", m))
	return m
}

func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s := &status{ResponseWriter: w, code: http.StatusOK}
	path := r.URL.Path
	if p := m.repo.byPath[path]; p != nil {
		http.ServeContent(s, r, "", time.Unix(rpmrepo.Built, 0), bytes.NewReader(content(p.file)))
	} else {
		r.URL.Path = "/" + path
		m.files.ServeHTTP(s, r)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = append(m.asked, fmt.Sprintf("%d %s", s.code, path))
}

// took is what was asked, with the status of the answers, since it was called last.
func (m *mirror) took() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	asked := m.asked
	m.asked = nil
	return asked
}

// status notes an answer's.
type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}
