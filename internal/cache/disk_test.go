package cache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"intelligentmirror/internal/cache"
)

// inTheWay puts something at the place of pkg, or of a directory above it.
var inTheWay = []struct {
	name string
	put  func(root, outside string) error
}{
	{"a directory", func(root, _ string) error { return os.MkdirAll(filepath.Join(root, pkg.String()), 0o755) }},
	{"a directory with files", func(root, _ string) error {
		return errors.Join(os.MkdirAll(filepath.Join(root, pkg.String()), 0o755), os.WriteFile(filepath.Join(root, pkg.String(), "x"), nil, 0o644))
	}},
	{"a named pipe", func(root, _ string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, pkg.String())), 0o755), syscall.Mkfifo(filepath.Join(root, pkg.String()), 0o644))
	}},
	{"a file in place of its directory", func(root, _ string) error {
		return errors.Join(os.MkdirAll(filepath.Join(root, "r"), 0o755), os.WriteFile(filepath.Join(root, "r", "x"), nil, 0o644))
	}},
	{"a symlink to itself", func(root, _ string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, pkg.String())), 0o755), os.Symlink(filepath.Base(pkg.Path), filepath.Join(root, pkg.String())))
	}},
	{"a symlink to a file outside", func(root, outside string) error {
		return errors.Join(os.MkdirAll(filepath.Dir(filepath.Join(root, pkg.String())), 0o755), os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600),
			os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, pkg.String())))
	}},
	{"a directory that is a symlink outside", func(root, outside string) error { return os.Symlink(outside, filepath.Join(root, "r")) }},
	{"a directory that is a relative symlink outside", func(root, outside string) error {
		rel, err := filepath.Rel(root, outside)
		return errors.Join(err, os.Symlink(rel, filepath.Join(root, "r")))
	}},
}

// TestInTheWay: what can't be a stored file is neither served nor written over
// nor followed out of the tree; the request is to be relayed.
func TestInTheWay(t *testing.T) {
	for _, tt := range inTheWay {
		for _, e := range []entry{onDemand, ahead} {
			t.Run(tt.name+"/"+string(e), func(t *testing.T) {
				b := newBench(t, pkg, mirror{body: two})
				outside := t.TempDir()
				c, m := b.open(cache.Want{})
				defer c.Close()
				if err := tt.put(b.dir, outside); err != nil {
					t.Fatal(err)
				}
				before := listing(t, outside)
				var err error
				if e == onDemand {
					var got []byte
					if got, _, err = get(c, pkg); err == nil {
						t.Errorf("%d bytes were served", len(got))
					}
				} else {
					_, err = c.Prefetch(t.Context(), pkg, want(two), m.Grab())
				}
				if !errors.Is(err, cache.ErrNotAFile) {
					t.Errorf("err = %v", err)
				}
				if after := listing(t, outside); after != before {
					t.Errorf("outside of the tree: %s, before %s", after, before)
				}
			})
		}
	}
}

