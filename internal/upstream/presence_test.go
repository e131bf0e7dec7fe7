package upstream

import (
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"testing"

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
			ups, bases := allAnswers(t, tt.mirrors)
			client := patient(t, Options{Now: ck.now})
			err := client.Mirrors("r", bases).Inquire(t.Context(), cache.Key{Repo: "r", Path: "f"})
			if got := presence(err); got != tt.want {
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

// TestOffers: whether a client would get a file that metadata lists with 5 bytes; and
// that a client's request ends so.
func TestOffers(t *testing.T) {
	has, long, gone := text("12345"), text("123456"), status(http.StatusNotFound)
	busy := status(http.StatusServiceUnavailable)
	for _, tt := range []struct {
		name    string
		mirrors []http.HandlerFunc
		want    string
		asked   []int
	}{
		{"the first has it", []http.HandlerFunc{has, gone, gone}, "there", []int{1, 0, 0}},
		{"two lag", []http.HandlerFunc{gone, gone, has}, "there", []int{1, 1, 1}},
		{"one lags, one has another version", []http.HandlerFunc{gone, long, has}, "there", []int{1, 1, 1}},
		{"all lag", []http.HandlerFunc{gone, long, gone}, "gone", []int{1, 1, 1}},
		{"one lags, and the other is busy", []http.HandlerFunc{gone, busy}, "gone", []int{1, 1}},
		{"the only one lags", []http.HandlerFunc{gone}, "gone", []int{1}},
		{"nobody can tell", []http.HandlerFunc{busy, busy}, "unknown", []int{1, 1}},
		{"more than are asked", slices.Repeat([]http.HandlerFunc{gone}, mostAsked+1), "gone", append(slices.Repeat([]int{1}, mostAsked), 0)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			ups, bases := allAnswers(t, tt.mirrors)
			client := patient(t, Options{Now: ck.now})
			m := client.Mirrors("r", bases)
			k := cache.Key{Repo: "r", Path: "f"}
			for way, err := range map[string]error{"clients": m.Offers(t.Context(), k, 5), "the agent": m.Grab().(grabber).Offers(t.Context(), k, 5)} {
				if got := presence(err); got != tt.want {
					t.Errorf("%s: %s (%v), want %s", way, got, err, tt.want)
				}
			}
			for i, a := range ups {
				if n := a.count(); n != 2*tt.asked[i] {
					t.Errorf("mirror %d was asked %d times, want %d", i, n, 2*tt.asked[i])
				}
			}
			if tt.want == "unknown" {
				return
			}
			_, err := store(t, m, ck.now).Prefetch(t.Context(), k, promise("12345").want, m)
			if (err == nil) != (tt.want == "there") {
				t.Errorf("a request for it: %v", err)
			}
		})
	}
}

// presence is what is said of a file by the error of who asked for it.
func presence(err error) string {
	switch {
	case err == nil:
		return "there"
	case errors.Is(err, fs.ErrNotExist):
		return "gone"
	case errors.As(err, new(*cache.UnreachableError)):
		return "unknown"
	}
	return err.Error()
}

// allAnswers starts a mirror for each handler.
func allAnswers(t *testing.T, handlers []http.HandlerFunc) (ups []*answers, bases []string) {
	t.Helper()
	for _, h := range handlers {
		a := newAnswers(t, h)
		ups, bases = append(ups, a), append(bases, a.URL)
	}
	return ups, bases
}
