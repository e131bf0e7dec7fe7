package upstream

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// chest is a bucket in memory that has one file under each name.
type chest struct {
	body     string
	sum      cache.Digest
	modified string
	err      error
	cut      int // after how many bytes of the body it breaks off; 0 never

	mu    sync.Mutex
	asked int
	bad   []cache.Key
	awake bool
}

func (c *chest) Copy(_ context.Context, _ cache.Key, off int64) (*Copy, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.err != nil {
		return nil, c.err
	}
	body := io.Reader(strings.NewReader(c.body[off:]))
	if c.cut > 0 {
		body = io.MultiReader(strings.NewReader(c.body[off:off+int64(c.cut)]), broken{})
	}
	return &Copy{
		Body: io.NopCloser(body), From: off, Size: int64(len(c.body)), SHA256: c.sum, LastModified: c.modified,
		Confirmed: time.Date(2026, 11, 22, 1, 0, 0, 0, time.UTC), URL: "http://bucket/x",
	}, nil
}

func (c *chest) Damaged(k cache.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bad = append(c.bad, k)
}

func (c *chest) Awake(context.Context) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.awake
}

func (c *chest) URL(repo string) string { return "http://bucket/" + repo }

// broken is a body that ends as a connection does that was lost.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestBucket: what a bucket is believed, and what upstream is asked besides.
func TestBucket(t *testing.T) {
	const body, other, when = "the package itself", "the package reborn", "Sat, 21 Nov 2026 00:00:00 GMT"
	sum, another := promise(body).want.Digest, promise(other).want.Digest
	for _, tt := range []struct {
		name    string
		catalog shelf
		path    string // "" is a package's
		bucket  *chest
		mirror  http.HandlerFunc
		want    string // "" is none
		asked   int    // how often the bucket was
		far     string // what the mirror is asked
		came    int    // bytes from the bucket
		damaged bool
		age     time.Duration // since upstream confirmed it
	}{
		{name: "promised and there", catalog: promise(body), bucket: &chest{body: body, sum: sum}, mirror: text(body),
			want: body, asked: 1, came: len(body)},
		{name: "promised, its digest not noted", catalog: promise(body), bucket: &chest{body: body}, mirror: text(body),
			want: body, asked: 1, came: len(body)},
		{name: "promised, not there", catalog: promise(body), bucket: &chest{err: fs.ErrNotExist}, mirror: text(body),
			want: body, asked: 1, far: "GET"},
		{name: "promised, another version", catalog: promise(body), bucket: &chest{body: other, sum: another}, mirror: text(body),
			want: body, asked: 1, far: "GET"},
		{name: "promised, damaged", catalog: promise(body), bucket: &chest{body: other, sum: sum}, mirror: text(body),
			want: body, asked: 1, far: "GET", came: len(other), damaged: true},
		{name: "promised, shorter", catalog: promise(body), bucket: &chest{body: body[:5], sum: sum}, mirror: text(body),
			want: body, asked: 1, far: "GET"},
		{name: "promised, cut on the way", catalog: promise(body), bucket: &chest{body: body, sum: sum, cut: 5}, mirror: text(body),
			want: body, asked: 1, far: "GET Range", came: 5},
		{name: "promised, metadata", catalog: promise(body), path: "repodata/primary.xml.gz", bucket: &chest{body: body, sum: sum}, mirror: text(body),
			want: body, asked: 1, came: len(body)},
		{name: "promised, out of reach", catalog: promise(body), bucket: &chest{err: errors.New("no route")}, mirror: text(body),
			want: body, asked: 1, far: "GET"},
		{name: "not promised: upstream still has it", bucket: &chest{body: body, sum: sum, modified: when}, mirror: text(body),
			want: body, asked: 1, far: "GET If-Modified-Since", came: len(body)},
		{name: "not promised: upstream has another", bucket: &chest{body: body, sum: sum, modified: when}, mirror: newer(other),
			want: other, asked: 1, far: "GET If-Modified-Since"},
		{name: "not promised: gone upstream", bucket: &chest{body: body, sum: sum, modified: when}, mirror: status(404),
			asked: 1, far: "GET If-Modified-Since"},
		{name: "not promised, listed by an old generation: gone upstream", catalog: shelf{held: true}, bucket: &chest{body: body, sum: sum, modified: when}, mirror: status(404),
			want: body, asked: 1, far: "GET If-Modified-Since", came: len(body), age: 2 * time.Hour},
		{name: "not promised: upstream is in trouble", bucket: &chest{body: body, sum: sum, modified: when}, mirror: status(503),
			want: body, asked: 1, far: "GET If-Modified-Since", came: len(body), age: 2 * time.Hour},
		{name: "not promised, damaged", bucket: &chest{body: other, sum: sum, modified: when}, mirror: text(body),
			want: body, asked: 1, far: "GET If-Modified-Since, GET", came: len(other), damaged: true},
		{name: "not promised, damaged, upstream in trouble", bucket: &chest{body: other, sum: sum, modified: when}, mirror: status(503),
			asked: 1, far: "GET If-Modified-Since, GET", came: len(other), damaged: true},
		{name: "not promised: upstream's time is not noted", bucket: &chest{body: body, sum: sum}, mirror: text(body),
			want: body, asked: 1, far: "GET"},
		{name: "not promised, metadata: nothing is asked there", path: "repodata/comps.xml", bucket: &chest{body: body, sum: sum, modified: when}, mirror: text(body),
			want: body, far: "GET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ck := newClock()
			far := newAnswers(t, tt.mirror)
			client := patient(t, Options{Now: ck.now})
			m := client.Repo(Repo{
				Name: "r", Upstreams: []string{far.URL}, Bucket: tt.bucket,
				Mutable: func(path string) bool { return strings.HasPrefix(path, "repodata/") },
			})
			c := dayFresh(t, m, tt.catalog, ck.now)
			k := cache.Key{Repo: "r", Path: "Packages/a.rpm"}
			if tt.path != "" {
				k.Path = tt.path
			}
			got, err := fetch(t, c, k.Path)
			if tt.want == "" && err == nil {
				t.Fatalf("%q came, and no error", got)
			}
			if tt.want != "" && (err != nil || got != tt.want) {
				t.Errorf("%q, %v; want %q", got, err, tt.want)
			}
			if tt.bucket.asked != tt.asked {
				t.Errorf("the bucket was asked %d times, want %d", tt.bucket.asked, tt.asked)
			}
			if asked := far.asks(); asked != tt.far {
				t.Errorf("the mirror was asked %q, want %q", asked, tt.far)
			}
			if damaged := len(tt.bucket.bad) > 0; damaged != tt.damaged {
				t.Errorf("it was called damaged: %v, want %v", damaged, tt.damaged)
			}
			if n := c.Activity(); n.Bucket != int64(tt.came) || n.Nearby != 0 {
				t.Errorf("%d bytes came from the bucket, want %d; %d from siblings", n.Bucket, tt.came, n.Nearby)
			}
			f, err := c.Known(k)
			if tt.want == "" {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%d bytes are stored, %v", f.Size, err)
				}
				return
			}
			if err != nil || f.SHA256 != promise(tt.want).want.Digest {
				t.Errorf("stored: %+v, %v", f, err)
			}
			if !tt.catalog.want.Known() && f.Met != "" {
				t.Errorf("it is said to keep a promise that nobody made: %s", f.Met)
			}
			if age := ck.now().Sub(f.Validated); age != tt.age {
				t.Errorf("confirmed %s ago, want %s", age, tt.age)
			}
		})
	}
}

