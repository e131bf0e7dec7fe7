package serve

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/config"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// hung is how long a test waits for what takes a moment, before it says that it waits
// in vain: longer than anything takes on a machine that has much else to do.
const hung = 5 * time.Minute

// mirror is a Server on a port of loopback, with a cache and an upstream whose
// repository "r" a test controls.
type mirror struct {
	t      testing.TB
	up     *testrepo.Server
	dir    string // the cache directory
	url    string // of the repository, at the mirror
	addr   string
	clock  atomic.Int64
	cache  *cache.Cache
	ledger *cache.Ledger
	server *Server
	log    *testrepo.Buffer
	access *testrepo.Buffer
	http   *http.Client

	stop   context.CancelFunc
	served chan error
}

// setup is how a mirror differs from the usual.
type setup struct {
	config  string // more of the file
	repo    string // more of [[repo]]
	catalog cache.Catalog
	header  time.Duration // upstream's time-out for a header
	connect time.Duration // and to connect
	idle    time.Duration // and for a body that stands still
	grace   time.Duration
	listed  func(path string) (generation.Listed, bool)
	claims  func(host, path string) (repo, rest string, ok bool)
	learnt  upstream.Claims // what /-/claims tells
	bases   []string        // upstreams besides the usual one
	dir     string          // the cache directory; "" is one of the test's
	size    int64           // of the cache; 0 is no limit
	minFree int64
	listen  net.Listener // nil is one on a free port
	tend    bool         // keep the cache to its size
	ca      *ca          // that the clients trust; nil has no tunnel intercepted
	actions Actions
	token   string // that makes an administrator; "" is none
	runs    func(context.Context, *config.Config) (*Runs, error)
}

