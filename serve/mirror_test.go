package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/testrepo"
)

// TestTable holds the design's table over HTTP: what is stored against what
// upstream says, and what is on disk afterwards.
func TestTable(t *testing.T) {
	one, two := rpm(5000, 1), rpm(7000, 2)
	first, second := []byte("<?xml version=\"1.0\"?>\n<repomd>1</repomd>\n"), []byte("<repomd>two</repomd>\n")
	gone := func(m *mirror, path string) { m.remove(path) }
	down := func(m *mirror, _ string) { m.up.Stop() }
	same := func(*mirror, string) {}
	for _, tt := range []struct {
		name   string
		path   string
		old    []byte // upstream first; nil: nothing is stored
		new    []byte // upstream then; nil: as it was
		fresh  bool   // no time passes in between
		held   bool   // a kept generation lists it
		then   func(*mirror, string)
		code   int
		body   []byte // nil: the text of an error
		starts string // what the text begins with
		status string
		kept   []byte
		asked  []string // requests to upstream
	}{
		{
			name: "stored and fresh", path: pkg, old: one, new: two, fresh: true, then: same,
			code: 200, body: one, status: "imserve; hit", kept: one,
		},
		{
			name: "stored, same as upstream", path: pkg, old: one, then: same,
			code: 200, body: one, status: "imserve; fwd=stale; fwd-status=304", kept: one, asked: []string{"GET if 304"},
		},
		{
			name: "stored, older than upstream", path: pkg, old: one, new: two, then: same,
			code: 200, body: two, status: "imserve; fwd=stale; fwd-status=200; stored", kept: two, asked: []string{"GET if 200"},
		},
		{
			name: "stored, gone upstream", path: pkg, old: one, then: gone,
			code: 404, starts: "Not found", status: "imserve; fwd=uri-miss; fwd-status=404", asked: []string{"GET if 404"},
		},
		{
			name: "stored, gone upstream, listed by a kept generation", path: pkg, old: one, held: true, then: gone,
			code: 200, body: one, status: "imserve; hit; detail=gone-upstream", kept: one, asked: []string{"GET if 404"},
		},
		{
			name: "stored, upstream out of reach", path: pkg, old: one, then: down,
			code: 200, body: one, status: "imserve; hit; detail=upstream-unreachable", kept: one,
		},
		{
			name: "not stored", path: pkg, new: one, then: same,
			code: 200, body: one, status: "imserve; fwd=uri-miss; stored", kept: one, asked: []string{"GET 200"},
		},
		{
			name: "not stored, not upstream", path: pkg, then: same,
			code: 404, starts: "Not found", status: "imserve; fwd=uri-miss; fwd-status=404", asked: []string{"GET 404"},
		},
		{
			name: "not stored, upstream out of reach", path: pkg, then: down,
			code: 502, starts: "No route to host", status: "imserve; fwd=uri-miss; detail=upstream-unreachable",
		},
		{
			name: "metadata, stored, same", path: repomd, old: first, then: same,
			code: 200, body: first, status: "imserve; fwd=stale; fwd-status=304", kept: first, asked: []string{"GET if 304"},
		},
		{
			name: "metadata, stored, older", path: repomd, old: first, new: second, then: same,
			code: 200, body: second, status: "imserve; fwd=stale; fwd-status=200; stored", kept: second, asked: []string{"GET if 200"},
		},
		{
			name: "metadata, stored, gone: a request never deletes it", path: repomd, old: first, then: gone,
			code: 200, body: first, status: "imserve; hit; detail=gone-upstream", kept: first, asked: []string{"GET if 404"},
		},
		{
			name: "metadata, stored, upstream out of reach", path: repomd, old: first, then: down,
			code: 200, body: first, status: "imserve; hit; detail=upstream-unreachable", kept: first,
		},
		{
			name: "a captive portal's page", path: pkg, then: func(m *mirror, _ string) { m.up.On("*", testrepo.Portal()) },
			code: 502, starts: "Upstream sends something else", status: "imserve; fwd=uri-miss; detail=wrong-content", asked: []string{"GET 200"},
		},
		{
			name: "a captive portal's page in place of a stored file", path: pkg, old: one, then: func(m *mirror, _ string) { m.up.On("*", testrepo.Portal()) },
			code: 200, body: one, status: "imserve; hit; detail=upstream-failed", kept: one, asked: []string{"GET if 200"},
		},
		{
			name: "an error of upstream's", path: pkg, then: func(m *mirror, _ string) { m.up.On("*", testrepo.Status(503)) },
			code: 502, starts: "No route to host", status: "imserve; fwd=uri-miss; detail=upstream-unreachable", asked: []string{"GET 503"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := setup{}
			if tt.held {
				o.catalog = holds{}
			}
			m := newMirror(t, o)
			if tt.old != nil {
				m.put(tt.path, tt.old)
				m.prime(tt.path)
			}
			if tt.new != nil {
				m.put(tt.path, tt.new)
			}
			if !tt.fresh {
				m.pass(2 * time.Hour)
			}
			tt.then(m, tt.path)
			r := m.get(tt.path)
			if r.StatusCode != tt.code || r.status() != tt.status {
				t.Errorf("%s, Cache-Status %q; want %d, %q", r.Status, r.status(), tt.code, tt.status)
			}
			if tt.body != nil && !bytes.Equal(r.body, tt.body) {
				t.Errorf("%d other bytes", len(r.body))
			}
			if tt.starts != "" && (!strings.HasPrefix(string(r.body), tt.starts) || strings.Count(string(r.body), "\n") != 2) {
				t.Errorf("body %q, want two lines, the first beginning %q", r.body, tt.starts)
			}
			if tt.code >= 400 && r.Header.Get("Cache-Control") != "no-store" {
				t.Error("an error that others may keep")
			}
			var asked []string
			for _, l := range m.up.Lines("", "*") {
				asked = append(asked, strings.Replace(l, " /r/"+tt.path, "", 1))
			}
			if !slices.Equal(asked, tt.asked) && tt.then != nil {
				t.Errorf("upstream was asked %q, want %q", asked, tt.asked)
			}
			m.close()
			m.cache.Close() // a commit may still be under way
			if got := m.stored(tt.path); !bytes.Equal(got, tt.kept) {
				t.Errorf("%d bytes are stored, want %d", len(got), len(tt.kept))
			}
		})
	}
}