// TestBucketOutOfReach: one that fails is left alone for a while, and comes back without
// a request having waited for it.
func TestBucketOutOfReach(t *testing.T) {
	ck := newClock()
	far := newAnswers(t, text("a"))
	b := &chest{err: errors.New("no route"), body: "a", modified: "Sat, 21 Nov 2026 00:00:00 GMT"}
	client := patient(t, Options{Now: ck.now})
	m := client.Repo(Repo{Name: "r", Upstreams: []string{far.URL}, Bucket: b, Mutable: func(string) bool { return false }})
	m.near[0].copy = slow(ck, m.near[0].copy)
	c := store(t, m, ck.now)
	get := func(name string, asked int) {
		t.Helper()
		if got, err := fetch(t, c, name); got != "a" || err != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.asked != asked {
			t.Errorf("%s: the bucket was asked %d times, want %d", name, b.asked, asked)
		}
	}
	get("1", 1)
	get("2", 1)
	b.mu.Lock()
	b.err, b.awake = nil, true
	b.mu.Unlock()
	ck.pass(maxRest)
	get("3", 1) // and a probe goes to the bucket
	client.under.Wait()
	get("4", 2)
}

// slow is a copy that takes a while.
func slow(ck *clock, copy func(context.Context, cache.Request, int64) (*Copy, error)) func(context.Context, cache.Request, int64) (*Copy, error) {
	return func(ctx context.Context, r cache.Request, off int64) (*Copy, error) {
		ck.pass(2 * time.Second)
		return copy(ctx, r, off)
	}
}
