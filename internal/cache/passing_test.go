package cache_test

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"testing"
	"testing/iotest"

	"intelligentmirror/internal/cache"
)

// TestPassing: what passes a disk that can't take it is held to its promise, or its
// format; of wrong bytes the last never passes.
func TestPassing(t *testing.T) {
	right := rpm(9000, 1)
	wrong := bytes.Clone(right)
	wrong[8000] ^= 1
	page := []byte("<!DOCTYPE html><html>log in</html>")
	promise := want(right)
	for _, tt := range []struct {
		name   string
		want   cache.Want
		body   []byte
		length int64
		err    error // in the end
		none   bool  // before the first byte
	}{
		{"promised", promise, right, 9000, nil, false},
		{"promised, of no length", promise, right, -1, nil, false},
		{"other bytes", promise, wrong, 9000, cache.ErrWrongContent, false},
		{"another length announced", promise, page, int64(len(page)), cache.ErrWrongContent, true},
		{"a page of no length", promise, page, -1, io.ErrUnexpectedEOF, false},
		{"more than promised", promise, append(bytes.Clone(right), 0), -1, cache.ErrWrongContent, false},
		{"not promised", cache.Want{}, right, 9000, nil, false},
		{"not promised, a page", cache.Want{}, page, int64(len(page)), cache.ErrWrongContent, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
			c := s.open(promises{key: pkg, want: tt.want})
			var got []byte
			body, err := c.Passing(pkg, iotest.HalfReader(bytes.NewReader(tt.body)), tt.length)
			if (err != nil) != tt.none {
				t.Fatalf("before the first byte: %v", err)
			}
			if err == nil {
				got, err = io.ReadAll(body)
			}
			if !errors.Is(err, tt.err) {
				t.Errorf("%v, want %v", err, tt.err)
			}
			if tt.err == nil && !bytes.Equal(got, right) || tt.err != nil && len(got) >= len(right) {
				t.Errorf("%d bytes passed", len(got))
			}
		})
	}
}

// TestPassingBrokenOff: upstream's end before the first bytes is upstream's failure.
func TestPassingBrokenOff(t *testing.T) {
	s := newSite(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	c := s.open(promises{key: pkg})
	_, err := c.Passing(pkg, io.MultiReader(bytes.NewReader(rpm(9000, 1)[:10]), iotest.ErrReader(io.ErrUnexpectedEOF)), 9000)
	var unreachable *cache.UnreachableError
	if !errors.As(err, &unreachable) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}
