package serve

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// origin is a host that answers as a test says, and remembers what it was asked.
// It is the upstream of the repository "q", below /base, and may be asked by way
// of the proxy.
type origin struct {
	*mirror
	host string
	url  string

	mu     sync.Mutex
	answer http.HandlerFunc
	asked  []string
	last   *http.Request
}

func newOrigin(t *testing.T) *origin {
	t.Helper()
	o := &origin{}
	s := httptest.NewUnstartedServer(o)
	s.Config.DisableGeneralOptionsHandler = true
	s.Start()
	t.Cleanup(s.Close)
	o.url, o.host = s.URL, strings.TrimPrefix(s.URL, "http://")
	o.mirror = newMirror(t, setup{config: loopback + "[[repo]]\nname = \"q\"\nupstreams = [\"" + s.URL + "/base\"]\n"})
	return o
}

// ServeHTTP implements http.Handler.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	line := r.Method
	for _, name := range []string{"Range", "If-Range", "If-None-Match"} {
		if v := r.Header.Get(name); v != "" {
			line += " " + v
		}
	}
	if r.Header.Get("If-Modified-Since") != "" {
		line += " if"
	}
	o.asked = append(o.asked, line)
	o.last = r.Clone(r.Context())
	answer := o.answer
	o.mu.Unlock()
	answer(w, r)
}

// does says how the host answers from now on.
func (o *origin) does(h http.HandlerFunc) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = h
}

// took is what the host was asked since the last call, the method first, then the
// validators and "if" for a time.
func (o *origin) took() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer func() { o.asked = nil }()
	return o.asked
}

// quiet waits until no download is under way: what is to be stored is.
func (m *mirror) quiet() {
	for m.cache.Activity().Downloads > 0 {
		runtime.Gosched()
	}
}

// sends answers with a status, a body and fields, which are pairs of a name and a
// value.
func sends(code int, body []byte, fields ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i+1 < len(fields); i += 2 {
			w.Header().Add(fields[i], fields[i+1])
		}
		if body != nil {
			w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		}
		w.WriteHeader(code)
		if r.Method != http.MethodHead {
			_, _ = w.Write(body) // its client may be gone
		}
	}
}

// form is how a client asks for a file of the origin's.
type form int

const (
	byMirror form = iota // GET /q/...: the mirror's own path
	byAlias              // GET http://HOST/base/...: the repository's file, by way of the proxy
	byProxy              // GET http://HOST/...: a host's that no repository has
)

// forms are all of them; an empty list of a test's means these.
var forms = []form{byMirror, byAlias, byProxy}

func (f form) String() string { return [...]string{"mirror", "alias", "proxy"}[f] }

// asks sends a request for path in this form, and reads its answer.
func (o *origin) asks(f form, method, path string, fields ...string) reply {
	o.t.Helper()
	switch f {
	case byMirror:
		return o.do(o.request(method, "/q/"+path, fields...))
	case byAlias:
		return o.ask(method, o.url+"/base/"+path, fields...)
	}
	return o.ask(method, o.url+"/"+path, fields...)
}

// key is where the file is stored, below the cache directory.
func (o *origin) key(f form, path string) string {
	if f == byProxy {
		return "proxy/" + o.host + "/" + path
	}
	return "q/" + path
}

// turn is a request within a case, and what has to come of it.
type turn struct {
	origin http.HandlerFunc // how the host answers from here on; nil: as before
	later  time.Duration    // that passes before the request
	down   bool             // the host breaks off what it is asked, from here on
	method string           // GET where it is ""
	fields []string         // of the request

	code   int
	status string   // Cache-Status
	has    []string // fields of the answer, pairs; "" is none
	body   []byte   // nil is not looked at
	asked  []string // what the host was asked
}

// exchange is a case: a requirement, with the section that has it.
type exchange struct {
	name  string
	forms []form // none: all
	path  string // a package where it is ""
	turns []turn
	kept  bool // the file is stored in the end
}

