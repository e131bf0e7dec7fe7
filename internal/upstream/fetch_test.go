package upstream

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

func TestContentRange(t *testing.T) {
	for v, want := range map[string]string{
		"bytes 0-9/10":                   "0 10 true",
		"bytes 5-9/10":                   "5 10 true",
		"bytes 5-9/*":                    "5 -1 true",
		"bytes 9-9/10":                   "9 10 true",
		"bytes 10-9/10":                  "false",
		"bytes */10":                     "false",
		"bytes -5/10":                    "false",
		"bytes -5-9/10":                  "false",
		"bytes 5-9":                      "false",
		"bytes 5/10":                     "false",
		"bytes=5-9/10":                   "false",
		"items 5-9/10":                   "false",
		"":                               "false",
		"bytes 5-9/-1":                   "false",
		"bytes 5-9/x":                    "false",
		"bytes x-9/10":                   "false",
		"bytes 5-9/99999999999999999999": "false",
	} {
		from, total, ok := contentRange(v)
		got := "false"
		if ok {
			got = fmt.Sprint(from, total, ok)
		}
		if got != want {
			t.Errorf("%q: %s, want %s", v, got, want)
		}
	}
}

// FuzzContentRange: what is accepted can be a part of a file.
func FuzzContentRange(f *testing.F) {
	for _, s := range []string{"bytes 0-9/10", "bytes 5-9/*", "bytes */10", "bytes 5-", "bytes +5-9/+10", "bytes 00-1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, v string) {
		from, total, ok := contentRange(v)
		if ok && (from < 0 || total != -1 && total <= from || !strings.HasPrefix(v, "bytes ")) {
			t.Errorf("%q: %d of %d", v, from, total)
		}
	})
}