// holds is a catalog that lists everything in a generation that is not current.
type holds struct{}

func (holds) Lookup(cache.Key) (cache.Want, bool) { return cache.Want{}, true }

// TestSecondMirror holds that a mirror which fails, or lacks a file, is no
// reason for a client to go without.
func TestSecondMirror(t *testing.T) {
	body := rpm(200_000, 1)
	for name, fault := range map[string]testrepo.Fault{
		"refuses":                   testrepo.Refuse(),
		"answers 404":               testrepo.Status(404),
		"answers 503":               testrepo.Status(503),
		"breaks off":                testrepo.Cut(100_000),
		"sends a page":              testrepo.Portal(),
		"redirects to a page":       testrepo.Redirect("/page"),
		"says too much":             testrepo.Overstate(1000),
		"encodes":                   testrepo.Gzipped(),
		"answers a range with all":  testrepo.Cut(100_000).With(testrepo.IgnoreRange()),
		"answers a range with more": testrepo.Cut(100_000).With(testrepo.WrongRange()),
	} {
		t.Run(name, func(t *testing.T) {
			second := testrepo.Start(t, t.TempDir())
			if err := second.Put("/r/"+pkg, body); err != nil {
				t.Fatal(err)
			}
			m := newMirror(t, setup{bases: []string{second.URL + "/r"}})
			m.put(pkg, body)
			m.up.On("/r/*", fault)
			m.up.On("/page", testrepo.Portal())
			// What was begun with the first mirror's bytes may be broken off, honestly;
			// who asks again gets the second's.
			for whole := false; !whole; {
				r := m.do(m.request(http.MethodGet, pkg))
				if whole = r.err == nil; whole && (r.StatusCode != 200 || !bytes.Equal(r.body, body)) {
					t.Fatalf("%s, %d bytes, which look whole", r.Status, len(r.body))
				}
			}
			if got := m.prime(pkg); !bytes.Equal(got.body, body) || !bytes.Equal(m.stored(pkg), body) {
				t.Errorf("%d bytes are served, %d stored", len(got.body), len(m.stored(pkg)))
			}
		})
	}
}

