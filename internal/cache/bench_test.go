package cache_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// entry is one of the two ways into the cache.
type entry string

const (
	onDemand entry = "get"      // as imserve asks, for a client
	ahead    entry = "prefetch" // as imsync asks, by grab
)

// other is the entry point that e is not.
func (e entry) other() entry {
	if e == onDemand {
		return ahead
	}
	return onDemand
}

// mirror is one place that upstream's files come from.
type mirror struct {
	body     []byte    // nil: it has none
	modified time.Time // day1 if zero
	faults   []testrepo.Fault
	// wrap misbehaves in ways that testrepo does not, once the scenario begins.
	wrap func(http.Handler) http.Handler
	// to makes the mirror redirect to the one of that number, if it is not 0.
	to   int
	down bool // nobody listens
}

// bench is a cache directory before some mirrors, both of which outlive the
// caches that are opened over it: each call of run is a process of its own.
type bench struct {
	t       *testing.T
	key     cache.Key
	dir     string
	now     atomic.Int64
	idle    time.Duration
	minFree int64
	limit   func() int64 // of what may come for nobody; nil is none
	check   *cache.Check
	begun   atomic.Bool // the mirrors are those of the scenario, not of what was before
	trees   []string
	mirrors []*testrepo.Upstream
	bases   []string // the mirrors' URLs
}

func newBench(t *testing.T, key cache.Key, mirrors ...mirror) *bench {
	b := &bench{t: t, key: key, dir: t.TempDir(), idle: time.Minute}
	b.now.Store(time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC).UnixNano())
	for i, m := range mirrors {
		b.trees = append(b.trees, t.TempDir())
		u := testrepo.NewUpstream(b.trees[i])
		var h http.Handler = u
		if m.wrap != nil {
			wrapped := m.wrap(u)
			h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if b.begun.Load() {
					wrapped.ServeHTTP(w, r)
					return
				}
				u.ServeHTTP(w, r)
			})
		}
		var base string
		if m.down {
			// One that keeps its port: nobody else is to listen there meanwhile.
			held := testrepo.Start(t, b.trees[i])
			held.Stop()
			base = held.URL
		} else {
			srv := httptest.NewServer(h)
			t.Cleanup(srv.Close)
			base = srv.URL
		}
		t.Cleanup(u.Heal)
		b.mirrors, b.bases = append(b.mirrors, u), append(b.bases, base)
		b.put(i, m.body, m.modified)
	}
	for i, m := range mirrors {
		b.misbehave(i, m)
	}
	return b
}

func (b *bench) misbehave(i int, m mirror) {
	if m.to > 0 {
		b.mirrors[i].On("*", testrepo.Redirect(b.bases[m.to]+"/"))
	}
	b.mirrors[i].On("*", m.faults...)
}

// put makes body the file of mirror i; nil removes it.
func (b *bench) put(i int, body []byte, modified time.Time) {
	b.t.Helper()
	name := filepath.Join(b.trees[i], filepath.FromSlash(b.key.Path))
	if body == nil {
		if err := os.RemoveAll(name); err != nil {
			b.t.Fatal(err)
		}
		return
	}
	if modified.IsZero() {
		modified = day1
	}
	err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name+".new", body, 0o644),
		os.Chtimes(name+".new", modified, modified), os.Rename(name+".new", name))
	if err != nil {
		b.t.Fatal(err)
	}
}

// sent is how many bytes of files the mirrors have sent.
func (b *bench) sent() (n int64) {
	for _, m := range b.mirrors {
		for _, r := range m.Requests() {
			if r.Status == http.StatusOK || r.Status == http.StatusPartialContent {
				n += r.Sent
			}
		}
	}
	return n
}

// url is where mirror i has the file.
func (b *bench) url(i int) string { return b.bases[i] + "/" + b.key.EscapedPath() }

// open opens the cache and its mirrors as a process of its own would, to which w
// is promised of the file.
func (b *bench) open(w cache.Want) (*cache.Cache, *upstream.Mirrors) {
	b.t.Helper()
	return b.build(promises{key: b.key, want: w})
}

func (b *bench) openWith(catalog cache.Catalog) *cache.Cache {
	b.t.Helper()
	c, _ := b.build(catalog)
	return c
}

func (b *bench) build(catalog cache.Catalog) (*cache.Cache, *upstream.Mirrors) {
	b.t.Helper()
	client := upstream.New(upstream.Options{UserAgent: "test/1", Connect: time.Minute, Header: time.Minute, Idle: b.idle})
	b.t.Cleanup(client.Close)
	m := client.Mirrors(b.key.Repo, b.bases)
	check := b.check // each process has its own
	c, err := cache.Open(cache.Options{
		Dir:           b.dir,
		MinFree:       b.minFree,
		QuickAbortMax: b.limit,
		Catalog:       catalog,
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path), Check: check}
		},
		Source: func(string) cache.Source { return m },
		Now:    func() time.Time { return time.Unix(0, b.now.Load()) },
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return c, m
}

