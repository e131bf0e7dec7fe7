package site

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/bucket"
	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// place is a source with what a test may do to the files that it has.
type place struct {
	source cache.Source
	// put gives it the file of that name.
	put func(name string, body []byte)
	// damage lets it have other bytes of a file than those that were put there.
	damage func(name string, body []byte)
	// confirm lets upstream have the file too; where the place is upstream, nothing is to do.
	confirm func(name string, body []byte)
	resumes bool // it goes on where another has stopped
}

// written is the time of every file.
var written = time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)

// writer writes files below dir.
func writer(t *testing.T, dir string) func(name string, body []byte) {
	return func(name string, body []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, body, 0o644), os.Chtimes(name, written, written)); err != nil {
			t.Fatal(err)
		}
	}
}

// nothing is what confirm does for upstream itself.
func nothing(string, []byte) {}

// patient is a client to mirrors that no busy machine makes give up.
func patient(t *testing.T) *upstream.Client {
	c := upstream.New(upstream.Options{Connect: time.Minute, Header: time.Minute, Idle: time.Minute, Sibling: time.Minute})
	t.Cleanup(c.Close)
	return c
}

// mutable is Repo.Mutable of the repository of the tests.
func mutable(name string) bool { return strings.HasPrefix(name, "repodata/") }

// kinds are all kinds of sources that a cache has.
func kinds(t *testing.T) map[string]func(*testing.T) place {
	// One server has all buckets, each behind a prefix.
	outer, buckets := t, 0
	var server *testrepo.Bucket
	mirror := func(t *testing.T) (*upstream.Mirrors, func(string, []byte)) {
		dir := t.TempDir()
		return patient(t).Mirrors("r", []string{testrepo.Start(t, dir).URL}), writer(t, dir)
	}
	return map[string]func(*testing.T) place{
		"mirrors, for a client": func(t *testing.T) place {
			m, put := mirror(t)
			return place{source: m, put: put, damage: put, confirm: nothing, resumes: true}
		},
		"mirrors, for the agent": func(t *testing.T) place {
			m, put := mirror(t)
			return place{source: m.Grab(), put: put, damage: put, confirm: nothing, resumes: true}
		},
		"a sibling": func(t *testing.T) place {
			near, far := t.TempDir(), t.TempDir()
			other := httptest.NewServer(http.StripPrefix("/r", http.FileServer(http.Dir(near))))
			t.Cleanup(other.Close)
			m := patient(t).Repo(upstream.Repo{
				Name: "r", Upstreams: []string{testrepo.Start(t, far).URL}, Siblings: []string{other.URL + "/r"}, Mutable: mutable,
			})
			return place{source: m, put: writer(t, near), damage: writer(t, near), confirm: writer(t, far), resumes: true}
		},
		"a bucket": func(t *testing.T) place {
			far := t.TempDir()
			if server == nil {
				server = testrepo.StartBucket(lasting{t, outer})
			}
			buckets++
			prefix := fmt.Sprintf("of/test/%d", buckets)
			b, err := bucket.Open(bucket.Options{
				Name: server.Name, Prefix: prefix, Endpoint: server.Endpoint, Region: "us-east-1", Credentials: server.Credentials(),
			})
			if err != nil {
				t.Fatal(err)
			}
			m := patient(t).Repo(upstream.Repo{Name: "r", Upstreams: []string{testrepo.Start(t, far).URL}, Bucket: b, Mutable: mutable})
			return place{source: m, put: uploader(t, b), damage: writer(t, server.File(prefix+"/r")), confirm: writer(t, far), resumes: true}
		},
		"a directory": func(t *testing.T) place {
			dir := t.TempDir()
			root, err := os.OpenRoot(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { root.Close() })
			return place{source: upstream.Directory(root), put: writer(t, dir), damage: writer(t, dir), confirm: nothing}
		},
	}
}

// lasting is a test for what outlives it: that ends with the outer one.
type lasting struct {
	*testing.T
	outer *testing.T
}

