package cache_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// grave is a site whose upstream has withdrawn the stored package pkg, and where a
// client has asked for it since.
type grave struct {
	*site
	cache  *cache.Cache
	listed promises // what metadata says
	body   []byte
}

// Lookup implements cache.Catalog.
func (g *grave) Lookup(k cache.Key) (cache.Want, bool) { return g.listed.Lookup(k) }

func (g *grave) open() {
	m := g.mirrors()
	c, err := cache.Open(cache.Options{
		Dir: g.dir, Catalog: g, Known: func(cache.Key) bool { return true },
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path)}
		},
		Source: func(string) cache.Source { return m },
		Now:    func() time.Time { return time.Unix(0, g.now.Load()) },
	})
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(func() { c.Close() })
	g.cache = c
}

func newGrave(t *testing.T) *grave {
	g := &grave{body: rpm(5000, 1)}
	g.site = newSite(t, file(g.body, day0))
	g.open()
	if _, _, err := get(g.cache, pkg); err != nil {
		t.Fatal(err)
	}
	g.pass(time.Hour)
	g.answer(http.NotFound)
	if _, _, err := get(g.cache, pkg); !notExist(err) {
		t.Fatalf("what upstream has withdrawn: %v", err)
	}
	onDisk(t, g.dir, pkg, g.body)
	if !g.cache.IsWithdrawn(pkg) {
		t.Fatal("it has no tombstone")
	}
	return g
}

// TestWithdrawn: what a request gets of a file that was withdrawn, by what became of
// it since.
func TestWithdrawn(t *testing.T) {
	down := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	withdrawn := func(err error) bool {
		var absent *cache.AbsentError
		return errors.As(err, &absent) && !absent.Withdrawn.IsZero()
	}
	deleted := func(t *testing.T, g *grave) {
		if ok, err := g.cache.Delete(pkg); !ok || err != nil {
			t.Fatalf("Delete: %v, %v", ok, err)
		}
	}
	purged := func(t *testing.T, g *grave) {
		if _, _, err := g.cache.Purge(pkg.String()); err != nil {
			t.Fatal(err)
		}
	}
	served := func(status string) func(*testing.T, []byte, string, error, []byte) {
		return func(t *testing.T, b []byte, st string, err error, want []byte) {
			if err != nil || st != status || !bytes.Equal(b, want) {
				t.Errorf("%d bytes, %q, %v; want all with %q", len(b), st, err, status)
			}
		}
	}
	refused := func(t *testing.T, b []byte, st string, err error, _ []byte) {
		if !withdrawn(err) {
			t.Errorf("%d bytes, %q, %v; want it withdrawn", len(b), st, err)
		}
	}
	for _, tt := range []struct {
		name   string
		do     func(*testing.T, *grave)
		later  time.Duration
		then   http.HandlerFunc // nil: upstream has it again
		held   bool
		want   func(*testing.T, []byte, string, error, []byte)
		asked  int64
		gone   bool // not stored any more
		lifted bool
	}{
		{name: "at once", then: http.NotFound, want: refused, asked: 1}, // the first answer was of the file itself
		{name: "later", later: time.Hour, then: http.NotFound, want: refused, asked: 1},
		{name: "a mirror has it again", later: time.Hour, want: refused, asked: 1},
		{name: "upstream is out of reach", later: time.Hour, then: down, want: served("imserve; hit; detail=upstream-unreachable"), asked: 1},
		{name: "metadata lists it again", later: time.Hour, held: true, want: served("imserve; fwd=stale; fwd-status=304"), asked: 1, lifted: true},
		{name: "after a restart", do: func(_ *testing.T, g *grave) { g.cache.Close(); g.open() }, then: http.NotFound, want: refused, asked: 1},
		{name: "deleted", do: deleted, later: time.Hour, then: http.NotFound, want: refused, gone: true},
		{name: "deleted, a mirror has it again", do: deleted, later: time.Hour, want: refused, gone: true},
		{name: "deleted, upstream is out of reach", do: deleted, later: time.Hour, then: down, want: refused, gone: true},
		{name: "deleted, metadata lists it again", do: deleted, later: time.Hour, held: true, want: served("imserve; fwd=uri-miss; stored"), asked: 1, lifted: true},
		{name: "purged, a mirror has it again", do: purged, later: time.Hour, want: served("imserve; fwd=uri-miss; stored"), asked: 1, lifted: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGrave(t)
			if tt.do != nil {
				tt.do(t, g)
			}
			g.pass(tt.later)
			g.listed = promises{key: pkg, held: tt.held}
			g.answer(tt.then)
			if tt.then == nil {
				g.answer(file(g.body, day0))
			}
			g.gets.Store(0)
			b, st, err := get(g.cache, pkg)
			tt.want(t, b, st.String(), err, g.body)
			if n := g.gets.Load(); n != tt.asked {
				t.Errorf("upstream was asked %d times, want %d", n, tt.asked)
			}
			if tt.gone {
				onDisk(t, g.dir, pkg, nil)
			} else {
				onDisk(t, g.dir, pkg, g.body)
			}
			if g.cache.IsWithdrawn(pkg) == tt.lifted {
				t.Errorf("withdrawn: %v", !tt.lifted)
			}
		})
	}
}