func newMirror(t testing.TB, o setup) *mirror {
	t.Helper()
	m := &mirror{t: t, dir: filepath.Join(t.TempDir(), "cache"), log: &testrepo.Buffer{}, access: &testrepo.Buffer{}, served: make(chan error, 1)}
	if o.dir != "" {
		m.dir = o.dir
	}
	m.up = testrepo.Start(t, t.TempDir())
	// Later than all that the upstream has.
	m.clock.Store(time.Now().Add(24 * time.Hour).UnixNano())
	now := func() time.Time { return time.Unix(0, m.clock.Load()) }
	log := slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	via := Pseudonym()

	text := fmt.Sprintf("cache_dir = %q\nstate_dir = %q\n[[repo]]\nname = \"r\"\nupstreams = [\"%s/r\"]\n%s\n%s\n", m.dir, t.TempDir(), m.up.URL, o.repo, o.config)
	cfg, err := config.Load(config.Options{
		Getenv:     func(string) string { return "" },
		Interfaces: func() ([]net.Addr, error) { return nil, nil },
		ReadFile: func(name string) ([]byte, error) {
			if name == config.SystemFile {
				return []byte(text), nil
			}
			return nil, fs.ErrNotExist
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if o.header == 0 {
		o.header = hung
	}
	if o.connect == 0 {
		o.connect = hung
	}
	refused := new(cache.Refused)
	up := upstream.Options{Refused: refused, Via: via, UserAgent: "imserve/test", Connect: o.connect, Header: o.header, Idle: hung, Continue: hung, Now: now, Log: log}
	if o.idle > 0 {
		up.Idle = o.idle
	}
	client := upstream.New(up)
	t.Cleanup(client.Close)
	up.MayReach = cfg.MayReach
	guarded := upstream.New(up)
	t.Cleanup(guarded.Close)
	hosts := guarded.Hosts()
	t.Cleanup(hosts.Close)
	mirrors := map[string]*upstream.Mirrors{}
	for _, r := range cfg.Repos {
		u := upstream.Repo{Name: r.Name, Upstreams: append(r.Upstreams, o.bases...)}
		if r.Name == "r" && !r.Metalink.IsZero() {
			u.Metalink = r.Metalink.Find
		}
		if r.Name == "r" && !r.Mirrorlist.IsZero() {
			u.Mirrorlist = r.Mirrorlist.Find
		}
		mirrors[r.Name] = client.Repo(u)
	}
	if o.claims == nil {
		o.claims = func(host, path string) (string, string, bool) { return client.Claims().Find(host, path) }
	}
	if m.ledger, err = cache.OpenLedger(filepath.Join(t.TempDir(), "cache.db"), now, log); err != nil {
		t.Fatal(err)
	}
	m.cache, err = cache.Open(cache.Options{
		Dir: m.dir, Size: o.size, MinFree: o.minFree, Catalog: o.catalog, Ledger: m.ledger, Now: now, Log: log,
		Policy: func(k cache.Key) cache.Policy {
			p := cache.Policy{MaxAge: time.Duration(cfg.Serve.PackageMaxAge), Format: cache.FormatOf(k.Path), Anchor: strings.HasSuffix(k.Path, "repomd.xml")}
			if cfg.Serve.Classify("/"+k.String()) == config.Metadata {
				p.MaxAge = time.Duration(cfg.Serve.MetadataMaxAge)
			}
			return p
		},
		Source: func(repo string) cache.Source {
			if repo == cache.Strangers {
				return hosts
			}
			return mirrors[repo]
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var token *Token
	if o.token != "" {
		if token, err = NewToken(o.token); err != nil {
			t.Fatal(err)
		}
	}
	m.server = New(Options{Via: via, Token: token,
		Config: cfg, Cache: m.cache, Ledger: m.ledger, AccessLog: m.access, Version: "1.2.3", Hostname: "mirror.test",
		Mirrors: func(repo string) *upstream.Mirrors { return mirrors[repo] },
		Hosts:   hosts, Claims: o.claims, Learnt: func() upstream.Claims { return o.learnt }, Listed: o.listed,
		Refused:   refused,
		Authority: o.ca.authority(), Grace: o.grace, Now: now, Log: log, Actions: o.actions, Runs: o.runs,
	})
	l := o.listen
	if l == nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	m.addr = l.Addr().String()
	m.url = "http://" + m.addr + "/r"
	var ctx context.Context
	ctx, m.stop = context.WithCancel(context.Background())
	go func() { m.served <- m.server.Serve(ctx, l) }()
	var tending sync.WaitGroup
	if o.tend {
		tending.Go(func() { m.cache.Tend(ctx) })
	}
	transport := &http.Transport{DisableCompression: true}
	m.http = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		m.up.Heal()
		m.close()
		tending.Wait()
		m.cache.Close()
		m.ledger.Close()
	})
	return m
}

// close stops the server; afterwards the access log is complete.
func (m *mirror) close() {
	m.stop()
	if err := <-m.served; err != nil {
		m.t.Errorf("serve: %v", err)
	}
	m.served <- nil
	m.server.Close()
}

// pass lets time pass.
func (m *mirror) pass(d time.Duration) { m.clock.Add(int64(d)) }

// put puts a file upstream.
func (m *mirror) put(path string, body []byte) {
	m.t.Helper()
	if err := m.up.Put("/r/"+path, body); err != nil {
		m.t.Fatal(err)
	}
}

// remove deletes a file upstream; the directory is the test's own.
func (m *mirror) remove(path string) { m.up.On("/r/"+path, testrepo.Status(http.StatusNotFound)) }

// stalled waits until a fault holds a request up. A client has the bytes before
// that moment, and what is let go sooner is not held up yet.
func (m *mirror) stalled() {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), hung)
	defer cancel()
	if err := m.up.AwaitStalled(ctx, 1); err != nil {
		m.t.Fatal(err)
	}
}

// release lets the request go on that a fault holds up, or will in a moment.
func (m *mirror) release() {
	m.t.Helper()
	m.stalled()
	m.up.Release()
}

// stored is the file in the cache directory, nil if there is none.
func (m *mirror) stored(path string) []byte {
	b, err := os.ReadFile(filepath.Join(m.dir, "r", path))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		m.t.Error(err)
	}
	return b
}

// files is everything below the cache directory that is none of its own.
func (m *mirror) files() []string {
	var list []string
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(m.dir, path)
		if err == nil && rel == ".im" {
			return fs.SkipDir
		}
		if !d.IsDir() {
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		m.t.Error(err)
	}
	return list
}

// reply is an answer that has been read to its end.
type reply struct {
	*http.Response
	body []byte
	err  error // of the connection, or of reading the body
}

// status is the answer's Cache-Status.
func (r reply) status() string { return strings.Join(r.Header.Values("Cache-Status"), ", ") }

// request makes a request for path at the mirror's repository or, with a slash
// at its beginning, at the mirror; fields are pairs of a name and a value.
func (m *mirror) request(method, path string, fields ...string) *http.Request {
	m.t.Helper()
	url := m.url + "/" + path
	if strings.HasPrefix(path, "/") {
		url = "http://" + m.addr + path
	}
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	m.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Add(fields[i], fields[i+1])
	}
	return req
}