func TestTimeout(t *testing.T) {
	m := newMirror(t, setup{header: 20 * time.Millisecond})
	m.up.On("*", testrepo.Hang())
	r := m.get(pkg)
	if r.StatusCode != 504 || !strings.HasPrefix(string(r.body), "No route to host") || r.status() != "imserve; fwd=uri-miss; detail=upstream-timeout" {
		t.Errorf("%s %q, Cache-Status %q", r.Status, r.body, r.status())
	}
}

func TestFields(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(100, 1))
	m.put(repomd, []byte("<repomd/>"))
	for _, path := range []string{pkg, repomd} {
		m.prime(path)
	}
	m.pass(42 * time.Second)
	for path, want := range map[string]http.Header{
		pkg:    {"Content-Type": {"application/x-rpm"}, "Cache-Control": nil},
		repomd: {"Content-Type": {"application/xml"}, "Cache-Control": {"no-cache"}},
	} {
		r := m.get(path)
		want.Set("Age", "42")
		want.Set("Accept-Ranges", "bytes")
		want.Set("Cache-Status", "imserve; hit")
		for name := range want {
			if !slices.Equal(r.Header[name], want[name]) {
				t.Errorf("%s: %s: %q, want %q", path, name, r.Header[name], want[name])
			}
		}
		direct, err := m.http.Head(m.up.URL + "/r/" + path)
		if err != nil {
			t.Fatal(err)
		}
		direct.Body.Close()
		if tag := r.Header.Get("Etag"); !strings.HasPrefix(tag, `"`) || tag == direct.Header.Get("Etag") {
			t.Errorf("%s: ETag %q, the mirror's %q", path, tag, direct.Header.Get("Etag"))
		}
		if _, err := http.ParseTime(r.Header.Get("Last-Modified")); err != nil {
			t.Error(err)
		}
	}
}

