package generation_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"intelligentmirror/internal/cache"
	"intelligentmirror/internal/generation"
	"intelligentmirror/internal/testrepo"
	"intelligentmirror/internal/upstream"
)

// other is a store without anything, to copy generations into.
type other struct {
	*testing.T
	dir   string
	store *generation.Store
	cache *cache.Cache
	from  *os.Root // what is the other cache's own
}

func newOther(t *testing.T, dir string, signing *generation.Signing, now func() time.Time) *other {
	t.Helper()
	o := &other{T: t, dir: t.TempDir()}
	var err error
	if o.from, err = os.OpenRoot(filepath.Join(dir, ".im")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.from.Close() })
	o.store, err = generation.Open(generation.Options{
		Dir: o.dir, Keep: 7 * 24 * time.Hour, Now: now, Signing: func(generation.Root) *generation.Signing { return signing },
	})
	if err != nil {
		t.Fatal(err)
	}
	o.cache, err = cache.Open(cache.Options{
		Dir: o.dir, Catalog: o.store, Now: now,
		Policy: func(k cache.Key) cache.Policy {
			return cache.Policy{MaxAge: time.Minute, Format: cache.FormatOf(k.Path)}
		},
		Source: func(string) cache.Source { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.cache.Close() })
	return o
}

// renamed is a source in which a file has another name.
type renamed struct {
	cache.Source
	as cache.Key
}

func (r renamed) Fetch(ctx context.Context, req cache.Request, p *cache.Partial) error {
	req.Key = r.as
	return r.Source.Fetch(ctx, req, p)
}

func (o *other) copy(k generation.Kept) (generation.Staged, error) {
	return o.store.Copy(context.Background(), o.cache, k, func(name string) cache.Source {
		return renamed{upstream.Directory(o.from), k.File(name)}
	})
}

// all copies what is kept, and lets what is current there become so here.
func (o *other) all(kept []generation.Kept) {
	o.Helper()
	for _, k := range kept {
		s, err := o.copy(k)
		if err != nil {
			o.Fatal(err)
		}
		if k.Current {
			err = o.store.Flip(s.Generation)
		} else {
			err = o.store.Keep(s.Generation, k)
		}
		if err != nil {
			o.Fatal(err)
		}
	}
}

// same holds that both stores keep the same, and promise the same of these files.
func (o *other) same(of *generation.Store, c *cache.Cache, keys ...cache.Key) {
	o.Helper()
	want, werr := of.Inventory(o.Context(), c)
	got, gerr := o.store.Inventory(o.Context(), o.cache)
	equal := func(a, b generation.Kept) bool {
		return a.Root == b.Root && a.Kind == b.Kind && a.Digest == b.Digest && a.Current == b.Current &&
			a.Replaced.Equal(b.Replaced) && slices.Equal(a.Files, b.Files)
	}
	if werr != nil || gerr != nil || len(want) == 0 || !slices.EqualFunc(got, want, equal) {
		o.Errorf("%v, %v; kept\n%+v\nwant\n%+v", gerr, werr, got, want)
	}
	for _, k := range keys {
		w, held := of.Lookup(k)
		if x, also := o.store.Lookup(k); w != x || held != also || !held {
			o.Errorf("%s: %+v %t, want %+v %t", k, x, also, w, held)
		}
	}
}

// TestCopy: what is current, and what is still kept, is the same in the copy, and
// what the copy has is not fetched again.
func TestCopy(t *testing.T) {
	b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
	b.flip(b.mustStage())
	b.setNow(b.now().Add(time.Hour))
	b.publish(testrepo.BuildOptions{}, spec("a", "2"))
	b.flip(b.mustStage())
	o := newOther(t, b.dir, nil, b.now)
	kept, err := b.store.Inventory(t.Context(), b.cache)
	if err != nil || len(kept) != 2 || !kept[0].Current || kept[1].Current {
		t.Fatalf("%v, %+v", err, kept)
	}
	o.all(kept)
	key := func(version string) cache.Key {
		return cache.Key{Repo: "r", Path: "updates/41/" + spec("a", version).Location()}
	}
	o.same(b.store, b.cache, key("1"), key("2"))
	for _, k := range kept {
		if s, err := o.copy(k); err != nil || s.Fetched != 0 {
			t.Errorf("again: %+v, %v", s, err)
		}
	}
}

