package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// newHosts is the hosts of a client that may reach what may says, and a cache
// of what they have.
func newHosts(t *testing.T, may func(host string, addr netip.Addr) bool) (*Hosts, *cache.Cache) {
	t.Helper()
	c := patient(t, Options{MayReach: may})
	h := c.Hosts()
	store, err := cache.Open(cache.Options{
		Dir: t.TempDir(), Source: func(string) cache.Source { return h },
		Policy: func(k cache.Key) cache.Policy { return cache.Policy{MaxAge: time.Hour, Format: cache.FormatOf(k.Path)} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		store.Close()
		h.Close()
	})
	return h, store
}

// read is the file of a host.
func read(t *testing.T, c *cache.Cache, host, path string) (string, error) {
	t.Helper()
	k, err := cache.NewKey("proxy", host+path)
	if err != nil {
		t.Fatal(err)
	}
	o, err := c.Get(t.Context(), k)
	if err != nil {
		return "", err
	}
	defer o.Close()
	var b strings.Builder
	_, err = o.SendTo(t.Context(), &b, 0, -1)
	return b.String(), err
}

// hostOf is a test server's address with its port.
func hostOf(s *httptest.Server) string { return strings.TrimPrefix(s.URL, "http://") }

// TestDialled holds that the address which is dialled is what counts: behind a
// name, and behind a redirect too.
func TestDialled(t *testing.T) {
	var reached atomic.Int32
	inner := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		reached.Add(1)
		_, _ = io.WriteString(w, "secret") // its client may be gone
	}))
	t.Cleanup(inner.Close)
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/out" {
			http.Redirect(w, r, inner.URL+"/x", http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "public") // as above
	}))
	t.Cleanup(outer.Close)
	h, c := newHosts(t, func(host string, addr netip.Addr) bool {
		if !addr.IsLoopback() {
			t.Errorf("asked for %s, which %s is not at", addr, host)
		}
		return host == hostOf(outer)
	})
	named := "localhost" + strings.TrimPrefix(hostOf(inner), "127.0.0.1")

	if got, err := read(t, c, hostOf(outer), "/a"); err != nil || got != "public" {
		t.Errorf("%q, %v", got, err)
	}
	for _, tt := range []struct{ name, host, path string }{
		{"an address", hostOf(inner), "/x"},
		{"a name", named, "/x"},
		{"a redirect", hostOf(outer), "/out"},
	} {
		var denied *DeniedError
		var unreachable *cache.UnreachableError
		if got, err := read(t, c, tt.host, tt.path); !errors.As(err, &denied) || !errors.As(err, &unreachable) {
			t.Errorf("%s: %q, %v", tt.name, got, err)
		} else if !strings.HasSuffix(hostOf(inner), denied.Host[strings.LastIndexByte(denied.Host, ':'):]) {
			t.Errorf("%s: denied %+v", tt.name, denied)
		}
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+named+"/x", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	var denied *DeniedError
	if resp, err := h.Relay(t.Context(), req); !errors.As(err, &denied) {
		t.Errorf("relayed: %v, %v", resp, err)
	}
	if conn, err := h.Tunnel(t.Context(), named); !errors.As(err, &denied) {
		t.Errorf("tunnelled: %v, %v", conn, err)
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d requests came where none may", n)
	}

	// A redirect that is relayed is the client's to follow.
	req.URL.Host, req.URL.Path, req.Body, req.ContentLength = hostOf(outer), "/out", nil, 0
	resp, err := h.Relay(t.Context(), req)
	if err != nil || resp.StatusCode != http.StatusFound {
		t.Fatalf("%v, %v", resp, err)
	}
	resp.Body.Close()
	conn, err := h.Tunnel(t.Context(), hostOf(outer))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

// TestUnshareableIsNotStored: a host that nobody configured may have anything.
func TestUnshareableIsNotStored(t *testing.T) {
	fields, body := http.Header{}, "text"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for name, v := range fields {
			w.Header()[name] = v
		}
		_, _ = io.WriteString(w, body) // its client may be gone
	}))
	t.Cleanup(s.Close)
	h, c := newHosts(t, nil)
	for _, tt := range []struct {
		name, field, value string
		kept               bool
	}{
		{"nothing said", "X-Test", "no-store", true},
		{"not for long", "Cache-Control", "no-cache, max-age=0", true},
		{"not at all", "Cache-Control", "max-age=5, No-Store", false},
		{"for one", "Cache-Control", "private", false},
		{"fields for one", "Cache-Control", `private="set-cookie"`, false},
		{"another for each", "Vary", "Accept, *", false},
		{"another for some", "Vary", "Accept-Encoding", true},
		{"a picture", "Content-Type", "Image/png", false},
		{"a page", "Content-Type", "text/html; charset=utf-8", false},
		{"a disk", "Content-Type", "application/octet-stream", true},
	} {
		fields = http.Header{tt.field: {tt.value}}
		_, err := read(t, c, hostOf(s), "/"+strings.ReplaceAll(tt.name, " ", "-"))
		if tt.kept && err != nil || !tt.kept && !errors.Is(err, cache.ErrUnstorable) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	// A name that promises a format: its first bytes tell.
	fields = http.Header{"Content-Type": {"text/html"}}
	if _, err := read(t, c, hostOf(s), "/page.rpm"); !errors.Is(err, cache.ErrWrongContent) {
		t.Errorf("a page in a package's place: %v", err)
	}
	body = "\xed\xab\xee\xdb and more"
	if got, err := read(t, c, hostOf(s), "/package.rpm"); err != nil || got != body {
		t.Errorf("a package whose type is wrong: %q, %v", got, err)
	}
	fields.Set("Cache-Control", "no-store")
	if _, err := read(t, c, hostOf(s), "/portal.rpm"); !errors.Is(err, cache.ErrWrongContent) {
		t.Errorf("a portal's page, which is not to be kept: %v", err)
	}
	body = "text"
	// What a site has configured has packages, whatever its server says of them.
	m := h.c.Mirrors("r", []string{s.URL})
	k := cache.Key{Repo: "r", Path: "a"}
	fields = http.Header{"Cache-Control": {"no-store"}}
	if out, err := c.Prefetch(t.Context(), k, cache.Want{}, m); err != nil || out.Fetched != 4 {
		t.Errorf("a configured mirror: %+v, %v", out, err)
	}
}