func TestDescribe(t *testing.T) {
	sum := strings.Repeat("0123456789abcdef", 4)
	for path, want := range map[string]string{
		"os/Packages/a-1-1.noarch.rpm":                        "application/x-rpm",
		"os/Packages/a-1-1.noarch.drpm":                       "application/x-rpm",
		"pool/main/v/vlc/vlc_3_amd64.deb":                     "application/vnd.debian.binary-package",
		"os/repodata/repomd.xml":                              "application/xml; no-cache",
		"os/repodata/repomd.xml.asc":                          "application/pgp-signature; no-cache",
		"os/repodata/primary.xml.gz":                          "application/gzip; no-cache",
		"os/repodata/" + sum + "-primary.xml.gz":              "application/gzip",
		"os/repodata/" + sum + "-primary.xml.zck":             "application/octet-stream",
		"os/repodata/" + sum + "-comps.XML":                   "application/xml",
		"dists/sid/InRelease":                                 "text/plain; charset=utf-8; no-cache",
		"dists/sid/main/binary-amd64/Packages.xz":             "application/x-xz; no-cache",
		"dists/sid/main/binary-amd64/by-hash/MD5/" + sum[:32]: "application/octet-stream",
		"dists/sid/main/binary-amd64/Release":                 "text/plain; charset=utf-8; no-cache",
		"os/images/boot.iso":                                  "application/x-iso9660-image",
		"os/images/pxeboot/vmlinuz":                           "application/octet-stream",
	} {
		cfg := plainConfig(t)
		h := http.Header{}
		k := cache.Key{Repo: "r", Path: path}
		describe(h, k, cfg.Serve.Classify("/"+k.String()), validators{})
		got := h.Get("Content-Type")
		if c := h.Get("Cache-Control"); c != "" {
			got += "; " + c
		}
		if got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// plainConfig is the configuration of a site that wrote none.
func plainConfig(t *testing.T) *config.Config {
	c, err := config.Load(config.Options{
		Getenv:     func(string) string { return "" },
		Interfaces: func() ([]net.Addr, error) { return nil, nil },
		ReadFile:   func(string) ([]byte, error) { return nil, os.ErrNotExist },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestHead(t *testing.T) {
	t.Run("not here: upstream is asked, and nothing downloaded", func(t *testing.T) {
		m := newMirror(t, setup{})
		m.put(pkg, rpm(5000, 1))
		r := m.do(m.request(http.MethodHead, pkg, "Cookie", "secret=1", "Authorization", "Basic eDp5"))
		if r.StatusCode != 200 || r.ContentLength != 5000 || r.Header.Get("Content-Type") != "application/x-rpm" || r.Header.Get("Last-Modified") == "" {
			t.Errorf("%s %v", r.Status, r.Header)
		}
		if r.Header.Get("Etag") != "" {
			t.Error("a mirror's validator, that no other knows")
		}
		if r.status() != "imserve; fwd=uri-miss; fwd-status=200" {
			t.Errorf("Cache-Status %q", r.status())
		}
		if got, want := m.up.Lines("", "*"), []string{"HEAD /r/" + pkg + " 200"}; !slices.Equal(got, want) {
			t.Errorf("upstream got %q", got)
		}
		if h := m.up.Requests()[0].Header; h.Get("Cookie") != "" || h.Get("Authorization") != "" || h.Get("Accept-Encoding") != "identity" {
			t.Errorf("upstream got %v", h)
		}
		if len(m.files()) != 0 {
			t.Errorf("stored: %q", m.files())
		}
	})
	t.Run("not here, with a condition", func(t *testing.T) {
		m := newMirror(t, setup{})
		m.put(pkg, rpm(5000, 1))
		if r := m.do(m.request(http.MethodHead, pkg, "If-Modified-Since", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))); r.StatusCode != 304 {
			t.Error(r.Status)
		}
	})
	t.Run("stored", func(t *testing.T) {
		m := newMirror(t, setup{})
		m.put(pkg, rpm(5000, 1))
		tag := m.prime(pkg).Header.Get("Etag")
		r := m.do(m.request(http.MethodHead, pkg))
		if r.StatusCode != 200 || r.ContentLength != 5000 || r.Header.Get("Etag") != tag || r.status() != "imserve; hit" {
			t.Errorf("%s %v", r.Status, r.Header)
		}
		if got := m.up.Lines("", "*"); len(got) != 0 {
			t.Errorf("upstream got %q", got)
		}
	})
	for name, fault := range map[string]testrepo.Fault{
		"a mirror that knows no HEAD": testrepo.NoHead(),
		"a mirror that redirects":     testrepo.Redirect("/elsewhere/").Only(http.MethodHead),
		"a page that wants a login":   testrepo.Portal().Only(http.MethodHead),
	} {
		t.Run(name, func(t *testing.T) {
			m := newMirror(t, setup{})
			m.put(pkg, rpm(5000, 1))
			m.up.On("*", fault)
			if r := m.do(m.request(http.MethodHead, pkg)); r.StatusCode != 200 || r.ContentLength != 5000 {
				t.Errorf("%s %v", r.Status, r.Header)
			}
		})
	}
	t.Run("another file than metadata promises", func(t *testing.T) {
		m := newMirror(t, setup{catalog: catalog{pkg: promise(rpm(5000, 1))}})
		m.put(pkg, rpm(4000, 1))
		if r := m.do(m.request(http.MethodHead, pkg)); r.StatusCode != 502 {
			t.Errorf("%s, %d bytes", r.Status, r.ContentLength)
		}
	})
	t.Run("a mirror that says no length", func(t *testing.T) {
		m := newMirror(t, setup{catalog: catalog{pkg: promise(rpm(5000, 1))}})
		m.put(pkg, rpm(5000, 1))
		m.up.On("*", testrepo.Chunked())
		if r := m.do(m.request(http.MethodHead, pkg)); r.StatusCode != 200 || r.ContentLength != 5000 {
			t.Errorf("%s, %d bytes", r.Status, r.ContentLength)
		}
		if n := m.up.Count(http.MethodGet, "*"); n != 0 {
			t.Errorf("it was downloaded: %d requests", n)
		}
	})
	t.Run("nowhere", func(t *testing.T) {
		m := newMirror(t, setup{})
		if r := m.do(m.request(http.MethodHead, pkg)); r.StatusCode != 404 || len(r.body) != 0 {
			t.Errorf("%s %q", r.Status, r.body)
		}
	})
	t.Run("upstream out of reach", func(t *testing.T) {
		m := newMirror(t, setup{})
		m.up.Stop()
		if r := m.do(m.request(http.MethodHead, pkg)); r.StatusCode != 502 {
			t.Error(r.Status)
		}
	})
}

func TestMethods(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(5000, 1))
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, "PURGE"} {
		r := m.do(m.request(method, pkg))
		if r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD" || r.status() != "imserve" {
			t.Errorf("%s: %s, Allow %q, Cache-Status %q", method, r.Status, r.Header.Get("Allow"), r.status())
		}
	}
	if got := m.up.Lines("", "*"); len(got) != 0 {
		t.Errorf("upstream got %q", got)
	}
}

// TestArriving holds what is answered for a file of which upstream has sent a part.
func TestArriving(t *testing.T) {
	body := rpm(100_000, 1)
	arriving := func(t *testing.T, f testrepo.Fault) (*mirror, *http.Response) {
		m := newMirror(t, setup{})
		m.put(pkg, body)
		m.up.On("*", f)
		resp, err := m.http.Do(m.request(http.MethodGet, pkg))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		m.stalled()
		// What this client has read is there for all.
		if _, err := io.CopyN(io.Discard, resp.Body, 60_000); err != nil {
			t.Fatal(err)
		}
		return m, resp
	}
	t.Run("ranges of it that are there", func(t *testing.T) {
		m, _ := arriving(t, testrepo.Stall(70_000))
		for field, want := range map[string][]byte{"bytes=0-9": body[:10], "bytes=50000-59999": body[50_000:60_000]} {
			r := m.get(pkg, "Range", field)
			if r.StatusCode != 206 || !bytes.Equal(r.body, want) || r.status() != "imserve; fwd=uri-miss; stored; collapsed" {
				t.Errorf("%s: %s, %d bytes, Cache-Status %q", field, r.Status, len(r.body), r.status())
			}
		}
		r := m.get(pkg, "Range", "bytes=10-19,0-9")
		if got := parts(t, r); len(got) != 2 || !strings.HasSuffix(got[1], string(body[:10])) {
			t.Errorf("parts %q", got)
		}
		if r := m.get(pkg, "Range", "bytes=100000-"); r.StatusCode != 416 {
			t.Error(r.Status)
		}
		h := m.do(m.request(http.MethodHead, pkg))
		if h.StatusCode != 200 || h.ContentLength != 100_000 || h.Header.Get("Age") != "" {
			t.Errorf("HEAD: %s %v", h.Status, h.Header)
		}
		if n := m.up.Count("", "*"); n != 1 {
			t.Errorf("%d requests to upstream", n)
		}
	})
	t.Run("a range of it that is to come", func(t *testing.T) {
		m, _ := arriving(t, testrepo.Stall(70_000))
		done := make(chan reply, 1)
		late := m.request(http.MethodGet, pkg, "Range", "bytes=-10")
		go func() { done <- m.try(late) }()
		m.release()
		if r := <-done; r.StatusCode != 206 || !bytes.Equal(r.body, body[99_990:]) {
			t.Errorf("%s, %d bytes", r.Status, len(r.body))
		}
	})
	t.Run("of unknown size", func(t *testing.T) {
		m, first := arriving(t, testrepo.Chunked().With(testrepo.Stall(70_000)))
		if first.ContentLength >= 0 {
			t.Errorf("Content-Length %d", first.ContentLength)
		}
		h := m.do(m.request(http.MethodHead, pkg))
		if h.StatusCode != 200 || h.ContentLength >= 0 {
			t.Errorf("HEAD: %s, %d", h.Status, h.ContentLength)
		}
		done := make(chan reply, 1)
		part := m.request(http.MethodGet, pkg, "Range", "bytes=0-9")
		go func() { done <- m.try(part) }()
		m.release()
		if r := <-done; r.StatusCode != 200 && r.StatusCode != 206 || r.StatusCode == 200 && !bytes.Equal(r.body, body) {
			t.Errorf("%s, %d bytes", r.Status, len(r.body))
		}
		rest, err := io.ReadAll(first.Body)
		if err != nil || !bytes.Equal(rest, body[60_000:]) {
			t.Errorf("the first client: %d more bytes, %v", len(rest), err)
		}
	})
	t.Run("the download goes on when its client leaves", func(t *testing.T) {
		m, first := arriving(t, testrepo.Stall(70_000))
		first.Body.Close()
		m.release()
		if got := m.prime(pkg); !bytes.Equal(got.body, body) {
			t.Errorf("%d bytes", len(got.body))
		}
	})
}

// TestAborted holds that no client takes a part of a file for the file.
func TestAborted(t *testing.T) {
	body := rpm(100_000, 1)
	// Upstream breaks off when the client has a part, and is down from then on.
	breaking := func(t *testing.T, f testrepo.Fault) *mirror {
		m := newMirror(t, setup{})
		m.put(pkg, body)
		m.up.On("*", f.With(testrepo.Stall(50_000)).With(testrepo.Cut(50_000)).Times(1), testrepo.Status(503))
		return m
	}
	for name, fault := range map[string]testrepo.Fault{"with a length": {}, "chunked": testrepo.Chunked()} {
		t.Run(name, func(t *testing.T) {
			m := breaking(t, fault)
			resp, err := m.http.Do(m.request(http.MethodGet, pkg))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 40_000); err != nil {
				t.Fatal(err)
			}
			m.release()
			if rest, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%d bytes look whole", 40_000+len(rest))
			}
			if len(m.files()) != 0 {
				t.Errorf("stored: %q", m.files())
			}
			if line := m.lines()[0]; !strings.Contains(line, `" 200 `) || !strings.Contains(line, `; detail=aborted"`) {
				t.Errorf("logged as %q", line)
			}
		})
	}
	t.Run("chunked, to a client of HTTP/1.0", func(t *testing.T) {
		m := breaking(t, testrepo.Chunked())
		c, err := net.Dial("tcp", m.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /r/%s HTTP/1.0\r\n\r\n", pkg)
		if _, err := io.CopyN(io.Discard, c, 40_000); err != nil {
			t.Fatal(err)
		}
		m.release()
		if _, err := io.Copy(io.Discard, c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("the connection ended with %v, as if the body were whole", err)
		}
	})
	t.Run("by the client", func(t *testing.T) {
		m := breaking(t, testrepo.Fault{})
		ctx, leave := context.WithCancel(t.Context())
		resp, err := m.http.Do(m.request(http.MethodGet, pkg).WithContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		leave()
		if line := m.lines()[0]; !strings.Contains(line, `; detail=aborted"`) {
			t.Errorf("logged as %q", line)
		}
	})
	t.Run("before the first byte", func(t *testing.T) {
		m := newMirror(t, setup{})
		m.put(pkg, body)
		m.up.On("*", testrepo.Cut(0))
		r := m.get(pkg)
		if r.StatusCode != 502 || len(r.body) == 0 {
			t.Errorf("%s, %q", r.Status, r.body)
		}
	})
}

// TestDigest holds that bytes which metadata does not promise are not handed
// out as a whole file, and that nobody goes on behind them.
func TestDigest(t *testing.T) {
	right, wrong := rpm(3<<20, 1), rpm(3<<20, 2)
	m := newMirror(t, setup{catalog: catalog{pkg: promise(right)}})
	m.put(pkg, wrong)
	m.up.On("*", testrepo.Stall(2<<20))
	resp, err := m.http.Do(m.request(http.MethodGet, pkg))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.CopyN(io.Discard, resp.Body, 1<<20); err != nil {
		t.Fatal(err)
	}
	m.stalled()
	m.up.Heal()
	if rest, err := io.ReadAll(resp.Body); err == nil {
		t.Fatalf("%d bytes look whole", 1<<20+len(rest))
	}
	m.put(pkg, right)
	m.prime(pkg)
	if r := m.get(pkg, "Range", "bytes=1000-"); r.StatusCode != 200 || !bytes.Equal(r.body, right) {
		t.Errorf("a client goes on behind wrong bytes: %s", r.Status)
	}
	m.pass(suspectFor)
	if r := m.get(pkg, "Range", "bytes=1000-"); r.StatusCode != 206 {
		t.Errorf("after a while: %s", r.Status)
	}
}

// TestSmallDigest holds that a small file is verified before its first byte leaves.
func TestSmallDigest(t *testing.T) {
	m := newMirror(t, setup{catalog: catalog{pkg: promise(rpm(1000, 1))}})
	m.put(pkg, rpm(1000, 2))
	r := m.get(pkg)
	if r.StatusCode != 502 || !strings.HasPrefix(string(r.body), "Upstream sends something else") {
		t.Errorf("%s %q", r.Status, r.body)
	}
	for _, line := range []string{
		fmt.Sprintf("\nExpected: %s of 1000 bytes, as the metadata promises\n", promise(rpm(1000, 1)).Digest),
		fmt.Sprintf("\nCame: %s of 1000 bytes\n", promise(rpm(1000, 2)).Digest),
		"\nFrom: " + m.up.URL + "/r/",
	} {
		if !strings.Contains(string(r.body), line) {
			t.Errorf("no %q in %q", line, r.body)
		}
	}
}

// TestManyClients holds that a file is downloaded once, however many ask.
func TestManyClients(t *testing.T) {
	const clients = 50
	body := rpm(8<<20, 1) // for each of them, and the race detector is slow
	m := newMirror(t, setup{})
	m.put(pkg, body)
	m.up.On("*", testrepo.Stall(1<<20))
	var all sync.WaitGroup
	for range clients {
		req := m.request(http.MethodGet, pkg)
		all.Go(func() {
			resp, err := m.http.Do(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer resp.Body.Close()
			if err := equal(resp.Body, body); err != nil {
				t.Error(err)
			}
		})
	}
	m.release()
	all.Wait()
	if got, want := m.up.Lines("", "*"), []string{"GET /r/" + pkg + " 200"}; !slices.Equal(got, want) {
		t.Errorf("upstream got %q", got)
	}
	m.close()
	// An answer is accounted when it has ended, a download when it is committed:
	// its clients have all of it before that.
	if err := m.cache.Close(); err != nil {
		t.Error(err)
	}
	total := m.totals()
	size := int64(len(body))
	want := cache.Totals{Requests: clients, Hits: clients - 1, Served: clients * size, Saved: (clients - 1) * size, Upstream: size}
	if total != want {
		t.Errorf("accounted %+v, want %+v", total, want)
	}
}

// equal reads r to its end and compares it.
func equal(r io.Reader, want []byte) error {
	buf := make([]byte, 64<<10)
	for at := 0; ; {
		n, err := r.Read(buf)
		if at+n > len(want) || !bytes.Equal(buf[:n], want[at:at+n]) {
			return fmt.Errorf("other bytes at %d", at)
		}
		if at += n; err == io.EOF && at == len(want) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d bytes: %w", at, err)
		}
	}
}

// TestSendfile holds that a stored file reaches the connection's ReadFrom as a
// file, which alone makes the kernel send it.
func TestSendfile(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(100_000, 1)
	m.put(pkg, body)
	m.prime(pkg)
	for field, want := range map[string][]byte{"": body, "bytes=1000-1999": body[1000:2000]} {
		w := &fileWriter{h: http.Header{}}
		r := m.request(http.MethodGet, pkg)
		r.RemoteAddr, r.RequestURI = "127.0.0.1:1", r.URL.Path
		r.URL.Scheme, r.URL.Host = "", ""
		if field != "" {
			r.Header.Set("Range", field)
		}
		m.server.ServeHTTP(w, r)
		if !w.file {
			t.Errorf("range %q: the body is not sent as a file", field)
		}
		if !bytes.Equal(w.body.Bytes(), want) {
			t.Errorf("range %q: %d other bytes", field, w.body.Len())
		}
	}
}

// The same holds of a file that is arriving: who follows it costs no buffer.
func TestSendfileWhileItArrives(t *testing.T) {
	m := newMirror(t, setup{})
	body := rpm(100_000, 1)
	m.put(pkg, body)
	m.up.On("*", testrepo.Stall(50_000))
	w := &fileWriter{h: http.Header{}}
	r := m.request(http.MethodGet, pkg)
	r.RemoteAddr, r.RequestURI = "127.0.0.1:1", r.URL.Path
	r.URL.Scheme, r.URL.Host = "", ""
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.server.ServeHTTP(w, r)
	}()
	m.stalled()
	m.up.Release()
	<-done
	if !w.file || w.other {
		t.Error("the body is not sent as a file")
	}
	if !bytes.Equal(w.body.Bytes(), body) {
		t.Errorf("%d other bytes", w.body.Len())
	}
}

