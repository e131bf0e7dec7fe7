package serve

import (
	"fmt"
	"io"
	"net/http"

	"intelligentmirror/internal/cache"
)

// passing holds the answer for a file that can't be stored to what it would be stored
// by: a disk that takes nothing is no reason for a client to get a captive portal's
// page as a package. A part of a file can't be held to anything.
func (s *Server) passing(a *answer, t target) func(*http.Response) error {
	return func(resp *http.Response) error {
		if resp.StatusCode >= http.StatusInternalServerError {
			// What is wrong with a mirror is not this one's answer.
			resp.Body.Close()
			return &cache.UnreachableError{Err: fmt.Errorf("it answers %q", resp.Status)}
		}
		if a.r.Method != http.MethodGet || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Encoding") != "" {
			return nil
		}
		k, err := cache.NewKey(t.repo, t.rest)
		if err != nil {
			return err
		}
		body, err := s.o.Cache.Passing(k, resp.Body, resp.ContentLength)
		if err != nil {
			return err
		}
		resp.Body = struct {
			io.Reader
			io.Closer
		}{body, resp.Body}
		return nil
	}
}
