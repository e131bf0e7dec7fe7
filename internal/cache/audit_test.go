package cache_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
)

// audit reads the cache back behind after: of each file its path, and what is
// wrong with it.
func audit(t *testing.T, c *cache.Cache, after string) (all []string, found []cache.Finding) {
	t.Helper()
	pause := func(context.Context, int) error { return nil }
	err := c.Audit(t.Context(), after, pause, func(f cache.Finding) error {
		s := f.Key.String()
		switch {
		case f.Wrong != nil:
			s += " wrong"
		case f.Unknown:
			s += " unknown"
		}
		all = append(all, s)
		found = append(found, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all, found
}

// asked is a catalog that notes what it is asked.
type asked struct {
	cache.Catalog
	keys []cache.Key
}

func (a *asked) Lookup(k cache.Key) (cache.Want, bool) {
	a.keys = append(a.keys, k)
	return a.Catalog.Lookup(k)
}

// TestAuditAsksOnlyWhatIsNotNoted: for a program that reads catalogs when they are
// needed, one look is all of a catalog.
func TestAuditAsksOnlyWhatIsNotNoted(t *testing.T) {
	body := rpm(300_000, 1)
	s := newSite(t, file(body, day0))
	catalog := &asked{Catalog: promises{pkg, want(body), true}}
	c := s.open(catalog)
	if _, _, err := get(c, pkg); err != nil {
		t.Fatal(err)
	}
	catalog.keys = nil
	if all, found := audit(t, c, ""); len(all) != 1 || found[0].Should != want(body) || len(catalog.keys) > 0 {
		t.Errorf("%q should be %+v; asked for %q", all, found, catalog.keys)
	}
	adopted := cache.Key{Repo: "r", Path: "x/adopted.rpm"}
	if err := os.WriteFile(filepath.Join(s.dir, adopted.String()), body, 0o644); err != nil {
		t.Fatal(err)
	}
	if audit(t, c, ""); !slices.Equal(catalog.keys, []cache.Key{adopted}) {
		t.Errorf("asked for %q, want the adopted file", catalog.keys)
	}
}

func TestAudit(t *testing.T) {
	body, other := rpm(300_000, 1), rpm(300_000, 2)
	s := newSite(t, file(body, day0))
	adopted := cache.Key{Repo: "r", Path: "x/Packages/adopted-1-1.noarch.rpm"}
	c := s.open(promises{adopted, want(body), true})
	keys := []cache.Key{pkg, {Repo: "r", Path: "x/b.rpm"}, {Repo: "r", Path: "x-y/c.rpm"}, {Repo: "proxy", Path: "host/d.rpm"}}
	for _, k := range keys {
		if _, _, err := get(c, k); err != nil {
			t.Fatal(err)
		}
	}
	write := func(k cache.Key, b []byte, at time.Time) {
		t.Helper()
		name := filepath.Join(s.dir, k.String())
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(b)
		if err := errors.Join(err, f.Close(), os.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	write(adopted, body, day1)
	write(cache.Key{Repo: "r", Path: "x/unknown.rpm"}, body, day1)
	want := []string{"proxy/host/d.rpm", "r/x/Packages/a-1-1.noarch.rpm", "r/x/Packages/adopted-1-1.noarch.rpm", "r/x/b.rpm", "r/x/unknown.rpm unknown", "r/x-y/c.rpm"}
	all, _ := audit(t, c, "")
	slices.Sort(all)
	slices.Sort(want)
	if !slices.Equal(all, want) {
		t.Errorf("a sound cache:\n%q, want\n%q", all, want)
	}

	// One that is broken off is gone on with behind the last file, in the same order.
	all, _ = audit(t, c, "")
	for i, after := range all {
		after, _, _ = cutSpace(after)
		if rest, _ := audit(t, c, after); !slices.Equal(rest, all[i+1:]) {
			t.Errorf("behind %s: %q, want %q", after, rest, all[i+1:])
		}
	}

	// A bit that flips under the same size and time, a file that somebody truncated
	// or only touched, and one that metadata promises otherwise.
	write(pkg, other, day0)
	write(keys[1], body[:1000], day1)
	write(keys[2], body, day1)
	write(adopted, other, day1)
	want = []string{
		"proxy/host/d.rpm", "r/x/Packages/a-1-1.noarch.rpm wrong", "r/x/Packages/adopted-1-1.noarch.rpm wrong",
		"r/x/b.rpm wrong", "r/x/unknown.rpm unknown", "r/x-y/c.rpm",
	}
	all, found := audit(t, c, "")
	slices.Sort(all)
	slices.Sort(want)
	if !slices.Equal(all, want) {
		t.Errorf("a damaged cache:\n%q, want\n%q", all, want)
	}

	// Put aside it is a miss; what has taken its place since stays.
	for _, f := range found {
		if f.Key == keys[1] {
			replaced := filepath.Join(s.dir, f.Key.String())
			if err := errors.Join(os.Remove(replaced), os.WriteFile(replaced, []byte("another"), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if f.Wrong == nil {
			continue
		}
		if err := c.PutAside(f); err != nil {
			t.Error(err)
		}
	}
	onDisk(t, s.dir, keys[1], []byte("another"))
	if b, err := os.ReadFile(filepath.Join(s.dir, ".im/wrong", pkg.String())); err != nil || len(b) != len(other) {
		t.Errorf("put aside: %d bytes, %v", len(b), err)
	}
	if _, err := os.Stat(filepath.Join(s.dir, pkg.String())); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
	out, err := c.Bring(t.Context(), pkg, cache.Want{}, s.mirrors())
	if err != nil || out.Fetched != int64(len(body)) || !out.Facts.Prefetched.IsZero() {
		t.Errorf("brought again: %+v, %v", out, err)
	}
	onDisk(t, s.dir, pkg, body)
}

func cutSpace(s string) (before, after string, found bool) {
	for i := range s {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// TestAuditEnds: with its context, and with the caller's errors.
func TestAuditEnds(t *testing.T) {
	s := newSite(t, file(rpm(1000, 1), day0))
	c := s.open(nil)
	if _, _, err := get(c, pkg); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	pause := func(context.Context, int) error { return nil }
	if err := c.Audit(t.Context(), "", pause, func(cache.Finding) error { return enough }); !errors.Is(err, enough) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Audit(ctx, "", func(ctx context.Context, _ int) error { cancel(); return ctx.Err() }, func(f cache.Finding) error {
		t.Errorf("%s is judged before it is read: %v", f.Key, f.Wrong)
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPurge(t *testing.T) {
	body := rpm(1000, 1)
	s := newSite(t, file(body, day0))
	c := s.open(nil)
	for _, p := range []string{"x/a.rpm", "x/y/b.rpm", "x/y/c.rpm", "z.rpm"} {
		if _, _, err := get(c, cache.Key{Repo: "r", Path: p}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		name  string
		files int
		err   error
	}{
		{"r/x/y", 2, nil},
		{"/r/x/a.rpm", 1, nil},
		{"r/x/a.rpm", 0, fs.ErrNotExist},
		{"r/z.rpm/beyond", 0, cache.ErrNotAFile},
		{".im", 0, cache.ErrNotAFile},
		{"r/../.im/partial", 0, cache.ErrNotAFile},
		{"../../../etc/passwd", 0, fs.ErrNotExist},
		{"", 0, cache.ErrNotAFile},
		{"/", 0, cache.ErrNotAFile},
	} {
		files, bytes, err := c.Purge(tc.name)
		if files != tc.files || bytes != int64(tc.files*len(body)) || !errors.Is(err, tc.err) {
			t.Errorf("%q: %d files, %d bytes, %v; want %d, %v", tc.name, files, bytes, err, tc.files, tc.err)
		}
	}
	if names, err := os.ReadDir(filepath.Join(s.dir, "r")); err != nil || len(names) != 2 {
		t.Errorf("left: %v, %v", names, err)
	}
	before := s.gets.Load()
	if b, _, err := get(c, cache.Key{Repo: "r", Path: "x/a.rpm"}); err != nil || len(b) != len(body) || s.gets.Load() != before+1 {
		t.Errorf("asked for again: %d bytes, %v", len(b), err)
	}
}

// TestNamesThatAreNoText: a directory of an adopted tree whose name is not UTF-8 keeps
// nobody from what else is stored.
func TestNamesThatAreNoText(t *testing.T) {
	s := newSite(t, file(rpm(1000, 1), day0))
	c := s.open(nil)
	if _, _, err := get(c, pkg); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"r/\xe9tude/a.rpm", "r/b\xe9.rpm"} {
		name = filepath.Join(s.dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte("adopted"), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	if all, _ := audit(t, c, ""); !slices.Equal(all, []string{pkg.String()}) {
		t.Errorf("read back: %q", all)
	}
	if files, _, err := c.Purge("r"); files != 2 || err != nil {
		t.Errorf("%d files are purged, %v", files, err)
	}
	if _, err := os.Lstat(filepath.Join(s.dir, "r")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the directory: %v", err)
	}
}