// TestCopySuite: of a Debian suite the copy has the indices that the other's clients
// have asked for, and promises what these list.
func TestCopySuite(t *testing.T) {
	a := newArchive(t, testrepo.Suite{Name: "stable", ByHash: true, Inline: inRelease})
	list := debs("1")
	a.issue(list)
	if err := a.update(client); err != nil {
		t.Fatal(err)
	}
	a.wants("debian/"+list[0].Filename(false), "fwd=uri-miss; stored")
	kept, err := a.store.Inventory(t.Context(), a.cache)
	if err != nil || len(kept) != 1 || len(kept[0].Files) < 2 {
		t.Fatalf("%v, %+v", err, kept)
	}
	o := newOther(t, a.dir, nil, nil)
	o.all(kept)
	o.same(a.store, a.cache, cache.Key{Repo: "r", Path: "debian/" + list[0].Filename(false)})
}

// TestCopyRefuses: what is not what it is called, is not signed, or can't be a
// generation's never becomes one.
func TestCopyRefuses(t *testing.T) {
	forged := &generation.Signing{Required: true, Check: func(_, _ []byte) error { return errForged }}
	for _, c := range []struct {
		name    string
		signing *generation.Signing
		change  func(*generation.Kept, string)
		want    error
	}{
		{"no digest", nil, func(k *generation.Kept, _ string) { k.Digest = "../../x" }, cache.ErrWrongContent},
		{"another digest", nil, func(k *generation.Kept, dir string) {
			other := strings.Repeat("a", 64)
			if err := os.Rename(filepath.Join(dir, ".im/gen", k.Digest), filepath.Join(dir, ".im/gen", other)); err != nil {
				t.Fatal(err)
			}
			k.Digest = other
		}, cache.ErrWrongContent},
		{"no entry file", nil, func(k *generation.Kept, _ string) {
			k.Files = slices.DeleteFunc(k.Files, func(f generation.KeptFile) bool { return f.Name == "repomd.xml" })
		}, cache.ErrWrongContent},
		{"not signed", forged, func(*generation.Kept, string) {}, cache.ErrWrongContent},
		{"less than nothing", nil, func(k *generation.Kept, _ string) { k.Files[0].Size = -1 }, cache.ErrWrongContent},
		{"no root", nil, func(k *generation.Kept, _ string) { k.Root = "" }, nil},
		{"a file that is not there", nil, func(k *generation.Kept, dir string) {
			for _, f := range k.Files {
				if f.Name != "repomd.xml" {
					if err := os.Remove(filepath.Join(dir, ".im/gen", k.Digest, f.Name)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}, os.ErrNotExist},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
			b.flip(b.mustStage())
			kept, err := b.store.Inventory(t.Context(), b.cache)
			if err != nil || len(kept) != 1 {
				t.Fatal(err)
			}
			c.change(&kept[0], b.dir)
			o := newOther(t, b.dir, c.signing, nil)
			s, err := o.copy(kept[0])
			if err == nil || c.want != nil && !errors.Is(err, c.want) || s.Generation != nil {
				t.Errorf("%+v, %v", s, err)
			}
			if all, err := o.store.Inventory(t.Context(), o.cache); err != nil || len(all) != 0 {
				t.Errorf("it is kept: %+v, %v", all, err)
			}
		})
	}
}

// TestKeepWhenItWasReplaced: a generation of which another store does not say when it was
// replaced, or says that it will be, is not kept for longer than one that just was.
func TestKeepWhenItWasReplaced(t *testing.T) {
	for name, replaced := range map[string]time.Time{"never": {}, "in 2100": time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, testrepo.BuildOptions{}, spec("a", "1"))
			b.flip(b.mustStage())
			kept, err := b.store.Inventory(t.Context(), b.cache)
			if err != nil || len(kept) != 1 {
				t.Fatal(err)
			}
			o := newOther(t, b.dir, nil, b.now)
			k := kept[0]
			k.Current, k.Replaced = false, replaced
			s, err := o.copy(k)
			if err == nil {
				err = o.store.Keep(s.Generation, k)
			}
			if err != nil {
				t.Fatal(err)
			}
			if all, err := o.store.Inventory(t.Context(), o.cache); err != nil || len(all) != 1 || !all[0].Replaced.Equal(b.now()) {
				t.Errorf("%v, %+v", err, all)
			}
			b.setNow(b.now().Add(8 * 24 * time.Hour))
			if all, err := o.store.Inventory(t.Context(), o.cache); err != nil || len(all) != 0 {
				t.Errorf("a week later: %v, %+v", err, all)
			}
		})
	}
}