// TestWithdrawnIsAskedOnce: in a row of requests upstream is asked once, and once
// again when its answer is old.
func TestWithdrawnIsAskedOnce(t *testing.T) {
	g := newGrave(t)
	g.pass(time.Hour)
	for _, later := range []time.Duration{0, time.Second, time.Hour} {
		g.pass(later)
		g.gets.Store(0)
		if _, _, err := get(g.cache, pkg); !notExist(err) {
			t.Error(err)
		}
		want := int64(1)
		if later == time.Second {
			want = 0
		}
		if n := g.gets.Load(); n != want {
			t.Errorf("%v later upstream was asked %d times, want %d", later, n, want)
		}
	}
}

// TestPromiseLiftsTombstone: what arrives as metadata promises it is not withdrawn,
// also before that metadata is current.
func TestPromiseLiftsTombstone(t *testing.T) {
	g := newGrave(t)
	if ok, err := g.cache.Delete(pkg); !ok || err != nil {
		t.Fatalf("Delete: %v, %v", ok, err)
	}
	g.answer(file(g.body, day0))
	sum := sha256.Sum256(g.body)
	w := cache.Want{Digest: cache.SHA256(sum[:]), Size: int64(len(g.body))}
	if _, err := g.cache.Prefetch(t.Context(), pkg, w, g.mirrors()); err != nil {
		t.Fatal(err)
	}
	if b, _, err := get(g.cache, pkg); err != nil || !bytes.Equal(b, g.body) || g.cache.IsWithdrawn(pkg) {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}

// TestDeleteSparesWhatIsInUse: what a client reads stays until it has read it.
func TestDeleteSparesWhatIsInUse(t *testing.T) {
	g := newGrave(t)
	reader, err := os.Open(filepath.Join(g.dir, pkg.String()))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := g.cache.Delete(pkg); ok || err != nil {
		t.Errorf("a file that is open: %v, %v", ok, err)
	}
	onDisk(t, g.dir, pkg, g.body)
	reader.Close()
	if ok, err := g.cache.Delete(pkg); !ok || err != nil {
		t.Errorf("then: %v, %v", ok, err)
	}
	onDisk(t, g.dir, pkg, nil)
	if ok, err := g.cache.Delete(pkg); ok || err != nil {
		t.Errorf("again: %v, %v", ok, err)
	}
}

// TestWithdraw: a fresh file that is withdrawn is not served any more, by neither of
// two programs, and a damaged tombstone is one.
func TestWithdraw(t *testing.T) {
	g := &grave{body: rpm(5000, 1)}
	g.site = newSite(t, file(g.body, day0))
	g.open()
	if ok, err := g.cache.Withdraw(pkg, "a test", false); ok || err != nil {
		t.Errorf("what is not stored: %v, %v", ok, err)
	}
	if _, _, err := get(g.cache, pkg); err != nil {
		t.Fatal(err)
	}
	other := *g
	other.open()
	if ok, err := other.cache.Withdraw(pkg, "a test", true); !ok || err != nil {
		t.Fatalf("Withdraw: %v, %v", ok, err)
	}
	if ok, err := other.cache.Withdraw(pkg, "a test", true); ok || err != nil {
		t.Errorf("again: %v, %v", ok, err)
	}
	if _, _, err := get(g.cache, pkg); !notExist(err) {
		t.Errorf("the other program serves it: %v", err)
	}
	seen := 0
	see := func(k cache.Key, s cache.Tombstone, bytes int64, stored bool) error {
		seen++
		if k != pkg || !s.Confirmed || s.Why != "a test" || !s.Deleted.IsZero() || bytes < 5000 || !stored || s.Withdrawn.UnixNano() != g.now.Load() {
			t.Errorf("%s: %+v, %d bytes, %v", k, s, bytes, stored)
		}
		return nil
	}
	if err := g.cache.Tombstones(context.Background(), see); err != nil || seen != 1 {
		t.Errorf("%d tombstones, %v", seen, err)
	}
	if err := os.WriteFile(filepath.Join(g.dir, ".im/tombstones", pkg.String()), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, _, err := get(g.cache, pkg); !notExist(err) {
		t.Errorf("with a damaged tombstone: %v", err)
	}
	if err := g.cache.Lift(pkg); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Join(g.dir, ".im/tombstones")); err != nil || len(left) != 0 {
		t.Errorf("it leaves %v, %v", left, err)
	}
	if b, _, err := get(g.cache, pkg); err != nil || !bytes.Equal(b, g.body) {
		t.Errorf("lifted: %d bytes, %v", len(b), err)
	}
}
