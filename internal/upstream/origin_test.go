package upstream

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestSameHost: where a server that was named may lead.
func TestSameHost(t *testing.T) {
	for _, c := range []struct {
		from, to string
		follows  bool
	}{
		{"http://mirror.example.edu/a", "http://mirror.example.edu/b", true},
		{"http://mirror.example.edu/a", "http://mirror.example.edu:3180/a", true},
		{"http://mirror.example.edu/a", "https://mirror.example.edu/a", true},
		{"https://mirror.example.edu/a", "https://mirror.example.edu:3181/a", true},
		{"https://mirror.example.edu/a", "http://mirror.example.edu/a", false},
		{"http://mirror.example.edu/a", "http://127.0.0.1/a", false},
		{"http://mirror.example.edu/a", "https://169.254.169.254/a", false},
		{"https://mirror.example.edu/a", "https://mirror.example.edu.evil.example/a", false},
	} {
		req, via := httptest.NewRequest(http.MethodGet, c.to, nil), httptest.NewRequest(http.MethodGet, c.from, nil)
		if err := sameHost(req, []*http.Request{via}); (err == nil) != c.follows {
			t.Errorf("%s leads to %s: %v", c.from, c.to, err)
		}
	}
}