// run brings the file into the cache through e. What Get gives to its client
// has to be the stored file; again is a client that asks once more if it is broken off.
func (b *bench) run(e entry, w cache.Want, again bool) error {
	b.t.Helper()
	c, m := b.open(w)
	defer c.Close()
	if e == ahead {
		_, err := c.Prefetch(context.Background(), b.key, w, m.Grab())
		return err
	}
	got, _, err := get(c, b.key)
	c.Settled() // a download goes on without its client
	if err != nil && again {
		got, _, err = get(c, b.key)
	}
	if err == nil {
		onDisk(b.t, b.dir, b.key, append([]byte{}, got...))
	}
	return err
}

// cut leaves what e brings when the first mirror breaks off after n bytes.
func (b *bench) cut(e entry, w cache.Want, n int64) {
	b.t.Helper()
	for i, m := range b.mirrors {
		m.Heal()
		if i == 0 {
			m.On("*", testrepo.Cut(n).Only(http.MethodGet).Times(1))
		}
		m.On("*", testrepo.Status(http.StatusServiceUnavailable))
	}
	if err := b.run(e, w, false); err == nil {
		b.t.Fatal("a download that was cut looks whole")
	}
	if left := b.disk().Partials; len(left) != 1 || int64(len(left[0])) != n {
		b.t.Fatalf("%d partials, want one of %d bytes", len(left), n)
	}
	for _, m := range b.mirrors {
		m.Heal()
	}
}

// source is a cache.Source.
type source func(ctx context.Context, r cache.Request, p *cache.Partial) error

func (s source) Fetch(ctx context.Context, r cache.Request, p *cache.Partial) error {
	return s(ctx, r, p)
}

// leave makes bytes the partial file, as a download of h that was killed leaves it.
func (b *bench) leave(h cache.Head, w cache.Want, bytes []byte) {
	b.t.Helper()
	c, _ := b.open(w)
	defer c.Close()
	killed := errors.New("killed")
	_, err := c.Prefetch(context.Background(), b.key, w, source(func(_ context.Context, _ cache.Request, p *cache.Partial) error {
		if err := p.Begin(h); err != nil {
			return err
		}
		if _, err := p.Write(bytes); err != nil {
			return err
		}
		return killed
	}))
	if !errors.Is(err, killed) {
		b.t.Fatal(err)
	}
}

// disk is all that lies below a cache directory.
type disk struct {
	Files    map[string]string // path to bytes
	Facts    map[string]string // path to the attribute, with mirrors for addresses
	Modified map[string]time.Time
	Ahead    map[string]bool // fetched before anyone asked
	Partials []string        // bytes of each
	Samples  []string        // bytes of each that is in the quarantine
	Texts    []string        // what lies beside them, with mirrors for addresses
}

// anonymous is text with mirrors for their addresses.
func (b *bench) anonymous(text string) string {
	for i, base := range b.bases {
		text = strings.ReplaceAll(text, base, fmt.Sprintf("mirror%d:", i))
	}
	return text
}

func (b *bench) disk() disk {
	b.t.Helper()
	d := disk{Files: map[string]string{}, Facts: map[string]string{}, Modified: map[string]time.Time{}, Ahead: map[string]bool{}}
	err := filepath.WalkDir(b.dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(b.dir, p)
		if err != nil {
			return err
		}
		if strings.HasPrefix(name, filepath.Join(".im", "partial")) {
			d.Partials = append(d.Partials, string(body))
			return nil
		}
		if name == filepath.Join(".im", "usage") {
			return nil // the account of the size
		}
		if strings.HasPrefix(name, filepath.Join(".im", "quarantine")) {
			if filepath.Ext(name) == ".txt" {
				d.Texts = append(d.Texts, b.anonymous(string(body)))
			} else {
				d.Samples = append(d.Samples, string(body))
			}
			return nil
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		d.Files[name], d.Modified[name] = string(body), fi.ModTime()
		buf := make([]byte, 4096)
		n, err := unix.Getxattr(p, "user.im.facts", buf)
		if err != nil {
			return fmt.Errorf("facts of %s: %w", name, err)
		}
		var f cache.Facts
		if err := json.Unmarshal(buf[:n], &f); err != nil {
			return err
		}
		if f.Size != fi.Size() || !f.ModTime.Equal(fi.ModTime()) {
			b.t.Errorf("the facts of %s say %d bytes of %s, it has %d of %s", name, f.Size, f.ModTime, fi.Size(), fi.ModTime())
		}
		d.Ahead[name], f.Prefetched = !f.Prefetched.IsZero(), time.Time{}
		f.URL = b.anonymous(f.URL)
		text, err := json.Marshal(f)
		d.Facts[name] = string(text)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return d
}
