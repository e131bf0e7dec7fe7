package bucket

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

// TestLeftOver: what a server sends behind an answer does not tell that the object which
// is asked for next is there.
func TestLeftOver(t *testing.T) {
	_, f := stored(t, []byte("a package"))
	answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\nLast-Modified: Sat, 21 Nov 2026 09:00:00 GMT\r\n%s%s: %s\r\n\r\n",
		f.Size, fieldPrefix, sumField, f.SHA256)
	var asked atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1) > 1 {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, answer+answer); err != nil {
			t.Error(err)
		}
	}))
	defer s.Close()
	keys := filepath.Join(t.TempDir(), "credentials")
	if err := os.WriteFile(keys, []byte("[default]\naws_access_key_id = id\naws_secret_access_key = secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := Open(Options{Name: "bucket", Endpoint: s.URL, Region: "us-east-1", Credentials: keys, Program: "test"})
	if err != nil {
		t.Fatal(err)
	}
	has := func(path string, trace *httptrace.ClientTrace) (bool, error) {
		ctx, cancel := context.WithTimeout(httptrace.WithClientTrace(context.Background(), trace), time.Minute)
		defer cancel()
		return b.Has(ctx, cache.Key{Repo: "r", Path: path}, f)
	}

	var first, second bool
	var secondErr error
	firstErr := testrepo.BackToBack(
		func(trace *httptrace.ClientTrace) (err error) { first, err = has("one.rpm", trace); return err },
		func(trace *httptrace.ClientTrace) { second, secondErr = has("two.rpm", trace) },
	)
	if !first || firstErr != nil {
		t.Fatalf("the first: %v, %v", first, firstErr)
	}
	if second || secondErr != nil {
		t.Errorf("the second: %v, %v", second, secondErr)
	}
}