// try sends a request and reads all of its answer. Any goroutine may call it.
func (m *mirror) try(req *http.Request) reply {
	resp, err := m.http.Do(req)
	if err != nil {
		return reply{Response: &http.Response{Status: "no answer"}, err: err}
	}
	defer resp.Body.Close()
	r := reply{Response: resp}
	var b bytes.Buffer
	b.Grow(int(min(max(resp.ContentLength, 0), 4<<20)) + bytes.MinRead) // growing it bit by bit costs the race detector much
	_, r.err = b.ReadFrom(resp.Body)
	r.body = b.Bytes()
	return r
}

// do is try for a request that gets an answer, whole or not.
func (m *mirror) do(req *http.Request) reply {
	m.t.Helper()
	r := m.try(req)
	if r.StatusCode == 0 {
		m.t.Fatal(r.err)
	}
	return r
}

// get is a GET request that is answered with a whole body.
func (m *mirror) get(path string, fields ...string) reply {
	m.t.Helper()
	r := m.do(m.request(http.MethodGet, path, fields...))
	if r.err != nil {
		m.t.Fatalf("GET %s: %v", path, r.err)
	}
	return r
}

// prime brings a file into the cache. Its first client has all bytes before
// they are stored, and the next may have a hit before the download is over:
// that it is, is known when it has been accounted.
func (m *mirror) prime(path string) reply {
	m.t.Helper()
	before := m.totals().Upstream
	for first := true; ; first = false {
		r := m.get(path)
		if r.StatusCode != http.StatusOK {
			m.t.Fatalf("GET %s: %s, %s", path, r.Status, r.body)
		}
		if r.status() != "imserve; hit" {
			continue
		}
		for !first && m.totals().Upstream < before+int64(len(r.body)) {
			runtime.Gosched()
		}
		m.up.Forget()
		return r
	}
}

// totals is what has been accounted so far.
func (m *mirror) totals() cache.Totals {
	m.t.Helper()
	if err := m.ledger.Flush(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	t, err := m.ledger.Totals(m.t.Context(), time.Unix(0, 0))
	if err != nil {
		m.t.Fatal(err)
	}
	return t
}

// lines stops the server and is its access log.
func (m *mirror) lines() []string {
	m.close()
	return strings.Split(strings.TrimSuffix(m.access.String(), "\n"), "\n")
}

// rpm is n bytes that begin like a package.
func rpm(n int, seed byte) []byte {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{seed}).Read(b); err != nil {
		panic(err)
	}
	copy(b, "\xed\xab\xee\xdb")
	return b
}

// promise is what metadata says of body.
func promise(body []byte) cache.Want {
	sum := sha256.Sum256(body)
	return cache.Want{Digest: cache.SHA256(sum[:]), Size: int64(len(body))}
}

// catalog promises files of the repository.
type catalog map[string]cache.Want

func (c catalog) Lookup(k cache.Key) (cache.Want, bool) {
	w, ok := c[k.Path]
	return w, ok
}

const (
	pkg    = "os/Packages/a-1-1.noarch.rpm"
	repomd = "os/repodata/repomd.xml"
)