// play runs the cases, each in each of its forms, with a file of its own.
func play(t *testing.T, cases []exchange) {
	o := newOrigin(t)
	for i, c := range cases {
		list := c.forms
		if len(list) == 0 {
			list = forms
		}
		for _, f := range list {
			t.Run(c.name+"/"+f.String(), func(t *testing.T) {
				path := c.path
				if path == "" {
					path = "Packages/a-1-1.noarch.rpm"
				}
				path = fmt.Sprintf("%d-%s/%s", i, f, path)
				for n, s := range c.turns {
					o.turn(t, n, f, path, s)
				}
				if got := slices.Contains(o.files(), o.key(f, path)); got != c.kept {
					t.Errorf("stored: %v, want %v", got, c.kept)
				}
			})
		}
	}
}

// turn makes one request and compares.
func (o *origin) turn(t *testing.T, n int, f form, path string, s turn) {
	t.Helper()
	if s.origin != nil {
		o.does(s.origin)
	}
	if s.down {
		o.does(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	}
	o.pass(s.later)
	if s.method == "" {
		s.method = http.MethodGet
	}
	o.took()
	r := o.asks(f, s.method, path, s.fields...)
	o.quiet()
	if r.StatusCode != s.code || r.status() != s.status {
		t.Errorf("request %d: %s, Cache-Status %q; want %d, %q", n, r.Status, r.status(), s.code, s.status)
	}
	if err := wellFormed(r.status()); err != nil {
		t.Errorf("request %d: Cache-Status %q: %v", n, r.status(), err)
	}
	for i := 0; i+1 < len(s.has); i += 2 {
		if got := strings.Join(r.Header.Values(s.has[i]), ", "); got != s.has[i+1] {
			t.Errorf("request %d: %s: %q, want %q", n, s.has[i], got, s.has[i+1])
		}
	}
	if s.body != nil && (r.err != nil || !bytes.Equal(r.body, s.body)) {
		t.Errorf("request %d: %d other bytes, %v", n, len(r.body), r.err)
	}
	if got := o.took(); !slices.Equal(got, s.asked) && !s.down {
		t.Errorf("request %d: the host was asked %q, want %q", n, got, s.asked)
	}
}

// wellFormed checks a Cache-Status that is ours alone by RFC 9211, 2: a token, and
// parameters each of which is there once and of its own type.
func wellFormed(v string) error {
	parts := strings.Split(v, "; ")
	if parts[0] != "imserve" {
		return fmt.Errorf("it is %q's", parts[0])
	}
	seen := map[string]bool{}
	for _, p := range parts[1:] {
		name, value, valued := strings.Cut(p, "=")
		if seen[name] {
			return fmt.Errorf("%s twice", name)
		}
		seen[name] = true
		ok := false
		switch name {
		case "hit", "stored", "collapsed":
			ok = !valued
		case "fwd":
			ok = slices.Contains([]string{"bypass", "method", "uri-miss", "vary-miss", "miss", "request", "stale", "partial"}, value)
		case "fwd-status":
			ok = len(value) == 3 && strings.Trim(value, "0123456789") == ""
		case "detail":
			ok = value != "" && strings.Trim(value, "abcdefghijklmnopqrstuvwxyz-") == ""
		}
		if !ok {
			return fmt.Errorf("parameter %q", p)
		}
	}
	if seen["hit"] && seen["fwd"] || seen["fwd-status"] && !seen["fwd"] || seen["collapsed"] && !seen["fwd"] {
		return fmt.Errorf("parameters that exclude each other")
	}
	return nil
}

// testPackage is a body that passes for a package, and its replacement.
var testPackage, testUpdate = rpm(3000, 1), rpm(4000, 2)

// dated is a Last-Modified, days before the tests' first second.
const dated = "Fri, 20 Nov 2020 12:00:00 GMT"
