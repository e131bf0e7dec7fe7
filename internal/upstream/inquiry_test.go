package upstream

import (
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
)

func TestPassing(t *testing.T) {
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{errNotNow, true}, {io.ErrUnexpectedEOF, true}, {syscall.ECONNRESET, true},
		{syscall.ECONNREFUSED, false}, {errStalled, false}, {errAnswer, false}, {cache.ErrWrongContent, false},
	} {
		if got := passing(tt.err); got != tt.want {
			t.Errorf("%v: %v", tt.err, got)
		}
	}
	for code, want := range map[int]bool{429: true, 500: true, 503: true, 501: false, 403: false, 404: false} {
		if later(code) != want {
			t.Errorf("%d: not %v", code, want)
		}
	}
}

// TestJittered: no two sites that one trouble has stopped come back together.
func TestJittered(t *testing.T) {
	for _, tt := range []struct {
		random float64
		want   time.Duration
	}{{0, time.Second}, {0.5, 2 * time.Second}, {0.75, 2500 * time.Millisecond}} {
		c := patient(t, Options{Random: func() float64 { return tt.random }})
		if got := c.jittered(2 * time.Second); got != tt.want {
			t.Errorf("%v: %v, want %v", tt.random, got, tt.want)
		}
	}
}

// TestNotNow: who is asked again, of mirrors that are there and can't help at
// the moment.
func TestNotNow(t *testing.T) {
	const body = "0123456789"
	for _, tt := range []struct {
		name string
		on   [2][]testrepo.Fault // nil: honest
		only bool                // the second is not configured
		want [2][]string         // what they were asked and said
		err  bool
	}{
		{name: "both, once", on: [2][]testrepo.Fault{{testrepo.Status(503).Times(1)}, {testrepo.Status(502).Times(1)}},
			want: [2][]string{{"503", "200"}, {"502"}}},
		{name: "both, for good", on: [2][]testrepo.Fault{{testrepo.Status(503)}, {testrepo.Status(503)}},
			want: [2][]string{{"503", "503", "503"}, {"503", "503", "503"}}, err: true},
		{name: "there is only one", on: [2][]testrepo.Fault{{testrepo.Status(503).Times(1)}}, only: true,
			want: [2][]string{{"503"}, nil}, err: true},
		{name: "one forbids it", on: [2][]testrepo.Fault{{testrepo.Status(403)}, {testrepo.Status(503).Times(1)}},
			want: [2][]string{{"403"}, {"503", "200"}}},
		// What has come can be continued by this mirror alone.
		{name: "in the middle", on: [2][]testrepo.Fault{{testrepo.Cut(4).Times(1), testrepo.Status(503).Times(2)}},
			want: [2][]string{{"200", "503", "503", "206"}, nil}},
		{name: "in the middle, for good", on: [2][]testrepo.Fault{{testrepo.Cut(4).Times(1), testrepo.Status(503)}},
			want: [2][]string{slices.Concat([]string{"200"}, slices.Repeat([]string{"503"}, 1+stay)), {"200"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			var ups [2]*testrepo.Server
			var bases []string
			for i := range ups {
				ups[i] = testrepo.Start(t, t.TempDir())
				if err := ups[i].Put("/f", []byte(body)); err != nil {
					t.Fatal(err)
				}
				ups[i].On("*", tt.on[i]...)
				bases = append(bases, ups[i].URL)
			}
			if tt.only {
				bases = bases[:1]
			}
			client := patient(t, Options{Now: ck.now})
			m := client.Mirrors("r", bases)
			_, err := store(t, m, ck.now).Prefetch(t.Context(), cache.Key{Repo: "r", Path: "f"}, cache.Want{}, m)
			if (err != nil) != tt.err {
				t.Errorf("err = %v", err)
			}
			for i, up := range ups {
				var said []string
				for _, line := range up.Lines("", "*") {
					said = append(said, line[strings.LastIndexByte(line, ' ')+1:])
				}
				if !slices.Equal(said, tt.want[i]) {
					t.Errorf("mirror %d said %q, want %q", i, said, tt.want[i])
				}
			}
		})
	}
}

// TestStoredIsServed: where a copy is stored, nobody waits for mirrors that
// can't help at the moment.
func TestStoredIsServed(t *testing.T) {
	ck := newClock()
	a, b := newAnswers(t, text("x")), newAnswers(t, text("x"))
	client := patient(t, Options{Now: ck.now})
	c := store(t, client.Mirrors("r", []string{a.URL, b.URL}), ck.now)
	if _, err := fetch(t, c, "f"); err != nil {
		t.Fatal(err)
	}
	for _, x := range []*answers{a, b} {
		x.set(status(http.StatusServiceUnavailable))
		x.count()
	}
	ck.pass(time.Hour)
	if got, err := fetch(t, c, "f"); err != nil || got != "x" {
		t.Errorf("%q, %v", got, err)
	}
	if n := a.count() + b.count(); n != 2 {
		t.Errorf("%d requests, want one of each", n)
	}
	var u *cache.UnreachableError
	if _, err := fetch(t, c, "g"); !errors.As(err, &u) {
		t.Errorf("err = %v", err)
	}
}

// TestSlowIsNotDown: a mirror that answers, or breaks off, however slowly a busy
// machine has it, is still asked when no other is well; one that is silent is not.
func TestSlowIsNotDown(t *testing.T) {
	for _, tt := range []struct {
		name  string
		takes time.Duration
		h     http.HandlerFunc
		want  health
	}{
		{"503, slowly", slowAnswer - time.Second, status(503), quick},
		{"403, slowly", slowAnswer - time.Second, status(403), quick},
		{"503, too slowly", slowAnswer, status(503), resting},
		{"broken off, after long", time.Hour, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, quick},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			a := newAnswers(t, func(w http.ResponseWriter, r *http.Request) {
				ck.pass(tt.takes)
				tt.h(w, r)
			})
			client := patient(t, Options{Now: ck.now})
			m := client.Mirrors("r", []string{a.URL})
			if _, err := fetch(t, store(t, m, ck.now), "f"); err == nil {
				t.Error("no error")
			}
			if got := m.list[0].health(ck.now()); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