// TestHostsAreBounded holds that no client can fill the memory with names.
func TestHostsAreBounded(t *testing.T) {
	h, _ := newHosts(t, nil)
	for i := range 3 * maxKnown {
		h.At("host" + string(rune('a'+i%26)) + strings.Repeat("x", i/26))
	}
	if n := len(h.known); n > maxKnown {
		t.Errorf("%d hosts are remembered", n)
	}
	if n := len(h.c.hosts); n > maxKnown {
		t.Errorf("of %d hosts it is remembered how well they are", n)
	}
	if first, again := h.At("a"), h.At("a"); first != again {
		t.Error("a host is forgotten at once")
	}
}

// TestRelayWaits holds that a relayed answer may take longer to begin than that
// of a mirror, which another could replace.
func TestRelayWaits(t *testing.T) {
	goOn := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-goOn }))
	t.Cleanup(s.Close)
	c := patient(t, Options{Header: time.Nanosecond})
	h := c.Hosts()
	t.Cleanup(h.Close)
	req, err := http.NewRequest(http.MethodGet, s.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.At(hostOf(s)).Relay(t.Context(), req, ""); err == nil {
		t.Fatal("a mirror's header has no time-out")
	}
	close(goOn)
	resp, err := h.Relay(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Relay(ctx, req); !errors.Is(err, context.Canceled) {
		t.Errorf("a client that left: %v", err)
	}
}