func (l lasting) Cleanup(f func())                { l.outer.Cleanup(f) }
func (l lasting) TempDir() string                 { return l.outer.TempDir() }
func (l lasting) Failed() bool                    { return l.outer.Failed() }
func (l lasting) Logf(format string, args ...any) { l.outer.Logf(format, args...) }

// uploader puts files into a bucket as they are uploaded.
func uploader(t *testing.T, b *bucket.Bucket) func(name string, body []byte) {
	return func(name string, body []byte) {
		t.Helper()
		dir := t.TempDir()
		writer(t, dir)("file", body)
		file, err := os.Open(filepath.Join(dir, "file"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		w := wantOf(body)
		err = b.Put(t.Context(), cache.Key{Repo: "r", Path: name}, cache.Facts{SHA256: w.Digest, Size: w.Size, ModTime: written, Validated: written}, file)
		if err != nil {
			t.Fatal(err)
		}
	}
}

// wantOf is the promise of a body.
func wantOf(body []byte) cache.Want {
	sum := sha256.Sum256(body)
	return cache.Want{Digest: cache.SHA256(sum[:]), Size: int64(len(body))}
}

// packageOf is a package's bytes, made of a word.
func packageOf(word string) []byte {
	return append([]byte("\xed\xab\xee\xdb"), bytes.Repeat([]byte(word), 40_000)...)
}

// stopped is a source that sends some bytes of a body, and breaks off.
type stopped struct {
	body []byte
	n    int
}

// Fetch implements cache.Source.
func (s stopped) Fetch(_ context.Context, _ cache.Request, p *cache.Partial) error {
	if err := p.Begin(cache.Head{Length: int64(len(s.body)), URL: "http://stopped/"}); err != nil {
		return err
	}
	if _, err := p.Write(s.body[:s.n]); err != nil {
		return err
	}
	return errors.New("it broke off")
}

// TestSources is what the cache may expect of its sources, whatever kind they are: the
// bytes that were promised, or an error and nothing stored.
func TestSources(t *testing.T) {
	const name = "Packages/t/thing+1-1.x86_64.rpm"
	k := cache.Key{Repo: "r", Path: name}
	right, wrong := packageOf("right"), packageOf("wrong")
	all := kinds(t)
	type test struct {
		*testing.T
		place
		cache *cache.Cache
		dir   string
	}
	stored := func(t test, want []byte) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(t.dir, k.String()))
		if want == nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("%d bytes are stored, %v; want nothing", len(got), err)
		}
		if want != nil && (err != nil || !bytes.Equal(got, want)) {
			t.Fatalf("%d other bytes than sent are stored, or none: %v", len(got), err)
		}
	}
	for _, c := range []struct {
		name string
		do   func(t test)
	}{
		{"what is promised", func(t test) {
			t.put(name, right)
			out, err := t.cache.Prefetch(t.Context(), k, wantOf(right), t.source)
			if err != nil {
				t.Fatal(err)
			}
			stored(t, right)
			if f := out.Facts; f.SHA256 != wantOf(right).Digest || f.Met != f.SHA256 || f.Size != int64(len(right)) || !f.ModTime.Equal(written) {
				t.Errorf("it is known that %+v", f)
			}
		}},
		{"what is promised by another digest", func(t test) {
			t.put(name, right)
			w := cache.Want{Digest: cache.Digest(fmt.Sprintf("sha512:%x", sha512.Sum512(right))), Size: int64(len(right))}
			out, err := t.cache.Prefetch(t.Context(), k, w, t.source)
			if err != nil || out.Facts.Met != w.Digest || out.Facts.SHA256 != wantOf(right).Digest {
				t.Fatalf("%+v, %v", out.Facts, err)
			}
			stored(t, right)
		}},
		{"what nothing promises", func(t test) {
			t.put(name, right)
			t.confirm(name, right)
			out, err := t.cache.Prefetch(t.Context(), k, cache.Want{}, t.source)
			if err != nil || out.Facts.SHA256 != wantOf(right).Digest || out.Facts.Met != "" || !out.Facts.ModTime.Equal(written) {
				t.Fatalf("%+v, %v", out.Facts, err)
			}
			stored(t, right)
			// And again, as whoever validates it asks.
			out, err = t.cache.Stage(t.Context(), k, cache.Want{}, t.source, func(cache.Facts) (string, error) { return "elsewhere/file", nil })
			if err != nil || !out.NotModified {
				t.Errorf("is it the same? %+v, %v", out, err)
			}
		}},
		{"other bytes", func(t test) {
			t.put(name, right)
			t.damage(name, wrong)
			if _, err := t.cache.Prefetch(t.Context(), k, wantOf(right), t.source); err == nil {
				t.Error("no error")
			}
			stored(t, nil)
		}},
		{"fewer bytes", func(t test) {
			t.put(name, right)
			t.damage(name, right[:1000])
			if _, err := t.cache.Prefetch(t.Context(), k, wantOf(right), t.source); err == nil {
				t.Error("no error")
			}
			stored(t, nil)
		}},
		{"a page in its place", func(t test) {
			page := []byte("<!DOCTYPE html><title>Sign in</title>" + strings.Repeat(" ", len(right)))[:len(right)]
			t.put(name, right)
			t.damage(name, page)
			t.confirm(name, page)
			if _, err := t.cache.Prefetch(t.Context(), k, cache.Want{}, t.source); !errors.Is(err, cache.ErrWrongContent) {
				t.Errorf("error %v", err)
			}
			stored(t, nil)
		}},
		{"nothing", func(t test) {
			for _, w := range []cache.Want{{}, wantOf(right)} {
				if _, err := t.cache.Prefetch(t.Context(), k, w, t.source); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("error %v, want one that says that it is not there", err)
				}
			}
			stored(t, nil)
		}},
		{"the rest of what another has begun", func(t test) {
			t.put(name, right)
			if _, err := t.cache.Prefetch(t.Context(), k, wantOf(right), stopped{right, 70_000}); err == nil {
				t.Fatal("what broke off is whole")
			}
			out, err := t.cache.Prefetch(t.Context(), k, wantOf(right), t.source)
			if err != nil {
				t.Fatal(err)
			}
			stored(t, right)
			if came := out.Fetched + out.Nearby; t.resumes && came != int64(len(right))-70_000 {
				t.Errorf("%d bytes came of %d, of which 70000 were there", came, len(right))
			}
		}},
		{"the rest of what was begun with other bytes", func(t test) {
			t.put(name, right)
			if _, err := t.cache.Prefetch(t.Context(), k, wantOf(right), stopped{wrong, 70_000}); err == nil {
				t.Fatal("what broke off is whole")
			}
			// Where it shows at the end only, the next try begins anew.
			if _, err := t.cache.Prefetch(t.Context(), k, wantOf(right), t.source); err != nil {
				stored(t, nil)
				if _, err = t.cache.Prefetch(t.Context(), k, wantOf(right), t.source); err != nil {
					t.Fatal(err)
				}
			}
			stored(t, right)
		}},
		{"what nobody waits for", func(t test) {
			t.put(name, right)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := t.cache.Prefetch(ctx, k, wantOf(right), t.source); !errors.Is(err, context.Canceled) {
				t.Errorf("error %v", err)
			}
			stored(t, nil)
			if _, err := t.cache.Prefetch(t.Context(), k, wantOf(right), t.source); err != nil {
				t.Errorf("and then: %v", err)
			}
			stored(t, right)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for kind, make := range all {
				t.Run(kind, func(t *testing.T) {
					x := test{T: t, place: make(t), dir: t.TempDir()}
					var err error
					x.cache, err = cache.Open(cache.Options{
						Dir: x.dir, Source: func(string) cache.Source { return x.source },
						Policy: func(k cache.Key) cache.Policy {
							return cache.Policy{MaxAge: time.Hour, Format: cache.FormatOf(k.Path)}
						},
					})
					if err != nil {
						t.Fatal(err)
					}
					defer x.cache.Close()
					c.do(x)
				})
			}
		})
	}
}
