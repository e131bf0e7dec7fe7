package upstream

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// shelf is a catalog that promises the same file under each name, or holds all.
type shelf struct {
	want cache.Want
	held bool
}

func (s shelf) Lookup(cache.Key) (cache.Want, bool) { return s.want, s.held }

// promise is a catalog that promises these bytes.
func promise(body string) shelf {
	sum := sha256.Sum256([]byte(body))
	return shelf{cache.Want{Digest: cache.SHA256(sum[:]), Size: int64(len(body))}, true}
}

// tagOf is the entity tag that an imserve gives these bytes.
func tagOf(body string) string { return (&cache.Facts{SHA256: promise(body).want.Digest}).Tag() }

// kept answers as an imserve that has stored these bytes.
func kept(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", tagOf(body))
		w.Header().Set("Age", "7200")
		text(body)(w, r)
	}
}

// with adds a field to what h answers.
func with(name, value string, h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(name, value)
		h(w, r)
	}
}

// newer answers with bytes that are a day younger than text's.
func newer(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC), strings.NewReader(body))
	}
}

// cut breaks the connection after some bytes of body.
func cut(body string, n int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write([]byte(body[:n]))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

// asks is what a server was asked: method, and the fields that matter.
func (a *answers) asks() string {
	var list []string
	for {
		select {
		case r := <-a.asked:
			line := r.Method
			for _, name := range []string{"Range", "If-Modified-Since", "If-None-Match"} {
				if r.Header.Get(name) != "" {
					line += " " + name
				}
			}
			list = append(list, line)
		default:
			return strings.Join(list, ", ")
		}
	}
}

// TestSiblings: what a sibling is believed, and what upstream is asked besides.
func TestSiblings(t *testing.T) {
	const body, other = "the package itself", "the package reborn"
	long := strings.Repeat("0123456789abcdef", 64<<10)
	for _, tt := range []struct {
		name        string
		catalog     shelf
		path        string // "" is a package's
		sibling     http.HandlerFunc
		mirror      http.HandlerFunc
		want        string // "" is none
		near, far   string // what the sibling and the mirror are asked
		bytesNearby int
		age         time.Duration // since upstream confirmed it
	}{
		{name: "promised and stored there", catalog: promise(body), sibling: kept(body), mirror: text(body),
			want: body, near: "GET", bytesNearby: len(body)},
		{name: "promised, not stored there", catalog: promise(body), sibling: status(504), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "promised, unknown there", catalog: promise(body), sibling: status(404), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "promised, another version by its tag", catalog: promise(body), sibling: kept(other), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "promised, another version by its length", catalog: promise(body), sibling: text(body + "!"), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "promised, other bytes", catalog: promise(body), sibling: text(other), mirror: text(body),
			want: body, near: "GET", far: "GET", bytesNearby: len(other)},
		{name: "promised, cut on the way", catalog: promise(long), sibling: cut(long, 1000), mirror: text(long),
			want: long, near: "GET", far: "GET Range", bytesNearby: 1000},
		{name: "promised, packed for the way", catalog: promise(body), sibling: with("Content-Encoding", "gzip", text(body)), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "promised, to be had elsewhere", catalog: promise(body), sibling: with("Location", "/elsewhere", status(302)), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "promised, metadata", catalog: promise(body), path: "repodata/primary.xml.gz", sibling: kept(body), mirror: text(body),
			want: body, near: "GET", bytesNearby: len(body)},
		{name: "not promised: upstream still has it", sibling: kept(body), mirror: text(body),
			want: body, near: "GET", far: "GET If-Modified-Since", bytesNearby: len(body)},
		{name: "not promised: upstream has another", sibling: kept(body), mirror: newer(other),
			want: other, near: "GET", far: "GET If-Modified-Since"},
		{name: "not promised: gone upstream", sibling: kept(body), mirror: status(404),
			near: "GET", far: "GET If-Modified-Since"},
		{name: "not promised, listed by an old generation: gone upstream", catalog: shelf{held: true}, sibling: kept(body), mirror: status(404),
			want: body, near: "GET", far: "GET If-Modified-Since", bytesNearby: len(body), age: 2 * time.Hour},
		{name: "not promised: upstream is in trouble", sibling: kept(body), mirror: status(503),
			want: body, near: "GET", far: "GET If-Modified-Since", bytesNearby: len(body), age: 2 * time.Hour},
		{name: "not promised: it does not say how old it is", sibling: with("ETag", `"x"`, func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(body)) }), mirror: text(body),
			want: body, near: "GET", far: "GET"},
		{name: "not promised, cut on the way", sibling: with("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT", cut(long, 1000)), mirror: text(long),
			want: long, near: "GET", far: "GET If-Modified-Since, GET", bytesNearby: 1000},
		{name: "not promised, metadata: nothing is asked there", path: "repodata/comps.xml", sibling: kept(body), mirror: text(body),
			want: body, far: "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			near, far := newAnswers(t, tt.sibling), newAnswers(t, tt.mirror)
			client := patient(t, Options{UserAgent: "imserve/test", Via: "here", Now: ck.now})
			m := client.Repo(Repo{
				Name: "r", Upstreams: []string{far.URL}, Siblings: []string{near.URL + "/r"},
				Mutable: func(path string) bool { return strings.HasPrefix(path, "repodata/") },
			})
			c := dayFresh(t, m, tt.catalog, ck.now)
			path := tt.path
			if path == "" {
				path = "a b+c"
			}
			var got string
			var err error
			for range 2 { // what breaks on its way is asked for again
				if got, err = fetch(t, c, path); err == nil || errors.Is(err, fs.ErrNotExist) {
					break
				}
			}
			if tt.want != "" && (err != nil || got != tt.want) || tt.want == "" && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%.40q, %v; want %.40q", got, err, tt.want)
			}
			if asked := near.asks(); asked != tt.near {
				t.Errorf("the sibling was asked %q, want %q", asked, tt.near)
			}
			if asked := far.asks(); asked != tt.far {
				t.Errorf("the mirror was asked %q, want %q", asked, tt.far)
			}
			if n := c.Activity(); n.Nearby != int64(tt.bytesNearby) {
				t.Errorf("%d bytes came from the sibling, want %d", n.Nearby, tt.bytesNearby)
			} else if all := int64(len(tt.want)); n.Fetched+n.Nearby < all || (tt.far == "" || strings.HasSuffix(tt.far, "Since")) && tt.bytesNearby > 0 && n.Fetched > 0 {
				t.Errorf("%d bytes came from upstream and %d from the sibling, of %d", n.Fetched, n.Nearby, all)
			}
			if tt.want == "" {
				return
			}
			o, _, err := c.Stored(cache.Key{Repo: "r", Path: path})
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			if age := ck.now().Sub(o.Validated()); age != tt.age {
				t.Errorf("upstream confirmed it %v ago, want %v", age, tt.age)
			}
		})
	}
}