func TestOlder(t *testing.T) {
	at := time.Date(2026, 11, 20, 12, 0, 0, 500, time.UTC)
	stamp := func(d time.Duration) string { return at.Add(d).Format(http.TimeFormat) }
	for _, tt := range []struct {
		name, lastModified string
		stored             cache.Facts
		want               bool
	}{
		{"a day older", stamp(-24 * time.Hour), cache.Facts{ModTime: at}, true},
		{"a second older", stamp(-time.Second), cache.Facts{ModTime: at}, true},
		{"the same, whose fraction the field can't have", stamp(0), cache.Facts{ModTime: at}, false},
		{"newer", stamp(time.Second), cache.Facts{ModTime: at}, false},
		{"none", "", cache.Facts{ModTime: at}, false},
		{"nonsense", "yesterday", cache.Facts{ModTime: at}, false},
		{"older than what upstream said, not than the file", stamp(0), cache.Facts{ModTime: at.Add(-time.Hour), LastModified: stamp(time.Hour)}, true},
		{"newer than what upstream said, not than the file", stamp(0), cache.Facts{ModTime: at.Add(time.Hour), LastModified: stamp(-time.Hour)}, false},
	} {
		if got := older(tt.lastModified, &tt.stored); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestConditions: validators go to the address that gave them alone.
func TestConditions(t *testing.T) {
	const here, there = "http://m.test/a.rpm", "http://n.test/a.rpm"
	lm := "Fri, 20 Nov 2026 12:00:00 GMT"
	promised := cache.Want{Digest: cache.SHA256(make([]byte, 32)), Size: 100}
	stored := &cache.Facts{ETag: `"s"`, LastModified: lm, URL: here, ModTime: time.Unix(0, 0)}
	adopted := &cache.Facts{ModTime: time.Date(2026, 11, 20, 12, 0, 0, 7, time.FixedZone("x", 3600))}
	for _, tt := range []struct {
		name string
		r    cache.Request
		head cache.Head
		off  int64
		want string
	}{
		{"a miss", cache.Request{}, cache.Head{}, 0, ""},
		{"stored from here", cache.Request{Stored: stored}, cache.Head{}, 0, `If-Modified-Since: ` + lm + `; If-None-Match: "s"`},
		{"stored from there", cache.Request{Stored: &cache.Facts{ETag: `"s"`, LastModified: lm, URL: there}}, cache.Head{}, 0, `If-Modified-Since: ` + lm},
		{"adopted", cache.Request{Stored: adopted}, cache.Head{}, 0, `If-Modified-Since: Fri, 20 Nov 2026 11:00:00 GMT`},
		{"begun here", cache.Request{Stored: stored}, cache.Head{URL: here, ETag: `"p"`}, 10, `If-Range: "p"; Range: bytes=10-`},
		{"begun here, weak tag", cache.Request{}, cache.Head{URL: here, ETag: `W/"p"`, LastModified: lm, Settled: true}, 10, ""},
		{"begun here, weak tag, promised", cache.Request{Want: promised}, cache.Head{URL: here, ETag: `W/"p"`, LastModified: lm, Settled: true}, 10, "Range: bytes=10-"},
		{"begun here, no tag", cache.Request{}, cache.Head{URL: here, LastModified: lm, Settled: true}, 10, `If-Range: ` + lm + `; Range: bytes=10-`},
		{"begun here, no tag, in the second of its time", cache.Request{}, cache.Head{URL: here, LastModified: lm}, 10, ""},
		{"begun here, only a weak tag", cache.Request{}, cache.Head{URL: here, ETag: `W/"p"`}, 10, ""},
		{"begun here, only a weak tag, promised", cache.Request{Want: promised}, cache.Head{URL: here, ETag: `W/"p"`}, 10, "Range: bytes=10-"},
		{"begun there", cache.Request{}, cache.Head{URL: there, ETag: `"p"`, LastModified: lm}, 10, ""},
		{"begun there, promised", cache.Request{Want: promised}, cache.Head{URL: there, ETag: `"p"`, LastModified: lm}, 10, "Range: bytes=10-"},
		{"begun there, promised then", cache.Request{}, cache.Head{URL: there, ETag: `"p"`, Want: promised}, 10, "Range: bytes=10-"},
		{"begun who knows where", cache.Request{}, cache.Head{ETag: `"p"`}, 10, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := httptest.NewRequest("GET", here, nil)
			// Of the request that was redirected here.
			for _, f := range []string{"Range", "If-Range", "If-None-Match", "If-Modified-Since"} {
				req.Header.Set(f, "another's")
			}
			conditions(req, tt.r, tt.head, tt.off)
			var got []string
			for f, v := range req.Header {
				got = append(got, f+": "+strings.Join(v, ","))
			}
			slices.Sort(got)
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
		})
	}
}

func TestSettled(t *testing.T) {
	const lm = "Fri, 20 Nov 2026 12:00:00 GMT"
	for _, tt := range []struct {
		name, sent, modified string
		want                 bool
	}{
		{"a second later", "Fri, 20 Nov 2026 12:00:01 GMT", lm, true},
		{"the same second", lm, lm, false},
		{"from the future", "Fri, 20 Nov 2026 11:00:00 GMT", lm, false},
		{"no Date", "", lm, false},
		{"no Last-Modified", lm, "", false},
	} {
		h := http.Header{}
		h.Set("Date", tt.sent)
		h.Set("Last-Modified", tt.modified)
		if got := settled(h); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// TestRequests: what a mirror, and whom it redirects to, gets to see of us, in a
// first download, a validation and a continuation, and nothing else.
func TestRequests(t *testing.T) {
	ck := newClock()
	body := strings.Repeat("0123456789", 20_000)
	target := newAnswers(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"target's"`)
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		text(body)(w, r)
	})
	a := newAnswers(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "2"})
		w.Header().Set("ETag", `"redirect's"`)
		http.Redirect(w, r, target.URL+r.URL.Path, http.StatusFound)
	})
	client := patient(t, Options{UserAgent: "agent/1", Now: ck.now})
	m := client.Mirrors("r", []string{a.URL})
	c := store(t, m, ck.now)
	const lm = "If-Modified-Since=Sat, 21 Nov 2026 00:00:00 GMT"
	check := func(when string, ofA, ofTarget []string) {
		t.Helper()
		for who, want := range map[*answers][]string{a: ofA, target: ofTarget} {
			for _, want := range want {
				r := <-who.asked
				always := []string{"Accept=*/*", "Accept-Encoding=identity", "User-Agent=agent/1"}
				var got []string
				for f, v := range r.Header {
					got = append(got, f+"="+strings.Join(v, ","))
				}
				if want != "" {
					always = append(always, strings.Split(want, "; ")...)
				}
				slices.Sort(always)
				slices.Sort(got)
				if !slices.Equal(got, always) || r.Method != "GET" {
					t.Errorf("%s: %s %q, want %q", when, r.Method, got, always)
				}
			}
			if n := who.count(); n > 0 {
				t.Errorf("%s: %d requests more", when, n)
			}
		}
	}
	if got, err := fetch(t, c, "f"); err != nil || got != body {
		t.Fatal(err)
	}
	check("first", []string{""}, []string{""})
	ck.pass(time.Hour)
	if got, err := fetch(t, c, "f"); err != nil || got != body {
		t.Fatal(err)
	}
	check("validation", []string{lm}, []string{lm + `; If-None-Match="target's"`})

	cut := func(w http.ResponseWriter, r *http.Request) {
		target.set(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"target's"`)
			text(body)(w, r)
		})
		w.Header().Set("ETag", `"target's"`)
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write([]byte(body[:100_000]))
		panic(http.ErrAbortHandler)
	}
	target.set(cut)
	if got, err := fetch(t, c, "g"); err != nil || got != body {
		t.Fatal(err)
	}
	check("continuation", []string{"", ""}, []string{"", `If-Range="target's"; Range=bytes=100000-`})
	target.set(cut)
	w := cache.Want{Digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000", Size: int64(len(body))}
	if _, err := c.Prefetch(t.Context(), cache.Key{Repo: "r", Path: "h"}, w, m.Grab()); err == nil {
		t.Error("a digest of zeros was found to be right")
	}
	// The file is fetched once more, in case that the first part was of another version.
	check("by grab", []string{"", "Range=bytes=100000-", ""}, []string{"", "Range=bytes=100000-", ""})
}