// listing is what lies below dir.
func listing(t *testing.T, dir string) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err == nil {
			fmt.Fprintln(&s, p, fi.Mode(), fi.Size(), fi.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// TestSymlinkWithin: an administrator may spread the tree by links that stay in it.
func TestSymlinkWithin(t *testing.T) {
	b := newBench(t, pkg, mirror{body: two})
	if err := errors.Join(os.Mkdir(filepath.Join(b.dir, "elsewhere"), 0o755), os.Symlink("elsewhere", filepath.Join(b.dir, "r"))); err != nil {
		t.Fatal(err)
	}
	for _, e := range []entry{onDemand, ahead} {
		if err := b.run(e, want(two), false); err != nil {
			t.Fatal(err)
		}
		onDisk(t, b.dir, cache.Key{Repo: "elsewhere", Path: pkg.Path}, two)
	}
}

// TestNothingCanBeStored: where the disk takes nothing, a miss is to be relayed,
// and what is stored is served all the same.
func TestNothingCanBeStored(t *testing.T) {
	partials := func(b *bench) string { return filepath.Join(b.dir, ".im", "partial") }
	for _, tt := range []struct {
		name    string
		minFree int64
		put     func(b *bench) error
	}{
		{"no room", 1 << 60, func(*bench) error { return nil }},
		{"a file in place of the partials", 0, func(b *bench) error {
			return errors.Join(os.RemoveAll(partials(b)), os.WriteFile(partials(b), nil, 0o644))
		}},
		{"partials can't be written", 0, func(b *bench) error { return immutable(b.t, partials(b)) }},
		{"the tree can't be written", 0, func(b *bench) error { return immutable(b.t, filepath.Join(b.dir, "r", "x", "Packages")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newBench(t, pkg, mirror{body: two})
			stored := cache.Key{Repo: "r", Path: "x/Packages/b-1-1.noarch.rpm"}
			b.key = stored
			b.keep(0, one, day0, onDemand, cache.Want{})
			b.key = pkg
			b.minFree = tt.minFree
			c, m := b.open(cache.Want{})
			defer c.Close()
			if err := tt.put(b); err != nil {
				t.Fatal(err)
			}
			for _, w := range []cache.Want{{}, want(two)} {
				if _, err := c.Prefetch(t.Context(), pkg, w, m.Grab()); !errors.Is(err, cache.ErrUnstorable) || errors.Is(err, os.ErrNotExist) {
					t.Errorf("prefetch: err = %v", err)
				}
			}
			got, _, err := get(c, pkg)
			if !errors.Is(err, cache.ErrUnstorable) && !(err == nil && bytes.Equal(got, two)) || errors.Is(err, os.ErrNotExist) {
				t.Errorf("get: %d bytes, %v", len(got), err)
			}
			c.Settled()
			onDisk(t, b.dir, pkg, nil)
			for _, age := range []time.Duration{0, time.Hour} {
				b.now.Add(int64(age))
				if got, st, err := get(c, stored); err != nil || !bytes.Equal(got, one) {
					t.Errorf("what is stored, after %s: %d bytes, %s, %v", age, len(got), st, err)
				}
			}
		})
	}
}

// immutable lets nobody, not even root, change the directory until the test ends.
func immutable(t *testing.T, dir string) error {
	const flag = 0x10 // FS_IMMUTABLE_FL
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	set := func(on bool) error {
		flags, err := unix.IoctlGetInt(int(d.Fd()), unix.FS_IOC_GETFLAGS)
		if err != nil {
			return err
		}
		if flags &^= flag; on {
			flags |= flag
		}
		return unix.IoctlSetPointerInt(int(d.Fd()), unix.FS_IOC_SETFLAGS, flags)
	}
	if os.Geteuid() != 0 {
		t.Cleanup(func() { os.Chmod(dir, 0o755); d.Close() })
		return os.Chmod(dir, 0o555)
	}
	if err := set(true); err != nil {
		d.Close()
		t.Skipf("root writes everywhere, and this file system knows no immutable directories: %v", err)
	}
	t.Cleanup(func() {
		if err := set(false); err != nil {
			t.Error(err)
		}
		d.Close()
	})
	return nil
}

// TestPartialsAreTidiedAway: somebody removes the directory under a running program.
func TestPartialsAreTidiedAway(t *testing.T) {
	for _, e := range []entry{onDemand, ahead} {
		b := newBench(t, pkg, mirror{body: two})
		c, m := b.open(cache.Want{})
		defer c.Close()
		if err := os.RemoveAll(filepath.Join(b.dir, ".im", "partial")); err != nil {
			t.Fatal(err)
		}
		var err error
		if e == onDemand {
			_, _, err = get(c, pkg)
		} else {
			_, err = c.Prefetch(t.Context(), pkg, want(two), m.Grab())
		}
		if err != nil {
			t.Errorf("%s: %v", e, err)
		}
		c.Settled()
		onDisk(t, b.dir, pkg, two)
	}
}

// TestPartialVanishes: it is removed in the middle of the download. That is no
// word of upstream's about the file, and the stored copy stays.
func TestPartialVanishes(t *testing.T) {
	for _, restart := range []bool{false, true} {
		b := newBench(t, pkg, mirror{body: one, modified: day0})
		b.keep(0, one, day0, onDemand, cache.Want{})
		c, _ := b.open(cache.Want{})
		defer c.Close()
		_, err := c.Prefetch(t.Context(), pkg, want(two), source(func(_ context.Context, _ cache.Request, p *cache.Partial) error {
			if err := p.Begin(cache.Head{Length: int64(len(two)), URL: b.url(0)}); err != nil {
				return err
			}
			if _, err := p.Write(two); err != nil {
				return err
			}
			if err := os.RemoveAll(filepath.Join(b.dir, ".im", "partial")); err != nil {
				return err
			}
			if restart {
				return p.Begin(cache.Head{Length: int64(len(two)), URL: b.url(0)})
			}
			return p.Complete()
		}))
		if !errors.Is(err, cache.ErrUnstorable) || errors.Is(err, os.ErrNotExist) {
			t.Errorf("restart %v: err = %v", restart, err)
		}
		onDisk(t, b.dir, pkg, one)
	}
}

// TestAdopted: a file that was put there without attributes is read where a
// digest is promised, and asked for with its time where none is.
func TestAdopted(t *testing.T) {
	for _, tt := range []struct {
		name string
		have []byte
		time time.Time
		want cache.Want
		gets []string // the statuses that upstream answers
		end  []byte
	}{
		{"promised and right", two, day0, want(two), nil, two},
		{"promised by sha512 and right", two, day0, wantSHA512(two), nil, two},
		{"promised and wrong", like, day1, want(two), []string{"200"}, two},
		{"promised and of another length", one, day1, want(two), []string{"200"}, two},
		{"current", two, day1, cache.Want{}, []string{"if 304"}, two},
		{"newer", two, day1.Add(time.Hour), cache.Want{}, []string{"if 304"}, two},
		{"older", one, day0, cache.Want{}, []string{"if 200"}, two},
	} {
		for _, e := range []entry{onDemand, ahead} {
			t.Run(tt.name+"/"+string(e), func(t *testing.T) {
				b := newBench(t, pkg, mirror{body: two})
				adopt(t, b.dir, tt.have, tt.time)
				for range 2 { // the second finds the facts
					if err := b.run(e, tt.want, false); err != nil {
						t.Fatal(err)
					}
				}
				onDisk(t, b.dir, pkg, tt.end)
				var lines []string
				for _, l := range tt.gets {
					lines = append(lines, "GET /"+pkg.Path+" "+l)
				}
				if got := b.mirrors[0].Lines("", "*"); !slices.Equal(got, lines) {
					t.Errorf("upstream was asked %q, want %q", got, lines)
				}
			})
		}
	}
}

// TestWithoutAttributes: on a file system that has none each request has to
// validate, or to read, and the answer is right.
func TestWithoutAttributes(t *testing.T) {
	b := newBench(t, pkg, mirror{body: two})
	name := filepath.Join(b.dir, pkg.String())
	for i, w := range []cache.Want{{}, want(two), {}, want(two)} {
		for _, e := range []entry{onDemand, ahead} {
			if err := b.run(e, w, false); err != nil {
				t.Fatal(i, e, err)
			}
			onDisk(t, b.dir, pkg, two)
			if err := unix.Removexattr(name, "user.im.facts"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := b.sent(); n != int64(len(two)) {
		t.Errorf("upstream sent %d bytes", n)
	}
}

// TestModifiedByHand: facts of a file that somebody has written since are void.
func TestModifiedByHand(t *testing.T) {
	for _, w := range []cache.Want{{}, want(two)} {
		for _, e := range []entry{onDemand, ahead} {
			b := newBench(t, pkg, mirror{body: two})
			b.keep(0, two, day1, e, w)
			name := filepath.Join(b.dir, pkg.String())
			f, err := os.OpenFile(name, os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte("by hand"), 1000); err != nil {
				t.Fatal(err)
			}
			f.Close()
			// Its time may be the one of a copy that is older than upstream's.
			if err := os.Chtimes(name, day0, day0); err != nil {
				t.Fatal(err)
			}
			if err := b.run(e, w, false); err != nil {
				t.Fatal(err)
			}
			onDisk(t, b.dir, pkg, two)
		}
	}
}

// adopt puts body at the place of pkg as a copy without attributes.
func adopt(t *testing.T, dir string, body []byte, modified time.Time) {
	t.Helper()
	name := filepath.Join(dir, pkg.String())
	if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, body, 0o644), os.Chtimes(name, modified, modified)); err != nil {
		t.Fatal(err)
	}
}

// TestRefusedAnswersKeepNothing: an answer that is of no use leaves no trace.
func TestRefusedAnswersKeepNothing(t *testing.T) {
	for _, status := range []int{201, 204, 300, 400, 401, 403, 429, 500} {
		for _, e := range []entry{onDemand, ahead} {
			b := newBench(t, pkg, mirror{wrap: func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) })
			}})
			b.begun.Store(true)
			if err := b.run(e, want(two), false); err == nil || notExist(err) {
				t.Errorf("%d, %s: err = %v", status, e, err)
			}
			if d := b.disk(); len(d.Files)+len(d.Partials) > 0 {
				t.Errorf("%d, %s: %d files, %d partials", status, e, len(d.Files), len(d.Partials))
			}
		}
	}
}