// TestSiblingIsAskedForTheStoreAlone: it is never led to ask upstream for us, and
// knows who asks.
func TestSiblingIsAskedForTheStoreAlone(t *testing.T) {
	ck := newClock()
	near, far := newAnswers(t, status(504)), newAnswers(t, text("a"))
	client := patient(t, Options{UserAgent: "imserve/test", Via: "here", Now: ck.now})
	m := client.Repo(Repo{Name: "r", Upstreams: []string{far.URL}, Siblings: []string{near.URL + "/r"}, Mutable: func(string) bool { return false }})
	c := store(t, m, ck.now)
	if got, err := fetch(t, c, "d/a+b c"); got != "a" || err != nil {
		t.Fatalf("%q, %v", got, err)
	}
	r := <-near.asked
	for name, want := range map[string]string{
		"Cache-Control": "only-if-cached, max-stale", "Via": "1.1 here", "User-Agent": "imserve/test", "Accept-Encoding": "identity",
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if want := "/r/d/a%2Bb%20c"; r.RequestURI != want {
		t.Errorf("asked for %s, want %s", r.RequestURI, want)
	}
}

// TestSiblingOutOfReach: one that fails is left alone for a while, and comes back
// without a request having waited for it; one that is this server is left alone too.
func TestSiblingOutOfReach(t *testing.T) {
	for _, tt := range []struct {
		name    string
		trouble func(ck *clock) http.HandlerFunc
		quick   bool // it is asked again by a request, not by a probe
	}{
		{"slow", func(ck *clock) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				ck.pass(2 * time.Second)
				w.WriteHeader(http.StatusBadGateway)
			}
		}, false},
		{"this server itself", func(*clock) http.HandlerFunc { return status(http.StatusLoopDetected) }, false},
		{"refuses us", func(*clock) http.HandlerFunc { return status(http.StatusForbidden) }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			near, far := newAnswers(t, tt.trouble(ck)), newAnswers(t, text("a"))
			client := patient(t, Options{Now: ck.now})
			m := client.Repo(Repo{Name: "r", Upstreams: []string{far.URL}, Siblings: []string{near.URL + "/r"}, Mutable: func(string) bool { return false }})
			c := store(t, m, ck.now)
			get := func(name string, asked int) {
				t.Helper()
				if got, err := fetch(t, c, name); got != "a" || err != nil {
					t.Errorf("%s: %q, %v", name, got, err)
				}
				if n := near.count(); n != asked {
					t.Errorf("%s: the sibling was asked %d times, want %d", name, n, asked)
				}
			}
			get("1", 1)
			get("2", 0)
			near.set(kept("a"))
			ck.pass(maxRest)
			if !tt.quick {
				// The request goes to upstream, and a probe to the sibling.
				if got, err := fetch(t, c, "3"); got != "a" || err != nil {
					t.Errorf("3: %q, %v", got, err)
				}
				if r := <-near.asked; r.Method != http.MethodHead || r.Header.Get("Cache-Control") != lookUp {
					t.Errorf("%s with %q is no probe", r.Method, r.Header.Get("Cache-Control"))
				}
				client.under.Wait()
			}
			get("4", 1)
		})
	}
}
