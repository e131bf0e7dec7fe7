package upstream

import (
	"errors"
	"io/fs"
	"net/http"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// TestInquire: how many have to say that a file is gone, and what the others say.
func TestInquire(t *testing.T) {
	has, gone, busy := text("x"), status(http.StatusNotFound), status(http.StatusServiceUnavailable)
	noHead := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		gone(w, r)
	}
	for _, tt := range []struct {
		name    string
		mirrors []http.HandlerFunc
		want    string
		asked   []int
	}{
		{"the only one has it", []http.HandlerFunc{has}, "there", []int{1}},
		{"gone from the only one", []http.HandlerFunc{gone}, "gone", []int{1}},
		{"410 of the only one", []http.HandlerFunc{status(http.StatusGone)}, "gone", []int{1}},
		{"the only one is busy", []http.HandlerFunc{busy}, "unknown", []int{1}},
		{"gone from two", []http.HandlerFunc{gone, gone, has}, "gone", []int{1, 1, 0}},
		{"one lags, and two say that it is gone", []http.HandlerFunc{has, gone, gone}, "gone", []int{1, 1, 1}},
		{"gone from one of two", []http.HandlerFunc{gone, has}, "there", []int{1, 1}},
		{"gone from one, the other is busy", []http.HandlerFunc{gone, busy}, "unknown", []int{1, 1}},
		{"two have it", []http.HandlerFunc{has, has, gone, gone}, "there", []int{1, 1, 0, 0}},
		{"a mirror without HEAD", []http.HandlerFunc{noHead}, "gone", []int{2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			var ups []*answers
			var bases []string
			for _, h := range tt.mirrors {
				a := newAnswers(t, h)
				ups, bases = append(ups, a), append(bases, a.URL)
			}
			client := New(Options{Now: ck.now, Header: time.Minute, Idle: time.Minute})
			defer client.Close()
			err := client.Mirrors("r", bases).Inquire(t.Context(), cache.Key{Repo: "r", Path: "f"})
			got := "there"
			switch {
			case errors.Is(err, fs.ErrNotExist):
				got = "gone"
			case errors.As(err, new(*cache.UnreachableError)):
				got = "unknown"
			case err != nil:
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
			for i, a := range ups {
				if n := a.count(); n != tt.asked[i] {
					t.Errorf("mirror %d was asked %d times, want %d", i, n, tt.asked[i])
				}
			}
		})
	}
}
