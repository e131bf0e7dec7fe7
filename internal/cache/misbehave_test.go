package cache_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// without hides a field of the request from the mirror.
func without(field string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Header.Del(field)
			next.ServeHTTP(w, r)
		})
	}
}

// conditionalOnly has nothing but the answer that nothing has changed.
func conditionalOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("If-None-Match") == "" || r.Header.Get("Range") != "" {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		r.Method = http.MethodHead
		next.ServeHTTP(w, r)
	})
}

// onceRange gives the first range of a file a total that is off by d.
func onceRange(format string, d int64) func(http.Handler) http.Handler {
	var done atomic.Bool
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Range") == "" || r.Method != http.MethodGet || !done.CompareAndSwap(false, true) {
				next.ServeHTTP(w, r)
				return
			}
			from, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(r.Header.Get("Range"), "bytes="), "-"), 10, 64)
			if err != nil {
				panic(err)
			}
			total := int64(len(two)) + d
			w.Header().Set("Content-Range", fmt.Sprintf(format, from, total-1, total))
			w.Header().Set("Content-Length", strconv.FormatInt(total-from, 10))
			w.WriteHeader(http.StatusPartialContent)
			w.Write(make([]byte, total-from))
		})
	}
}

// sliced answers a range with no more than 50,000 bytes of it, as a network of
// caches does that keeps files in slices.
func sliced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if v, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && strings.HasSuffix(v, "-") {
			from, err := strconv.Atoi(strings.TrimSuffix(v, "-"))
			if err != nil {
				panic(err)
			}
			r.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, from+50_000-1))
		}
		next.ServeHTTP(w, r)
	})
}

// longAddress redirects each file to an address with a signature of 3,000 bytes.
func longAddress(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.RawQuery == "" {
			http.Redirect(w, r, r.URL.EscapedPath()+"?signature="+strings.Repeat("0&", 1500), http.StatusFound)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// endless sends a chunked body that goes on and on: for 64 MiB, so that who
// swallows it fails a test and not the machine.
func endless(http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b := make([]byte, 64<<10)
		copy(b, two)
		for range 1024 {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
}