// TestReadKept: a list of generations is read line by line, each bounded.
func TestReadKept(t *testing.T) {
	line := `{"root":"r/a","digest":"x","files":[{"name":"repomd.xml","size":1,"sha256":"y"}]}` + "\n"
	if all, err := generation.ReadKept(strings.NewReader(line + line)); err != nil || len(all) != 2 || all[1].Files[0].Name != "repomd.xml" {
		t.Errorf("%v, %+v", err, all)
	}
	for name, text := range map[string]string{
		"no JSON": line + "<html>", "a half line": line + `{"root":`, "another type": `{"root":1}`, "nothing": line + "\n",
		"a line without end": `{"root":"` + strings.Repeat("a", 5<<20), "too many": strings.Repeat("{}\n", 50_001),
	} {
		if all, err := generation.ReadKept(strings.NewReader(text)); err == nil || all != nil {
			t.Errorf("%s: it is a list of %d", name, len(all))
		}
	}
}

// FuzzReadKept: whatever another cache sends, each root that it names keeps its files below
// a repository's directory, and each file of a generation stays in that generation's.
func FuzzReadKept(f *testing.F) {
	for _, text := range []string{
		`{"root":"r/a","digest":"x","current":true,"files":[{"name":"repomd.xml","size":1,"sha256":"y"}]}`,
		`{"root":"r/dists/stable","kind":"debian","digest":"` + strings.Repeat("0a", 32) + `","replaced":"2024-11-20T00:00:00Z"}`,
		`{"root":"r/../.im"}`, `{"root":".im"}`, `{"root":"-"}`, `{"root":"r//a"}`, `{"root":"r/a/."}`, `{"root":"r/%2e%2e/x"}`, `{"root":"r/a\u0000b"}`, `{"files":[{"name":"../x","size":-1}]}`, "",
	} {
		f.Add([]byte(text + "\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := generation.ReadKept(bytes.NewReader(b))
		if err != nil && all != nil {
			t.Fatalf("%d generations, and %v", len(all), err)
		}
		for _, k := range all {
			for _, x := range k.Files {
				if name := k.File(x.Name).String(); generation.IsFile(name) && (!filepath.IsLocal(name) || path.Dir(name) != ".im/gen/"+k.Digest) {
					t.Errorf("%q is a file of a generation's", name)
				}
			}
			root, err := k.At()
			if err != nil {
				continue
			}
			for _, e := range root.Entries() {
				if name := e.String(); !filepath.IsLocal(name) || path.Clean(name) != name || name[0] == '.' || !strings.HasPrefix(name, root.Repo+"/") {
					t.Errorf("%q has the entry file %q", k.Root, name)
				}
			}
		}
	})
}

// TestIsFile: nothing of the cache's own but generations' metadata is to be copied.
func TestIsFile(t *testing.T) {
	gen := ".im/gen/" + strings.Repeat("0a", 32) + "/"
	for name, want := range map[string]bool{
		gen + "repomd.xml": true, gen + "catalog": false, gen + "read": false, gen + "missing": false, gen + ".new-1": false, gen: false, gen + "a/b": false,
		".im/gen/x.root": false, ".im/gen/x/repomd.xml": false, ".im/cache.db": false, "r/repodata/repomd.xml": false,
	} {
		if got := generation.IsFile(name); got != want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