// fileWriter is a ResponseWriter that looks at what it is given to read from.
type fileWriter struct {
	h     http.Header
	body  bytes.Buffer
	file  bool // the last that came was a part of a file
	other bool // something came that was none
}

func (w *fileWriter) Header() http.Header         { return w.h }
func (w *fileWriter) WriteHeader(int)             {}
func (w *fileWriter) Write(p []byte) (int, error) { w.other = true; return w.body.Write(p) }
func (w *fileWriter) ReadFrom(r io.Reader) (int64, error) {
	w.file = false
	if l, ok := r.(*io.LimitedReader); ok {
		_, w.file = l.R.(*os.File)
	}
	w.other = w.other || !w.file
	return w.body.ReadFrom(r)
}

// TestPipelined holds that requests which come at once are answered in turn.
func TestPipelined(t *testing.T) {
	m := newMirror(t, setup{})
	m.put(pkg, rpm(2000, 1))
	m.prime(pkg)
	c, err := net.Dial("tcp", m.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	one := "GET /r/" + pkg + " HTTP/1.1\r\nHost: x\r\nRange: bytes=%d-%d\r\n\r\n"
	fmt.Fprintf(c, one+one, 10, 19, 100, 129)
	in := bufio.NewReader(c)
	for _, n := range []int64{10, 30} {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.Copy(io.Discard, resp.Body)
		if err != nil || got != n || resp.StatusCode != 206 {
			t.Errorf("%s, %d bytes, %v; want %d", resp.Status, got, err, n)
		}
	}
}
